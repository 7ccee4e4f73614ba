"""From a drawn sky to a coadd: noise, saturation, missing data and maskbits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick
from xsaga.simulation.coadd_grid import PIXEL_SCALE, CoaddGrid
from xsaga.simulation.conditions import ELECTRONS_PER_NANOMAGGY, Conditions
from xsaga.simulation.sky_model import BANDS

SATURATION = 60.0
"""Nanomaggies in a pixel at which a DECam exposure saturates (r ≈ 14 stars)."""

NPRIMARY, BRIGHT, SATUR_G, MEDIUM = 0, 1, 2, 11
"""MASKBITS of the Legacy Surveys that are set here; SATUR_R and SATUR_Z follow SATUR_G."""

BRIGHT_STAR, MEDIUM_STAR = 13.0, 16.0
"""Magnitudes below which a star sets BRIGHT and MEDIUM around it."""


@dataclass(frozen=True)
class Coadd:
    """Pixels of one brick; row 0 is south.

    Parameters
    ----------
    image : ndarray of float32, shape (3, pixels, pixels)
        Nanomaggies per pixel in g, r, z; 0 where there are no data.
    invvar : ndarray of float32, shape (3, pixels, pixels)
        Inverse variance; 0 where there are no data and in saturated cores.
    maskbits : ndarray of int16, shape (pixels, pixels)
        Bits as the Legacy Surveys define them.
    """

    image: NDArray[np.float32]
    invvar: NDArray[np.float32]
    maskbits: NDArray[np.int16]


def observe(
    model: NDArray[np.float32],
    grid: CoaddGrid,
    brick: Brick,
    objects: pd.DataFrame,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Coadd:
    """Add noise, saturation, missing data and maskbits to a drawn sky.

    Parameters
    ----------
    model : ndarray of float32, shape (3, pixels, pixels)
        What `render_model` gave.
    grid : CoaddGrid
        Its pixels.
    brick : Brick
        The brick it is the coadd of.
    objects : DataFrame
        Rows of the truth table, for the stars to mask.
    conditions : Conditions
        Noise and missing data.
    rng : numpy.random.Generator
        Noise.

    Returns
    -------
    Coadd
        Noise is independent from pixel to pixel: sky noise of the depth, and the photon noise of
        the sources. Its variance is exactly the one that `invvar` states.
    """
    gains = np.array(ELECTRONS_PER_NANOMAGGY, dtype=np.float32)[:, np.newaxis, np.newaxis]
    sky = conditions.sky_sigma.astype(np.float32)[:, np.newaxis, np.newaxis]
    variance = sky**2 + np.maximum(model, 0) / gains
    image = rng.standard_normal(model.shape, dtype=np.float32)
    image *= np.sqrt(variance)
    image += model
    invvar = np.divide(1, variance, out=variance)

    maskbits = np.where(grid.own_area(brick), 0, 1 << NPRIMARY).astype(np.int16)
    _mask_stars(maskbits, grid, objects)
    for band in range(len(BANDS)):
        saturated = model[band] > SATURATION
        maskbits[saturated] |= np.int16(1 << (SATUR_G + band))
        invvar[band][saturated] = 0
        np.minimum(image[band], SATURATION, out=image[band])
    if conditions.patch is not None:
        patch = conditions.patch
        edges = np.array([patch.y0, patch.y1, patch.x0, patch.x1]) * grid.pixels
        bottom, top, left, right = edges.astype(int)
        for band in patch.bands:
            image[band, bottom:top, left:right] = 0
            invvar[band, bottom:top, left:right] = 0
    return Coadd(image, invvar, maskbits)


def star_mask_radius(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radius in arcsec that is masked around a star: 1630″ · 1.396^−mag, as legacypipe has it."""
    return np.asarray(1630.0 * 1.396**-magnitude)


def _mask_stars(maskbits: NDArray[np.int16], grid: CoaddGrid, objects: pd.DataFrame) -> None:
    """Set BRIGHT and MEDIUM in circles around bright stars."""
    magnitude = objects["mag_r"].to_numpy()
    bright = (objects["kind"] == "star").to_numpy() & (magnitude < MEDIUM_STAR)
    x, y = grid.pixel_positions(objects["ra"].to_numpy()[bright], objects["dec"].to_numpy()[bright])
    radii = star_mask_radius(magnitude[bright]) / PIXEL_SCALE
    # a few dozen stars, each a circle
    for column, row, radius, mag in zip(x, y, radii, magnitude[bright], strict=True):
        x0, x1 = (int(np.clip(column + s * radius, 0, grid.pixels)) for s in (-1, 1))
        y0, y1 = (int(np.clip(row + s * radius, 0, grid.pixels)) for s in (-1, 1))
        rows, columns = np.ogrid[y0 : y1 + 1, x0 : x1 + 1]
        circle = (columns - column) ** 2 + (rows - row) ** 2 < radius**2
        bits = 1 << MEDIUM | (1 << BRIGHT if mag < BRIGHT_STAR else 0)
        area = maskbits[y0 : y1 + 1, x0 : x1 + 1]
        area[circle[: area.shape[0], : area.shape[1]]] |= np.int16(bits)
