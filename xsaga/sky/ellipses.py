"""Ellipses and circles on the sky, each of its own size: what stars and large galaxies mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from xsaga.sky.positions import unit_vectors

_AT_ONCE = 1 << 20
"""Positions looked at in one go: bounds the memory of the tree to some 100 MB."""


@dataclass(frozen=True)
class Ellipses:
    """Ellipses around positions.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (E,)
        Centres in degrees; valid positions.
    radius : ndarray of float64, shape (E,)
        Semi-major axis in degrees, at most 90.
    axis_ratio : ndarray of float64, shape (E,)
        Minor over major axis, above 0, at most 1.
    position_angle : ndarray of float64, shape (E,)
        Of the major axis, degrees from north through east.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    radius: NDArray[np.float64]
    axis_ratio: NDArray[np.float64]
    position_angle: NDArray[np.float64]

    @classmethod
    def circles(cls, ra: ArrayLike, dec: ArrayLike, radius: ArrayLike) -> Ellipses:
        """Make circles; radius in degrees, shape (E,)."""
        ra, dec, radius = (np.asarray(each, np.float64) for each in (ra, dec, radius))
        return cls(ra, dec, radius, np.ones(len(radius)), np.zeros(len(radius)))

    def __len__(self) -> int:
        return len(self.ra)

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        """Which positions are inside one of the ellipses.

        Parameters
        ----------
        ra, dec : array_like, shape (N,)
            Degrees; valid positions.

        Returns
        -------
        ndarray of bool, shape (N,)
        """
        return np.asarray(self.first_around(ra, dec) >= 0)

    def first_around(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
        """Tell the first ellipse that a position is inside.

        Returns
        -------
        ndarray of int64, shape (N,)
            Its number; −1 where there is none.
        """
        ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
        found = np.full(len(ra), -1, dtype=np.int64)
        for start in range(0, len(ra) if len(self) else 0, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found[part] = self._first_around(unit_vectors(ra[part], dec[part]))
        return found

    def _first_around(self, positions: NDArray[np.float64]) -> NDArray[np.int64]:
        centres = unit_vectors(self.ra, self.dec)
        reach = 2 * np.sin(np.radians(np.minimum(self.radius, 180.0)) / 2)
        # Of all ellipses only those near this part of the sky matter.
        middle = (positions.min(axis=0) + positions.max(axis=0)) / 2
        extent = np.sqrt(np.square(positions - middle).sum(axis=1).max())
        near = np.flatnonzero(np.sqrt(np.square(centres - middle).sum(axis=1)) <= extent + reach)
        tree = cKDTree(positions, balanced_tree=False, compact_nodes=False)
        hits = tree.query_ball_point(centres[near], reach[near])
        which = np.repeat(near, [len(each) for each in hits])
        where = np.fromiter((i for each in hits for i in each), np.int64, len(which))
        inside = self._inside(which, positions[where])
        found = np.full(len(positions), len(self), dtype=np.int64)
        np.minimum.at(found, where[inside], which[inside])
        return np.where(found < len(self), found, -1)

    def _inside(
        self, which: NDArray[np.int64], positions: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Whether each position, already within the circle around ellipse `which`, is inside."""
        lon, lat = np.radians(self.ra[which]), np.radians(self.dec[which])
        nothing = np.zeros_like(lon)
        east = np.stack([-np.sin(lon), np.cos(lon), nothing], axis=1)
        north = np.stack(
            [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=1
        )
        x, y = (positions * east).sum(axis=1), (positions * north).sum(axis=1)
        angle = np.radians(self.position_angle[which])
        along = x * np.sin(angle) + y * np.cos(angle)
        across = x * np.cos(angle) - y * np.sin(angle)
        flattened = np.hypot(along, across / self.axis_ratio[which])
        round_ = self.axis_ratio[which] == 1  # the circle around was exact
        return np.asarray(round_ | (flattened <= np.sin(np.radians(self.radius[which]))))
