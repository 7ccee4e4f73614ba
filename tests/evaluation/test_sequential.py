from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from xsaga.errors import EvaluationError
from xsaga.evaluation.sequential import Drift, drift

NIGHTS = 20260100 + np.arange(1, 31)


def _probabilities(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return np.asarray(rng.beta(0.4, 6.0, count))


def _shifted(p: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    odds = p / (1 - p) * factor
    return odds / (1 + odds)


def _simulated(seed: int, factor: float, begins: int, per_night: int = 60) -> Drift:
    """Thirty nights whose odds are `factor` times what was said, from night `begins` on."""
    rng = np.random.default_rng(seed)
    night = np.repeat(NIGHTS, per_night)
    p = _probabilities(rng, len(night))
    truth = np.where(night >= NIGHTS[begins], _shifted(p, factor), p)
    return drift(night, p, rng.random(len(night)) < truth, alpha=0.05)


def test_false_alarms_are_no_more_than_stated() -> None:
    """Looked at every night: a plain test at 5 % each night would alarm far more often."""
    alarms = [_simulated(seed, 1.0, 0, 12).alarm_night is not None for seed in range(2000)]
    assert np.mean(alarms) <= 0.05
    assert np.mean(alarms) > 0  # so the rate is not kept by never alarming


def test_the_e_value_has_the_mean_one() -> None:
    """The reason why: M is a martingale, exactly; its mean is summed over all outcomes."""
    p = np.array([0.3, 0.05, 0.6])
    night = np.array([20260101, 20260101, 20260102])
    mean = 0.0
    for code in range(8):
        positive = (code >> np.arange(3)) % 2 == 1
        weight = float(np.prod(np.where(positive, p, 1 - p)))
        mean += weight * drift(night, p, positive).nights[-1].e_value
    assert mean == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(("factor", "direction"), [(0.4, "fewer"), (2.0, "more")])
def test_a_drift_is_noticed_and_its_direction_told(factor: float, direction: str) -> None:
    found = [_simulated(seed, factor, 0) for seed in range(100)]
    alarmed = [each for each in found if each.alarm_night is not None]
    assert len(alarmed) >= 85
    assert all(each.direction == direction for each in alarmed)
    covered = [each.odds_factor.low <= factor <= each.odds_factor.high for each in found]
    assert np.mean(covered) > 0.88


def test_a_drift_that_begins_late_is_noticed_and_dated() -> None:
    found = [_simulated(seed, 0.25, 15, per_night=150) for seed in range(40)]
    alarmed = [each for each in found if each.alarm_night is not None]
    assert len(alarmed) >= 36
    assert np.median([each.since for each in alarmed if each.since]) == pytest.approx(
        NIGHTS[15], abs=2
    )
    late = [each.alarm_night >= NIGHTS[15] for each in alarmed if each.alarm_night]
    assert np.mean(late) > 0.9
    factors = [each.odds_factor_since.value for each in alarmed]
    assert np.median(factors) == pytest.approx(0.25, abs=0.1)


def test_an_alarm_stays_at_the_first_night_that_raised_it() -> None:
    found = _simulated(1, 0.2, 0)
    first = next(n.night for n in found.nights if n.e_value >= found.alarm_level)
    assert found.alarm_night == first
    assert found.p_value <= found.alpha
    assert found.p_value == pytest.approx(1 / max(n.e_value for n in found.nights))


def test_the_order_of_rows_changes_nothing_but_rounding() -> None:
    rng = np.random.default_rng(2)
    night = np.repeat(NIGHTS, 5)
    p = _probabilities(rng, len(night))
    positive = rng.random(len(night)) < p
    order = rng.permutation(len(night))
    one, other = drift(night, p, positive), drift(night[order], p[order], positive[order])
    assert [n.night for n in one.nights] == list(NIGHTS)
    np.testing.assert_allclose(
        [n.e_value for n in one.nights], [n.e_value for n in other.nights], rtol=1e-9
    )


def test_one_night_by_hand() -> None:
    """One outcome of probability 1/2: e = 1/2 (mean over shifts) + 1/2 (the nights to come)."""
    one = drift(np.array([0]), np.array([0.5]), np.array([True]))
    shifts = [math.log(2) * s for s in (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1, 3 / 2, 2, 3)]
    ratios = [2 * math.exp(t) / (1 + math.exp(t)) for t in [*shifts, *(-t for t in shifts)]]
    assert one.nights[0].e_value == pytest.approx(np.mean(ratios) / 2 + 0.5)


def test_no_outcomes_say_nothing() -> None:
    nothing = drift(np.empty(0, np.int64), np.empty(0), np.empty(0, bool))
    assert nothing.nights == ()
    assert nothing.alarm_night is None
    assert nothing.p_value == 1
    assert math.isnan(nothing.odds_factor.value)


def test_certain_probabilities_do_no_harm() -> None:
    found = drift(np.zeros(3, np.int64), np.array([0.0, 1.0, 0.5]), np.array([False, True, True]))
    assert math.isfinite(found.nights[0].e_value)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(EvaluationError, match="false-alarm rate"):
        drift(np.zeros(1, np.int64), np.array([0.5]), np.array([True]), alpha)


def test_a_probability_that_is_none_is_refused() -> None:
    with pytest.raises(EvaluationError, match="p_lowz"):
        drift(np.zeros(1, np.int64), np.array([np.nan]), np.array([True]))
