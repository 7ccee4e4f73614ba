from __future__ import annotations

import numpy as np
import pytest

from xsaga.evaluation.intervals import (
    LEVEL,
    MIN_PATCHES,
    PatchBootstrap,
    jeffreys,
    percentile_interval,
    rate,
    sky_patches,
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
