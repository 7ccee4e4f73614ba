"""What every kind of region can do, and how pixels that touch one are found."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import healpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.sky.positions import valid_positions
from xsaga.sky.tiles import DEEPEST_ORDER, all_pixels, child_pixels, pixel_centres

BLOCK = 1 << 20
"""Positions looked at in one go: bounds the memory of temporary arrays to some 100 MB."""

COARSE_ORDER = 2
"""Order from which the search for touching pixels descends."""

MARGIN = 1e-5
"""Degrees that pixels are taken to be larger than they are, so that rounding never loses one."""

EDGE_LEVELS = 2
"""Orders below the asked one at which pixels near a region's edge are looked at again."""

Overlaps = Callable[[int, NDArray[np.int64]], NDArray[np.bool_]]
"""From an order and NESTED pixels of it: which of them may overlap something. Never a false no."""


class Region(ABC):
    """A part of the sky."""

    @abstractmethod
    def inside(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the given valid positions (deg, shape (N,)) are inside."""

    @abstractmethod
    def overlaps(self, order: int, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which NESTED pixels may overlap the region.

        Parameters
        ----------
        order : int
            HEALPix order of the pixels, 0 to 29.
        pixels : ndarray of int64, shape (N,)
            NESTED pixel numbers.

        Returns
        -------
        ndarray of bool, shape (N,)
            False only where the pixel holds no position that the region contains.
        """

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Tell what the region is, in JSON types; equal exactly for equal regions."""

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        """Which positions are inside.

        Parameters
        ----------
        ra, dec : array_like, shape (N,)
            Degrees. Positions that are not on the sky (see `valid_positions`) are not inside.

        Returns
        -------
        ndarray of bool, shape (N,)
        """
        ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
        result = np.zeros(ra.shape, dtype=np.bool_)
        for start in range(0, len(ra), BLOCK):
            block = slice(start, start + BLOCK)
            rows = start + np.flatnonzero(valid_positions(ra[block], dec[block]))
            result[rows] = self.inside(ra[rows], dec[rows])
        return result

    def tiles(self, order: int) -> NDArray[np.int64] | None:
        """NESTED pixels that may overlap the region.

        Parameters
        ----------
        order : int
            HEALPix order, 0 to 29.

        Returns
        -------
        ndarray of int64 or None
            Sorted, each once; none is missing, a few extra ones may touch the region's edge only.
            None when the region is the catalog's own coverage, which is not known up front.
        """
        pixels = touching_pixels(self.overlaps, order)
        sure = self.contains(*pixel_centres(order, pixels))
        fine, fine_order = pixels[~sure], order
        while fine_order < min(order + EDGE_LEVELS, DEEPEST_ORDER):
            fine, fine_order = child_pixels(fine), fine_order + 1
            fine = fine[self.overlaps(fine_order, fine)]
        return np.union1d(pixels[sure], fine >> 2 * (fine_order - order))


@dataclass(frozen=True)
class WholeCatalog(Region):
    """Wherever the catalog has sources: every valid position is inside."""

    def inside(
        self,
        ra: NDArray[np.float64],
        dec: NDArray[np.float64],  # noqa: ARG002
    ) -> NDArray[np.bool_]:
        """See `Region.inside`."""
        return np.ones(len(ra), dtype=np.bool_)

    def overlaps(self, order: int, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:  # noqa: ARG002
        """See `Region.overlaps`."""
        return np.ones(len(pixels), dtype=np.bool_)

    def tiles(self, order: int) -> None:  # noqa: ARG002
        """Not known up front: None."""
        return

    def describe(self) -> dict[str, object]:
        """See `Region.describe`."""
        return {"kind": "catalog"}


class Shape(Region):
    """A region that can tell how far a position is from it."""

    @abstractmethod
    def near(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], distance: float
    ) -> NDArray[np.bool_]:
        """Which positions (deg) may be within `distance` (deg, < 90) of the region or inside."""

    def overlaps(self, order: int, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Region.overlaps`."""
        return self.near(*pixel_centres(order, pixels), pixel_reach(order))


def pixel_reach(order: int) -> float:
    """Degrees from the centre of any pixel of an order that hold the whole pixel."""
    return float(healpy.max_pixrad(2**order, degrees=True)) + MARGIN


def touching_pixels(overlaps: Overlaps, order: int) -> NDArray[np.int64]:
    """Pixels of an order for which `overlaps` holds, found by descent from coarse ones."""
    current = min(COARSE_ORDER, order)
    pixels = all_pixels(current)
    pixels = pixels[overlaps(current, pixels)]
    while current < order:
        current, pixels = current + 1, child_pixels(pixels)
        pixels = pixels[overlaps(current, pixels)]
    return pixels


def digest(*arrays: NDArray[np.generic]) -> str:
    """SHA-256 of the contents of arrays, the same on every machine."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()
