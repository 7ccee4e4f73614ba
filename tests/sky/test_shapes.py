from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sky_positions import angles, decs, positions_around, positions_over_sky, ras, unhurried
from xsaga.sky.region import Region, WholeCatalog
from xsaga.sky.shapes import Box, Circle
from xsaga.sky.tiles import tile_pixels

circles = st.builds(Circle, ras, decs, st.floats(1e-4, 180.0))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    ra_min, ra_max = draw(ras), draw(ras)
    dec_min = draw(st.floats(-90.0, 89.9))
    dec_max = draw(st.floats(dec_min + 0.01, 90.0))
    if ra_min % 360 == ra_max % 360:
        ra_min, ra_max = 0.0, 360.0
    return Box(ra_min, ra_max, dec_min, dec_max)


def assert_tiles_hold(region: Region, ra: np.ndarray, dec: np.ndarray, order: int) -> None:
    inside = region.contains(ra, dec)
    tiles = region.tiles(order)
    assert tiles is not None
    assert np.all(np.diff(tiles) > 0)
    assert np.isin(tile_pixels(ra[inside], dec[inside], order), tiles).all()


@unhurried
@given(circles, st.integers(3, 7), st.integers(0, 99))
def test_no_tile_of_a_circle_is_missed(circle: Circle, order: int, seed: int) -> None:
    order = order if circle.radius < 20 else 3
    ra, dec = positions_around(circle.ra, circle.dec, min(1.2 * circle.radius, 180), 300, seed)
    assert_tiles_hold(circle, ra, dec, order)


@unhurried
@given(circles, st.integers(0, 99))
def test_circle_holds_what_is_within_its_radius(circle: Circle, seed: int) -> None:
    ra, dec = positions_around(circle.ra, circle.dec, min(1.5 * circle.radius, 180), 300, seed)
    distance = angles(ra, dec, (circle.ra, circle.dec))
    clear = np.abs(distance - circle.radius) > 1e-6
    expected = distance <= circle.radius
    assert np.array_equal(circle.contains(ra, dec)[clear], expected[clear])


def test_tiny_circle_is_exact_to_a_microarcsecond() -> None:
    circle, microarcsec = Circle(10.0, 60.0, 1 / 3600), 1e-6 / 3600
    dec = 60.0 + 1 / 3600 + np.array([-microarcsec, microarcsec])
    assert circle.contains([10.0, 10.0], dec).tolist() == [True, False]


def test_circle_over_the_pole_and_through_zero() -> None:
    over_pole = Circle(0.0, 89.0, 2.0)
    assert over_pole.contains([0, 180, 180], [90, 89.5, 88.5]).tolist() == [True, True, False]
    through_zero = Circle(359.9, 0.0, 0.5)
    assert through_zero.contains([0.3, 0.5, -0.2, 359.5], [0, 0, 0, 0]).tolist() == [
        True,
        False,
        True,
        True,
    ]


def test_circle_tiles_are_few() -> None:
    tiles = Circle(180.0, 30.0, 10.0).tiles(6)
    assert tiles is not None
    area = 2 * np.pi * (1 - np.cos(np.radians(10))) * np.degrees(1) ** 2
    assert area / 0.84 < len(tiles) < 1.25 * area / 0.84


@unhurried
@given(boxes(), st.integers(0, 99))
def test_no_tile_of_a_box_is_missed(box: Box, seed: int) -> None:
    random = np.random.default_rng(seed)
    width = 360.0 if box.ra_max - box.ra_min == 360 else (box.ra_max - box.ra_min) % 360
    ra = (box.ra_min + width * np.r_[0, 1, random.uniform(0, 1, 200)]) % 360
    dec = random.uniform(box.dec_min, box.dec_max, 202)
    dec[:4] = box.dec_min, box.dec_max, box.dec_min, box.dec_max
    order = 6 if width * (box.dec_max - box.dec_min) < 1000 else 3
    assert_tiles_hold(box, ra, dec, order)


def test_box_limits_mean_what_they_say() -> None:
    box = Box(10.1, 20.3, -5.7, 5.2)
    ra = np.array([10.1, 20.3, np.nextafter(10.1, 0), np.nextafter(20.3, 99), 15, 15])
    dec = np.array([-5.7, 5.2, 0, 0, np.nextafter(-5.7, -9), np.nextafter(5.2, 9)])
    assert box.contains(ra, dec).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("limits", [(350, 10), (-10, 10), (350, 370 - 360)])
def test_box_through_zero(limits: tuple[float, float]) -> None:
    box = Box(*limits, -1, 1)
    ra = np.array([349.9, 350, 355, -5, 0, 360, 10, 10.1, 180])
    assert box.contains(ra, np.zeros(9)).tolist() == [False] + 6 * [True] + 2 * [False]


@pytest.mark.parametrize("limits", [(0, 360), (-180, 180), (-20, 350)])
def test_box_all_around(limits: tuple[float, float]) -> None:
    ra, dec = positions_over_sky(1000)
    assert np.array_equal(Box(*limits, -30, 10).contains(ra, dec), (dec >= -30) & (dec <= 10))


def test_box_up_to_360_holds_zero_but_not_beyond() -> None:
    box = Box(350, 360, -1, 1)
    assert box.contains([350, 360, 0, 0.001], [0, 0, 0, 0]).tolist() == [True, True, True, False]


@pytest.mark.parametrize("region", [Circle(0, 0, 180), Box(0, 360, -90, 90), WholeCatalog()])
def test_what_is_not_on_the_sky_is_never_inside(region: Region) -> None:
    ra = np.array([np.nan, 1, np.inf, 1, -np.inf, np.nan, 1, 1, 361, 1])
    dec = np.array([1, np.nan, 1, np.inf, 1, np.nan, 90.1, -90.1, 1, 1])
    assert region.contains(ra, dec).tolist() == 9 * [False] + [True]


def test_no_positions_at_all() -> None:
    assert Circle(0, 0, 1).contains([], []).tolist() == []


def test_big_endian_float32_columns_are_positions_too() -> None:
    ra, dec = np.array([10, 20], dtype=">f4"), np.array([0, 0], dtype=">f4")
    assert Circle(10, 0, 1).contains(ra, dec).tolist() == [True, False]
