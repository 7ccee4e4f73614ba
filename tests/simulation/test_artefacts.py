from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import Conditions, SatelliteTrail
from xsaga.simulation.observing.artefacts import (
    GHOST_LIGHT,
    SATURATION,
    BrightStars,
    add_ghosts,
    bleed_trails,
    satellite_trails,
    saturated_cores,
)

CONDITIONS = Conditions(fwhm=(1.3, 1.2, 1.1), depth=(24.7, 23.9, 23.0))


def star(x: float, y: float, magnitude: float) -> BrightStars:
    flux = np.full((1, 3), 10 ** (-0.4 * (magnitude - 22.5)))
    return BrightStars(np.array([x]), np.array([y]), flux, np.array([77]))


def test_only_the_brightest_stars_have_a_ghost_and_all_coadds_agree() -> None:
    whole = np.zeros((3, 1200, 1200), dtype=np.float32)
    add_ghosts(whole, star(600, 600, 8.0))
    assert whole[1].sum() == pytest.approx(0.8 * GHOST_LIGHT * 10 ** (0.4 * 14.5), rel=0.3)
    # seen, but only just: below the noise of a pixel
    assert 0 < whole.max() < 2 * CONDITIONS.sky_sigma.max()
    part = np.zeros((3, 600, 600), dtype=np.float32)
    add_ghosts(part, star(600 - 400, 600 - 500, 8.0))
    np.testing.assert_allclose(part, whole[:, 500:1100, 400:1000], atol=1e-7)
    none = np.zeros((3, 300, 300), dtype=np.float32)
    add_ghosts(none, star(150, 150, 11.0))
    assert not none.any()


def test_saturated_cores_are_cut_to_a_plateau() -> None:
    rows, columns = np.indices((200, 200))
    plane = (2000 * np.exp(-0.5 * np.hypot(rows - 90, columns - 120) ** 2 / 4)).astype(np.float32)
    saturated, filled = saturated_cores(plane, SATURATION[0])
    assert saturated[90, 120]
    assert (plane[~saturated] < SATURATION[0]).all()
    np.testing.assert_array_equal(filled[~saturated], plane[~saturated])
    assert filled.max() < SATURATION[0]
    assert filled[90, 120] > 0
    unsaturated, same = saturated_cores(plane / 100, SATURATION[0])
    assert not unsaturated.any()
    np.testing.assert_array_equal(same, plane / 100)


@pytest.mark.parametrize("region", ["south", "north"])
def test_bleed_trails_run_along_the_columns_of_the_detectors(region: str) -> None:
    conditions = replace(CONDITIONS, region=region)
    bleed = bleed_trails(1000, star(500, 400, 9.0), conditions, 1)
    rows, columns = bleed.masked
    along, across = (columns, rows) if region == "south" else (rows, columns)
    assert np.ptp(along) > 20 * np.ptp(across)
    assert abs(np.median(columns) - 500) <= 1
    assert abs(np.median(rows) - 400) <= 1
    assert bleed.light > 0
    # past both ends, on the same lines
    ends = bleed.missed[1 if region == "south" else 0]
    assert (ends < 500).any()
    assert (ends > 500).any()


def test_a_brighter_star_bleeds_farther_and_into_the_next_coadd() -> None:
    lengths = [len(bleed_trails(2000, star(900, 900, m), CONDITIONS, 1).masked[0])
               for m in (16.0, 12.0, 10.0)]  # fmt: skip
    assert lengths[0] == 0
    assert 0 < lengths[1] < lengths[2]
    whole = bleed_trails(1000, star(300, 400, 9.0), CONDITIONS, 1).masked
    beside = bleed_trails(600, star(-100, 400, 9.0), CONDITIONS, 1).masked
    inside = (whole[1] >= 400) & (whole[1] < 1000)
    assert set(zip(*beside, strict=True)) == {
        (row, column - 400) for row, column in zip(whole[0][inside], whole[1][inside], strict=True)
    }


def trail(angle: float, flagged: bool = False) -> SatelliteTrail:
    return SatelliteTrail(1, 150.0, 2.0, angle, 0.02, 0.4, flagged)


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.4, 2.4])
def test_a_satellite_leaves_its_light_along_a_line(angle: float) -> None:
    grid = CoaddGrid(150.0, 2.0, 600)
    conditions = replace(CONDITIONS, trails=(trail(angle),))
    (found,) = satellite_trails(grid, conditions, 1)
    assert not list(satellite_trails(grid, conditions, 0))
    assert found.light.sum() == pytest.approx(0.4 * 0.02 * 3600, rel=0.03)
    image = np.zeros((600, 600))
    image[found.rows, found.columns] = found.light
    rows, columns = np.indices(image.shape) - 299.5
    off = columns * np.sin(angle) - rows * np.cos(angle)
    assert np.sqrt((image * off**2).sum() / image.sum()) < 4
    assert found.weight == 1


def test_a_recognised_satellite_costs_its_exposure() -> None:
    grid = CoaddGrid(150.0, 2.0, 600)
    for exposures, weight in ((1, 0.0), (2, 0.5), (4, 0.75)):
        conditions = replace(CONDITIONS, trails=(trail(0.5, True),), exposures=(2, exposures, 2))
        (found,) = satellite_trails(grid, conditions, 1)
        assert not found.light.any()
        assert found.weight == weight


def test_a_trail_is_clipped_by_the_coadd() -> None:
    grid = CoaddGrid(150.0 + 300 * 0.262 / 3600, 2.0, 600)  # the trail's middle is on its edge
    conditions = replace(CONDITIONS, trails=(trail(0.0),))
    (found,) = satellite_trails(grid, conditions, 1)
    assert found.columns.max() == 599
    assert found.light.sum() == pytest.approx(0.2 * 0.02 * 3600, rel=0.1)
    far = CoaddGrid(151.0, 2.0, 600)
    assert not list(satellite_trails(far, conditions, 1))
