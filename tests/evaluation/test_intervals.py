from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from xsaga.evaluation.intervals import (
    LEVEL,
    MIN_PATCHES,
    PatchBootstrap,
    count_ratio,
    jeffreys,
    odds_factor,
    percentile_interval,
    rate,
    rate_ratio,
    share,
    sky_patches,
    wilson,
)


def test_jeffreys_gives_the_published_table() -> None:
    # Brown, Cai & DasGupta 2001, table 5: 95 % limits for n = 7 (x = 2) and n = 10 (x = 0, 5).
    low, high = jeffreys([2, 0, 5], [7, 10, 10])
    np.testing.assert_allclose(low, [0.065, 0.0, 0.224], atol=6e-4)
    np.testing.assert_allclose(high, [0.648, 0.217, 0.776], atol=6e-4)


def test_jeffreys_is_symmetric_and_certain_at_the_ends() -> None:
    low, high = jeffreys([0, 20, 3], [20, 20, 20])
    mirrored_low, mirrored_high = jeffreys([20, 0, 17], [20, 20, 20])
    assert low[0] == 0
    assert high[1] == 1
    np.testing.assert_allclose(low, 1 - mirrored_high)
    np.testing.assert_allclose(high, 1 - mirrored_low)


def test_jeffreys_covers_what_it_says() -> None:
    rng = np.random.default_rng(3)
    for truth in (0.03, 0.2, 0.5):
        low, high = jeffreys(rng.binomial(150, truth, 4000), 150)
        assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(LEVEL, abs=0.03)


def test_a_rate_without_trials_is_not_known() -> None:
    assert np.isnan(rate(0, 0).value)
    assert np.isnan(jeffreys(0, 0)[0])


def test_the_bootstrap_of_a_mean_has_its_standard_error() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(3.0, 1.0, 400)
    bootstrap = PatchBootstrap.of(400, 2000, seed=2)
    draws = bootstrap.values(lambda weights: float(weights @ values / weights.sum()))
    assert draws.std() == pytest.approx(values.std() / 20, rel=0.06)
    estimate = percentile_interval(float(values.mean()), draws)
    assert estimate.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.02)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.02)


def test_sources_of_a_patch_are_drawn_together() -> None:
    """Ten sources that are one and the same add no knowledge: the interval is not narrower."""
    values = np.random.default_rng(1).normal(0.0, 1.0, 50)
    alone = PatchBootstrap.of(50, 1000, seed=2)
    draws = alone.values(lambda weights: float(weights @ values / weights.sum()))
    patch = np.repeat(np.arange(50), 10)
    repeated = np.repeat(values, 10)
    together = alone.values(lambda weights: float(weights[patch] @ repeated / weights[patch].sum()))
    np.testing.assert_allclose(draws, together)


def test_few_patches_give_no_interval() -> None:
    bootstrap = PatchBootstrap.of(MIN_PATCHES - 1, 100, seed=1)
    assert not bootstrap.is_useful
    estimate = percentile_interval(0.5, bootstrap.values(lambda weights: float(weights.sum())))
    assert estimate.value == 0.5
    assert np.isnan([estimate.low, estimate.high]).all()


def test_draws_without_the_statistic_open_the_interval_below() -> None:
    draws = np.concatenate([np.full(10, np.nan), np.linspace(0.1, 0.9, 90)])
    estimate = percentile_interval(0.5, draws)
    assert np.isnan(estimate.low)
    assert 0.85 < estimate.high <= 0.9


def test_patches_are_numbered_without_gaps() -> None:
    patch = sky_patches([10.0, 10.001, 11.0, 359.99, 0.0], [0.0, 0.001, 0.0, -5.0, 60.0])
    assert patch[0] == patch[1]
    assert sorted(set(patch.tolist())) == list(range(4))


def test_wilson_solves_its_equation_and_stays_within_zero_and_one() -> None:
    k, n = np.array([0, 1, 3, 20, 437]), np.array([20, 20, 20, 20, 2171])
    low, high = wilson(k, n)
    quantile = norm.ppf(0.5 + LEVEL / 2)
    for end, inner in ((low, k > 0), (high, k < n)):
        p, trials = end[inner], n[inner]
        deviations = np.abs((k / n)[inner] - p) / np.sqrt(p * (1 - p) / trials)
        np.testing.assert_allclose(deviations, quantile, rtol=1e-9)
    assert low[0] == 0
    assert high[3] == 1
    assert bool(((low >= 0) & (low <= k / n) & (k / n <= high) & (high <= 1)).all())


def test_wilson_gives_a_published_interval() -> None:
    # Newcombe 1998, Statist. Med. 17, 857, table I: 81/263, 15/148, 0/20, 1/29 without correction.
    low, high = wilson([81, 15, 0, 1], [263, 148, 20, 29])
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0.0, 0.0061], atol=6e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=6e-5)


def test_a_share_without_trials_is_not_known() -> None:
    nothing = share(0, 0)
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    assert share(1, 4).value == 0.25


def test_a_ratio_of_rates_gives_the_published_interval() -> None:
    # Koopman 1984, his first example: 36 of 40 against 16 of 80.
    ratio = rate_ratio(36, 40, 16, 80)
    assert ratio.value == pytest.approx(4.5)
    assert (ratio.low, ratio.high) == (
        pytest.approx(2.94, abs=0.005),
        pytest.approx(7.15, abs=0.005),
    )


def test_a_ratio_turned_over_has_the_interval_turned_over() -> None:
    ratio, turned = rate_ratio(7, 50, 9, 600), rate_ratio(9, 600, 7, 50)
    assert turned.low == pytest.approx(1 / ratio.high, rel=1e-6)
    assert turned.high == pytest.approx(1 / ratio.low, rel=1e-6)


def test_a_ratio_with_nothing_found_has_one_end() -> None:
    none_below = rate_ratio(5, 20, 0, 100)
    assert none_below.value == np.inf
    assert 1 < none_below.low < 100
    assert none_below.high == np.inf
    none_above = rate_ratio(0, 20, 5, 100)
    assert (none_above.value, none_above.low) == (0, 0)
    assert 1 < none_above.high < 20
    assert np.isnan(rate_ratio(0, 20, 0, 100).value)
    assert np.isnan(rate_ratio(0, 0, 5, 100).value)
    assert rate_ratio(20, 20, 100, 100).value == 1


def test_a_ratio_covers_what_it_says() -> None:
    rng = np.random.default_rng(5)
    above, below = rng.binomial(120, 0.2, 600), rng.binomial(400, 0.015, 600)
    ratios = [rate_ratio(x, 120, y, 400) for x, y in zip(above, below, strict=True)]
    covered = np.mean([r.low <= 0.2 / 0.015 <= r.high for r in ratios])
    assert covered == pytest.approx(LEVEL, abs=0.02)


def test_a_count_over_its_expectation_has_garwoods_interval() -> None:
    # Garwood 1936: 95 % limits of a Poisson mean are 1.623 to 11.668 at 5, 0 to 3.689 at 0.
    some, none = count_ratio(5, 2.0), count_ratio(0, 2.0)
    assert (some.value, some.low * 2, some.high * 2) == (
        2.5,
        pytest.approx(1.623, abs=1e-3),
        pytest.approx(11.668, abs=1e-3),
    )
    assert (none.value, none.low, none.high * 2) == (0, 0, pytest.approx(3.689, abs=1e-3))
    assert np.isnan(count_ratio(3, 0.0).value)


def test_the_factor_on_the_odds_is_found_again() -> None:
    rng = np.random.default_rng(11)
    p = rng.beta(0.4, 6.0, 20_000)
    shifted = 0.5 * p / (1 - p) / (1 + 0.5 * p / (1 - p))
    factor = odds_factor(p, rng.random(len(p)) < shifted)
    assert factor.low < 0.5 < factor.high
    assert factor.value == pytest.approx(0.5, rel=0.1)
    assert factor.high / factor.low < 1.3


def test_the_factor_on_the_odds_at_its_ends() -> None:
    p = np.full(30, 0.2)
    none, every = odds_factor(p, np.zeros(30, bool)), odds_factor(p, np.ones(30, bool))
    assert (none.value, none.low) == (0, 0)
    assert none.high < 1
    assert every.value == np.inf
    assert every.low > 1
    assert np.isnan(odds_factor(np.array([0.0, 1.0]), np.array([False, True])).value)
    # One probability: the score interval of the odds is Wilson's of the rate.
    some = odds_factor(p, np.arange(30) < 9)
    low, high = wilson(9, 30)
    assert some.value == pytest.approx(0.3 / 0.7 * 4)
    assert some.low == pytest.approx(float(low / (1 - low)) * 4, rel=1e-6)
    assert some.high == pytest.approx(float(high / (1 - high)) * 4, rel=1e-6)
