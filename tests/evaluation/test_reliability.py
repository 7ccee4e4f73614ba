from __future__ import annotations

import numpy as np
import pytest

from xsaga.evaluation.reliability import BINS, reliability


def drawn(probability: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(len(probability)) < probability


@pytest.mark.parametrize("binning", ["equal width", "equal count"])
def test_right_probabilities_agree(binning: str) -> None:
    probability = np.random.default_rng(4).beta(0.5, 3.0, 60_000)
    diagram = reliability(probability, drawn(probability, 5), binning)
    assert diagram.expected_calibration_error < 0.006
    assert diagram.agreeing >= diagram.judged - 1
    assert sum(b.sources for b in diagram.bins) == 60_000
    assert len(diagram.bins) == BINS


@pytest.mark.parametrize("binning", ["equal width", "equal count"])
def test_the_error_of_a_constant_excess_is_that_excess(binning: str) -> None:
    truth = np.random.default_rng(6).uniform(0.0, 0.8, 200_000)
    diagram = reliability(truth + 0.15, drawn(truth, 7), binning)
    assert diagram.expected_calibration_error == pytest.approx(0.15, abs=0.004)
    assert diagram.agreeing == 0


def test_bins_of_equal_count_are_equal_and_keep_ties_together() -> None:
    probability = np.concatenate([np.zeros(500), np.linspace(0.1, 1, 500)])
    diagram = reliability(probability, probability > 0.5, "equal count")
    assert diagram.bins[0].sources == 500
    assert {b.sources for b in diagram.bins[1:]} == {100}


def test_edges_belong_to_the_lower_bin() -> None:
    diagram = reliability(np.array([0.0, 0.1, 1.0]), np.array([0, 0, 1], bool), "equal width")
    assert [(b.low, b.sources) for b in diagram.bins] == [(0.0, 2), (0.9, 1)]
