"""From a drawn sky to a coadd: noise, sky subtraction, saturation, artefacts, missing data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import NATIVE_SCALE, Conditions
from xsaga.simulation.drawing.render import observed_fluxes
from xsaga.simulation.observing.artefacts import (
    SATURATION,
    BrightStars,
    add_ghosts,
    bleed_trails,
    satellite_trails,
    saturated_cores,
)
from xsaga.simulation.observing.masks import ALLMASK_G, NPRIMARY, SATUR_G, mask_objects
from xsaga.simulation.observing.noise import correlated_noise
from xsaga.simulation.sky_model import BANDS

Image = NDArray[np.float32]

SKY_MESH = 120
"""Pixels between the nodes of the error of the subtracted sky: 31"."""

SKY_ERROR = 0.06
"""Its standard deviation over the noise of a pixel."""

OVERSUBTRACTION = 0.35
"""Most that is taken for sky in the wings of sources and subtracted, over the noise of a pixel."""

_WING_LEVEL = 4.0  # times the noise: brighter pixels are left out of the sky by the pipeline
_BRIGHT = 4 * min(SATURATION)  # flux below which no star saturates a pixel or leaves a ghost


@dataclass(frozen=True)
class Coadd:
    """Pixels of one brick; row 0 is south.

    Parameters
    ----------
    image : ndarray of float32, shape (3, pixels, pixels)
        Nanomaggies per pixel in g, r, z; 0 where there are no data.
    invvar : ndarray of float32, shape (3, pixels, pixels)
        Inverse variance; 0 where there are no data, in saturated cores and in bleed trails.
    maskbits : ndarray of int16, shape (pixels, pixels)
        Bits as the Legacy Surveys define them.
    """

    image: Image
    invvar: Image
    maskbits: NDArray[np.int16]


def observe(
    model: Image,
    grid: CoaddGrid,
    brick: Brick,
    objects: pd.DataFrame,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Coadd:
    """Add noise, artefacts, missing data and maskbits to a drawn sky.

    Parameters
    ----------
    model : ndarray of float32, shape (3, pixels, pixels)
        What `render_model` gave.
    grid : CoaddGrid
        Its pixels.
    brick : Brick
        The brick it is the coadd of.
    objects : DataFrame
        Rows of the truth table, for what bright stars and large galaxies bring with them.
    conditions : Conditions
        Noise, satellites and missing data.
    rng : numpy.random.Generator
        Noise and the error of the sky.

    Returns
    -------
    Coadd
        `invvar` states the variance of the cameras' pixels, sky and sources, as the survey's does.
        The coadd's pixels scatter less, by 0.89, as they are correlated
        (`xsaga.simulation.observing.noise`).
    """
    stars = _bright_stars(objects, grid, conditions)
    model = model.copy()
    add_ghosts(model, stars)
    maskbits = np.where(grid.own_area(brick), 0, 1 << NPRIMARY).astype(np.int16)
    mask_objects(maskbits, grid, objects)
    image, invvar = np.empty_like(model), np.empty_like(model)
    for band in range(len(BANDS)):
        saturated, filled = saturated_cores(model[band], SATURATION[band])
        bleed = bleed_trails(grid.pixels, stars, conditions, band)
        filled[bleed.missed] += np.float32(bleed.light)
        weight = invvar[band]
        variance = np.maximum(filled, 0)
        variance /= np.float32(conditions.electrons[band])
        variance += np.float32(conditions.sky_sigma[band] ** 2)
        lost = saturated.copy()
        lost[bleed.masked] = True
        for trail in satellite_trails(grid, conditions, band):
            place = trail.rows, trail.columns
            filled[place] += trail.light
            if trail.weight > 0:
                variance[place] /= np.float32(trail.weight)
            else:
                lost[place] = True
        np.divide(1, variance, out=weight)
        native = NATIVE_SCALE[conditions.region][band]
        image[band] = correlated_noise(rng, np.sqrt(variance, out=variance), native)
        image[band] += filled
        image[band] += sky_residual(model[band], float(conditions.sky_sigma[band]), rng)
        weight[lost] = 0
        maskbits |= saturated * np.int16(1 << (SATUR_G + band))
        maskbits |= lost * np.int16(1 << (ALLMASK_G + band))
    _remove_patch(image, invvar, conditions)
    return Coadd(image, invvar, maskbits)


def sky_residual(plane: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Draw what a smooth sky, fitted to an image with sources in it, leaves behind.

    Parameters
    ----------
    plane : ndarray of float32, shape (pixels, pixels)
        Nanomaggies per pixel before noise.
    sigma : float
        Noise of a pixel.
    rng : numpy.random.Generator
        The part that no source explains.

    Returns
    -------
    ndarray of float32, shape (pixels, pixels)
        To add to the image: negative around bright sources, as their wings pass for sky. In real
        coadds the ring 12" to 18" around a star of r = 14.6 is at −0.3 times the noise of a pixel,
        and boxes of 16" scatter by 0.04 in an empty field and 0.28 in a cluster
        (``benchmarks/real_noise.py``).
    """
    pixels = plane.shape[0]
    count = max(pixels // SKY_MESH, 1)
    edges = np.linspace(0, pixels, count + 1).astype(int)
    seen = np.clip(plane[::4, ::4], 0, _WING_LEVEL * sigma)
    starts = np.minimum((edges[:-1] + 3) // 4, len(seen) - 1)
    sums = np.add.reduceat(np.add.reduceat(seen, starts, axis=0), starts, axis=1)
    counts = np.diff(np.append(starts, len(seen)))
    wings = sums / np.outer(counts, counts)
    nodes = -np.clip(wings - np.median(wings), 0, OVERSUBTRACTION * sigma)
    # the spline below evens out neighbouring nodes to two thirds of their scatter along each axis
    nodes += rng.normal(0, SKY_ERROR * sigma * 1.5**2, nodes.shape)
    basis = _spline_basis(pixels, count)
    return np.asarray(basis @ nodes.astype(np.float32) @ basis.T)


def _spline_basis(pixels: int, count: int) -> Image:
    """Cubic B-splines on equidistant nodes, shape (pixels, count), each row of sum 1."""
    place = (np.arange(pixels) + 0.5) / pixels * count - 0.5
    t = np.abs(place[:, np.newaxis] - np.arange(count))
    near, far = 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6
    basis = np.where(t < 1, near, far)
    return np.asarray(basis / basis.sum(axis=1, keepdims=True), dtype=np.float32)


def _bright_stars(objects: pd.DataFrame, grid: CoaddGrid, conditions: Conditions) -> BrightStars:
    """Pick the stars that may saturate or have ghosts."""
    stars = objects.iloc[np.flatnonzero(objects["kind"] == "star")]
    fluxes = observed_fluxes(stars, conditions.region)
    bright = (fluxes > _BRIGHT).any(axis=1)
    stars = stars.iloc[np.flatnonzero(bright)]
    x, y = grid.pixel_positions(stars["ra"].to_numpy(), stars["dec"].to_numpy())
    return BrightStars(x, y, fluxes[bright], stars["source_id"].to_numpy(dtype=np.int64))


def _remove_patch(image: Image, invvar: Image, conditions: Conditions) -> None:
    """Take out the data of the conditions' patch."""
    patch = conditions.patch
    if patch is None:
        return
    edges = np.array([patch.y0, patch.y1, patch.x0, patch.x1]) * image.shape[1]
    bottom, top, left, right = edges.astype(int)
    for band in patch.bands:
        image[band, bottom:top, left:right] = 0
        invvar[band, bottom:top, left:right] = 0
