"""From objects and conditions to a coadd: images, inverse variances and maskbits."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE, CoaddGrid
from xsaga.simulation.conditions import (
    EXTINCTION,
    MOFFAT_BETA,
    Conditions,
)
from xsaga.simulation.sky_model import BANDS
from xsaga.simulation.stamps import (
    STAMP_SIDES,
    Galaxy,
    StampPainter,
    import_galsim,
    moffat_edge,
    sersic_edge,
    star_edge,
)


def observed_fluxes(objects: pd.DataFrame) -> NDArray[np.float64]:
    """Fluxes in nanomaggies behind the Galaxy's dust, shape (N, 3), of rows of the truth table."""
    magnitudes = objects[[f"mag_{band}" for band in BANDS]].to_numpy()
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
    painter = StampPainter(conditions)
    fluxes = observed_fluxes(objects)
    contrast = (fluxes / conditions.sky_sigma).max(axis=1) * PIXEL_SCALE**2
    x, y = grid.pixel_positions(objects["ra"].to_numpy(), objects["dec"].to_numpy())
    stars = (objects["kind"] == "star").to_numpy()
    _draw_stars(
        image, painter, x[stars], y[stars], fluxes[stars], star_edge(contrast[stars], conditions)
    )
    _draw_galaxies(
        image, painter, objects[~stars], x[~stars], y[~stars], fluxes[~stars],
        _galaxy_sides(objects[~stars], contrast[~stars], conditions),
    )  # fmt: skip
    return image


def _draw_stars(
    image: NDArray[np.float32],
    painter: StampPainter,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    fluxes: NDArray[np.float64],
    edge: NDArray[np.float64],
) -> None:
    """Add point sources; their profile is known in real space, so no transform is needed."""
    galsim = import_galsim()
    pixels = image.shape[1]
    half = np.clip(np.ceil(edge / PIXEL_SCALE), 12, 1200).astype(int)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    planes = [galsim.Image(plane, xmin=0, ymin=0, scale=PIXEL_SCALE) for plane in image]
    reaching = (column + half >= 0) & (column - half < pixels)
    reaching &= (row + half >= 0) & (row - half < pixels)
    # one call of the renderer per object and band: this is where the pixels are made
    for i in np.flatnonzero(reaching):
        bounds = galsim.BoundsI(
            max(column[i] - half[i], 0),
            min(column[i] + half[i], pixels - 1),
            max(row[i] - half[i], 0),
            min(row[i] + half[i], pixels - 1),
        )
        centre = galsim.PositionD(x[i], y[i])
        for band, plane in enumerate(planes):
            star = painter.psf(band) * fluxes[i, band]
            star.drawImage(plane[bounds], center=centre, method="no_pixel", add_to_image=True)


def _galaxy_sides(
    galaxies: pd.DataFrame, contrast: NDArray[np.float64], conditions: Conditions
) -> NDArray[np.int64]:
    """Side of the stamp of each galaxy in pixels."""
    radius, ba = galaxies["radius"].to_numpy(), galaxies["ba"].to_numpy()
    edge = sersic_edge(contrast, radius, ba, galaxies["sersic"].to_numpy())
    edge *= 1 + 0.4 * galaxies["lopsided"].to_numpy()
    core = moffat_edge(contrast, max(conditions.fwhm), MOFFAT_BETA)
    wanted = 2 * np.maximum(core, edge + max(conditions.fwhm)) / PIXEL_SCALE
    step = np.searchsorted(STAMP_SIDES, wanted)
    return np.asarray(STAMP_SIDES[np.minimum(step, len(STAMP_SIDES) - 1)])


def _draw_galaxies(
    image: NDArray[np.float32],
    painter: StampPainter,
    galaxies: pd.DataFrame,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    fluxes: NDArray[np.float64],
    sides: NDArray[np.int64],
) -> None:
    pixels = image.shape[1]
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    left, bottom = column - sides // 2, row - sides // 2
    reaching = (left + sides > 0) & (left < pixels) & (bottom + sides > 0) & (bottom < pixels)
    shapes = galaxies.loc[:, ["radius", "ba", "pa", "sersic", "bulge", "young", "knots", "spiral",
                              "lopsided", "structure_seed"]]  # fmt: skip
    # one stamp per object: this is where the pixels are made
    for i, shape in zip(
        np.flatnonzero(reaching), shapes[reaching].itertuples(index=False), strict=True
    ):
        galaxy = Galaxy(
            radius=shape.radius,
            ba=shape.ba,
            angle=np.radians(90.0 + shape.pa),
            sersic=shape.sersic,
            bulge=shape.bulge,
            young=shape.young,
            knots=shape.knots,
            spiral=shape.spiral,
            lopsided=shape.lopsided,
            structure_seed=shape.structure_seed,
            dx=x[i] - column[i],
            dy=y[i] - row[i],
        )
        side = int(sides[i])
        stamp = painter.paint(galaxy, fluxes[i], side)
        x0, y0 = max(left[i], 0), max(bottom[i], 0)
        x1, y1 = min(left[i] + side, pixels), min(bottom[i] + side, pixels)
        image[:, y0:y1, x0:x1] += stamp[
            :, y0 - bottom[i] : y1 - bottom[i], x0 - left[i] : x1 - left[i]
        ]
