"""The brick grid against desiutil, which the surveys use."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from xsaga.sky.brick_grid import N_ROWS, brick_ids, brick_names, columns_per_row

BRICKS = 662_174


@cache
def desi_bricks() -> Any:
    brick = pytest.importorskip("desiutil.brick", reason="compares with desiutil, not installed")
    return brick.Bricks(bricksize=0.25)


def test_positions_all_over_the_sky_lie_in_the_bricks_of_desiutil() -> None:
    random = np.random.default_rng(5)
    ra = random.uniform(0, 360, 200_000)
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, len(ra))))
    np.testing.assert_array_equal(brick_ids(ra, dec), desi_bricks().brickid(ra, dec))


def test_poles_edges_and_the_wrap_are_those_of_desiutil() -> None:
    random = np.random.default_rng(6)
    polar = random.uniform(89.7, 90, 20_000) * random.choice([-1, 1], 20_000)
    edges = -90 + 0.125 * np.arange(1441)
    around_zero = random.uniform(-0.3, 0.3, 20_000)
    for ra, dec in (
        (random.uniform(0, 360, len(polar)), polar),
        (around_zero, random.uniform(-90, 90, len(around_zero))),
        (np.zeros(len(edges)), edges),
        (np.full(len(edges), 360.0), edges),
        (np.full(len(edges), 123.25), edges),
        (np.array([0.0, 10.0, 359.0] * 2), np.array([-90.0] * 3 + [90.0] * 3)),
    ):
        np.testing.assert_array_equal(brick_ids(ra, dec), desi_bricks().brickid(ra, dec))


def test_the_last_position_before_the_wrap_stays_in_its_row() -> None:
    before = np.concatenate([[0], np.cumsum(columns_per_row())])
    dec = np.clip(-90 + 0.25 * np.arange(N_ROWS), -90, 90)
    last = np.full(N_ROWS, np.nextafter(360.0, 0))
    np.testing.assert_array_equal(brick_ids(last, dec), before[1:])


def test_every_brick_has_the_name_that_desiutil_gives_it() -> None:
    known = np.concatenate([np.asarray(names) for names in desi_bricks()._brickname])
    names = brick_names(np.arange(1, BRICKS + 1))
    assert len(known) == BRICKS
    np.testing.assert_array_equal(names, known)


def test_names_keep_the_order_asked_for_and_are_empty_where_there_is_no_brick() -> None:
    assert brick_names([330368, 0, 1, BRICKS + 1, 330368]).tolist() == [
        brick_names([330368])[0],
        "",
        "1800m900",
        "",
        brick_names([330368])[0],
    ]
