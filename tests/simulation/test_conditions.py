from __future__ import annotations

import galsim
import numpy as np
import pytest

from xsaga.simulation.bricks import nearest_bricks
from xsaga.simulation.conditions import Conditions, northern_r, observing_conditions
from xsaga.simulation.psf import psf_profile
from xsaga.simulation.sky_model import SkyModel

CONDITIONS = Conditions(fwhm=(1.4, 1.25, 1.15), depth=(24.7, 23.9, 23.0))


def drawn(dec: float, count: int = 150) -> list[Conditions]:
    return [observing_conditions(b, SkyModel(5)) for b in nearest_bricks(180.0, dec, count)]


@pytest.mark.parametrize(
    ("dec", "region", "fwhm", "depth"),
    [
        (10.0, "south", (1.29, 1.18, 1.11), (24.7, 23.9, 23.0)),
        (50.0, "north", (1.61, 1.47, 1.01), (24.3, 23.7, 23.1)),
    ],
)
def test_seeing_and_depth_are_those_of_the_region(
    dec: float, region: str, fwhm: tuple[float, ...], depth: tuple[float, ...]
) -> None:
    every = drawn(dec)
    assert {c.region for c in every} == {region}
    np.testing.assert_allclose(np.median([c.fwhm for c in every], axis=0), fwhm, rtol=0.04)
    np.testing.assert_allclose(np.median([c.depth for c in every], axis=0), depth, atol=0.2)
    assert (np.std([c.fwhm for c in every], axis=0) > 0.05).all()
    exposures = np.array([c.exposures for c in every])
    deep = np.array([c.depth for c in every])
    assert deep[exposures == 4].mean() > deep[exposures == 1].mean() + 0.4


def test_conditions_are_the_bricks_own_and_repeat() -> None:
    first, second = drawn(10.0, 12), drawn(10.0, 12)
    assert first == second
    assert len({c.fwhm for c in first}) == 12


def test_a_few_per_cent_of_bricks_have_a_satellite_that_neighbours_share() -> None:
    bricks = nearest_bricks(180.0, 10.0, 400)
    trails = {
        trail for brick in bricks for trail in observing_conditions(brick, SkyModel(7)).trails
    }
    assert 0.02 * 400 < len(trails) < 0.08 * 400 + 8
    trail = sorted(trails, key=lambda t: np.hypot(t.ra - 180, t.dec - 10))[0]
    near = nearest_bricks(trail.ra, trail.dec, 2)
    assert all(trail in observing_conditions(brick, SkyModel(7)).trails for brick in near)


@pytest.mark.parametrize("region", ["south", "north"])
def test_a_point_source_at_the_depth_has_a_signal_to_noise_of_5(region: str) -> None:
    conditions = Conditions(
        CONDITIONS.fwhm, CONDITIONS.depth, beta=(2.8, 3.2, 3.9), region=region  # type: ignore[arg-type]
    )  # fmt: skip
    for band, depth in enumerate(conditions.depth):
        psf = psf_profile(conditions, band).drawImage(
            galsim.ImageD(96, 96, scale=0.262), method="no_pixel"
        )
        # a matched filter is wider than the noise's correlation, so its noise has grown fully
        noise = conditions.sky_sigma[band] * conditions.noise_growth[band]
        snr = 10 ** (-0.4 * (depth - 22.5)) * np.sqrt((psf.array**2).sum()) / noise
        assert snr == pytest.approx(5, rel=0.03)


def test_the_psf_is_whole_and_has_the_fwhm_and_wings_of_decam() -> None:
    for band, fwhm in enumerate(CONDITIONS.fwhm):
        psf = psf_profile(CONDITIONS, band)
        assert psf.flux == pytest.approx(1)
        half = psf.xValue(0, fwhm / 2) / psf.xValue(0, 0)
        assert half == pytest.approx(0.5, abs=0.01)
    # legacysurvey.org/dr9/psf, nanomaggies per arcsec² of a star of 1 nanomaggy
    for radius in (15.0, 30.0, 60.0):
        g, r, z = (psf_profile(CONDITIONS, band).xValue(radius, 0) for band in range(3))
        assert g == pytest.approx(0.00045 / radius**2, rel=0.4)
        assert r == pytest.approx(0.00033 / radius**2, rel=0.4)
        moffat = 0.0145 * 0.7 / (np.pi * 17.65**2) * (1 + (radius / 17.65) ** 2) ** -1.7
        assert z == pytest.approx(moffat, rel=0.05)


def test_northern_r_is_that_of_bass() -> None:
    r = northern_r(np.array([20.5, 18.0]), np.array([20.0, 18.0]))
    np.testing.assert_allclose(r, [20.0 - 0.0382 * 0.5 + 0.0108, 18.0108])
