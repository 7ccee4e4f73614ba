from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp

from xsaga.errors import SimulationError
from xsaga.simulation.bricks import brick_at, nearest_bricks
from xsaga.simulation.population.galaxies import galaxies_of_magnitude
from xsaga.simulation.population.objects import draw_objects
from xsaga.simulation.population.redshifts import (
    COSMOLOGY,
    LOW_REDSHIFT,
    distance_modulus,
    draw_redshifts,
    galaxy_density,
    kpc_per_arcsec,
    lowz_fraction,
)
from xsaga.simulation.sky_model import SkyModel

BRICK = brick_at(363, 600)
AREA = 40 * 0.0625

SAGA_BASE_RATES = {
    17.25: 0.033, 18.25: 0.029, 19.25: 0.0135, 19.75: 0.0083, 20.25: 0.0062, 20.75: 0.0048,
    21.25: 0.0019,
}  # fmt: skip


@pytest.fixture(scope="module")
def objects() -> pd.DataFrame:
    sky = SkyModel(seed=4)
    bricks = nearest_bricks(150.0, 2.0, 40)
    return pd.concat([draw_objects(brick, sky) for brick in bricks], ignore_index=True)


@pytest.mark.parametrize(("r", "fraction"), SAGA_BASE_RATES.items())
def test_the_base_rate_in_half_a_magnitude_is_sagas(r: float, fraction: float) -> None:
    rng = np.random.default_rng(3)
    magnitudes = rng.uniform(r - 0.25, r + 0.25, 300_000)
    low = draw_redshifts(magnitudes, 1.0, rng) < LOW_REDSHIFT
    rate = np.average(low, weights=galaxy_density(magnitudes))
    assert rate == pytest.approx(fraction, rel=0.2)


def test_a_boost_multiplies_the_odds() -> None:
    plain, boosted = lowz_fraction([15.0, 20.0]), lowz_fraction([15.0, 20.0], boost=25.0)
    np.testing.assert_allclose(boosted / (1 - boosted), 25 * plain / (1 - plain))
    rng = np.random.default_rng(3)
    galaxies = galaxies_of_magnitude(np.full(20_000, 20.0), 25.0, rng)
    assert np.mean(galaxies["is_lowz"]) == pytest.approx(boosted[1], rel=0.05)


@pytest.mark.parametrize("r", [13.0, 15.0, 17.0, 18.5, 20.0, 21.0, 22.5])
def test_redshifts_run_on_through_the_limit(r: float) -> None:
    # 0.002 in z on either side: a step at 0.03 would be seen at once
    z = draw_redshifts(np.full(1_500_000, r), 1.0, np.random.default_rng(8))
    below, above = np.histogram(z, [0.028, 0.03, 0.032])[0]
    farther = np.histogram(z, [0.026, 0.028, 0.032, 0.034])[0]
    assert min(below, above) > 100
    # the trend across the limit is that of the steps around it
    trend = (farther[2] / farther[0]) ** (1 / 4)
    assert above / below == pytest.approx(trend, rel=max(6 / np.sqrt(below), 0.03))


def test_is_lowz_says_that_z_is_below_the_limit(objects: pd.DataFrame) -> None:
    galaxies = objects[objects["kind"] == "galaxy"]
    assert ((galaxies["z"] < 0.03) == galaxies["is_lowz"]).all()
    assert galaxies["z"].gt(0).all()
    assert not objects.loc[objects["kind"] != "galaxy", "is_lowz"].any()
    assert not objects["training"].any()


def test_counts_and_redshifts_are_those_of_the_sky(objects: pd.DataFrame) -> None:
    galaxies = objects[objects["kind"] == "galaxy"]
    # DESI's bright galaxies (Hahn et al. 2023), SDSS main sample (Strauss et al. 2002)
    r = np.arange(11, 24, 0.001)
    brighter = np.cumsum(galaxy_density(r)) * 0.001
    assert np.interp(19.5, r, brighter) == pytest.approx(860, rel=0.1)
    assert np.interp(17.77, r, brighter) == pytest.approx(105, rel=0.15)
    drawn = (galaxies["mag_r"] < 21).sum()
    expected = AREA * np.interp(21.0, r, brighter)
    assert abs(drawn - expected) < 4 * np.sqrt(expected)
    assert galaxies["mag_r"].between(11, 24).all()
    # medians of SAGA DR3 table C2
    for edges, median in (((18, 19), 0.137), ((19, 20), 0.204), ((20, 20.75), 0.259)):
        chosen = galaxies[galaxies["mag_r"].between(*edges)]
        assert chosen["z"].median() == pytest.approx(median, rel=0.15)


def test_tabulated_distances_are_those_of_the_cosmology() -> None:
    z = np.array([0.001, 0.013, 0.03, 0.21, 1.1])
    np.testing.assert_allclose(distance_modulus(z), COSMOLOGY.distmod(z).value, atol=2e-3)
    scale = 1 / COSMOLOGY.arcsec_per_kpc_proper(z).value
    np.testing.assert_allclose(kpc_per_arcsec(z), scale, rtol=1e-3)


def test_every_object_stands_in_its_brick_and_has_its_own_id() -> None:
    objects = draw_objects(BRICK, SkyModel(seed=7, training=100))
    assert objects["ra"].between(BRICK.ra1, BRICK.ra2).all()
    assert objects["dec"].between(BRICK.dec1, BRICK.dec2).all()
    ids = objects["source_id"].to_numpy()
    assert len(np.unique(ids)) == len(ids)
    np.testing.assert_array_equal((ids >> 22) & 0xFFFFF, BRICK.brickid)
    np.testing.assert_array_equal(ids & 0x3FFFFF, objects["objid"])
    np.testing.assert_array_equal(ids >> 42, 7777)


def test_only_points_lack_a_mass_and_nothing_else_is_missing() -> None:
    objects = draw_objects(BRICK, SkyModel(seed=7, training=20))
    point = objects["kind"] != "galaxy"
    assert objects.loc[point, "logmstar"].isna().all()
    assert objects.loc[~point, "logmstar"].between(2, 13).all()
    assert not objects.drop(columns="logmstar").isna().any(axis=None)
    assert (objects.loc[point, ["radius", "bulge", "knots", "merger"]] == 0).all(axis=None)
    assert (objects.loc[~point, ["radius", "ba", "sersic"]] > 0).all(axis=None)


def test_a_seed_gives_one_sky_and_another_seed_another() -> None:
    sky = SkyModel(seed=5, training=50)
    first, again = (draw_objects(BRICK, sky) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.isin(draw_objects(BRICK, SkyModel(seed=6))["ra"], first["ra"]).any()


def test_density_scales_the_number_of_objects() -> None:
    full, tenth = (len(draw_objects(BRICK, SkyModel(5, density=d))) for d in (1.0, 0.1))
    assert full > 1500
    assert tenth == pytest.approx(full / 10, rel=0.25)


def test_training_galaxies_are_added_to_the_natural_sky() -> None:
    natural = draw_objects(BRICK, SkyModel(seed=5))
    both = draw_objects(BRICK, SkyModel(seed=5, training=500, training_lowz=0.3))
    added = both[both["training"]]
    assert len(added) == 500
    rest = both[~both["training"]]
    pd.testing.assert_frame_equal(rest, natural)
    assert added["is_lowz"].mean() == pytest.approx(0.3)
    assert added["mag_r"].between(16.0, 21.3).all()


def test_training_galaxies_look_as_those_of_the_sky_do(objects: pd.DataFrame) -> None:
    """Near and far ones each: only the share of the near is another."""
    sky = objects[(objects["kind"] == "galaxy") & objects["mag_r"].between(16.0, 21.3)]
    richer, bricks = SkyModel(seed=6, training=500), nearest_bricks(150.0, 2.0, 4)
    added = pd.concat([draw_objects(brick, richer) for brick in bricks])
    added = added[added["training"]]
    for near in (True, False):
        ours, theirs = (each[each["is_lowz"] == near] for each in (added, sky))
        assert len(theirs) > 40
        for name in ("mag_r", "mag_g", "radius", "sersic", "z"):
            assert ks_2samp(ours[name], theirs[name]).pvalue > 1e-3, (near, name)


def test_training_galaxies_stand_apart() -> None:
    objects = draw_objects(BRICK, SkyModel(seed=5, training=500))
    added = objects[objects["training"]]
    x = added["ra"] * np.cos(np.radians(BRICK.dec)) * 3600
    distance, _ = cKDTree(np.column_stack([x, added["dec"] * 3600])).query(
        np.column_stack([x, added["dec"] * 3600]), k=2
    )
    assert distance[:, 1].min() > 18
    assert np.median(distance[:, 1]) > 25


def test_more_training_galaxies_than_fit_are_refused() -> None:
    with pytest.raises(SimulationError, match="holds 529 targets"):
        draw_objects(BRICK, SkyModel(seed=5, training=530))
    with pytest.raises(SimulationError, match="training -1"):
        SkyModel(seed=5, training=-1)
    with pytest.raises(SimulationError, match=r"training_lowz 1\.5"):
        SkyModel(seed=5, training=10, training_lowz=1.5)
