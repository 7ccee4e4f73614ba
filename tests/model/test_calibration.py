from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from xsaga.errors import ModelError
from xsaga.model.calibration import Calibration, fit_calibration
from xsaga.model.metrics import area_under_curve, log_loss

rates = st.floats(1e-4, 1 - 1e-4)


def test_slope_intercept_and_rate_are_recovered() -> None:
    random = np.random.default_rng(5)
    logits = random.normal(0, 3, 200_000)
    labels = random.random(logits.size) < expit(0.6 * logits - 1.5)
    found = fit_calibration(logits, labels, target_rate=0.01)
    assert found.slope == pytest.approx(0.6, abs=0.01)
    assert found.intercept == pytest.approx(-1.5, abs=0.02)
    assert found.train_rate == labels.mean()
    assert found.target_rate == 0.01


def test_a_change_of_base_rate_gives_probabilities_that_hold_there() -> None:
    random = np.random.default_rng(6)
    positive, negative = random.normal(1, 1, 400_000), random.normal(-1, 1, 400_000)
    trained = np.concatenate([positive[:100_000], negative[:100_000]])
    calibration = fit_calibration(trained, np.arange(200_000) < 100_000, target_rate=0.02)
    sky = np.concatenate([positive[100_000:108_000], negative[8_000:]])
    probability = calibration.probability(sky)
    assert probability.mean() == pytest.approx(0.02, rel=0.03)
    near = (probability > 0.1) & (probability < 0.2)
    true_fraction = (np.flatnonzero(near) < 8_000).mean()
    assert true_fraction == pytest.approx(probability[near].mean(), rel=0.1)


@given(rate=rates, logit=st.floats(-20, 20))
def test_equal_rates_change_nothing(rate: float, logit: float) -> None:
    calibration = Calibration(1.0, 0.0, train_rate=rate, target_rate=rate)
    assert calibration.probability(logit) == pytest.approx(expit(logit), rel=1e-12)


@given(one=rates, two=rates, probability=st.floats(1e-6, 1 - 1e-6))
def test_the_base_rate_correction_is_bayes_rule(one: float, two: float, probability: float) -> None:
    logit = np.log(probability / (1 - probability))
    weighted = probability * two / one
    wanted = weighted / (weighted + (1 - probability) * (1 - two) / (1 - one))
    found = Calibration(1.0, 0.0, train_rate=one, target_rate=two).probability(logit)
    assert found == pytest.approx(wanted, rel=1e-6)


def test_a_bend_is_found_where_there_is_one_and_only_there() -> None:
    random = np.random.default_rng(8)
    logits = random.normal(0, 2, 60_000)
    straight = random.random(logits.size) < expit(0.8 * logits)
    assert fit_calibration(logits, straight, target_rate=0.5).bend == 0
    bent = random.random(logits.size) < expit(logits - 0.5 * np.logaddexp(0, logits))
    found = fit_calibration(logits, bent, target_rate=bent.mean())
    assert found.bend == pytest.approx(-0.5, abs=0.1)
    probability = found.probability(logits)
    for low in np.arange(0.1, 0.7, 0.1):
        inside = (probability >= low) & (probability < low + 0.1)
        error = np.sqrt((probability * (1 - probability))[inside].sum()) / inside.sum()
        assert abs(bent[inside].mean() - probability[inside].mean()) < 3.5 * error


@given(bend=st.floats(-0.99, 20), one=st.floats(-30, 30), two=st.floats(-30, 30))
def test_the_probability_never_falls_with_the_logit(bend: float, one: float, two: float) -> None:
    low, high = Calibration(0.8, -1.0, 0.3, 0.01, bend).probability(sorted((one, two)))
    assert low <= high


def test_perfectly_separated_classes_give_a_finite_slope() -> None:
    found = fit_calibration([-2.0, -1, 1, 2], [False, False, True, True], target_rate=0.5)
    assert 0 < found.slope < 10


@pytest.mark.parametrize("bend", [-0.9, -0.3, 0.0, 0.5, 6.0])
@pytest.mark.parametrize("slope", [0.7, -0.2])
def test_probabilities_give_their_logits_back(bend: float, slope: float) -> None:
    calibration = Calibration(slope, -1.2, train_rate=0.3, target_rate=0.05, bend=bend)
    logits = np.linspace(-40, 40, 801)
    probability = calibration.probability(logits)
    told = 1 - probability > 1e-9
    assert told.sum() > 300
    back = calibration.logits(probability[told])
    np.testing.assert_allclose(back, logits[told], atol=1e-5)


def test_a_flat_calibration_gives_no_logits_back() -> None:
    with pytest.raises(ModelError, match="slope 0"):
        Calibration(slope=0.0).logits([0.5])


def test_no_score_gives_no_probability() -> None:
    probability = Calibration().probability([np.nan, 0.0])
    assert np.isnan(probability[0])
    assert probability[1] == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "named"),
    [
        ([1.0, 2.0], [True, True], "both are needed"),
        ([1.0, np.nan], [True, False], "logit 1 is not finite"),
        ([1.0, 2.0, 3.0], [True, False], "one length"),
        ([np.inf, 1.0], [True, False], "logit 0 is not finite"),
        ([[1.0, 2.0], [0.0, 1.0]], [True, False], "one length"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused(
    logits: list[float] | list[list[float]], labels: list[bool], named: str
) -> None:
    with pytest.raises(ModelError, match=named):
        fit_calibration(logits, labels, target_rate=0.01)


@pytest.mark.parametrize("bend", [-1.0, float("nan"), float("inf")])
def test_a_bend_that_turns_back_is_refused(bend: float) -> None:
    with pytest.raises(ModelError, match="bend"):
        Calibration(bend=bend)


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(ModelError, match="target_rate"):
        Calibration(target_rate=rate)


def test_area_under_curve_counts_ordered_pairs_and_half_the_ties() -> None:
    assert area_under_curve([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert area_under_curve([1, 1, 1], [True, False, False]) == 0.5


def test_log_loss_of_known_values_and_of_certainty() -> None:
    assert log_loss([0.9, 0.2], [True, False]) == pytest.approx(-np.log([0.9, 0.8]).mean())
    assert 30 < log_loss([0.0], [True]) < np.inf
