from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xsaga.targets.separation import thinned


def test_one_that_is_close_only_to_a_dropped_one_is_kept() -> None:
    pairs = np.array([[1, 0], [1, 2]])  # a chain: 0 drops 1, so 2 has no neighbour left
    assert thinned(pairs, 4).tolist() == [-1, 0, -1, -1]


def test_the_best_neighbour_is_named() -> None:
    assert thinned(np.array([[2, 1], [2, 0]]), 3).tolist() == [-1, -1, 0]
    assert thinned(np.empty((0, 2), np.int64), 2).tolist() == [-1, -1]


@given(
    st.integers(1, 25).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(
                st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(
                    lambda pair: pair[0] != pair[1]
                ),
                max_size=60,
            ),
        )
    )
)
def test_it_is_what_going_down_the_list_one_by_one_gives(
    case: tuple[int, list[tuple[int, int]]],
) -> None:
    count, listed = case
    pairs = np.array(listed, dtype=np.int64).reshape(-1, 2)
    near: dict[int, set[int]] = {row: set() for row in range(count)}
    for a, b in listed:
        near[a].add(b)
        near[b].add(a)
    kept: set[int] = set()
    wanted = []
    for row in range(count):
        beside = sorted(near[row] & kept)
        wanted.append(beside[0] if beside else -1)
        if not beside:
            kept.add(row)
    assert thinned(pairs, count).tolist() == wanted
