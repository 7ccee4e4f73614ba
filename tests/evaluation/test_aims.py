from __future__ import annotations

import numpy as np
import pytest

from tests.evaluated_runs import calibrated_scores
from xsaga.evaluation.aims import AT_MOST, BINNING, aims
from xsaga.evaluation.reliability import reliability


def of_reliability(probability: np.ndarray, positive: np.ndarray) -> list[tuple[object, ...]]:
    diagrams = [reliability(probability, positive, binning) for binning in (BINNING, "equal count")]
    found = aims(None, diagrams, 0.02)
    assert [(aim.bound, aim.aim) for aim in found] == [(AT_MOST, 0.01), ("at least", 1.0)]
    assert found[0].reached.value == diagrams[0].expected_calibration_error
    judged, agreeing = diagrams[0].judged, diagrams[0].agreeing
    assert f"({agreeing} of {judged})" in found[1].what
    if judged:
        assert found[1].reached.value == pytest.approx(agreeing / judged)
    return [(aim.met,) for aim in found]


def test_right_probabilities_meet_the_aims_of_reliability() -> None:
    """Every bin says exactly what is found in it."""
    p = np.repeat([0.05, 0.25, 0.55, 0.85], 200)
    positive = np.concatenate([np.arange(200) < round(200 * share) for share in (0.05, 0.25)])
    positive = np.concatenate([positive, *(np.arange(200) < round(200 * s) for s in (0.55, 0.85))])
    assert of_reliability(p, positive) == [(True,), (True,)]


def test_bold_probabilities_meet_none() -> None:
    positive = np.random.default_rng(1).random(20_000) < 0.2
    p = calibrated_scores(positive, 2, d=4.0)
    odds = (p / (1 - p)) ** 2.5
    assert of_reliability(odds / (1 + odds), positive) == [(False,), (False,)]


def test_without_high_probabilities_there_is_nothing_to_compare() -> None:
    p, positive = np.full(1000, 0.05), np.arange(1000) < 50
    assert of_reliability(p, positive) == [(True,), (None,)]
