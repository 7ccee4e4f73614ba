"""Area that targets are chosen from: the footprint, where the catalog has sources, less masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import healpy
import numpy as np
from mocpy import MOC
from numpy.typing import ArrayLike, NDArray

from xsaga.sky.footprint import Footprint
from xsaga.sky.tiles import DEEPEST_ORDER, all_pixels, child_pixels, pixel_centres, tile_pixels

CELLS = 1 << 22
"""Most cells of an area: 20 deg² in cells of 13 arcsec, a whole survey in cells of 3 arcmin."""

FINEST_COVERAGE, COARSEST_COVERAGE = 11, 4
"""HEALPix orders between which the catalog's coverage is told: 1.7 arcmin to 3.7 degrees."""

SOURCES_PER_CELL = 16
"""Least mean number of sources in a cell that has any: one in 10⁷ is empty then by chance."""


class Mask(Protocol):
    """What is taken off an area: a region, ellipses."""

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        """Which positions (deg, shape (N,)) are inside."""


@dataclass(frozen=True)
class Coverage:
    """Where a catalog has sources.

    Parameters
    ----------
    order : int
        HEALPix order of the pixels (NESTED).
    pixels : ndarray of int64, shape (P,)
        Pixels with a source, ascending.
    """

    order: int
    pixels: NDArray[np.int64]

    @classmethod
    def of_sources(cls, counts: NDArray[np.int64], pixels: NDArray[np.int64]) -> Coverage:
        """Coverage told by where sources are, as finely as their density allows.

        Parameters
        ----------
        counts : ndarray of int64, shape (P,)
            Sources in each pixel.
        pixels : ndarray of int64, shape (P,)
            NESTED pixels of order `FINEST_COVERAGE` that have any, ascending.
        """
        order = FINEST_COVERAGE
        total = int(counts.sum())
        while order > COARSEST_COVERAGE and total < SOURCES_PER_CELL * len(pixels):
            order, pixels = order - 1, np.unique(pixels >> 2)
        return cls(order, pixels)

    def holds(self, order: int, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which NESTED pixels of an order overlap it."""
        if order >= self.order:
            return np.isin(pixels >> 2 * (order - self.order), self.pixels)
        return np.isin(pixels, np.unique(self.pixels >> 2 * (self.order - order)))


def source_counts(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count sources by pixel, for `Coverage.of_sources`.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Degrees; valid positions.

    Returns
    -------
    counts, pixels : ndarray of int64, shape (P,)
    """
    pixels, counts = np.unique(tile_pixels(ra, dec, FINEST_COVERAGE), return_counts=True)
    return counts.astype(np.int64), pixels


def summed_counts(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add up what `source_counts` says of several parts of a catalog."""
    nothing = np.empty(0, np.int64)
    counts = np.concatenate([nothing, *(each for each, _ in parts)])
    pixels, place = np.unique(
        np.concatenate([nothing, *(each for _, each in parts)]), return_inverse=True
    )
    total = np.zeros(len(pixels), np.int64)
    np.add.at(total, place, counts)
    return total, pixels


def outside_masks(ra: ArrayLike, dec: ArrayLike, masks: Sequence[Mask]) -> NDArray[np.bool_]:
    """Tell which positions (deg, shape (N,)) no mask contains."""
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    free = np.ones(len(ra), dtype=bool)
    for mask in masks:
        free[free] = ~mask.contains(ra[free], dec[free])
    return free


@dataclass(frozen=True)
class UsableArea:
    """Part of the sky that targets are chosen from, as small HEALPix cells.

    Parameters
    ----------
    order : int
        HEALPix order of the cells (NESTED).
    cells : ndarray of int64, shape (C,)
        Cells whose centre is inside the footprint, where the catalog has sources and outside all
        masks; ascending.
    covered_deg2 : float
        Area before the masks.
    footprint : Footprint
        What was asked for.
    """

    order: int
    cells: NDArray[np.int64]
    covered_deg2: float
    footprint: Footprint

    @property
    def footprint_deg2(self) -> float | None:
        """Area of the footprint whether the catalog has sources there or not.

        Measured when asked for; None where the footprint is the catalog's own coverage.
        """
        return self.footprint.area_deg2()

    @property
    def area_deg2(self) -> float:
        """Usable area in square degrees."""
        return len(self.cells) * _cell_area(self.order)

    def by_pixel(self, order: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pixels of a coarser order with any of the area, and how much (deg²) each has."""
        pixels, counts = np.unique(self.cells >> 2 * (self.order - order), return_counts=True)
        return pixels, counts * _cell_area(self.order)

    def with_cells(self, cells: NDArray[np.int64]) -> UsableArea:
        """Give the area with some more cells of its order."""
        both = np.concatenate([self.cells, cells])
        both.sort(kind="stable")  # merges what is in order; np.union1d hashes millions of cells
        first = np.concatenate([[True], both[1:] != both[:-1]])[: len(both)]
        return replace(self, cells=both[first])

    def moc(self) -> MOC:
        """Multi-order coverage map of the cells."""
        shift = 2 * (DEEPEST_ORDER - self.order)
        ranges = np.stack([self.cells << shift, (self.cells + 1) << shift], axis=1)
        return MOC.from_depth29_ranges(max_depth=self.order, ranges=ranges.astype(np.uint64))


def usable_area(
    footprint: Footprint, coverage: Coverage, masks: Sequence[Mask], least_order: int
) -> UsableArea:
    """Measure the area that targets are chosen from.

    Sampled at the centres of the finest HEALPix cells of which no more than `CELLS` are covered: a
    mask smaller than a cell counts right on average.

    Parameters
    ----------
    footprint : Footprint
        Of the run.
    coverage : Coverage
        Where the catalog has sources; a footprint may reach beyond the imaging.
    masks : sequence of Mask
        What is taken off.
    least_order : int
        Cells are at least of this order.
    """
    order = 0
    pixels = all_pixels(0)
    pixels = pixels[coverage.holds(0, pixels)]
    while order < max(least_order, COARSEST_COVERAGE) or (
        order < DEEPEST_ORDER - 10 and 4 * len(pixels) <= CELLS
    ):
        order, pixels = order + 1, child_pixels(pixels)
        pixels = pixels[coverage.holds(order, pixels)]
        pixels = pixels[footprint.overlaps(order, pixels)]
        if len(pixels) == 0:
            break
    ra, dec = pixel_centres(order, pixels)
    inside = footprint.contains(ra, dec)
    pixels, ra, dec = pixels[inside], ra[inside], dec[inside]
    free = outside_masks(ra, dec, masks)
    return UsableArea(order, pixels[free], len(pixels) * _cell_area(order), footprint)


def _cell_area(order: int) -> float:
    return float(healpy.nside2pixarea(2**order, degrees=True))
