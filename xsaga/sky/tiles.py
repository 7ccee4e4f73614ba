"""NESTED HEALPix tiles, the unit of work of a run."""

from __future__ import annotations

from dataclasses import dataclass

import healpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.errors import FootprintError

MIN_ORDER, MAX_ORDER = 3, 10

DEEPEST_ORDER = 29
"""Finest HEALPix order that fits 64-bit integers; a pixel is 0.4 milliarcseconds wide."""


@dataclass(frozen=True, order=True)
class Tile:
    """One NESTED HEALPix pixel.

    Parameters
    ----------
    order : int
        HEALPix order; nside = 2**order.
    pixel : int
        NESTED pixel number.
    """

    order: int
    pixel: int

    def __str__(self) -> str:
        return f"{self.order}/{self.pixel}"

    @property
    def area_deg2(self) -> float:
        """Area in square degrees."""
        return float(healpy.nside2pixarea(2**self.order, degrees=True))


def tile_pixels(ra: ArrayLike, dec: ArrayLike, order: int) -> NDArray[np.int64]:
    """NESTED pixel of each position.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Position in degrees; must be finite, |dec| ≤ 90.
    order : int
        HEALPix order, 0 to 29.

    Returns
    -------
    ndarray of int64, shape (N,)
    """
    pixels = healpy.ang2pix(2**order, np.asarray(ra), np.asarray(dec), nest=True, lonlat=True)
    return np.asarray(pixels, dtype=np.int64)


def pixel_centres(
    order: int, pixels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """RA and Dec (deg) of the centres of NESTED pixels.

    Parameters
    ----------
    order : int
        HEALPix order, 0 to 29.
    pixels : ndarray of int64, shape (N,)
        NESTED pixel numbers.

    Returns
    -------
    ra, dec : ndarray of float64, shape (N,)
    """
    ra, dec = healpy.pix2ang(2**order, pixels, nest=True, lonlat=True)
    return np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)


def all_pixels(order: int) -> NDArray[np.int64]:
    """Every NESTED pixel of an order."""
    return np.arange(12 * 4**order, dtype=np.int64)


def child_pixels(pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the four NESTED pixels of the next order in each given one, shape (4 N,)."""
    return (4 * pixels[:, None] + np.arange(4, dtype=np.int64)).ravel()


def check_order(order: int) -> None:
    """Refuse an order that tiles of a run cannot have.

    Raises
    ------
    FootprintError
        Unless ``MIN_ORDER`` ≤ `order` ≤ ``MAX_ORDER``.
    """
    if not MIN_ORDER <= order <= MAX_ORDER:
        raise FootprintError(
            f"tiles cannot have order {order}: give an order from {MIN_ORDER} to {MAX_ORDER}"
        )
