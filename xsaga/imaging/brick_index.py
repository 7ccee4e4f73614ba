"""Which brick a position belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from xsaga.errors import ImagingError
from xsaga.imaging.brick import BRICK_PIXELS, BrickName
from xsaga.imaging.brick_tree import NORTH, ROOT, SOUTH, BrickTable, BrickTree
from xsaga.imaging.cutouts import NATIVE_PIXEL_SCALE
from xsaga.sky.positions import chord, unit_vectors

NORTH_DEC = 32.375
"""Degrees: DR9 takes the north release above it where b > 0
(https://www.legacysurvey.org/dr9/description/)."""

CANDIDATES = 4
"""Nearest brick centres among which the grid that holds a position deepest is sought."""

BRICK_DIAGONAL = np.sqrt(2) * BRICK_PIXELS * NATIVE_PIXEL_SCALE / 3600
"""Degrees."""


@dataclass(frozen=True)
class RegionIndex:
    """The bricks of one region and a way to find the near ones.

    Parameters
    ----------
    region : str
        ``north``, ``south`` or ``""``.
    table : BrickTable
        Its bricks.
    """

    region: str
    table: BrickTable

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(unit_vectors(self.table.ra, self.table.dec))

    def brick(self, number: int) -> BrickName:
        """Brick at a row of the table."""
        table = self.table
        return BrickName(
            self.region,
            str(table.name[number]),
            float(table.ra[number]),
            float(table.dec[number]),
        )

    def home(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the brick whose nominal grid holds each position deepest.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (N,)
            Degrees.

        Returns
        -------
        number : ndarray of int64, shape (N,)
            Row of the table.
        depth : ndarray of float64, shape (N,)
            Pixels to the nearest edge of the grid; negative outside, −inf far away.
        """
        count = min(CANDIDATES, len(self.table))
        near = np.asarray(self._tree.query(unit_vectors(ra, dec), k=np.arange(1, count + 1))[1])
        depth = nominal_depth(
            ra[:, np.newaxis], dec[:, np.newaxis], self.table.ra[near], self.table.dec[near]
        )
        best = depth.argmax(axis=1)
        rows = np.arange(len(ra))
        return near[rows, best].astype(np.int64), depth[rows, best]

    def neighbours(self, brick: BrickName, size: int) -> list[BrickName]:
        """Bricks that cutouts of `size` pixels from `brick` may reach, nearest first."""
        centre = unit_vectors(np.array([brick.ra]), np.array([brick.dec]))[0]
        reach = BRICK_DIAGONAL + 2 * size * NATIVE_PIXEL_SCALE / 3600
        near = np.array(self._tree.query_ball_point(centre, chord(reach)), dtype=np.int64)
        distance = np.linalg.norm(self._tree.data[near] - centre, axis=1)
        order = np.lexsort((self.table.name[near], distance.round(12)))
        return [name for name in map(self.brick, near[order].tolist()) if name != brick]


def coverage_test(table: BrickTable, size: int) -> Callable[[float, float], bool]:
    """Make a test of whether a cutout meets a brick, for `ServiceSource`.

    Parameters
    ----------
    table : BrickTable
        Bricks of the survey.
    size : int
        Pixels on a side of the cutouts.

    Returns
    -------
    callable
        From RA and Dec in degrees to whether any brick is that near.
    """
    index = RegionIndex(ROOT, table)

    def covers(ra: float, dec: float) -> bool:
        _, depth = index.home(np.array([ra]), np.array([dec]))
        return bool(depth[0] > -size / 2)

    return covers


def nominal_depth(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    brick_ra: NDArray[np.float64],
    brick_dec: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Pixels between positions and the nearest edge of public brick grids; negative outside.

    Parameters
    ----------
    ra, dec, brick_ra, brick_dec : ndarray of float64
        Positions and brick centres in degrees, shapes that broadcast.

    Returns
    -------
    ndarray of float64
        −inf for positions 90° or more from the centre.
    """
    delta = np.radians(ra - brick_ra)
    lat, lat0 = np.radians(dec), np.radians(brick_dec)
    towards = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        xi = np.cos(lat) * np.sin(delta) / towards
        eta = np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(delta)
        off = np.degrees(np.maximum(abs(xi), abs(eta / towards))) * 3600 / NATIVE_PIXEL_SCALE
    return np.where(towards > 0, BRICK_PIXELS / 2 - off, -np.inf)


@dataclass(frozen=True)
class Homes:
    """The brick that each position belongs to.

    Parameters
    ----------
    region : ndarray of int64, shape (N,)
        Place in the list of regions.
    number : ndarray of int64, shape (N,)
        Row in the table of the region.
    depth : ndarray of float64, shape (N,)
        Pixels to the nearest edge of the brick's nominal grid; negative outside.
    """

    region: NDArray[np.int64]
    number: NDArray[np.int64]
    depth: NDArray[np.float64]


def find_homes(
    ra: NDArray[np.float64], dec: NDArray[np.float64], regions: list[RegionIndex]
) -> Homes:
    """Pick the region and brick of each position.

    Where both the north and the south release have a brick there, the rule of DR9 decides: north
    if Dec > 32.375° and Galactic latitude b > 0. Else the region that has one is taken.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (N,)
        Degrees.
    regions : list of RegionIndex
        Regions to choose from.

    Returns
    -------
    Homes
    """
    if not len(ra):
        none = np.zeros(0, dtype=np.int64)
        return Homes(none, none, np.zeros(0))
    homes = [region.home(ra, dec) for region in regions]
    numbers = np.stack([number for number, _ in homes])
    depths = np.stack([depth for _, depth in homes])
    chosen = depths.argmax(axis=0)
    names = [region.region for region in regions]
    if NORTH in names and SOUTH in names:
        b = SkyCoord(ra, dec, unit=units.deg).galactic.b.deg
        by_rule = np.where((dec > NORTH_DEC) & (b > 0), names.index(NORTH), names.index(SOUTH))
        chosen = np.where((depths > 0).all(axis=0), by_rule, chosen)
    rows = np.arange(len(ra))
    return Homes(chosen, numbers[chosen, rows], depths[chosen, rows])


def open_regions(tree: BrickTree, region: str) -> list[RegionIndex]:
    """Read the bricks tables of a tree.

    Parameters
    ----------
    tree : BrickTree
        Where they are.
    region : str
        ``north``, ``south``, or ``auto`` for all that the tree has.

    Raises
    ------
    ImagingError
        When the tree has no such region or no bricks in it.
    """
    wanted = (NORTH, SOUTH) if region == "auto" else (region,)
    tables = {name: tree.bricks(name) for name in wanted}
    if not any(table is not None for table in tables.values()):
        tables = {ROOT: tree.bricks(ROOT)}
    found = [RegionIndex(name, table) for name, table in tables.items() if table is not None]
    if not found:
        raise ImagingError(
            f"{tree.name}: no bricks of region {region}; give another tree or region"
        )
    if not any(len(index.table) for index in found):
        raise ImagingError(f"{tree.name}: its bricks table is empty; the tree holds no coadds")
    return [index for index in found if len(index.table)]
