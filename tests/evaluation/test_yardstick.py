from __future__ import annotations

import numpy as np
import pytest

from xsaga.evaluation.yardstick import PUBLISHED, ranked_lists


def test_lists_hold_the_best_scores_of_the_area() -> None:
    count = 1000
    score = np.linspace(1, 0, count)
    lowz = np.zeros(count, bool)
    lowz[[0, 1, 3, 8, 30, 99, 400]] = True
    near = lowz & (np.arange(count) < 100)  # 6 of them
    lists = ranked_lists(score, np.arange(count), lowz, near, np.ones(count, bool), 2.0)
    by_density = {entry.per_deg2: entry for entry in lists}
    assert [entry.targets for entry in lists] == [4, 10, 20, 40, 100]
    assert by_density[2].purity.value == pytest.approx(3 / 4)
    assert by_density[5].completeness.value == pytest.approx(4 / 6)
    assert by_density[50].purity.value == pytest.approx(6 / 100)
    assert by_density[50].completeness.value == 1.0


def test_equal_scores_are_ordered_by_id_as_targets_are() -> None:
    ids = np.array([7, 3, 5, 1])
    lowz = np.array([False, True, False, True])
    lists = ranked_lists(np.full(4, 0.5), ids, lowz, lowz, np.ones(4, bool), 1.0)
    assert lists[0].targets == 2
    assert lists[0].purity.value == 1.0


def test_a_list_ends_with_the_scored_sources() -> None:
    score = np.array([0.9, np.nan, 0.8, np.nan])
    lowz = np.array([True, True, False, False])
    lists = ranked_lists(score, np.arange(4), lowz, lowz, np.array([1, 1, 0, 1], bool), 1.0)
    assert lists[-1].targets == 2
    assert lists[-1].completeness.value == 0.5
    assert lists[-1].purity.value == 1.0  # the other one has no label


def test_the_published_lists_are_those_of_the_facts() -> None:
    assert [(p.per_deg2, p.completeness, p.purity) for p in PUBLISHED] == [
        (2, 0.64, 0.376),
        (5, 0.81, 0.231),
        (10, 0.92, 0.140),
        (20, 0.94, 0.076),
        (50, 0.97, 0.032),
    ]
