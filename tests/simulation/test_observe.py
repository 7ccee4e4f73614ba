from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sep
from astropy.io import fits

from tests.shared_data import shared
from xsaga.simulation.bricks import brick_at
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import Conditions, Patch, SatelliteTrail
from xsaga.simulation.drawing.points import draw_points
from xsaga.simulation.drawing.render import observed_fluxes
from xsaga.simulation.observing.masks import ALLMASK_G, BRIGHT, GALAXY, MEDIUM, NPRIMARY, SATUR_G
from xsaga.simulation.observing.noise import correlated_noise, noise_correlation
from xsaga.simulation.observing.observe import Coadd, observe, sky_residual

BRICK = brick_at(363, 600)
CONDITIONS = Conditions(fwhm=(1.4, 1.25, 1.15), depth=(24.7, 23.9, 23.0))
COLUMNS = ("kind", "mag_g", "mag_r", "mag_z", "radius", "ba", "pa")


def table(grid: CoaddGrid, *rows: tuple[object, ...]) -> pd.DataFrame:
    """Objects at pixel positions: x, y, then `COLUMNS`."""
    frame = pd.DataFrame([row[2:] for row in rows], columns=list(COLUMNS))
    x, y = (np.array([row[i] for row in rows], dtype=float) for i in (0, 1))
    frame["ra"], frame["dec"] = grid.wcs.all_pix2world(x, y, 0) if rows else (x, y)
    return frame.assign(ebv=0.0, source_id=np.arange(len(rows)) + 5)


def star(x: float, y: float, magnitude: float) -> tuple[object, ...]:
    return (x, y, "star", magnitude, magnitude, magnitude, 0.0, 1.0, 0.0)


def observed(
    grid: CoaddGrid, objects: pd.DataFrame, conditions: Conditions = CONDITIONS, seed: int = 1
) -> Coadd:
    model = np.zeros((3, grid.pixels, grid.pixels), dtype=np.float32)
    x, y = grid.pixel_positions(objects["ra"].to_numpy(), objects["dec"].to_numpy())
    points = (objects["kind"] == "star").to_numpy()
    draw_points(model, conditions, x[points], y[points], observed_fluxes(objects)[points])
    before = model.copy()
    coadd = observe(model, grid, BRICK, objects, conditions, np.random.default_rng(seed))
    np.testing.assert_array_equal(model, before)
    return coadd


def correlation(values: np.ndarray, dy: int, dx: int) -> float:
    rows, columns = values.shape[0] - dy, values.shape[1] - dx
    return float((values[:rows, :columns] * values[dy:, dx:]).mean() / values.var())


@pytest.mark.parametrize("native", [0.2637, 0.454])
def test_noise_is_correlated_as_resampling_makes_it(native: float) -> None:
    noise = correlated_noise(np.random.default_rng(3), np.full((900, 800), 2, np.float32), native)
    expected = noise_correlation(native, 4)
    assert noise.std() == pytest.approx(2 * expected[0], rel=0.01)
    for lag in (1, 2, 3):
        for shift in ((lag, 0), (0, lag)):
            assert correlation(noise, *shift) == pytest.approx(
                expected[lag] / expected[0], abs=0.01
            )
    # and a wide aperture has the noise of the camera's pixels in it
    boxes = noise[:900, :800].reshape(18, 50, 16, 50).sum(axis=(1, 3))
    assert boxes.std() == pytest.approx(2 * 50 * native / 0.262, rel=0.12)


def test_the_noise_is_that_of_a_real_coadd() -> None:
    folder = shared("realsky", "dr6-north", "coadd", "095", "0959p805")
    image, invvar = (
        np.ascontiguousarray(
            fits.getdata(folder / f"legacysurvey-0959p805-{kind}-g.fits.fz")[:1880, :890], float
        )
        for kind in ("image", "invvar")
    )
    missing = invvar <= 0
    sigma = np.where(missing, 1e9, 1 / np.sqrt(np.where(missing, 1, invvar)))
    flat = image - sep.Background(image, mask=missing, bw=128, bh=128).back()
    _, segments = sep.extract(flat, 1.5, err=sigma, segmentation_map=True, minarea=6, mask=missing)
    near = sep.Background((segments > 0).astype(float), bw=8, bh=8, fw=1, fh=1).back() > 0
    good = ~(missing | (segments > 0) | near)
    pulls = np.where(good, flat / sigma, 0)
    variance = (pulls**2).sum() / good.sum()
    predicted = noise_correlation(0.454, 3)
    assert np.sqrt(variance) == pytest.approx(predicted[0], rel=0.08)
    for lag in (1, 2):
        pairs = good[:, :-lag] & good[:, lag:]
        measured = (pulls[:, :-lag] * pulls[:, lag:]).sum() / pairs.sum() / variance
        assert measured == pytest.approx(predicted[lag] / predicted[0], abs=0.06)


def test_invvar_states_the_noise_of_an_empty_sky() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 600)
    coadd = observed(grid, table(grid))
    pulls = coadd.image * np.sqrt(coadd.invvar)
    scatter = noise_correlation(0.2637, 1)[0]
    # the error of the sky adds a little
    np.testing.assert_allclose(pulls.std(axis=(1, 2)), scatter, rtol=0.02)
    np.testing.assert_allclose(1 / np.sqrt(coadd.invvar[:, 0, 0]), CONDITIONS.sky_sigma, rtol=1e-5)
    assert np.abs(np.median(pulls, axis=(1, 2))).max() < 0.1


def test_bright_sources_add_photon_noise() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 64)
    objects = table(grid, star(32, 32, 16.5))
    draws = np.stack([observed(grid, objects, seed=i).image[:, 32, 32] for i in range(300)])
    invvar = observed(grid, objects).invvar
    assert (invvar[:, 32, 32] < 0.3 * invvar[:, 0, 0]).all()
    scatter = noise_correlation(0.2637, 1)[0] ** 2
    np.testing.assert_allclose(draws.var(axis=0) * invvar[:, 32, 32], scatter, rtol=0.35)


def test_a_saturated_star_is_masked_and_cut() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 700)
    coadd = observed(grid, table(grid, star(200, 300, 11.0), star(560, 300, 15.6)))
    bits = {bit: (coadd.maskbits >> bit) & 1 for bit in range(13)}
    for bit in (BRIGHT, MEDIUM, SATUR_G, SATUR_G + 1, SATUR_G + 2, ALLMASK_G, ALLMASK_G + 2):
        assert bits[bit][300, 200] == 1
    assert [int(bits[bit][300, 560]) for bit in (BRIGHT, MEDIUM, SATUR_G)] == [0, 1, 0]
    assert not bits[SATUR_G][:, 400:].any()
    assert (coadd.invvar[:, 300, 200] == 0).all()
    assert coadd.image.max() < 75
    radius = np.sqrt(bits[BRIGHT].sum() / np.pi) * 0.262
    assert radius == pytest.approx(1630 * 1.396**-11.0, rel=0.02)
    # the bleed: masked, weightless, along x, and longer than the core is high
    bled = bits[ALLMASK_G + 1].astype(bool)
    assert (coadd.invvar[1][bled] == 0).all()
    assert np.ptp(np.nonzero(bled)[1]) > 1.5 * np.ptp(np.nonzero(bled)[0])


def test_large_galaxies_set_their_bit_on_their_ellipse() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 500)
    big = (250, 250, "galaxy", 13.5, 13.0, 12.5, 12.0, 0.5, 90.0)  # along east–west
    small = (60, 60, "galaxy", 17.5, 17.0, 16.5, 5.0, 0.5, 0.0)
    masked = ((observed(grid, table(grid, big, small)).maskbits >> GALAXY) & 1).astype(bool)
    area = np.pi * 36 * 18 / 0.262**2
    assert masked.sum() == pytest.approx(area, rel=0.02)
    rows, columns = np.nonzero(masked)
    assert np.ptp(columns) == pytest.approx(2 * np.ptp(rows), rel=0.05)
    assert not masked[60, 60]


def test_pixels_outside_the_bricks_own_area_are_not_primary() -> None:
    grid = CoaddGrid(BRICK.ra2, BRICK.dec, 200)
    outside = (observed(grid, table(grid)).maskbits >> NPRIMARY) & 1
    np.testing.assert_array_equal(outside[:, :95], 1)  # east is left
    np.testing.assert_array_equal(outside[:, 105:], 0)


def test_a_patch_without_data_is_zero_in_its_bands_only() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 200)
    conditions = replace(CONDITIONS, patch=Patch((2,), 0.25, 0.5, 0.1, 0.2))
    coadd = observed(grid, table(grid), conditions)
    missing = coadd.invvar == 0
    assert missing[2, 20:40, 50:100].all()
    assert missing.sum() == 20 * 50
    assert not coadd.image[missing].any()


def test_satellites_show_in_their_band_or_cost_weight() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 400)
    seen = SatelliteTrail(1, BRICK.ra, BRICK.dec, 0.7, 0.1, 2.0, False)
    flagged = replace(seen, band=0, flagged=True)
    clean = observed(grid, table(grid))
    crossed = observed(grid, table(grid), replace(CONDITIONS, trails=(seen, flagged)))
    assert crossed.image[1, 200, 200] > 10 * CONDITIONS.sky_sigma[1]
    np.testing.assert_array_equal(crossed.image[2], clean.image[2])
    assert crossed.invvar[0, 200, 200] == pytest.approx(clean.invvar[0, 200, 200] / 2)
    assert crossed.image[0, 200, 200] < 6 * CONDITIONS.sky_sigma[0]
    single = replace(CONDITIONS, trails=(flagged,), exposures=(1, 2, 2))
    lost = observed(grid, table(grid), single)
    assert lost.invvar[0, 200, 200] == 0
    assert (lost.maskbits[200, 200] >> ALLMASK_G) & 1


def test_the_sky_is_subtracted_too_much_around_bright_sources() -> None:
    sigma = float(CONDITIONS.sky_sigma[1])
    plane = np.zeros((3, 1200, 1200), dtype=np.float32)
    flux = np.full((1, 3), 10 ** (-0.4 * (14.6 - 22.5)))
    draw_points(plane, CONDITIONS, np.array([600.0]), np.array([600.0]), flux)
    residuals = [sky_residual(plane[1], sigma, np.random.default_rng(i)) for i in range(12)]
    near = np.mean([residual[600, 650:670].mean() for residual in residuals]) / sigma
    far = np.mean([residual[100:300, 100:300].mean() for residual in residuals]) / sigma
    assert -0.6 < near < -0.05  # −0.3 around such a star in real data
    assert abs(far) < 0.05
    assert 0.02 < np.std([residual[::120, ::120] for residual in residuals]) / sigma < 0.15


def test_the_same_generator_gives_the_same_coadd() -> None:
    grid = CoaddGrid(BRICK.ra, BRICK.dec, 200)
    objects = table(grid, star(90, 100, 12.0))
    first, second = observed(grid, objects), observed(grid, objects)
    other = observed(grid, objects, seed=2)
    for name in ("image", "invvar", "maskbits"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.image != other.image).any()
    np.testing.assert_array_equal(first.invvar, other.invvar)
