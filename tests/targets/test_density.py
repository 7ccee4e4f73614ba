from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.sky_positions import unhurried
from xsaga.targets.density import PixelAreas, evenly_dense


def everyone(count: int) -> np.ndarray:
    return np.ones(count, dtype=bool)


def test_each_pixel_takes_its_own_share_though_another_has_better_sources() -> None:
    areas = PixelAreas(1, np.array([0, 1]), np.array([1.0, 1.0]))
    pixel = np.array([0, 0, 0, 0, 1, 1, 1])  # best first: pixel 0 has the best four
    chosen = evenly_dense(pixel, everyone(7), 2, areas)
    assert np.flatnonzero(chosen).tolist() == [0, 1, 4, 5]


def test_what_a_pixel_cannot_fill_spills_to_its_siblings_before_others() -> None:
    # pixels 0 and 1 are siblings in pixel 0 of order 0; pixel 4 is not
    areas = PixelAreas(1, np.array([0, 1, 4]), np.array([1.0, 1.0, 1.0]))
    pixel = np.array([4, 4, 4, 4, 1, 1, 1, 1, 0])
    chosen = evenly_dense(pixel, everyone(9), 2, areas)
    # pixel 0 has one source of its two: the best of what is left in pixel 1 takes the place
    assert np.flatnonzero(chosen).tolist() == [0, 1, 4, 5, 6, 8]


def test_fractions_add_up_to_the_density() -> None:
    areas = PixelAreas(2, np.arange(16), np.full(16, 0.3))
    pixel = np.tile(np.arange(16), 5)
    chosen = evenly_dense(pixel, everyone(80), 2.0, areas)
    assert chosen.sum() == round(16 * 0.3 * 2)
    assert np.bincount(pixel[chosen], minlength=16).max() <= 1


def test_sources_that_may_not_be_chosen_leave_their_place_to_the_next() -> None:
    areas = PixelAreas(0, np.array([3]), np.array([2.0]))
    may = np.array([False, True, False, True, True])
    chosen = evenly_dense(np.full(5, 3), may, 1.0, areas)
    assert np.flatnonzero(chosen).tolist() == [1, 3]


def test_no_area_and_no_sources_choose_nothing() -> None:
    nowhere = PixelAreas(5, np.empty(0, np.int64), np.empty(0))
    assert not evenly_dense(np.array([7, 8]), everyone(2), 20, nowhere).any()
    somewhere = PixelAreas(5, np.array([1]), np.array([3.0]))
    assert len(evenly_dense(np.empty(0, np.int64), everyone(0), 20, somewhere)) == 0


@unhurried
@given(
    st.integers(0, 2**32),
    st.floats(0.1, 30.0),
    st.integers(0, 4),
    st.integers(0, 400),
)
def test_the_number_is_density_times_area_and_no_pixel_is_starved(
    seed: int, per_deg2: float, order: int, count: int
) -> None:
    random = np.random.default_rng(seed)
    pixels = np.sort(random.choice(12 * 4**order, min(10, 12 * 4**order), replace=False))
    areas = PixelAreas(order, pixels.astype(np.int64), random.uniform(0.01, 3, len(pixels)))
    pixel = random.choice(areas.pixels, count)
    may = random.uniform(size=count) < 0.7
    chosen = evenly_dense(pixel, may, per_deg2, areas)
    assert not (chosen & ~may).any()
    assert chosen.sum() == min(may.sum(), np.floor(per_deg2 * areas.total_deg2 + 0.5))
    for each, area in zip(areas.pixels, areas.area_deg2, strict=True):
        here = pixel == each
        share = min((may & here).sum(), np.floor(per_deg2 * area + 1e-9))
        assert (chosen & here).sum() >= share
        best = np.flatnonzero(may & here)[: (chosen & here).sum()]
        assert chosen[best].all()  # within a pixel the better one is always taken first
