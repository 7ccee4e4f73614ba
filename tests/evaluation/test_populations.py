from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.evaluated_runs import analytic_purity, calibrated_scores
from xsaga.evaluation.populations import MODEL, Population, measure


def population(count: int = 60_000, rate: float = 0.02) -> Population:
    rng = np.random.default_rng(8)
    lowz = rng.random(count) < rate
    sources = pd.DataFrame(
        {
            "source_id": np.arange(count),
            "ra": rng.uniform(10, 13, count),
            "dec": rng.uniform(0, 3, count),
            "lowz": lowz,
            "labelled": True,
            "near": lowz & (rng.random(count) < 0.3),
        }
    )
    scores = {
        MODEL: calibrated_scores(lowz, 1, d=16.0),
        "forest": calibrated_scores(lowz, 2, d=6.0),
        "guess": rng.random(count),
    }
    sources["rank"] = (-pd.Series(scores[MODEL])).rank(method="first")
    half = lowz | (rng.random(count) < 0.5)
    return Population("made", sources, scores, {"desi-lowz": np.ones(count, bool), "half": half})


def test_ratios_are_the_analytic_ones_and_lie_in_their_intervals() -> None:
    result = measure(population(), 9.0, resamples=100, seed=1)
    model = result.scorers[MODEL]
    rate = result.base_rate.value
    truth = analytic_purity(0.9, rate, 16.0)
    assert model.headline_purity.value == pytest.approx(truth, rel=0.1)
    assert model.purity_over_cuts.value == pytest.approx(model.headline_purity.value / rate)
    assert model.purity_over_cuts.low < truth / rate < model.purity_over_cuts.high
    over = truth / analytic_purity(0.9, rate, 6.0)
    assert result.best_baseline == "forest"
    best = model.purity_over_best_baseline
    assert best.low < over < best.high
    assert np.isnan(result.scorers["forest"].purity_over_best_baseline.value)
    assert result.scorers["guess"].purity_over_cuts.value == pytest.approx(1.0, abs=0.1)
    assert result.scorers["guess"].average_precision.value == pytest.approx(rate, rel=0.15)


def test_cuts_are_measured_on_the_same_sources() -> None:
    made = population()
    result = measure(made, None, resamples=10, seed=1)
    half = result.cuts["half"]
    assert half.completeness.value == 1.0
    assert half.purity.value == pytest.approx(made.mask("lowz").sum() / half.selected)
    assert result.cuts["desi-lowz"].selected == result.sources == 60_000
    assert result.scorers[MODEL].ranked_lists == []
    assert np.isnan(result.scorers[MODEL].headline_completeness.value)


def test_ranked_list_of_twenty_per_square_degree() -> None:
    result = measure(population(), 9.0, resamples=10, seed=1)
    lists = {entry.per_deg2: entry for entry in result.scorers[MODEL].ranked_lists}
    assert lists[20].targets == 180
    assert result.scorers[MODEL].headline_completeness == lists[20].completeness
    assert lists[20].purity.value > 0.9
