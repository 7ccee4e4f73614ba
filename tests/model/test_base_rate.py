from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.errors import ModelError
from xsaga.model.base_rate import at_base_rate, estimate_base_rate
from xsaga.model.calibration import Calibration

rates = st.floats(1e-3, 0.999)


def _probabilities(count: int, rate: float, train_rate: float, seed: int) -> np.ndarray:
    """Calibrated at `train_rate`, of sources of which `rate` are near."""
    random = np.random.default_rng(seed)
    near = random.random(count) < rate
    log_ratio = 3 * random.normal(np.where(near, 1.5, -1.5), 1)  # of Gaussians 3 apart
    return Calibration(1.0, 0.0, 0.5, train_rate).probability(log_ratio)


@pytest.mark.parametrize(("rate", "train_rate"), [(0.01, 0.25), (0.04, 0.005), (0.5, 0.1)])
def test_the_rate_of_a_sky_is_found_within_its_error(rate: float, train_rate: float) -> None:
    pulls = []
    for seed in range(20):
        found = estimate_base_rate(_probabilities(20_000, rate, train_rate, seed), train_rate)
        assert found.count == 20_000
        assert found.error < 0.15 * rate
        pulls.append((found.rate - rate) / found.error)
    assert abs(np.mean(pulls)) < 0.8  # 3.5 standard errors of a mean of 20
    assert 0.5 < np.std(pulls) < 1.6


def test_the_estimate_is_where_expectation_maximisation_ends() -> None:
    p, before = _probabilities(5000, 0.03, 0.2, seed=3), 0.2
    rate = before
    for _ in range(2000):  # Saerens et al. 2002, eq. 9
        near, far = rate / before * p, (1 - rate) / (1 - before) * (1 - p)
        rate = float((near / (near + far)).mean())
    assert estimate_base_rate(p, before).rate == pytest.approx(rate, rel=1e-6)


def test_probabilities_at_the_estimated_rate_sum_to_it() -> None:
    p = _probabilities(5000, 0.03, 0.2, seed=4)
    found = estimate_base_rate(p, 0.2)
    moved, _ = at_base_rate(p, np.zeros_like(p), 0.2, found.rate)
    assert moved.mean() == pytest.approx(found.rate, rel=1e-6)


@pytest.mark.parametrize(("p", "wanted"), [([0.0] * 50, 0.01), ([1.0] * 50, 0.99), ([0.2], 0.5)])
def test_a_sample_that_cannot_tell_gives_the_limit_of_its_size(
    p: list[float], wanted: float
) -> None:
    found = estimate_base_rate(p, 0.3)
    assert found.rate == pytest.approx(wanted)
    assert found.error > 0


@given(one=rates, two=rates, p=st.floats(1e-6, 1 - 1e-6), std=st.floats(0, 0.3))
def test_there_and_back_again(one: float, two: float, p: float, std: float) -> None:
    moved, spread = at_base_rate([p], [std], one, two)
    assert 0 <= moved[0] <= 1
    again, back = at_base_rate(moved, spread, two, one)
    assert again[0] == pytest.approx(p, rel=1e-9)
    assert back[0] == pytest.approx(std, rel=1e-9)


def test_the_change_of_rate_is_that_of_the_calibration() -> None:
    logits = np.linspace(-8, 8, 50)
    before, after = (Calibration(0.9, -0.2, 0.3, rate).probability(logits) for rate in (0.1, 0.004))
    moved, spread = at_base_rate(before, np.full(50, 1e-6), 0.1, 0.004)
    np.testing.assert_allclose(moved, after, rtol=1e-9)
    slope = np.gradient(after, before)
    np.testing.assert_allclose(spread[1:-1] / 1e-6, slope[1:-1], rtol=0.2)


@pytest.mark.parametrize(
    ("p", "rate", "message"),
    [
        ([], 0.1, "one or more"),
        ([0.1, np.nan], 0.1, "number from 0 to 1"),
        ([0.1, 1.2], 0.1, "number from 0 to 1"),
        ([0.1], 0.0, "base rate 0.0"),
        ([0.1], 1.0, "base rate 1.0"),
    ],
)
def test_what_no_rate_follows_from_is_refused(p: list[float], rate: float, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        estimate_base_rate(p, rate)
