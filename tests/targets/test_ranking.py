from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.target_samples import scored_sources
from xsaga.errors import TargetsError
from xsaga.targets.ranking import rank_sources


def scores(ids: list[int], probabilities: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source_id": np.array(ids, dtype=np.int64),
            "p_lowz": np.array(probabilities, dtype=np.float32),
        }
    )


def test_best_first_and_equal_probabilities_by_id() -> None:
    ranked = rank_sources(scores([9, 3, 7, 5], [0.2, 0.9, 0.2, 0.2]))
    assert ranked["source_id"].tolist() == [3, 5, 7, 9]
    assert ranked["rank"].tolist() == [1, 2, 3, 4]
    assert ranked.index.tolist() == [0, 1, 2, 3]


def test_flagged_sources_come_last_if_asked_for() -> None:
    frame = scores([1, 2, 3, 4], [0.9, 0.8, 0.05, 0.6]).assign(
        score_flags=np.array([32, 1, 0, 33], dtype=np.int32)
    )
    assert rank_sources(frame, last_flags=32)["source_id"].tolist() == [2, 3, 1, 4]
    assert rank_sources(frame)["source_id"].tolist() == [1, 2, 4, 3]
    with pytest.raises(TargetsError, match="no column score_flags"):
        rank_sources(frame.drop(columns="score_flags"), last_flags=32)


def test_other_columns_stay_with_their_source_and_the_input_is_left_alone() -> None:
    scored = scored_sources(20)
    before = scored.copy()
    ranked = rank_sources(scored)
    pd.testing.assert_frame_equal(scored, before)
    again = ranked.set_index("source_id").loc[scored["source_id"]].reset_index()
    pd.testing.assert_frame_equal(again[list(scored.columns)], scored)


def test_no_targets_give_an_empty_list_with_all_columns() -> None:
    ranked = rank_sources(scores([], []))
    assert len(ranked) == 0
    assert ranked["rank"].dtype == np.int64


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.99, 1.0])
        ),
        max_size=30,
        unique_by=lambda pair: pair[0],
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_rows_does_not_matter(
    pairs: list[tuple[int, float]], random: np.random.Generator
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    ranked, again = (
        rank_sources(scores([i for i, _ in each], [p for _, p in each]))
        for each in (pairs, shuffled)
    )
    pd.testing.assert_frame_equal(ranked, again)
    assert (np.diff(ranked["p_lowz"]) <= 0).all()
    assert ranked["rank"].tolist() == list(range(1, len(pairs) + 1))


@pytest.mark.parametrize("wrong", [np.nan, -0.01, 1.5, np.inf])
def test_impossible_probabilities_are_refused_by_id(wrong: float) -> None:
    with pytest.raises(TargetsError, match=r"source_id 42:"):
        rank_sources(scores([41, 42, 43], [0.5, wrong, 0.1]))


def test_repeated_ids_are_refused_by_name_and_counted() -> None:
    ids = [value for value in range(100, 108) for _ in range(2)] + [7]
    with pytest.raises(TargetsError, match=r"source_id 100, 101, 102, 103, 104 and 3 more") as info:
        rank_sources(scores(ids, [0.5] * len(ids)))
    assert "\n" not in str(info.value)


def test_ids_that_may_have_been_rounded_are_refused() -> None:
    frame = scores([1, 2], [0.1, 0.2]).astype({"source_id": float})
    with pytest.raises(TargetsError, match="source_id is float64"):
        rank_sources(frame)


def test_probabilities_that_are_not_numbers_are_refused() -> None:
    frame = pd.DataFrame({"source_id": np.array([1, 2]), "p_lowz": ["0.1", "0.2"]})
    with pytest.raises(TargetsError, match="p_lowz is"):
        rank_sources(frame)


@pytest.mark.parametrize("column", ["source_id", "p_lowz"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(TargetsError, match=f"no column {column}"):
        rank_sources(scores([1], [0.5]).drop(columns=column))
