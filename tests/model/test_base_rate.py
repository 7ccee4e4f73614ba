from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.errors import ModelError
from xsaga.model.base_rate import estimate_base_rate, shift_to_rate, with_shifted_odds
from xsaga.model.calibration import Calibration, log_odds_shift

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
    moved, _ = with_shifted_odds(p, np.zeros_like(p), log_odds_shift(0.2, found.rate))
    assert moved.mean() == pytest.approx(found.rate, rel=1e-6)


@pytest.mark.parametrize(("p", "wanted"), [([0.0] * 50, 0.01), ([1.0] * 50, 0.99), ([0.2], 0.5)])
def test_a_sample_that_cannot_tell_gives_the_limit_of_its_size(
    p: list[float], wanted: float
) -> None:
    found = estimate_base_rate(p, 0.3)
    assert found.rate == pytest.approx(wanted)
    assert found.error > 0


@given(shift=st.floats(-14, 14), p=st.floats(1e-6, 1 - 1e-6), std=st.floats(0, 0.3))
def test_there_and_back_again(shift: float, p: float, std: float) -> None:
    moved, spread = with_shifted_odds([p], [std], shift)
    assert 0 <= moved[0] <= 1
    again, back = with_shifted_odds(moved, spread, -shift)
    assert again[0] == pytest.approx(p, rel=1e-7)
    assert back[0] == pytest.approx(std, rel=1e-7)


def test_the_change_of_rate_is_that_of_the_calibration() -> None:
    logits = np.linspace(-8, 8, 50)
    before, after = (Calibration(0.9, -0.2, 0.3, rate).probability(logits) for rate in (0.1, 0.004))
    moved, spread = with_shifted_odds(before, np.full(50, 1e-6), log_odds_shift(0.1, 0.004))
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


class CutSky:
    """Sources with two features that are Gaussian in both classes, and a cut on one of them.

    The probabilities are the exact ones of the whole sky at `CALIBRATED`; the cut keeps 19 % of the
    near sources and 2 % of the others.
    """

    CALIBRATED = 0.005

    def __init__(self, count: int, rate: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        near = random.random(count) < rate
        # Log likelihood ratios 2x and 1.2y of unit Gaussians at ±1 and ±0.6.
        x = random.normal(np.where(near, 1.0, -1.0), 1)
        y = random.normal(np.where(near, 0.6, -0.6), 1)
        p = Calibration(1.0, 0.0, 0.5, self.CALIBRATED).probability(2 * x + 1.2 * y)
        listed = y > 1.5
        self.near, self.p = near[listed], p[listed]


@pytest.mark.parametrize("rate", [CutSky.CALIBRATED, 0.02, 0.001])
def test_in_a_cut_list_the_mean_probability_is_brought_to_the_rate(rate: float) -> None:
    sky = CutSky(4_000_000, rate, seed=5)
    moved, _ = with_shifted_odds(sky.p, sky.p, shift_to_rate(sky.p, sky.near.mean()))
    assert moved.mean() == pytest.approx(sky.near.mean(), rel=1e-9)
    for low in np.arange(0.02, 0.5, 0.06):  # right at every probability, not on average alone
        inside = (moved >= low) & (moved < low + 0.06)
        error = np.sqrt((moved * (1 - moved))[inside].sum())
        assert abs((sky.near - moved)[inside].sum()) < 3.5 * error
    if rate == CutSky.CALIBRATED:
        assert sky.p.mean() == pytest.approx(sky.near.mean(), rel=0.05)


def test_in_a_cut_list_a_rate_is_estimated_from_the_lists_own() -> None:
    reference = CutSky(4_000_000, CutSky.CALIBRATED, seed=6).p.mean()
    assert reference > 5 * CutSky.CALIBRATED
    for seed, rate in enumerate([CutSky.CALIBRATED, 0.02, 0.001]):
        sky = CutSky(2_000_000, rate, seed)
        found = estimate_base_rate(sky.p, reference)
        assert abs(found.rate - sky.near.mean()) < 3 * found.error
        assert found.error < 0.15 * found.rate
        # The rate of the whole sky is no rate of the list.
        wrong = estimate_base_rate(sky.p, CutSky.CALIBRATED)
        assert abs(wrong.rate - sky.near.mean()) > 20 * wrong.error


@pytest.mark.parametrize("p", [[0.0, 0.0, 0.5], [1.0, 0.2], [0.0]])
def test_a_rate_that_no_change_of_the_odds_gives_is_refused(p: list[float]) -> None:
    with pytest.raises(ModelError, match="are 0 or 1"):
        shift_to_rate(p, 0.4)


@pytest.mark.parametrize(("p", "message"), [([], "one or more"), ([np.nan], "number from 0 to 1")])
def test_no_shift_follows_from_no_probabilities(p: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        shift_to_rate(p, 0.1)
