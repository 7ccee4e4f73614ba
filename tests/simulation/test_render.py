from __future__ import annotations

import galsim
import numpy as np
import pytest

from tests.drawn_galaxies import galaxy_rows, placed
from xsaga.simulation.bricks import brick_at
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import EXTINCTION, Conditions
from xsaga.simulation.drawing.render import PLAIN_FLUX, observed_fluxes, render_model, stamp_sides
from xsaga.simulation.drawing.stamps import STAMP_SIDES
from xsaga.simulation.population.objects import draw_objects
from xsaga.simulation.psf import psf_core
from xsaga.simulation.sky_model import SkyModel

BRICK = brick_at(363, 600)
CONDITIONS = Conditions(fwhm=(1.4, 1.25, 1.15), depth=(24.7, 23.9, 23.0))
SCALE = 0.262

SPIRAL = {
    "mag_g": 16.5, "mag_r": 15.9, "mag_z": 15.5, "radius": 6.0, "bulge": 0.2, "n_arms": 2,
    "arms": 0.6, "knots": 60, "knots_light": 0.1, "logmstar": 10.5,
}  # fmt: skip


def test_fluxes_are_dimmed_by_the_dust_of_the_galaxy() -> None:
    fluxes = observed_fluxes(galaxy_rows({"mag_r": 22.5, "ebv": 0.0}, {"mag_r": 20.0, "ebv": 0.1}))
    assert fluxes[0, 1] == pytest.approx(1)
    assert fluxes[1, 1] == pytest.approx(10 * 10 ** (-0.04 * EXTINCTION[1]))


def test_in_the_north_r_is_that_of_bass() -> None:
    rows = galaxy_rows({"mag_g": 21.0, "mag_r": 20.0, "ebv": 0.0})
    south, north = observed_fluxes(rows), observed_fluxes(rows, "north")
    assert 2.5 * np.log10(north[0, 1] / south[0, 1]) == pytest.approx(0.0382 - 0.0108)
    np.testing.assert_array_equal(north[0, [0, 2]], south[0, [0, 2]])
    assert rows["mag_r"].iloc[0] == 20.0


def test_nothing_to_draw_is_nothing_drawn() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 100)
    rows = placed(galaxy_rows({}, {"mag_r": 23.5}), grid, [-1000.0, 5000.0], [50.0, 50.0])
    assert not render_model(grid, rows.iloc[:0], CONDITIONS).any()
    assert not render_model(grid, rows, CONDITIONS).any()


def test_galaxies_lie_where_and_as_they_should() -> None:
    """A position angle is counted from north (up) to east (left)."""
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 400)
    rows = galaxy_rows({**SPIRAL, "ba": 0.4, "pa": 40.0, "arms": 0.0, "knots_light": 0.0})
    image = render_model(grid, placed(rows, grid, 210.4, 190.7), CONDITIONS)[1]
    y, x = np.indices(image.shape)
    mean_x, mean_y = (image * x).sum() / image.sum(), (image * y).sum() / image.sum()
    assert (mean_x, mean_y) == pytest.approx((210.4, 190.7), abs=0.7)
    xy = (image * (x - mean_x) * (y - mean_y)).sum() / image.sum()
    xx, yy = ((image * (a - b) ** 2).sum() for a, b in ((x, mean_x), (y, mean_y)))
    angle = 0.5 * np.arctan2(2 * xy * image.sum(), xx - yy)
    assert np.degrees(angle) % 180 == pytest.approx(130, abs=5)


def test_light_of_isolated_galaxies_is_all_there() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 1100)
    population = draw_objects(BRICK, SkyModel(seed=2, training=200))
    chosen = population.query("kind == 'galaxy' and 17 < mag_r < 20 and radius < 4").head(16)
    x, y = (axis.ravel() * 270.0 + 140.3 for axis in np.mgrid[0:4, 0:4])
    model = render_model(grid, placed(chosen, grid, x, y), CONDITIONS)
    fluxes = observed_fluxes(chosen)
    for i in range(16):
        row, column = int(y[i]), int(x[i])
        box = model[:, row - 135 : row + 135, column - 135 : column + 135]
        np.testing.assert_allclose(box.sum(axis=(1, 2)), fluxes[i], rtol=0.01)


def test_faint_galaxies_are_one_smooth_part() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 300)
    structure = {"radius": 1.2, "ba": 0.6, "pa": 0.0, "lopsided": 0.6, "knots_light": 0.4,
                 "knots": 9, "ebv": 0.0}  # fmt: skip
    faint = {**structure, "mag_g": 23.5, "mag_r": 23.0, "mag_z": 22.7}
    bright = {**structure, "mag_g": 20.0, "mag_r": 19.5, "mag_z": 19.2}
    rows = placed(galaxy_rows(faint, bright), grid, [80.0, 220.0], [150.0, 150.0])
    fluxes = observed_fluxes(rows)
    assert fluxes[0, 1] < PLAIN_FLUX < fluxes[1, 1]
    image = render_model(grid, rows, CONDITIONS)
    boxes = [image[:, 130:171, x - 20 : x + 21] for x in (80, 220)]
    # a smooth ellipse looks the same from either side
    turned = [np.abs(box - box[:, ::-1, ::-1]).max() / box.max() for box in boxes]
    assert turned[0] < 1e-3
    assert turned[1] > 0.03


def test_stars_and_quasars_are_points() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 200)
    for kind in ("star", "quasar"):
        row = galaxy_rows({"kind": kind, "radius": 0.0, "sersic": 0.0, "ebv": 0.0, "mag_r": 17.5})
        image = render_model(grid, placed(row, grid, 100.0, 100.0), CONDITIONS)[1]
        expected = (psf_core(CONDITIONS, 1) * 100).drawImage(
            galsim.ImageD(21, 21, scale=SCALE), method="no_pixel"
        )
        np.testing.assert_allclose(
            image[90:111, 90:111], expected.array, atol=0.01 * expected.array.max()
        )


def test_overlapping_coadds_show_the_same_sky() -> None:
    """Objects of every kind on and near the border of two coadds, the same through either."""
    first = CoaddGrid(BRICK.ra, BRICK.dec, 400)
    ra, dec = first.wcs.all_pix2world(199.5 + 150, 199.5 - 100, 0)
    second = CoaddGrid(float(ra), float(dec), 400)
    star = {"kind": "star", "radius": 0.0, "sersic": 0.0, "mag_g": 15.5, "mag_r": 15.0}
    elliptical = {"mag_r": 15.5, "mag_g": 16.3, "radius": 4.0, "sersic": 4.0, "quiescent": True}
    rng = np.random.default_rng(3)
    faint = [
        {"mag_r": r, "mag_g": r + 0.5, "mag_z": r - 0.4, "radius": 0.7, "pa": pa}
        for r, pa in zip(rng.uniform(19, 24, 60), rng.uniform(0, 180, 60), strict=True)
    ]
    rows = galaxy_rows(SPIRAL, star, elliptical, {**SPIRAL, "merger": 0.8}, *faint)
    x = np.concatenate([[300.0, 160.0, 420.0, 380.0], rng.uniform(120, 430, 60)])
    y = np.concatenate([[150.0, 290.0, 60.0, 310.0], rng.uniform(-30, 330, 60)])
    objects = placed(rows, first, x, y)
    models = [render_model(grid, objects, CONDITIONS) for grid in (first, second)]
    left, right = models[0][:, :300, 150:], models[1][:, 100:, :250]
    sigma = CONDITIONS.sky_sigma[:, np.newaxis, np.newaxis]
    assert (left > 20 * sigma).sum() > 3000
    # the two tangent planes are turned against each other by a millionth
    np.testing.assert_allclose(left, right, rtol=2e-3, atol=1e-3 * sigma.min())


def test_stamps_end_where_the_light_is_lost_in_the_noise() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 2200)
    rows = galaxy_rows(
        SPIRAL,
        {"mag_r": 13.0, "mag_g": 13.8, "mag_z": 12.5, "radius": 8.0, "sersic": 4.0,
         "quiescent": True},
        {"mag_g": 21.5, "mag_r": 21.0, "mag_z": 20.7, "radius": 0.4},
    )  # fmt: skip
    sides = stamp_sides(rows, observed_fluxes(rows), CONDITIONS)
    assert sides[2] < sides[0] < sides[1] <= STAMP_SIDES[-1]
    sigma = CONDITIONS.sky_sigma
    for i, side in enumerate(sides):
        row = placed(rows.iloc[i : i + 1], grid, 1100.0, 1100.0)
        image = render_model(grid, row, CONDITIONS)
        edge = image[:, 1100 - side // 2, 1100 - side // 2 + 1 : 1100 + side // 2 - 1]
        assert edge.max() > 0
        # twice the level of a stamp's edge, as what is beyond comes back from the other side
        assert (edge.max(axis=1) < 0.2 * sigma).all()
