from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.catalog.duplicates import (
    Places,
    TileMargins,
    is_among,
    later_neighbours,
    repeated_ids,
)
from xsaga.catalog.matching import BrightObjects, pairs_within
from xsaga.errors import ConfigError
from xsaga.sky.tiles import tile_pixels

ARCSEC = 1 / 3600


def places(ra: list[float], dec: list[float], last: list[bool] | None = None) -> Places:
    n = len(ra)
    return Places(np.arange(n), np.array(ra), np.array(dec), np.array(last or [False] * n))


@given(st.lists(st.integers(-3, 3)))
def test_repeated_ids(values: list[int]) -> None:
    ids, again = repeated_ids(np.array(values, np.int64))
    assert ids.tolist() == sorted(v for v in set(values) if values.count(v) > 1)
    assert again.tolist() == [i for i, v in enumerate(values) if v in values[:i]]


@given(st.lists(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_is_among(values: list[int], some: set[int]) -> None:
    found = is_among(np.array(values, np.int64), np.array(sorted(some), np.int64))
    assert found.tolist() == [v in some for v in values]


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (180.0, 60.0), (10.0, 89.9999), (0.0, -90.0)])
def test_pairs_anywhere_on_the_sky(ra: float, dec: float) -> None:
    step = 0.4 * ARCSEC if dec < 0 else -0.4 * ARCSEC
    pairs = pairs_within([ra, ra, 200.0], [dec, dec + step, 5.0], 0.5)
    assert pairs.tolist() == [[0, 1]]
    assert len(pairs_within([ra, ra], [dec, dec + 1.5 * step], 0.5)) == 0


def test_pairs_through_ra_zero() -> None:
    assert len(pairs_within([359.99995, 0.00005], [0, 0], 0.5)) == 1


def test_earlier_source_stays() -> None:
    chain = places([0, 0, 0, 0], [0, 0.4 * ARCSEC, 0.8 * ARCSEC, 1])
    assert later_neighbours(chain, 0.5).tolist() == [False, True, True, False]


def test_gaia_duplicates_never_win() -> None:
    pair = places([0, 0], [0, 0.1 * ARCSEC], [True, False])
    assert later_neighbours(pair, 0.5).tolist() == [True, False]


@given(
    st.integers(3, 10),
    st.floats(0, 359.99),
    st.floats(-90, 90),
    st.floats(0, 2 * np.pi),
    st.sampled_from([0.1, 0.5, 3.0]),
)
def test_margins_hold_every_close_pair_across_edges(
    order: int, ra: float, dec: float, angle: float, radius: float
) -> None:
    # Put the second source at up to the radius from the first, then compare their tiles.
    reach = 0.99 * radius * ARCSEC
    dec2 = float(np.clip(dec + reach * np.sin(angle), -90, 90))
    ra2 = (ra + reach * np.cos(angle) / max(np.cos(np.radians(dec)), 1e-3)) % 360
    both = places([ra, ra2], [dec, dec2])
    margins = TileMargins(order, radius)
    tile = margins.add(both)
    np.testing.assert_array_equal(tile, tile_pixels(both.ra, both.dec, order))
    close = len(pairs_within(both.ra, both.dec, radius)) == 1
    if close and tile[0] != tile[1]:
        around = margins.without(np.empty(0, np.int64))
        assert 1 in around.of(int(tile[0]), int(tile[0])).order
        assert 0 in around.of(int(tile[1]), int(tile[1])).order
        assert 1 not in margins.without(np.array([1])).of(int(tile[0]), int(tile[0])).order


def test_margins_are_few() -> None:
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    margins = TileMargins(6, 0.5)
    margins.add(places(ra.tolist(), dec.tolist()))
    assert len(margins.without(np.empty(0, np.int64)).tile) < 400


def test_radius_must_be_small() -> None:
    with pytest.raises(ConfigError, match="give 0 to 25"):
        TileMargins(10, 30.0)
    with pytest.raises(ConfigError, match="radius for duplicates -1"):
        TileMargins(6, -1.0)


def test_bright_objects_reach_as_far_as_their_radius() -> None:
    objects = BrightObjects(np.array([0.0, 100]), np.array([0.0, 0]), np.array([10.0, 3600.0]))
    ra = np.array([359.9999, 0.013, 101.9, 102.1, 50])
    near = objects.near(ra, np.zeros(5), 2.0)
    assert near.tolist() == [True, False, True, False, False]
    assert not objects.near([], [], 2.0).any()
