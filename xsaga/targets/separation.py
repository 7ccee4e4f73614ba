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
    kept = np.ones(count, dtype=bool)
    undecided = np.zeros(count, dtype=bool)
    undecided[better] = undecided[worse] = True
    above, below = better, worse
    while len(above):
        waits = np.zeros(count, dtype=bool)
        waits[below] = True
        sure = undecided & ~waits  # no better one that is undecided is close
        kept[below[sure[above]]] = False
        undecided &= ~sure & kept
        left = undecided[above] & undecided[below]
        above, below = above[left], below[left]
    beside = np.full(count, count, dtype=np.int64)
    stands = kept[better]
    np.minimum.at(beside, worse[stands], better[stands])
    return np.where(kept, -1, beside)
