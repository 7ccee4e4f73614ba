"""The Legacy Surveys' grid of 0.25° bricks: their numbers and names for many positions at once.

Rows are centred on multiples of 0.25° in Dec; each holds the smallest even number of equal columns
that are nowhere wider than 0.25°, the two polar rows one brick each (desiutil.brick).
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

BRICK_SIZE: Final = 0.25
"""Height of a row of bricks in degrees."""

N_ROWS: Final = round(180 / BRICK_SIZE) + 1


@cache
def columns_per_row() -> NDArray[np.int64]:
    """Count the bricks of each row, from the south pole, shape (N_ROWS,)."""
    nearest_to_equator = np.abs(-90.0 + BRICK_SIZE * np.arange(N_ROWS)) - BRICK_SIZE / 2
    widest = 360.0 / BRICK_SIZE * np.cos(np.radians(np.maximum(nearest_to_equator, 0)))
    columns = np.asarray(2 * np.ceil(widest / 2))
    columns[[0, -1]] = 1
    return columns.astype(np.int64)


@cache
def _bricks_before_row() -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(columns_per_row())])


def brick_ids(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Tell the number of the brick that each position lies in.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Degrees; must be finite, |dec| ≤ 90. RA is taken modulo 360.

    Returns
    -------
    ndarray of int64, shape (N,)
        1 at the south pole to 662174 at the north pole (desiutil ``Bricks.brickid``).
    """
    dec = np.asarray(dec, dtype=np.float64)
    row = ((dec + 90.0 + BRICK_SIZE / 2) / BRICK_SIZE).astype(np.int64)
    row = np.clip(row, 0, N_ROWS - 1)
    columns = columns_per_row()[row]
    column = (np.asarray(ra, dtype=np.float64) % 360 / 360.0 * columns).astype(np.int64)
    # the last double below 360 is rounded to the end of its row, which is no brick
    return _bricks_before_row()[row] + np.minimum(column, columns - 1) + 1


def brick_names(brickid: ArrayLike) -> NDArray[np.str_]:
    """Tell the names of bricks: ten times the RA and |Dec| of the centre, such as ``0001p007``.

    Parameters
    ----------
    brickid : array_like of int, shape (N,)

    Returns
    -------
    ndarray of str, shape (N,)
        Empty for numbers that are no brick's.
    """
    brickid = np.asarray(brickid, dtype=np.int64)
    before = _bricks_before_row()
    known = (brickid >= 1) & (brickid <= before[-1])
    numbers, inverse = np.unique(brickid[known], return_inverse=True)
    row = np.searchsorted(before, numbers, side="left") - 1
    width = 360.0 / columns_per_row()[row]
    ra = width * (numbers - 1 - before[row] + 0.5)
    dec = -90.0 + BRICK_SIZE * row
    signs = np.where(dec >= 0, "p", "m")
    parts = (_digits(ra, 4), signs, _digits(np.abs(dec), 3))
    names = np.zeros(brickid.shape, dtype="U8")
    names[known] = np.char.add(np.char.add(parts[0], parts[1]), parts[2])[inverse]
    return names


def _digits(degrees: NDArray[np.float64], width: int) -> NDArray[np.str_]:
    """Cut angles to tenths of a degree, where 85.19999999999999 is 85.2."""
    tenths = np.round(degrees * 10, 6).astype(np.int64).astype(np.str_)
    return np.char.zfill(tenths, width) if len(tenths) else tenths  # numpy fails on none
