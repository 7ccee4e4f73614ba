"""The best so many per square degree, evenly over the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-9


@dataclass(frozen=True)
class PixelAreas:
    """Area that targets may be chosen from, by HEALPix pixel.

    Parameters
    ----------
    order : int
        HEALPix order of the pixels (NESTED).
    pixels : ndarray of int64, shape (P,)
        Pixels with any such area, ascending.
    area_deg2 : ndarray of float64, shape (P,)
        Their areas, square degrees.
    """

    order: int
    pixels: NDArray[np.int64]
    area_deg2: NDArray[np.float64]

    @property
    def total_deg2(self) -> float:
        """Area of all pixels together."""
        return float(self.area_deg2.sum())


def evenly_dense(
    pixel: NDArray[np.int64],
    eligible: NDArray[np.bool_],
    per_deg2: float,
    areas: PixelAreas,
) -> NDArray[np.bool_]:
    """Choose the best `per_deg2` sources per square degree, in every pixel as far as it has them.

    Each pixel first takes its own share, the whole number below density times area. What is left
    over, a fraction or the share of a pixel that has too few sources, spills over to the best of
    the rest in the pixel of the next coarser order, and so on; the last fraction goes to the best
    of all. So the number chosen is density times area to the nearest whole, wherever there are
    sources enough.

    Parameters
    ----------
    pixel : ndarray of int64, shape (N,)
        NESTED pixel of order ``areas.order`` of each source, best source first.
    eligible : ndarray of bool, shape (N,)
        Which sources may be chosen.
    per_deg2 : float
        Density.
    areas : PixelAreas
        Where to choose from. Sources in pixels without area are chosen by spill-over only.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    chosen = np.zeros(len(pixel), dtype=bool)
    for order in range(areas.order, -1, -1):
        shift = 2 * (areas.order - order)
        group, share = np.unique(areas.pixels >> shift, return_inverse=True)
        whole = np.bincount(share, areas.area_deg2 * per_deg2, len(group))
        _fill(chosen, eligible, pixel >> shift, group, np.floor(whole + _ROUNDING))
    everywhere = np.zeros(len(pixel), dtype=np.int64)
    total = np.floor(areas.total_deg2 * per_deg2 + 0.5)
    _fill(chosen, eligible, everywhere, np.zeros(1, np.int64), np.array([total]))
    return chosen


def _fill(
    chosen: NDArray[np.bool_],
    eligible: NDArray[np.bool_],
    group_of: NDArray[np.int64],
    groups: NDArray[np.int64],
    quota: NDArray[np.float64],
) -> None:
    """Choose, in each group, the best of the rest until its quota is full."""
    if len(groups) == 0:
        return
    place = np.minimum(np.searchsorted(groups, group_of), len(groups) - 1)
    known = groups[place] == group_of
    left = quota - np.bincount(place[chosen & known], minlength=len(groups))
    rest = np.flatnonzero(eligible & ~chosen & known)
    rest = rest[np.argsort(place[rest], kind="stable")]
    first = np.searchsorted(place[rest], np.arange(len(groups)))
    position = np.arange(len(rest)) - first[place[rest]]
    chosen[rest[position < left[place[rest]]]] = True
