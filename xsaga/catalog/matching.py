"""Matching positions on the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from xsaga.sky.ellipses import Ellipses
from xsaga.sky.positions import chord, unit_vectors

_ARCSEC = 1 / 3600


@dataclass(frozen=True)
class BrightObjects:
    """Bright extended objects whose surroundings are suspect: shreds, halos.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (N,)
        Degrees.
    radius : ndarray of float64, shape (N,)
        Half-light radius in arcseconds.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    radius: NDArray[np.float64]

    @classmethod
    def among(cls, sources: pd.DataFrame, limit: float | None) -> BrightObjects | None:
        """Take the extended sources brighter than a limit.

        Parameters
        ----------
        sources : DataFrame
            ``ra``, ``dec`` (deg), ``mag_r``, ``radius`` (arcsec).
        limit : float or None
            Dereddened r magnitude, see `xsaga.catalog.cuts.Cuts.bright_object_limit`.

        Returns
        -------
        BrightObjects or None
            None where there is no limit: no object is looked for.
        """
        if limit is None:
            return None
        bright = sources[(sources["mag_r"] < limit) & (sources["radius"] > 0)]
        return cls(*(bright[name].to_numpy(np.float64) for name in ("ra", "dec", "radius")))

    def __len__(self) -> int:
        return len(self.ra)

    def near(self, ra: ArrayLike, dec: ArrayLike, radii: float) -> NDArray[np.bool_]:
        """Which positions lie within `radii` half-light radii of one of these objects.

        Parameters
        ----------
        ra, dec : array_like, shape (M,)
            Degrees; must be valid positions.
        radii : float
            Reach of an object in units of its radius.

        Returns
        -------
        ndarray of bool, shape (M,)
        """
        reach = np.minimum(radii * self.radius * _ARCSEC, 180)
        return Ellipses.circles(self.ra, self.dec, reach).contains(ra, dec)


def pairs_within(ra: ArrayLike, dec: ArrayLike, radius_arcsec: float) -> NDArray[np.int64]:
    """All pairs of positions that are at most `radius_arcsec` apart.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Degrees; must be valid positions.
    radius_arcsec : float
        Arcseconds.

    Returns
    -------
    ndarray of int64, shape (pairs, 2)
        Indices i < j, in no particular order.
    """
    vectors = unit_vectors(ra, dec)
    if len(vectors) < 2:
        return np.empty((0, 2), np.int64)
    # The tree is used once: building it fast matters more than balance.
    tree = cKDTree(vectors, balanced_tree=False, compact_nodes=False)
    pairs = tree.query_pairs(chord(radius_arcsec * _ARCSEC), output_type="ndarray")
    return np.asarray(pairs, dtype=np.int64)
