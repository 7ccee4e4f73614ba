from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xsaga.simulation.bricks import brick_at, nearest_bricks
from xsaga.simulation.galaxies import galaxies_of_magnitude, galaxy_density, lowz_fraction
from xsaga.simulation.population import draw_objects
from xsaga.simulation.sky_model import SkyModel

BRICK = brick_at(363, 600)


@pytest.fixture(scope="module")
def objects() -> pd.DataFrame:
    sky = SkyModel(seed=4)
    bricks = nearest_bricks(150.0, 2.0, 40)
    return pd.concat([draw_objects(brick, sky) for brick in bricks], ignore_index=True)


AREA = 40 * 0.0625


@pytest.mark.parametrize(
    ("r", "fraction"),
    [(17.25, 0.033), (18.25, 0.029), (19.25, 0.0135), (19.75, 0.0083), (20.75, 0.0048)],
)
def test_the_base_rate_by_magnitude_is_sagas(r: float, fraction: float) -> None:
    count = 100_000
    galaxies = galaxies_of_magnitude(np.full(count, r), 1.0, np.random.default_rng(3))
    found = int(np.sum(galaxies["is_lowz"]))
    assert abs(found - count * fraction) < 4 * np.sqrt(count * fraction)


def test_a_boost_multiplies_the_odds() -> None:
    plain, boosted = lowz_fraction([15.0, 20.0]), lowz_fraction([15.0, 20.0], boost=25.0)
    np.testing.assert_allclose(boosted / (1 - boosted), 25 * plain / (1 - plain))
    count = 20_000
    galaxies = galaxies_of_magnitude(np.full(count, 20.0), 25.0, np.random.default_rng(3))
    assert np.mean(galaxies["is_lowz"]) == pytest.approx(boosted[1], rel=0.05)


def test_is_lowz_says_that_z_is_below_the_limit(objects: pd.DataFrame) -> None:
    galaxies = objects[objects["kind"] == "galaxy"]
    assert ((galaxies["z"] < 0.03) == galaxies["is_lowz"]).all()
    assert galaxies["z"].gt(0).all()
    assert not objects.loc[objects["kind"] == "star", "is_lowz"].any()


def test_counts_and_redshifts_are_those_of_the_sky(objects: pd.DataFrame) -> None:
    bright = objects[objects["mag_r"] < 21]
    per_deg2 = bright.groupby("kind").size() / AREA
    assert 3500 < per_deg2["galaxy"] < 4500
    assert 1500 < per_deg2["star"] < 2200
    galaxies = bright[(bright["kind"] == "galaxy") & (bright["mag_r"] > 19)]
    assert 0.004 < galaxies["is_lowz"].mean() < 0.01
    # medians of SAGA DR3 table C2
    assert galaxies.query("19 < mag_r < 20")["z"].median() == pytest.approx(0.19, abs=0.025)
    density = galaxy_density([18.0, 20.0, 23.0])
    assert (np.diff(density) > 0).all()


def test_lowz_galaxies_are_larger_fainter_in_surface_brightness_and_bluer() -> None:
    r = np.full(40_000, 19.5)
    drawn = pd.DataFrame(galaxies_of_magnitude(r, 100.0, np.random.default_rng(1)))
    drawn["gr"] = drawn["mag_g"] - drawn["mag_r"]
    near, far = drawn[drawn["is_lowz"]], drawn[~drawn["is_lowz"]]
    assert near["radius"].median() > 1.5 * far["radius"].median()
    assert near["gr"].median() < far["gr"].median() - 0.1
    # but not so much that a cut on either would do
    assert (far["radius"] > near["radius"].median()).mean() > 0.03
    assert (far["gr"] < near["gr"].median()).mean() > 0.03


def test_every_object_stands_in_its_brick_and_has_its_own_id() -> None:
    objects = draw_objects(BRICK, SkyModel(seed=7))
    assert objects["ra"].between(BRICK.ra1, BRICK.ra2).all()
    assert objects["dec"].between(BRICK.dec1, BRICK.dec2).all()
    ids = objects["source_id"].to_numpy()
    assert len(np.unique(ids)) == len(ids)
    np.testing.assert_array_equal((ids >> 22) & 0xFFFFF, BRICK.brickid)
    np.testing.assert_array_equal(ids & 0x3FFFFF, objects["objid"])
    np.testing.assert_array_equal(ids >> 42, 7777)


def test_a_seed_gives_one_sky_and_another_seed_another() -> None:
    first, again = (draw_objects(BRICK, SkyModel(seed=5)) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.isin(draw_objects(BRICK, SkyModel(seed=6))["ra"], first["ra"]).any()


def test_density_scales_the_number_of_objects() -> None:
    full, tenth = (len(draw_objects(BRICK, SkyModel(5, density=d))) for d in (1.0, 0.1))
    assert full > 1500
    assert tenth == pytest.approx(full / 10, rel=0.25)
