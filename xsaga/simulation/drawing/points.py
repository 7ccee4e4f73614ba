"""Drawing point sources: stars and quasars, with the halos of the bright ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.conditions import WING_LIGHT, Conditions
from xsaga.simulation.extras import import_galsim
from xsaga.simulation.psf import WINGS, core_edge, psf_core, wing_edge

Floats = NDArray[np.float64]

HALO_SUBTRACTED = 13.0
"""Stars brighter than this r magnitude had their halo subtracted by the survey (in the south)."""

HALO_ONSET = (7.0, 8.0)
"""Radii in arcsec between which the subtraction of halos sets in (legacysurvey.org/dr9/psf)."""

_LEAST_HALF = 12


def draw_points(
    image: NDArray[np.float32], conditions: Conditions, x: Floats, y: Floats, fluxes: Floats
) -> None:
    """Add point sources to an image.

    Parameters
    ----------
    image : ndarray of float32, shape (3, pixels, pixels)
        Nanomaggies per pixel, row 0 south; changed in place.
    conditions : Conditions
        PSF, and the depth, which decides how far out a source is followed.
    x, y : ndarray, shape (N,)
        0-based pixel positions; sources that do not reach the image cost nothing.
    fluxes : ndarray, shape (N, 3)
        Nanomaggies in g, r, z, as observed.

    Raises
    ------
    MissingExtraError
        When GalSim is not installed.
    """
    galsim = import_galsim()
    pixels = image.shape[1]
    contrast = fluxes / conditions.sky_sigma * PIXEL_SCALE**2
    core = _half_sides(core_edge(contrast, conditions))
    wings = np.ceil(wing_edge(contrast) / PIXEL_SCALE).astype(int)
    half = np.maximum(core, wings)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    reaching = (column + half >= 0) & (column - half < pixels)
    reaching &= (row + half >= 0) & (row - half < pixels)
    planes = [galsim.Image(plane, xmin=0, ymin=0, scale=PIXEL_SCALE) for plane in image]
    profiles = [psf_core(conditions, band) for band in range(len(image))]
    brightest = 10 ** (-0.4 * (HALO_SUBTRACTED - 22.5))
    # the pixels are made here: per source and band one call that draws the core, one for wings
    for i in np.flatnonzero(reaching):
        box = _box(column[i], row[i], core[i], pixels)
        if box is not None:
            _draw_core(galsim, planes, profiles, fluxes[i], (x[i], y[i]), box)
        box = _box(column[i], row[i], wings[i], pixels)
        if box is not None and wings[i] > 0:
            left = conditions.halo_left if fluxes[i, 1] > brightest else 1.0
            _draw_wings(image, fluxes[i], (x[i], y[i]), box, left, float(wings[i]))


def _half_sides(edge: Floats) -> NDArray[np.int64]:
    return np.maximum(np.ceil(edge / PIXEL_SCALE), _LEAST_HALF).astype(np.int64)


def _box(column: int, row: int, half: int, pixels: int) -> tuple[int, int, int, int] | None:
    """First and last column and row of a box on the image, or None when it is off the image."""
    x0, x1 = max(column - half, 0), min(column + half, pixels - 1)
    y0, y1 = max(row - half, 0), min(row + half, pixels - 1)
    return (x0, x1, y0, y1) if x0 <= x1 and y0 <= y1 else None


def _draw_core(
    galsim: Any,
    planes: list[Any],
    profiles: list[Any],
    fluxes: Floats,
    position: tuple[float, float],
    box: tuple[int, int, int, int],
) -> None:
    """Add the core; its profile is known in real space, so no transform is needed."""
    bounds, centre = galsim.BoundsI(*box), galsim.PositionD(*position)
    for plane, profile, flux in zip(planes, profiles, fluxes, strict=True):
        (profile * flux).drawImage(
            plane[bounds], center=centre, method="no_pixel", add_to_image=True
        )


def _draw_wings(
    image: NDArray[np.float32],
    fluxes: Floats,
    position: tuple[float, float],
    box: tuple[int, int, int, int],
    left: float,
    reach: float,
) -> None:
    """Add the wings, of which `left` stays beyond `HALO_ONSET`; they fade out at `reach` pixels."""
    x0, x1, y0, y1 = box
    across = ((np.arange(x0, x1 + 1) - position[0]) * PIXEL_SCALE).astype(np.float32)
    along = ((np.arange(y0, y1 + 1) - position[1]) * PIXEL_SCALE).astype(np.float32)
    squared = along[:, np.newaxis] ** 2 + across[np.newaxis, :] ** 2
    # without a sharp rim: the last tenth of the radius fades
    radius = np.sqrt(squared)
    kept = np.clip((reach * PIXEL_SCALE - radius) / np.float32(0.1 * reach * PIXEL_SCALE), 0, 1)
    if left < 1:
        onset = np.clip((radius - HALO_ONSET[0]) / (HALO_ONSET[1] - HALO_ONSET[0]), 0, 1)
        kept *= 1 - np.float32(1 - left) * onset
    profiles: dict[tuple[float, float], NDArray[np.float32]] = {}
    for band, (alpha, beta) in enumerate(WINGS):
        if (alpha, beta) not in profiles:
            profiles[alpha, beta] = kept * (1 + squared / np.float32(alpha**2)) ** np.float32(-beta)
        peak = fluxes[band] * WING_LIGHT[band] * (beta - 1) / (np.pi * alpha**2) * PIXEL_SCALE**2
        image[band, y0 : y1 + 1, x0 : x1 + 1] += np.float32(peak) * profiles[alpha, beta]
