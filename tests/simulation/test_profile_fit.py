from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.drawn_galaxies import SMOOTH
from tests.measured_galaxies import Field, observed_field, random_galaxies
from xsaga.simulation.drawing.sersic_transform import fiber_fractions
from xsaga.simulation.measuring.profile_fit import E1, E2, INDEX, half_light_radius
from xsaga.simulation.measuring.source_types import SourceType, choose_types


@pytest.fixture(scope="module")
def galaxies() -> Field:
    rng = np.random.default_rng(4)
    return observed_field(random_galaxies(144, rng), rng)


@pytest.fixture(scope="module")
def points() -> Field:
    rng = np.random.default_rng(5)
    r = rng.uniform(17, 23, 100)
    stars = pd.DataFrame([SMOOTH] * 100).assign(
        kind="star", radius=0.0, mag_g=r + 0.6, mag_r=r, mag_z=r - 0.4, ebv=0.0
    )
    return observed_field(stars, rng)


def spread(values: NDArray[np.floating]) -> float:
    low, high = np.percentile(values, [15.87, 84.13])
    return float(high - low) / 2


def test_fluxes_of_points_are_right_and_so_are_their_errors(points: Field) -> None:
    assert len(points.row) >= 97
    measured, true = points.measured.flux[points.found], points.fluxes[points.row]
    pulls = (measured - true) / np.sqrt(points.measured.flux_variance[points.found])
    assert 0.8 < spread(pulls) < 1.3
    assert abs(np.median(pulls)) < 0.3
    assert (points.measured.kind[points.found] == SourceType.PSF).mean() > 0.9
    bright = points.objects["mag_r"].to_numpy()[points.row] < 20
    distance = np.hypot(
        points.measured.x[points.found] - points.x[points.row],
        points.measured.y[points.found] - points.y[points.row],
    )
    assert np.median(distance[bright]) < 0.05


def test_fluxes_of_galaxies_are_right(galaxies: Field) -> None:
    bright = galaxies.objects["mag_r"].to_numpy()[galaxies.row] < 21
    found, row = galaxies.found[bright], galaxies.row[bright]
    magnitudes = -2.5 * np.log10(galaxies.measured.flux[found] / galaxies.fluxes[row])
    assert np.abs(np.median(magnitudes, axis=0)).max() < 0.05
    assert spread(magnitudes) < 0.12  # the best type may not be the true profile
    colours = magnitudes[:, 0] - magnitudes[:, 1]
    assert np.median(colours) == pytest.approx(0, abs=0.04)


def test_shapes_of_fitted_sersic_profiles_are_the_true_ones(galaxies: Field) -> None:
    general = galaxies.measured.kind[galaxies.found] == SourceType.SER
    found = galaxies.found[general]
    true = galaxies.objects.iloc[galaxies.row[general]]
    assert len(found) > 20
    shape = galaxies.measured.shape[found]
    radius = half_light_radius(shape) / true["radius"].to_numpy()
    assert np.median(radius) == pytest.approx(1, abs=0.05)
    assert spread(radius) < 0.1
    size = np.hypot(shape[:, E1], shape[:, E2])
    ba = (1 - size) / (1 + size) - true["ba"].to_numpy()
    assert abs(np.median(ba)) < 0.02
    assert spread(ba) < 0.04
    assert np.median(shape[:, INDEX] - true["sersic"].to_numpy()) == pytest.approx(0, abs=0.15)
    # the images run west to east, so that angles from north to east turn the other way round
    along = np.radians(2 * (90.0 + true["pa"].to_numpy()))
    agreement = (shape[:, E1] * np.cos(along) + shape[:, E2] * np.sin(along)) / size
    assert np.median(agreement) > 0.98


def test_errors_of_radii_cover_their_scatter_where_the_profile_is_the_true_one() -> None:
    rng = np.random.default_rng(6)
    field = observed_field(random_galaxies(100, rng).assign(sersic=1.0, ba=0.6), rng)
    right = field.measured.kind[field.found] == SourceType.EXP
    found, true = field.found[right], field.objects.iloc[field.row[right]]
    assert len(found) > 20
    errors = half_light_radius(field.measured.shape[found]) - true["radius"].to_numpy()
    pulls = errors / np.sqrt(field.measured.radius_variance[found])
    assert 0.7 < spread(pulls) < 1.5
    # in r, for true radii differ between the bands
    fluxes = field.measured.flux[found, 1] - field.fluxes[field.row[right], 1]
    assert 0.8 < spread(fluxes / np.sqrt(field.measured.flux_variance[found, 1])) < 1.5


def test_residuals_of_good_fits_are_noise(galaxies: Field, points: Field) -> None:
    for field in (galaxies, points):
        # white pixels here, the survey's scatter less
        faint = field.objects["mag_r"].to_numpy()[field.row] > 20
        chi = field.measured.rchisq[field.found[faint]]
        assert np.median(chi) == pytest.approx(1.25, abs=0.12)


def test_missing_pixels_and_bands_are_no_light(points: Field) -> None:
    from dataclasses import replace

    from tests.measured_galaxies import CONDITIONS
    from xsaga.simulation.measuring.measurement import measure

    image, invvar = points.coadd.image.copy(), points.coadd.invvar.copy()
    bright = np.flatnonzero(points.objects["mag_r"].to_numpy() < 19)[:6]
    columns = np.rint(points.x[bright]).astype(int)
    rows = np.rint(points.y[bright]).astype(int)
    for column, row in zip(columns[:3], rows[:3], strict=True):
        invvar[1, row - 3 : row + 4, column - 3 : column + 4] = 0  # a saturated core
    for column, row in zip(columns[3:], rows[3:], strict=True):
        area = np.s_[2, row - 60 : row + 60, column - 60 : column + 60]
        image[area], invvar[area] = 0, 0
    coadd = replace(points.coadd, image=image, invvar=invvar)
    no = np.zeros(len(points.detections), dtype=np.bool_)
    fixed = np.isin(np.arange(no.size), points.found[np.isin(points.row, bright)])
    again = measure(coadd, CONDITIONS, points.detections, fixed, fixed)
    order = points.found[np.searchsorted(points.row, bright)]
    assert again.flux[order[:3], 1] == pytest.approx(points.fluxes[bright[:3], 1], rel=0.05)
    assert (again.flux_variance[order[:3], 1] > 3 * again.flux_variance[order[3:], 1].min()).all()
    assert (again.flux[order[3:], 2] == 0).all()
    assert np.isinf(again.flux_variance[order[3:], 2]).all()


def test_types_are_chosen_as_the_survey_chooses() -> None:
    none = -np.inf
    gains = np.array(
        [
            # point, round, exponential, de Vaucouleurs, Sérsic
            [100.0, 100.5, none, none, none],
            [100.0, 105.0, 110.0, 104.0, 112.0],
            [100.0, 105.0, 130.0, 104.0, 135.0],
            [100.0, 105.0, 120.0, 130.0, 135.0],
            [100.0, 105.0, 130.0, 120.0, 160.0],
            [1e6, 1e6 + 500.0, 1e6 + 9e3, 1e6, none],  # less than a per cent
        ],
        dtype=np.float32,
    )
    assert [SourceType(kind).name for kind in choose_types(*gains.T)] == [
        "PSF",
        "REX",
        "EXP",
        "DEV",
        "SER",
        "PSF",
    ]


def test_a_fiber_catches_less_of_a_larger_galaxy() -> None:
    radius = np.array([0.0, 0.3, 1.0, 3.0])
    shares = fiber_fractions(radius, np.ones(4))
    # a Gaussian of 1" FWHM puts 1 − exp(−(0.75 / 0.425)² / 2) into the fiber
    assert shares[0] == pytest.approx(0.79, abs=0.02)
    assert (np.diff(shares) < 0).all()
    assert shares[3] < 0.1
