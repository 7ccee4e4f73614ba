"""The libraries of the extra [sim], imported where they are used."""

from __future__ import annotations

import importlib
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


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(name, "sim") from error
