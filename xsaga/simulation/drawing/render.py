"""From objects and conditions to the model image: where each stamp goes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE, CoaddGrid, add_stamp
from xsaga.simulation.conditions import EXTINCTION, Conditions, northern_r
from xsaga.simulation.drawing.components import band_shares, galaxies_of
from xsaga.simulation.drawing.points import draw_points
from xsaga.simulation.drawing.stamps import STAMP_SIDES, StampPainter, sersic_edge
from xsaga.simulation.galactic import Region
from xsaga.simulation.psf import core_edge, wing_edge
from xsaga.simulation.sky_model import BANDS

Floats = NDArray[np.float64]

_BATCH_PIXELS = 2**19
"""Pixels of the stamps that are drawn together: what fits the processor's cache best."""

PLAIN_FLUX = 1.0
"""Nanomaggies in r (r = 22.5) below which a galaxy is drawn as one smooth part of one colour."""


def observed_fluxes(objects: pd.DataFrame, region: Region = "south") -> Floats:
    """Fluxes in nanomaggies behind the Galaxy's dust, shape (N, 3), of rows of the truth table.

    The truth table has DECam's magnitudes everywhere; in the north r is that of BASS.
    """
    magnitudes = objects[[f"mag_{band}" for band in BANDS]].to_numpy(dtype=np.float64, copy=True)
    if region == "north":
        magnitudes[:, 1] = northern_r(magnitudes[:, 0], magnitudes[:, 1])
    dimming = objects["ebv"].to_numpy()[:, np.newaxis] * np.array(EXTINCTION)
    return np.asarray(10 ** (-0.4 * (magnitudes + dimming - 22.5)))


def render_model(
    grid: CoaddGrid, objects: pd.DataFrame, conditions: Conditions
) -> NDArray[np.float32]:
    """Draw objects through the PSF, without noise.

    Parameters
    ----------
    grid : CoaddGrid
        Pixels to draw on.
    objects : DataFrame
        Rows of the truth table; those that do not reach the grid cost nothing.
    conditions : Conditions
        PSF and depth; the depth decides how far out a profile is followed.

    Returns
    -------
    ndarray of float32, shape (3, pixels, pixels)
        Nanomaggies per pixel.

    Raises
    ------
    MissingExtraError
        When GalSim is not installed.
    """
    image = np.zeros((len(BANDS), grid.pixels, grid.pixels), dtype=np.float32)
    fluxes = observed_fluxes(objects, conditions.region)
    x, y = grid.pixel_positions(objects["ra"].to_numpy(), objects["dec"].to_numpy())
    points = (objects["kind"] != "galaxy").to_numpy()
    draw_points(image, conditions, x[points], y[points], fluxes[points])
    draw_galaxies(image, conditions, objects[~points], x[~points], y[~points], fluxes[~points])
    return image


def draw_galaxies(
    image: NDArray[np.float32],
    conditions: Conditions,
    galaxies: pd.DataFrame,
    x: Floats,
    y: Floats,
    fluxes: Floats,
) -> None:
    """Add galaxies to an image.

    Parameters
    ----------
    image : ndarray of float32, shape (3, pixels, pixels)
        Nanomaggies per pixel, row 0 south; changed in place.
    conditions : Conditions
        PSF and depth.
    galaxies : DataFrame
        Rows of the truth table.
    x, y : ndarray, shape (N,)
        0-based pixel positions.
    fluxes : ndarray, shape (N, 3)
        Nanomaggies in g, r, z, as observed.
    """
    pixels = image.shape[1]
    sides = stamp_sides(galaxies, fluxes, conditions)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    left, bottom = column - sides // 2, row - sides // 2
    reaching = (left + sides > 0) & (left < pixels) & (bottom + sides > 0) & (bottom < pixels)
    painter = StampPainter(conditions)
    plain = fluxes[:, 1] < PLAIN_FLUX
    shapes = np.column_stack(
        [galaxies["radius"], galaxies["ba"], np.radians(90.0 + galaxies["pa"]), galaxies["sersic"]]
    )
    offsets = np.column_stack([x - column, y - row])
    for side in np.unique(sides[plain & reaching]).tolist():
        alike = np.flatnonzero(plain & reaching & (sides == side))
        for part in np.split(alike, range(0, alike.size, max(_BATCH_PIXELS // side**2, 1))[1:]):
            stamps = painter.paint_plain(shapes[part], fluxes[part], offsets[part], side)
            for i, stamp in zip(part, stamps, strict=True):
                add_stamp(image, stamp, int(left[i]), int(bottom[i]))

    chosen = np.flatnonzero(~plain & reaching)
    rows = galaxies.iloc[chosen]
    parts = galaxies_of(rows, band_shares(rows), *offsets[chosen].T)
    # one stamp per object: this is where the pixels are made
    for i, galaxy in zip(chosen, parts, strict=True):
        stamp = painter.paint(galaxy, fluxes[i], int(sides[i]))
        add_stamp(image, stamp, int(left[i]), int(bottom[i]))


def stamp_sides(
    galaxies: pd.DataFrame, fluxes: Floats, conditions: Conditions
) -> NDArray[np.int64]:
    """Side of the stamp of each galaxy in pixels, shape (N,); see `draw_galaxies`."""
    each = fluxes / conditions.sky_sigma * PIXEL_SCALE**2
    contrast = each.max(axis=1)
    radius, ba = galaxies["radius"].to_numpy(), galaxies["ba"].to_numpy()
    edge = sersic_edge(contrast, radius, ba, galaxies["sersic"].to_numpy())
    edge *= 1 + 0.4 * galaxies["lopsided"].to_numpy()
    torn = galaxies["merger"].to_numpy() > 0
    edge = np.where(torn, np.maximum(1.3 * edge, 4 * radius), edge)
    blur = np.maximum(core_edge(each, conditions), wing_edge(each))
    wanted = 2 * np.maximum(blur, edge + max(conditions.fwhm)) / PIXEL_SCALE
    step = np.searchsorted(STAMP_SIDES, wanted)
    return np.asarray(STAMP_SIDES[np.minimum(step, len(STAMP_SIDES) - 1)])
