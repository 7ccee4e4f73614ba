"""The libraries of the extra [sim], imported where they are used."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Any

from xsaga.errors import MissingExtraError


def import_galsim() -> Any:
    """Return the galsim module.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    return _imported("galsim")


def import_sep() -> Any:
    """Return the sep module.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    return _imported("sep")


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep linear algebra to one thread within a block.

    Bricks are simulated side by side, one a core: more threads only get into each other's way, and
    sums of another number of threads end in other bytes.

    Raises
    ------
    MissingExtraError
        When threadpoolctl is not installed.
    """
    limits: AbstractContextManager[object] = _imported("threadpoolctl").threadpool_limits(1)
    return limits


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(name, "sim") from error
