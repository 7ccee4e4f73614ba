"""Writing a target list in any file format, safely."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import TargetsError
from xsaga.paths import placed
from xsaga.targets.columns import conform
from xsaga.targets.provenance import Provenance
from xsaga.targets.write_fits import read_fits_ids, write_fits
from xsaga.targets.write_parquet import read_parquet_ids, write_parquet
from xsaga.targets.write_text import (
    read_csv_ids,
    read_ecsv_ids,
    write_csv,
    write_csv_metadata,
    write_ecsv,
)
from xsaga.targets.write_votable import read_votable_ids, write_votable


@dataclass(frozen=True)
class TargetFormat:
    """How one file format is written and checked.

    Parameters
    ----------
    write : callable
        Writes a conformed target list to a path.
    read_ids : callable
        Reads the identifiers back.
    described_beside : bool
        Whether units and provenance go to ``<file>-metadata.json``.
    """

    write: Callable[[Path, pd.DataFrame, Provenance], None]
    read_ids: Callable[[Path], NDArray[np.int64]]
    described_beside: bool = False


FORMATS: Final = {
    "parquet": TargetFormat(write_parquet, read_parquet_ids),
    "fits": TargetFormat(write_fits, read_fits_ids),
    "csv": TargetFormat(write_csv, read_csv_ids, described_beside=True),
    "ecsv": TargetFormat(write_ecsv, read_ecsv_ids),
    "votable": TargetFormat(write_votable, read_votable_ids),
}
"""File formats by the name that ``--format`` takes."""


def write_targets(
    targets: pd.DataFrame, path: Path, file_format: str, provenance: Provenance
) -> None:
    """Write a target list; the same list and provenance give the same bytes.

    The file is read back and its identifiers are compared before it takes the place of an older
    one; when anything fails, the older one stays.

    Parameters
    ----------
    targets : DataFrame
        Registered columns (`xsaga.targets.columns.COLUMNS`), in the order of the wanted rows.
    path : Path
        Where the file belongs; its folder is made.
    file_format : str
        A key of `FORMATS`.
    provenance : Provenance
        What the targets were made from.

    Raises
    ------
    TargetsError
        For an unknown format, columns that cannot be written, a file that cannot be written or
        that does not read back as it was written.
    """
    if file_format not in FORMATS:
        raise TargetsError(f"unknown format {file_format!r}: choose from {', '.join(FORMATS)}")
    chosen = FORMATS[file_format]
    conformed = conform(targets)
    try:
        with ExitStack() as stack:
            if chosen.described_beside:
                beside = path.with_name(f"{path.name}-metadata.json")
                temporary = stack.enter_context(placed(beside))
                write_csv_metadata(temporary, path.name, conformed, provenance)
            temporary = stack.enter_context(placed(path))
            chosen.write(temporary, conformed, provenance)
            _check(chosen.read_ids(temporary), conformed, path)
    except OSError as error:
        raise TargetsError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "free some space or choose another place, then run `xsaga rank` again"
        ) from error


def _check(read_back: NDArray[np.int64], targets: pd.DataFrame, path: Path) -> None:
    if not np.array_equal(read_back, targets["source_id"].to_numpy()):
        raise TargetsError(
            f"{path}: read back {len(read_back)} rows whose ids differ from the {len(targets)} "
            "written; the file was not put in place, check the disk"
        )
