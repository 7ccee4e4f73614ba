"""Targets too close together for two fibers, thinned by their place in the list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def thinned(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Drop, of targets that are too close, those that a better one stands beside.

    A target is dropped when a better one that is kept is close to it; so one that is close only to
    dropped ones is kept.

    Parameters
    ----------
    pairs : ndarray of int64, shape (pairs, 2)
        Rows that are too close to each other.
    count : int
        Number of targets, the best in row 0.

    Returns
    -------
    ndarray of int64, shape (count,)
        Row of the best kept target that a dropped one is too close to; −1 for those that are kept.
    """
    better, worse = np.sort(pairs.reshape(-1, 2), axis=1).T
    beside = np.full(count, -1, dtype=np.int64)
    undecided = np.zeros(count, dtype=bool)
    undecided[better] = undecided[worse] = True
    while len(better):
        # Kept: undecided, and no better undecided target is close.
        waits = np.zeros(count, dtype=bool)
        waits[worse] = True
        kept = undecided & ~waits
        drops = kept[better]
        order = np.argsort(better[drops], kind="stable")[::-1]  # the best is written last
        beside[worse[drops][order]] = better[drops][order]
        undecided &= ~kept & (beside < 0)
        left = undecided[better] & undecided[worse]
        better, worse = better[left], worse[left]
    return beside
