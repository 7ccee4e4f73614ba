"""MASKBITS of a coadd as legacypipe sets them around bright stars and large galaxies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE, CoaddGrid

Floats = NDArray[np.float64]

NPRIMARY, BRIGHT, SATUR_G, ALLMASK_G, MEDIUM, GALAXY = 0, 1, 2, 5, 11, 12
"""Bits that are set in simulated coadds; those of r and z follow the ones of g."""

BRIGHT_STAR, MEDIUM_STAR = 13.0, 16.0
"""r magnitudes below which a star sets BRIGHT and MEDIUM around it."""

LARGE_GALAXY = 14.0
"""r magnitude below which a galaxy sets GALAXY on its ellipse."""

GALAXY_RADII = 3.0
"""Half-light radii to the edge of that ellipse: about D26 of an exponential disc."""


def star_mask_radius(magnitude: Floats) -> Floats:
    """Radius in arcsec that is masked around a star: 1630" · 1.396^−mag.

    Legacypipe's formula for Gaia G, used with r here; *unconfirmed* but for its use in the masks
    of desi targets.
    """
    return np.asarray(1630.0 * 1.396**-magnitude)


def mask_objects(maskbits: NDArray[np.int16], grid: CoaddGrid, objects: pd.DataFrame) -> None:
    """Set BRIGHT and MEDIUM around stars and GALAXY on large galaxies, in place.

    Parameters
    ----------
    maskbits : ndarray of int16, shape (pixels, pixels)
        Row 0 is south.
    grid : CoaddGrid
        Its pixels.
    objects : DataFrame
        Rows of the truth table, on the coadd or beside it.
    """
    kind, magnitude = objects["kind"].to_numpy(), objects["mag_r"].to_numpy(dtype=np.float64)
    stars = (kind == "star") & (magnitude < MEDIUM_STAR)
    galaxies = (kind == "galaxy") & (magnitude < LARGE_GALAXY)
    masked = objects[stars | galaxies]
    if masked.empty:
        return
    x, y = grid.pixel_positions(masked["ra"].to_numpy(), masked["dec"].to_numpy())
    galaxy = galaxies[stars | galaxies]
    mags = magnitude[stars | galaxies]
    radii = np.where(galaxy, GALAXY_RADII * masked["radius"], star_mask_radius(mags)) / PIXEL_SCALE
    ratios = np.where(galaxy, masked["ba"], 1.0)
    angles = np.radians(90.0 + masked["pa"].to_numpy(dtype=np.float64))
    bright = 1 << MEDIUM | np.where(mags < BRIGHT_STAR, 1 << BRIGHT, 0)
    bits = np.where(galaxy, 1 << GALAXY, bright)
    # a few dozen ellipses
    for values in zip(x, y, radii, ratios, np.where(galaxy, angles, 0.0), bits, strict=True):
        _set_on_ellipse(maskbits, *values)


def _set_on_ellipse(
    maskbits: NDArray[np.int16],
    x: float,
    y: float,
    radius: float,
    ratio: float,
    angle: float,
    bits: int,
) -> None:
    """Set bits on an ellipse; `angle` of its major axis in radians from +x towards +y."""
    pixels = maskbits.shape[0]
    x0, x1 = (int(np.clip(x + side * radius, 0, pixels)) for side in (-1, 1))
    y0, y1 = (int(np.clip(y + side * radius, 0, pixels)) for side in (-1, 1))
    area = maskbits[y0 : y1 + 1, x0 : x1 + 1]
    rows, columns = np.ogrid[y0 : y0 + area.shape[0], x0 : x0 + area.shape[1]]
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    area[along**2 + (across / ratio) ** 2 < radius**2] |= np.int16(bits)
