from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from tests.evaluated_runs import analytic_purity, calibrated_scores
from xsaga.evaluation.curves import (
    COMPLETENESS_LEVELS,
    CURVE_POINTS,
    RankedSample,
    average_precision,
    completeness_curve,
    fixed_completeness,
    purity_at,
    threshold_curve,
)
from xsaga.evaluation.intervals import PatchBootstrap
from xsaga.model import metrics


def sample_of(score: object, positive: object, labelled: object = None) -> RankedSample:
    values = np.asarray(score, np.float64)
    known = np.ones(len(values), bool) if labelled is None else labelled
    return RankedSample.of(values, positive, known, np.arange(len(values)) % 50)


def test_purity_at_completeness_is_the_analytic_one() -> None:
    lowz = np.arange(400_000) < 20_000
    sample = sample_of(calibrated_scores(lowz, seed=1), lowz)
    for level in COMPLETENESS_LEVELS:
        assert purity_at(sample, level) == pytest.approx(analytic_purity(level, 0.05), abs=0.01)


def test_the_bootstrap_interval_holds_the_analytic_purity() -> None:
    held = []
    for seed in range(20):
        lowz = np.random.default_rng(seed).random(8000) < 0.05
        sample = sample_of(calibrated_scores(lowz, seed), lowz)
        at = fixed_completeness(sample, 0.8, PatchBootstrap.of(50, 200, seed))
        held.append(at.purity.low <= analytic_purity(0.8, 0.05) <= at.purity.high)
    assert sum(held) >= 16  # 19 expected


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60).filter(
        lambda rows: any(positive for _, positive in rows)
    )
)
def test_it_is_what_the_training_metrics_say_where_all_is_known(
    rows: list[tuple[int, bool]],
) -> None:
    score, positive = map(np.array, zip(*rows, strict=True))
    sample = sample_of(score, positive)
    assert average_precision(sample) == pytest.approx(metrics.average_precision(score, positive))
    assert average_precision(sample) == pytest.approx(average_precision_score(positive, score))
    for level in COMPLETENESS_LEVELS:
        assert purity_at(sample, level) == pytest.approx(
            metrics.purity_at_completeness(score, positive, level)
        )


@given(st.permutations(list(range(12))), st.floats(0.5, 3.0))
def test_order_of_rows_and_scale_of_scores_do_not_matter(order: list[int], power: float) -> None:
    score = np.array([9, 9, 8, 7, 7, 7, 6, 5, 4, 3, 2, 1]) / 10
    positive = np.array([1, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0], bool)
    moved = sample_of(score[order] ** power, positive[order])
    for level in COMPLETENESS_LEVELS:
        assert purity_at(moved, level) == purity_at(sample_of(score, positive), level)


def test_sources_of_one_score_are_taken_together() -> None:
    sample = sample_of([0.9, 0.5, 0.5, 0.5, 0.1], [True, True, False, False, False])
    assert purity_at(sample, 0.5) == 1.0
    assert purity_at(sample, 0.9) == 0.5


def test_positives_without_a_score_are_missed() -> None:
    sample = sample_of([0.9, 0.5, np.nan, np.nan], [True, False, True, False])
    assert purity_at(sample, 0.5) == 1.0
    assert np.isnan(purity_at(sample, 0.8))
    at = fixed_completeness(sample, 0.8, PatchBootstrap.of(50, 10, 1))
    assert np.isnan(at.threshold)
    assert at.selected == 0
    assert average_precision(sample) == 0.5


def test_sources_without_a_label_say_nothing_of_purity() -> None:
    labelled = np.array([True, False, False, True])
    sample = sample_of([0.9, 0.8, 0.7, 0.6], [True, False, False, True], labelled)
    assert purity_at(sample, 0.95) == 1.0
    at = fixed_completeness(sample, 0.95, PatchBootstrap.of(50, 10, 1))
    assert at.selected == 4
    assert at.threshold == 0.6


def test_threshold_curve_counts_what_is_at_or_above() -> None:
    sample = sample_of([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    points = {point.threshold: point for point in threshold_curve(sample)}
    assert points[0.5].selected == 3
    assert points[0.5].purity.value == pytest.approx(2 / 3)
    assert points[0.5].completeness.value == 1.0
    assert points[0.52].selected == 1
    assert points[0.98].selected == 0
    assert np.isnan(points[0.98].purity.value)
    assert points[0.98].completeness.value == 0.0


def test_the_curve_is_thinned_and_reaches_the_last_positive() -> None:
    lowz = np.random.default_rng(2).random(20_000) < 0.05
    curve = completeness_curve(sample_of(calibrated_scores(lowz, 3), lowz))
    assert len(curve) <= CURVE_POINTS
    completeness = [point.completeness.value for point in curve]
    assert completeness == sorted(completeness)
    assert completeness[-1] == 1.0
    assert all(point.purity.low <= point.purity.value <= point.purity.high for point in curve)
