from __future__ import annotations

from dataclasses import replace

import galsim
import numpy as np
import pytest

from xsaga.simulation.conditions import Conditions
from xsaga.simulation.drawing.points import draw_points
from xsaga.simulation.psf import psf_profile

CONDITIONS = Conditions(
    fwhm=(1.4, 1.25, 1.15),
    depth=(24.7, 23.9, 23.0),
    shear=((0.02, -0.01), (0.0, 0.0), (0.0, 0.03)),
)


def drawn(
    x: float, y: float, flux: float, pixels: int = 200, conditions: Conditions = CONDITIONS
) -> np.ndarray:
    image = np.zeros((3, pixels, pixels), dtype=np.float32)
    draw_points(image, conditions, np.array([x]), np.array([y]), flux * np.array([[1.0, 1.5, 2.0]]))
    return image


def test_a_point_is_the_psf() -> None:
    image = drawn(100.3, 98.6, 100.0)
    for band, factor in enumerate((1.0, 1.5, 2.0)):
        expected = (psf_profile(CONDITIONS, band) * 100 * factor).drawImage(
            galsim.ImageD(200, 200, scale=0.262),
            center=galsim.PositionD(101.3, 99.6),
            method="no_pixel",
        )
        # where it is drawn at all: a star ends below the noise
        np.testing.assert_allclose(
            image[band], expected.array, rtol=0.01, atol=0.35 * CONDITIONS.sky_sigma[band]
        )


def test_points_off_the_image_reach_in_and_agree_across_images() -> None:
    whole = drawn(210.0, 100.0, 3e4, pixels=400)
    part = drawn(210.0, 100.0, 3e4)
    assert (part[:, 100, 190:] > 0).all()
    np.testing.assert_allclose(part, whole[:, :200, :200], rtol=1e-4, atol=1e-6)
    assert not drawn(900.0, 100.0, 10.0).any()


def test_halos_of_bright_stars_were_partly_subtracted_in_the_south() -> None:
    # r = 11: far beyond 8"; and fainter than 13, where nothing is subtracted
    kept = replace(CONDITIONS, halo_left=0.2)
    for flux, ratio in ((4e4, 0.2), (2e3, 1.0)):
        full, left = (drawn(100, 100, flux, 300, c)[:, 100, 160] for c in (CONDITIONS, kept))
        core = CONDITIONS.fwhm[0]  # at 16" the core is a hundredth of the wings or less
        assert core < 16
        np.testing.assert_allclose(left / full, ratio, rtol=0.1)
    inner_full, inner_left = (drawn(100, 100, 4e4, 300, c)[:, 100, 120] for c in (CONDITIONS, kept))
    np.testing.assert_allclose(inner_left, inner_full, rtol=1e-5)


def test_a_halo_is_seen_at_the_level_of_decam() -> None:
    # r = 9.5 star, 40" out: 0.00033 F / r² nanomaggies per arcsec²
    flux = 10 ** (-0.4 * (9.5 - 22.5))
    image = np.zeros((3, 400, 400), dtype=np.float32)
    draw_points(image, CONDITIONS, np.array([100.0]), np.array([200.0]), np.full((1, 3), flux))
    column = round(100 + 40 / 0.262)
    expected = np.array([0.00045, 0.00033]) * flux / 40**2 * 0.262**2
    assert image[:2, 200, column] == pytest.approx(expected, rel=0.35)
