"""The pixel grid of a coadd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick

PIXEL_SCALE = 0.262
"""Arcseconds per pixel of Legacy Surveys coadds."""

BRICK_PIXELS = 3600
"""Pixels on a side of a Legacy Surveys coadd."""


@dataclass(frozen=True)
class CoaddGrid:
    """A square TAN grid with north up and east left.

    Parameters
    ----------
    ra, dec : float
        Centre in degrees.
    pixels : int
        Pixels on a side.
    """

    ra: float
    dec: float
    pixels: int = BRICK_PIXELS

    @property
    def wcs(self) -> WCS:
        """The projection, as astropy's object."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.crpix = [(self.pixels + 1) / 2] * 2
        wcs.wcs.cd = np.diag([-PIXEL_SCALE / 3600.0, PIXEL_SCALE / 3600.0])
        return wcs

    @property
    def half_extent(self) -> float:
        """Half a side in degrees."""
        return self.pixels * PIXEL_SCALE / 3600.0 / 2

    def pixel_positions(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """0-based pixel coordinates (x, y) of positions in degrees, each of shape (N,)."""
        x, y = self.wcs.all_world2pix(ra, dec, 0)
        return np.asarray(x), np.asarray(y)

    def inside(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether pixel coordinates fall on one of the grid's pixels, shape (N,)."""
        low, high = -0.5, self.pixels - 0.5
        return (x >= low) & (x < high) & (y >= low) & (y < high)

    def own_area(self, brick: Brick) -> NDArray[np.bool_]:
        """Pixels whose centre lies in a brick's own area, shape (pixels, pixels).

        On the tangent plane with axes ξ (east) and η (north), tan(α − α₀) = ξ / (cos δ₀ − η sin δ₀)
        and sin δ = (sin δ₀ + η cos δ₀) / √(1 + ξ² + η²) (Calabretta & Greisen 2002, section 5.1.3).
        """
        steps = np.radians((np.arange(self.pixels) - (self.pixels - 1) / 2) * PIXEL_SCALE / 3600.0)
        xi, eta = -steps[np.newaxis, :], steps[:, np.newaxis]
        sine, cosine = np.sin(np.radians(self.dec)), np.cos(np.radians(self.dec))
        east, west = np.tan(np.radians([brick.ra2 - self.ra, brick.ra1 - self.ra]))
        along = cosine - eta * sine
        sin_dec = (sine + eta * cosine) / np.sqrt(1 + xi**2 + eta**2)
        south, north = np.sin(np.radians([brick.dec1, brick.dec2]))
        return np.asarray(
            (xi >= west * along) & (xi < east * along) & (sin_dec >= south) & (sin_dec < north)
        )


def add_stamp(
    image: NDArray[np.float32], stamp: NDArray[np.float32], left: int, bottom: int
) -> None:
    """Add a stamp to an image, both of shape (bands, rows, columns), where they overlap; in place.

    `left` and `bottom` are the column and row of the image at which the stamp begins, or would.
    """
    pixels, side = image.shape[1], stamp.shape[1]
    x0, y0 = max(left, 0), max(bottom, 0)
    x1, y1 = min(left + side, pixels), min(bottom + side, pixels)
    if x1 > x0 and y1 > y0:
        image[:, y0:y1, x0:x1] += stamp[:, y0 - bottom : y1 - bottom, x0 - left : x1 - left]
