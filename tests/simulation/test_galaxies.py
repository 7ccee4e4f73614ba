from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp

from tests.shared_data import needs_shared, shared
from xsaga.simulation.population.galaxies import FIT_BIAS, galaxies_at, quiescent_fraction
from xsaga.simulation.population.redshifts import distance_modulus, redshifts_of_side


def drawn(r: NDArray[np.float64], z: NDArray[np.float64], seed: int = 1) -> pd.DataFrame:
    galaxies = pd.DataFrame(galaxies_at(r, z, np.random.default_rng(seed)))
    # the colours that a catalog has
    galaxies["gr"] = galaxies["mag_g"] - galaxies["mag_r"] + FIT_BIAS[0]
    galaxies["rz"] = galaxies["mag_r"] - galaxies["mag_z"] + FIT_BIAS[1]
    # as a fit to the whole sees it: smaller and steeper with a bulge
    galaxies["whole"] = galaxies["radius"] * (1 - 0.6 * galaxies["bulge"])
    area = 2 * np.pi * galaxies["whole"] ** 2 * galaxies["ba"]
    galaxies["sb"] = galaxies["mag_r"] + 2.5 * np.log10(area)
    return galaxies


@pytest.mark.parametrize("r", [16.0, 18.5, 20.5])
def test_nothing_changes_at_the_redshift_limit(r: float) -> None:
    count = 20_000
    below = drawn(np.full(count, r), np.full(count, 0.02995), seed=1)
    above = drawn(np.full(count, r), np.full(count, 0.03005), seed=2)
    assert below["is_lowz"].all()
    assert not above["is_lowz"].any()
    for name in below.columns.drop(["kind", "z", "is_lowz", "pa", "mag_r"]):
        values = below[name].astype(float), above[name].astype(float)
        # the 99.9 % limit of two equal samples of this size is 0.0195
        assert ks_2samp(*values).statistic < 0.021, name


def test_lowz_galaxies_are_larger_and_bluer_than_others_of_their_magnitude() -> None:
    r = np.full(40_000, 19.5)
    low = np.arange(r.size) % 2 == 0
    galaxies = drawn(r, redshifts_of_side(r, low, np.random.default_rng(1)))
    near, far = galaxies[galaxies["is_lowz"]], galaxies[~galaxies["is_lowz"]]
    assert near["radius"].median() > 1.3 * far["radius"].median()
    assert near["gr"].median() < far["gr"].median() - 0.1
    # but not so much that a cut on either would do
    assert (far["radius"] > near["radius"].median()).mean() > 0.03
    assert (far["gr"] < near["gr"].median()).mean() > 0.03


def test_mass_follows_light_and_colour() -> None:
    # SAGA DR3 C3: log M = 1.254 + 1.098 (g−r) − 0.4 M_r (Mao et al. 2021, equation 1)
    z = np.full(4_000, 0.008)
    galaxies = drawn(np.random.default_rng(2).uniform(13, 20, z.size), z)
    absolute = galaxies["mag_r"] - distance_modulus(z)
    expected = 1.254 + 1.098 * galaxies["gr"] - 0.4 * absolute
    np.testing.assert_allclose(galaxies["logmstar"], expected, atol=0.12)


def test_red_galaxies_lie_on_a_narrow_sequence_that_reddens_with_redshift() -> None:
    count = 5_000
    for z, gr in ((0.05, 0.9), (0.15, 1.12), (0.25, 1.42), (0.35, 1.62)):
        modulus = float(distance_modulus(z))
        galaxies = drawn(np.full(count, modulus - 22.0), np.full(count, z)).query("quiescent")
        assert galaxies["gr"].median() == pytest.approx(gr, abs=0.09)
        assert galaxies["gr"].std() < 0.12


def test_quiescent_galaxies_are_massive_or_satellites() -> None:
    def at(absolute: float, z: float) -> float:
        return float(quiescent_fraction(np.array([absolute]), np.array([z]))[0])

    assert at(-22.5, 0.05) > 0.6
    assert at(-17.5, 0.05) < 0.1
    assert at(-14.0, 0.008) == pytest.approx(0.2, abs=0.05)  # SAGA's satellites
    assert at(-14.0, 0.029) == pytest.approx(at(-14.0, 0.031), abs=0.005)
    assert at(-14.0, 0.05) < 0.05


@needs_shared
def test_rz_follows_gr_as_in_real_sources() -> None:
    table = Table.read(shared("realsky", "sweep", "sweep-realsky.fits"))
    mags = {
        band: 22.5
        - 2.5 * np.log10(np.maximum(table[f"FLUX_{band}"] / table[f"MW_TRANSMISSION_{band}"], 1e-3))
        for band in "GRZ"
    }
    r, gr, rz = mags["R"], mags["G"] - mags["R"], mags["R"] - mags["Z"]
    usable = (np.asarray(table["TYPE"]).astype(str) == "SER") & (r < 21)
    rng = np.random.default_rng(3)
    magnitudes = rng.uniform(15, 21, 60_000)
    galaxies = drawn(magnitudes, redshifts_of_side(magnitudes, np.zeros(60_000, bool), rng))
    # redder than 1.3 there are four real ones, of one cluster: they do not tell the field's median
    for low, high in ((0.45, 0.75), (0.75, 1.0), (1.0, 1.3)):
        real = rz[usable & (gr > low) & (gr < high)]
        assert len(real) >= 3
        simulated = galaxies.query("@low < gr < @high")["rz"]
        assert simulated.median() == pytest.approx(float(np.median(real)), abs=0.1)


@needs_shared
def test_satellites_look_like_sagas() -> None:
    table = Table.read(shared("saga", "saga-dr3-tableC3.txt"), format="ascii.mrt").to_pandas()
    real = table[table["rmag"] < 20.75]
    rng = np.random.default_rng(6)
    magnitudes = rng.uniform(12, 21, 100_000)
    low = np.ones(magnitudes.size, dtype=bool)
    galaxies = drawn(magnitudes, redshifts_of_side(magnitudes, low, rng))
    places = [
        np.column_stack([real["rmag"], 8 * np.log(real["z"])]),
        np.column_stack([galaxies["mag_r"], 8 * np.log(galaxies["z"])]),
    ]
    _, nearest = cKDTree(places[1]).query(places[0], k=20)
    twins = galaxies.iloc[nearest.ravel()]
    # round models (b/a = 1) and their like are the fit's doing: see the benchmark for those
    ellipses = real[real["ba"] < 0.999]
    assert ks_2samp(real["gr"], twins["gr"]).statistic < 0.1
    assert ks_2samp(real["sb"], twins["sb"]).statistic < 0.1
    assert ks_2samp(ellipses["ba"], twins["ba"]).statistic < 0.13
    passed = [
        ((colour + 0.06 * (r - 14) < 0.9) & (sb - 0.7 * (r - 14) > 18.5)).mean()
        for colour, r, sb in (
            (real["gr"], real["rmag"], real["sb"]),
            (twins["gr"], twins["mag_r"], twins["sb"]),
        )
    ]
    assert passed[1] == pytest.approx(passed[0], abs=0.04)  # saga2 keeps 0.92


@needs_shared
@pytest.mark.parametrize("edges", [(0.03, 0.1), (0.1, 0.2), (0.2, 0.3)])
def test_background_galaxies_look_like_sagas(edges: tuple[float, float]) -> None:
    table = pd.read_csv(shared("saga", "saga-dr3-tableC2-sample.csv"))
    table = table[(table["gr"] < 5) & table["rmag"].between(16, 20.75) & (table["sersic"] > 0)]
    real = table[table["z"].between(*edges)]
    many = real.sample(20_000, replace=True, random_state=1)
    galaxies = drawn(many["rmag"].to_numpy(), many["z"].to_numpy())
    for name, limit in (("gr", 0.12), ("sb", 0.12)):
        assert ks_2samp(real[name], galaxies[name]).statistic < limit, name
