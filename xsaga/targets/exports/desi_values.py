"""A target list's values as all of DESI's formats want them: without gaps, RA below 360."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import TargetsError

GAIA_EPOCH: Final = 2015.5
"""REF_EPOCH of positions that tell none, as desitarget sets it (``secondary.read_files``)."""

BANDS: Final = ("g", "r", "z")


def numbers(targets: pd.DataFrame, name: str, dtype: str) -> NDArray[np.generic]:
    """Values of a column; 0, as desitarget fills them, where they are missing or not finite."""
    if name not in targets:
        return np.zeros(len(targets), dtype=dtype)
    values = targets[name].to_numpy()
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0)
    return values.astype(dtype)


def texts(targets: pd.DataFrame, name: str, width: int) -> NDArray[np.bytes_]:
    """Values of a text column in plain ASCII; empty where they are missing.

    Raises
    ------
    TargetsError
        For a text that is longer than DESI's column or holds other letters.
    """
    if name not in targets:
        return np.zeros(len(targets), dtype=f"S{width}")
    values = targets[name].fillna("").astype(str).str.strip().to_numpy(dtype=str)
    for value in np.unique(values):
        if len(value) > width or not value.isascii():
            row = np.flatnonzero(values == value)[0]
            raise TargetsError(
                f"source_id {targets['source_id'].iloc[row]}: {name} {str(value)!r} does not fit "
                f"the {width} plain letters of DESI's column; correct it in the catalog"
            )
    return values.astype(f"S{width}")


def positions(targets: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """RA in [0, 360) and Dec in degrees.

    Raises
    ------
    TargetsError
        For a position that is none.
    """
    ra, dec = targets["ra"].to_numpy(dtype=float), targets["dec"].to_numpy(dtype=float)
    wrong = ~(np.isfinite(ra) & (np.abs(dec) <= 90))
    if wrong.any():
        raise TargetsError(
            f"source_id {targets['source_id'].to_numpy()[wrong][0]}: RA {ra[wrong][0]}, Dec "
            f"{dec[wrong][0]} is no position; remove it from the catalog"
        )
    ra = ra % 360.0
    ra[ra == 360.0] = 0.0  # what a tiny negative RA becomes
    return ra, dec


def epochs(targets: pd.DataFrame) -> NDArray[np.float32]:
    """REF_EPOCH in years, `GAIA_EPOCH` where the list tells none."""
    epoch = numbers(targets, "ref_epoch", "f4").astype(np.float32)
    return np.where(epoch > 0, epoch, np.float32(GAIA_EPOCH)).astype(np.float32)


def order_of(targets: pd.DataFrame) -> NDArray[np.int64]:
    """Count the rows from 0, best first: by tier, then by rank."""
    order = np.lexsort((targets["rank"].to_numpy(), targets["tier"].to_numpy()))
    counted = np.empty(len(targets), dtype=np.int64)
    counted[order] = np.arange(len(targets))
    return counted


def subpriorities(targets: pd.DataFrame) -> NDArray[np.float64]:
    """SUBPRIORITY inside (0, 1): unique, and the higher the better a target's tier and rank.

    fiberassign orders by PRIORITY first, so within a tier it follows the rank alone.
    """
    count = len(targets)
    return (count - order_of(targets) - 0.5) / max(count, 1)


def require(targets: pd.DataFrame, *names: str) -> None:
    """Refuse a list without the columns that a format cannot do without.

    Raises
    ------
    TargetsError
        One is missing.
    """
    for name in names:
        if name not in targets:
            raise TargetsError(
                f"target list has no column {name}: rank the run again with this version of xsaga"
            )
