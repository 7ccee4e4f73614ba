"""Drawing fitted sources: the model of a coadd that residuals are taken from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE, add_stamp
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.drawing.stamps import sersic_edge
from xsaga.simulation.measuring.fourier_stamps import Modes, Reals, modes_of
from xsaga.simulation.measuring.profile_fit import INDEX, SIZE, half_light_radius, unit_models
from xsaga.simulation.psf import core_edge

SIDES = (32, 64, 128, 256, 512, 1024)
"""Pixels on a side of a drawn source."""

DRAWN_LEVEL = 4.0
"""Surface brightness at the edge of what is drawn, over that of the simulated sky's own stamps."""

_CHUNK_PIXELS = 2**20


def model_stamps(modes: Modes, x: Reals, y: Reals, shape: Reals, flux: Reals) -> Reals:
    """Draw sources on stamps.

    Parameters
    ----------
    modes : Modes
        The stamps' modes.
    x, y : ndarray, shape (N,)
        Arcsec from the central pixel.
    shape : ndarray, shape (N, 4)
        As in `Fits`.
    flux : ndarray, shape (N, 3)
        Nanomaggies.

    Returns
    -------
    ndarray, shape (N, 3, side, side)
        Nanomaggies per pixel.
    """
    profile = unit_models(modes, shape) * modes.phases(x, y)
    return modes.image(profile[:, np.newaxis, :] * modes.psf * flux[:, :, np.newaxis])


def draw_fits(
    pixels: int,
    conditions: Conditions,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    shape: Reals,
    flux: Reals,
) -> Reals:
    """Draw all sources of a coadd.

    Parameters
    ----------
    pixels : int
        Pixels on a side of the coadd.
    conditions : Conditions
        PSF and depth.
    x, y : ndarray, shape (N,)
        Pixels of the coadd.
    shape, flux : ndarray, shape (N, 4) and (N, 3)
        As for `model_stamps`.

    Returns
    -------
    ndarray of float32, shape (3, pixels, pixels)
        Nanomaggies per pixel.
    """
    image = np.zeros((3, pixels, pixels), dtype=np.float32)
    side = _sides(conditions, shape, flux)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    offset_x = ((x - column) * PIXEL_SCALE).astype(np.float32)
    offset_y = ((y - row) * PIXEL_SCALE).astype(np.float32)
    for width in np.unique(side).tolist():
        modes = modes_of(conditions, 1, width, for_drawing=True)
        alike = np.flatnonzero(side == width)
        step = max(1, _CHUNK_PIXELS // width**2)
        for part in (alike[i : i + step] for i in range(0, alike.size, step)):
            stamps = model_stamps(modes, offset_x[part], offset_y[part], shape[part], flux[part])
            for stamp, left, bottom in zip(
                stamps, column[part] - width // 2, row[part] - width // 2, strict=True
            ):
                add_stamp(image, stamp, int(left), int(bottom))
    return image


def _sides(conditions: Conditions, shape: Reals, flux: Reals) -> NDArray[np.int64]:
    """Pixels on a side to draw each source on: to where it sinks below the noise."""
    contrast = np.maximum(flux, 1e-6) / conditions.sky_sigma * PIXEL_SCALE**2 / DRAWN_LEVEL
    edge = core_edge(contrast, conditions)
    extended = np.flatnonzero(np.isfinite(shape[:, SIZE]))
    if extended.size:
        radius = half_light_radius(shape[extended]).astype(np.float64)
        area = np.exp(shape[extended, SIZE].astype(np.float64))
        ba = (2 * area / radius - 1).clip(0.05, 1)  # s (1 − ε) over s (1 + ε)
        index = shape[extended, INDEX].astype(np.float64)
        edge[extended] += sersic_edge(contrast[extended].max(axis=1), radius, ba, index)
    wanted = 2 * edge / PIXEL_SCALE
    return np.array(SIDES)[np.searchsorted(SIDES[:-1], wanted)]
