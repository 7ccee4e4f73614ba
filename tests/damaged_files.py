"""Whole files damaged by a seed: reading them gives a result, or one line that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.fuzz_mutations import mutated
from xsaga.cli.edge import error_line
from xsaga.errors import XsagaError


def read_damaged(whole: Path, seed: int, folder: Path, read: Callable[[Path], object]) -> bool:
    """Read a damaged copy of a file; whether that gave a result.

    Anything that is raised but one of our errors passes through; of those the line is looked at.
    """
    path = folder / whole.name
    path.write_bytes(mutated(whole.name, whole.read_bytes(), Random(seed)))
    try:
        read(path)
    except XsagaError as error:
        line = error_line(error)
    else:
        return True
    assert str(path) in line
    assert line.isprintable()
    return False
