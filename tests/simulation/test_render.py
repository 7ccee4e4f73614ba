from __future__ import annotations

import galsim
import numpy as np
import pandas as pd
import pytest

from xsaga.simulation.bricks import brick_at
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import Conditions, Patch
from xsaga.simulation.observe import BRIGHT, MEDIUM, SATUR_G, observe
from xsaga.simulation.population import draw_objects
from xsaga.simulation.render import observed_fluxes, render_model
from xsaga.simulation.sky import objects_around
from xsaga.simulation.sky_model import SkyModel
from xsaga.simulation.stamps import Galaxy, StampPainter

BRICK = brick_at(363, 600)
CONDITIONS = Conditions(fwhm=(1.4, 1.25, 1.15), depth=(24.7, 23.9, 23.0))


def placed(objects: pd.DataFrame, grid: CoaddGrid, x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """Rows of the truth table moved to pixel positions."""
    ra, dec = grid.wcs.all_pix2world(x, y, 0)
    return objects.assign(ra=ra, dec=dec)


@pytest.fixture(scope="module")
def sky_objects() -> pd.DataFrame:
    return draw_objects(BRICK, SkyModel(seed=2, lowz_boost=20.0))


@pytest.mark.parametrize("sersic", [0.75, 1.0, 2.5])
def test_a_smooth_galaxy_is_what_galsim_draws(sersic: float) -> None:
    galaxy = Galaxy(1.1, 0.5, 0.6, sersic, 0, 0, 0, False, 0, 1, dx=0.3, dy=-0.4)
    fluxes = np.array([3.0, 5.0, 8.0])
    painter = StampPainter(CONDITIONS)
    stamps = painter.paint(galaxy, fluxes, 96)
    profile = galsim.Sersic(n=sersic, half_light_radius=1.1).transform(1, 0, 0, 0.5) / 0.5
    for band, stamp in enumerate(stamps):
        drawn = galsim.Convolve(profile.rotate(0.6 * galsim.radians), painter.psf(band))
        expected = (drawn * fluxes[band]).drawImage(
            galsim.ImageD(96, 96, scale=0.262),
            center=galsim.PositionD(49.3, 48.6),
            method="no_pixel",
        )
        np.testing.assert_allclose(stamp, expected.array, atol=0.003 * stamp.max())


def test_a_structured_galaxy_has_its_flux_in_every_band() -> None:
    fluxes = np.array([30.0, 50.0, 80.0])
    for spiral in (False, True):
        galaxy = Galaxy(1.6, 0.6, 0.6, 1.0, 0.2, 0.3, 30, spiral, 0.4, 11, dx=0, dy=0)
        stamps = StampPainter(CONDITIONS).paint(galaxy, fluxes, 256)
        np.testing.assert_allclose(stamps.sum(axis=(1, 2)), fluxes, rtol=1e-6)
        # knots are blue: the light is not spread alike in g and z
        g, z = stamps[0] / fluxes[0], stamps[2] / fluxes[2]
        assert np.abs(g - z).max() > 0.05 * g.max()


def test_apertures_recover_isolated_sources(sky_objects: pd.DataFrame) -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 800)
    bright = sky_objects.query("17 < mag_r < 19.5 and radius < 2")
    bright = bright.groupby("kind").head(8)
    rng = np.random.default_rng(8)
    x, y = (axis.ravel() * 190.0 + 100 + rng.uniform(0, 1, 16) for axis in np.mgrid[0:4, 0:4])
    bright = placed(bright, grid, x, y)
    assert set(bright["kind"]) == {"star", "galaxy"}
    model = render_model(grid, bright, CONDITIONS)
    coadd = observe(model, grid, BRICK, bright, CONDITIONS, rng)
    rows, columns = np.mgrid[0:800, 0:800]
    fluxes = observed_fluxes(bright)
    for i in range(16):
        aperture = np.hypot(columns - x[i], rows - y[i]) < 45
        measured = coadd.image[:, aperture].sum(axis=1)
        sigma = np.sqrt((1 / coadd.invvar[:, aperture]).sum(axis=1))
        # a percent or two of the light is beyond 12 arcsec
        assert (np.abs(measured - fluxes[i]) < 4 * sigma + 0.025 * fluxes[i]).all()


def test_noise_is_what_the_inverse_variance_says_and_the_depth_is_met() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 500)
    nothing = draw_objects(BRICK, SkyModel(1)).iloc[:0]
    blank = render_model(grid, nothing, CONDITIONS)
    assert not blank.any()
    coadd = observe(blank, grid, BRICK, nothing, CONDITIONS, np.random.default_rng(1))
    pulls = coadd.image * np.sqrt(coadd.invvar)
    np.testing.assert_allclose(pulls.std(axis=(1, 2)), 1, rtol=0.01)
    # a point source at the 5σ depth has a matched-filter signal to noise of 5
    painter = StampPainter(CONDITIONS)
    for band, depth in enumerate(CONDITIONS.depth):
        psf = painter.psf(band).drawImage(galsim.ImageD(96, 96, scale=0.262), method="no_pixel")
        flux = 10 ** (-0.4 * (depth - 22.5))
        snr = flux * np.sqrt((psf.array**2).sum()) / coadd.image[band].std()
        assert snr == pytest.approx(5, rel=0.04)


def test_bright_sources_add_photon_noise(sky_objects: pd.DataFrame) -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 60)
    star = sky_objects.query("kind == 'star'").iloc[:1].assign(mag_g=16.0, mag_r=16.0, mag_z=16.0)
    star = placed(star, grid, np.array([30.0]), np.array([30.0]))
    model = render_model(grid, star, CONDITIONS)
    draws = np.stack(
        [observe(model, grid, BRICK, star, CONDITIONS, np.random.default_rng(i)).image[:, 30, 30]
         for i in range(400)]
    )  # fmt: skip
    invvar = observe(model, grid, BRICK, star, CONDITIONS, np.random.default_rng(0)).invvar
    assert (invvar[:, 30, 30] < 0.15 * invvar[:, 0, 0]).all()
    np.testing.assert_allclose(draws.var(axis=0) * invvar[:, 30, 30], 1, rtol=0.3)


def test_bright_stars_are_masked_and_saturate(sky_objects: pd.DataFrame) -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 600)
    stars = sky_objects.query("kind == 'star'").iloc[:2]
    stars = stars.assign(mag_g=[11.5, 15.0], mag_r=[11.0, 15.0], mag_z=[11.0, 15.0])
    stars = placed(stars, grid, np.array([150.0, 480.0]), np.array([300.0, 300.0]))
    model = render_model(grid, stars, CONDITIONS)
    coadd = observe(model, grid, BRICK, stars, CONDITIONS, np.random.default_rng(1))
    has = [(coadd.maskbits >> bit) & 1 for bit in (BRIGHT, MEDIUM, SATUR_G)]
    assert [int(bit[300, 150]) for bit in has] == [1, 1, 1]
    assert [int(bit[300, 480]) for bit in has] == [0, 1, 0]
    assert [int(bit[100, 330]) for bit in has] == [0, 0, 0]
    assert coadd.invvar[0, 300, 150] == 0
    assert coadd.image.max() < 70
    radius = np.sqrt(has[0].sum() / np.pi) * 0.262
    assert radius == pytest.approx(1630 * 1.396**-11.0, rel=0.02)


def test_a_patch_without_data_is_zero_in_its_bands_only() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 200)
    nothing = draw_objects(BRICK, SkyModel(1)).iloc[:0]
    conditions = Conditions(CONDITIONS.fwhm, CONDITIONS.depth, Patch((2,), 0.25, 0.5, 0.1, 0.2))
    blank = np.zeros((3, 200, 200), dtype=np.float32)
    coadd = observe(blank, grid, BRICK, nothing, conditions, np.random.default_rng(1))
    missing = coadd.invvar == 0
    assert missing[2, 20:40, 50:100].all()
    assert missing.sum() == 20 * 50
    assert not coadd.image[missing].any()


def test_overlapping_coadds_show_the_same_sky() -> None:
    """Two coadds on either side of the border of two bricks."""
    sky = SkyModel(seed=9, density=3.0)
    first = CoaddGrid(BRICK.ra2 + 0.004, BRICK.dec1 + 0.004, 400)
    ra, dec = first.wcs.all_pix2world(199.5 + 150, 199.5 - 100, 0)
    second = CoaddGrid(float(ra), float(dec), 400)
    assert first.ra > BRICK.ra2 > second.ra
    assert first.dec > BRICK.dec1 > second.dec
    models = [render_model(grid, objects_around(grid, sky), CONDITIONS) for grid in (first, second)]
    left, right = models[0][:, :300, 150:], models[1][:, 100:, :250]
    sigma = CONDITIONS.sky_sigma[:, np.newaxis, np.newaxis]
    bright = left > 20 * sigma
    assert bright.sum() > 300
    assert np.abs(left - right)[bright].max() < 0.02 * left.max()
    np.testing.assert_allclose(left[bright], right[bright], rtol=0.02)
    # the border of a stamp falls elsewhere, far below the noise
    assert np.all(np.abs(left - right) < 0.02 * left + 0.3 * sigma)
