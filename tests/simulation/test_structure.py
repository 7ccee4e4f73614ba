from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xsaga.simulation.population.galaxies import galaxies_at
from xsaga.simulation.population.redshifts import distance_modulus, kpc_per_arcsec

SHARES = ["bulge", "bar", "nucleus", "knots_light"]


def near_galaxies(absolute: float, z: float = 0.01, count: int = 6_000) -> pd.DataFrame:
    redshifts = np.full(count, z)
    magnitudes = absolute + distance_modulus(redshifts)
    return pd.DataFrame(galaxies_at(magnitudes, redshifts, np.random.default_rng(5)))


@pytest.mark.parametrize("z", [0.005, 0.03, 0.2, 0.6])
def test_every_band_leaves_light_to_the_main_component(z: float) -> None:
    galaxies = near_galaxies(-20.5, z)
    assert (galaxies[SHARES] >= 0).all(axis=None)
    assert galaxies[SHARES].sum(axis=1).max() <= 0.86
    gr, rz = galaxies["mag_g"] - galaxies["mag_r"], galaxies["mag_r"] - galaxies["mag_z"]
    old = galaxies["bulge"] + galaxies["bar"] + galaxies["nucleus"]
    in_g = old * 10 ** (-0.4 * (galaxies["bulge_gr"] - gr))
    in_g += galaxies["knots_light"] * 10 ** (-0.4 * (galaxies["knots_gr"] - gr))
    in_z = old * 10 ** (0.4 * (galaxies["bulge_rz"] - rz))
    in_z += galaxies["knots_light"] * 10 ** (0.4 * (galaxies["knots_rz"] - rz))
    assert max(in_g.max(), in_z.max()) <= 0.86


def test_bulges_are_redder_and_knots_bluer_than_the_whole() -> None:
    galaxies = near_galaxies(-20.0)
    gr = galaxies["mag_g"] - galaxies["mag_r"]
    forming = ~galaxies["quiescent"]
    assert (galaxies["bulge_gr"] >= gr - 1e-9).all()
    assert (galaxies["bulge_gr"] - gr)[forming].median() > 0.08
    assert (galaxies["knots_gr"] < gr)[forming].mean() > 0.9


def test_bulges_bars_and_arms_come_with_mass() -> None:
    massive, dwarf = near_galaxies(-21.0), near_galaxies(-15.0)
    discs = massive[~massive["quiescent"]]
    assert 1 / 3 < (discs.query("ba > 0.3")["bar"] > 0).mean() < 1 / 2
    assert (discs.query("ba > 0.3")["n_arms"] > 0).mean() > 0.8
    assert (discs.query("ba < 0.25")["n_arms"] == 0).all()
    assert discs["bulge"].median() > 0.03
    assert ((discs["bar_radius"] > 0) == (discs["bar"] > 0)).all()
    assert (discs["bar_radius"] < discs["radius"]).all()
    assert ((dwarf["arms"] > 0) == (dwarf["n_arms"] > 0)).all()
    assert (dwarf["n_arms"] > 0).mean() < 0.02
    assert (dwarf["bulge"] > 0).mean() < 0.05


def test_dwarfs_are_lopsided_and_smooth_without_star_formation() -> None:
    dwarf, massive = near_galaxies(-15.0), near_galaxies(-21.0)
    forming, quiet = dwarf[~dwarf["quiescent"]], dwarf[dwarf["quiescent"]]
    assert len(quiet) > 500
    assert (quiet["knots_light"] == 0).all()
    assert (quiet["knots"] == 0).all()
    assert quiet["lopsided"].max() <= 0.05
    assert forming["lopsided"].median() > 0.2
    assert massive["lopsided"].median() < 0.1
    assert (forming["knots"] > 0).all()
    assert 0.01 < forming["knots_light"].median() < 0.1


def test_a_third_to_a_half_of_quiescent_dwarfs_have_a_nucleus() -> None:
    galaxies = pd.concat([near_galaxies(m) for m in (-14.0, -15.0, -16.0, -17.0)])
    quiet = galaxies[galaxies["quiescent"] & galaxies["logmstar"].between(7, 9)]
    assert 1 / 3 < (quiet["nucleus"] > 0).mean() < 1 / 2
    light = quiet.loc[quiet["nucleus"] > 0, "nucleus"]
    assert light.max() <= 0.1
    assert 0.002 < light.median() < 0.05


@pytest.mark.parametrize("absolute", [-15.0, -18.0, -21.0])
def test_a_few_per_cent_are_mergers(absolute: float) -> None:
    galaxies = near_galaxies(absolute)
    assert 0.02 < (galaxies["merger"] > 0).mean() < 0.04
    assert galaxies["merger"].max() <= 1


def test_knots_have_a_size_in_parsec_whatever_the_redshift() -> None:
    medians = []
    for z in (0.004, 0.015, 0.06):
        galaxies = near_galaxies(-17.0, z)
        parsec = galaxies["knot_size"] * 1e3 * kpc_per_arcsec(np.full(len(galaxies), z))
        assert parsec.min() >= 29.9
        assert parsec.max() <= 150.1
        medians.append(parsec.median())
    np.testing.assert_allclose(medians, 70, rtol=0.05)


def test_structure_follows_from_the_mass_and_not_from_the_side_of_the_limit() -> None:
    near, far = near_galaxies(-18.0, 0.02), near_galaxies(-18.0, 0.045)
    for name in ("lopsided", "knots_light", "nucleus", "bar", "arms", "bulge"):
        spread = near[name].std() / np.sqrt(len(near))
        assert near[name].mean() == pytest.approx(far[name].mean(), abs=8 * spread), name


def test_sersic_indices_are_what_the_renderer_knows() -> None:
    galaxies = pd.concat([near_galaxies(m) for m in (-14.0, -18.0, -22.5)])
    assert galaxies["sersic"].between(0.5, 6.0).all()
    assert galaxies["bulge_sersic"].between(1.0, 4.0).all()
    giants = near_galaxies(-22.8).query("quiescent and bulge == 0")
    assert giants["sersic"].median() >= 4
