from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.sky_positions import (
    DEG2_OF_SKY,
    decs,
    positions_around,
    positions_over_sky,
    ras,
    unhurried,
)
from xsaga.errors import FootprintError
from xsaga.sky.polygon import Polygon
from xsaga.sky.positions import unit_vectors
from xsaga.sky.shapes import Circle
from xsaga.sky.tiles import tile_pixels

Star = tuple[tuple[float, float], list[tuple[float, float]]]


@st.composite
def stars(draw: st.DrawFn) -> Star:
    """A centre and, around it in order, vertices that it sees: the polygon may be non-convex."""
    centre = draw(ras), draw(decs)
    number = draw(st.integers(4, 12))
    size = draw(st.sampled_from([0.01, 1.0, 30.0, 75.0]))
    reach = [size * draw(st.floats(0.1, 1.0)) for _ in range(number)]
    colatitude, vertices = np.radians(90 - centre[1]), []
    for index, radius in enumerate(np.radians(reach)):
        azimuth = 2 * np.pi * (index + 0.1) / number
        x, y, z = (
            np.sin(radius) * np.cos(azimuth),
            np.sin(radius) * np.sin(azimuth),
            np.cos(radius),
        )
        x, z = (
            x * np.cos(colatitude) + z * np.sin(colatitude),
            z * np.cos(colatitude) - x * np.sin(colatitude),
        )
        ra = (np.degrees(np.arctan2(y, x)) + centre[0]) % 360
        vertices.append((float(ra), float(np.degrees(np.arcsin(np.clip(z, -1, 1))))))
    return centre, vertices


def inside_star(
    star: Star, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Inside one of the triangles of the centre with an edge; and: clear of every edge."""
    positions, middle = unit_vectors(ra, dec), unit_vectors(*star[0])
    corners = unit_vectors(*np.array(star[1]).T)
    result, clear = np.zeros(len(ra), dtype=bool), np.ones(len(ra), dtype=bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normals = np.array([np.cross(middle, start), np.cross(start, end), np.cross(end, middle)])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        sides = positions @ normals.T
        clear &= (np.abs(sides) > 1e-10).all(axis=1)
        result |= (sides > 0).all(axis=1)
    return result, clear


@unhurried
@given(stars(), st.booleans(), st.integers(0, 99))
def test_polygon_is_the_union_of_its_triangles(star: Star, reverse: bool, seed: int) -> None:
    vertices = tuple(reversed(star[1])) if reverse else tuple(star[1])
    reach = min(1.5 * max(angle_to(star, vertex) for vertex in vertices), 180)
    ra, dec = positions_around(*star[0], reach, 500, seed)
    ra, dec = np.append(ra, positions_over_sky(200)[0]), np.append(dec, positions_over_sky(200)[1])
    expected, clear = inside_star(star, ra, dec)
    assert np.array_equal(Polygon(vertices).contains(ra, dec)[clear], expected[clear])


def angle_to(star: Star, vertex: tuple[float, float]) -> float:
    a, b = unit_vectors(*star[0]), unit_vectors(*vertex)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


@unhurried
@given(stars(), st.integers(0, 99))
def test_no_tile_of_a_polygon_is_missed(star: Star, seed: int) -> None:
    polygon = Polygon(tuple(star[1]))
    reach = max(angle_to(star, vertex) for vertex in star[1])
    ra, dec = positions_around(*star[0], reach, 300, seed)
    inside = polygon.contains(ra, dec)
    order = 3 if reach > 10 else 8
    assert np.isin(tile_pixels(ra[inside], dec[inside], order), polygon.tiles(order)).all()


@unhurried
@given(ras)
def test_a_vertex_on_the_same_meridian_does_not_disturb(shift: float) -> None:
    vertices = [(0.0, 0.0), (10.0, -10.0), (20.0, 0.0), (10.0, 10.0), (15.0, 0.0), (10.0, -5.0)]
    polygon = Polygon(tuple(((ra + shift) % 360, dec) for ra, dec in vertices))
    ra = (np.array([10.0, 10.0, 10.0, 10.0, 10.0, 5.0, 12.0, 12.0]) + shift) % 360
    dec = np.array([-9.9, -10.1, -4.9, -5.1, 20.0, 0.0, 0.0, 7.0])
    expected = [True, False, False, True, False, False, False, True]
    assert polygon.contains(ra, dec).tolist() == expected


def test_edges_are_great_circles_and_exact() -> None:
    polygon = Polygon(((10, 0), (20, 0), (20, 10), (10, 10)))
    top = np.degrees(np.arctan(np.tan(np.radians(10)) / np.cos(np.radians(5))))
    assert top > 10.03
    step = 1e-11  # degrees: 0.04 microarcseconds
    ra = np.array([15, 15, 15, 15, 10 - step, 10 + step, 20 - step, 20 + step])
    dec = np.array([top - step, top + step, step, -step, 5, 5, 5, 5])
    assert polygon.contains(ra, dec).tolist() == [True, False] * 2 + [False, True, True, False]


def test_polygon_around_a_pole_holds_the_pole() -> None:
    ring = tuple((float(ra), 60.0) for ra in range(0, 360, 90))
    for vertices in (ring, ring[::-1]):
        assert Polygon(vertices).contains([0, 123, 0, 0], [90, 85, 59, -90]).tolist() == [
            True,
            True,
            False,
            False,
        ]


def test_inside_is_the_smaller_side() -> None:
    ring = tuple((float(ra), -10.0) for ra in range(0, 360, 30))
    assert Polygon(ring).contains([0, 0, 0], [-90, -50, 50]).tolist() == [True, True, False]


def test_a_vertex_may_be_a_pole() -> None:
    for ra_of_pole in (0.0, 200.0):
        polygon = Polygon(((ra_of_pole, 90.0), (350.0, 80.0), (40.0, 80.0)))
        ra, dec = np.array([0, 39, 41, 349, 200]), np.array([89.9, 85, 85, 85, 89])
        assert polygon.contains(ra, dec).tolist() == [True, True, False, False, False]


def test_polygon_wider_than_a_hemisphere() -> None:
    band = [(80, -10), (190, -20), (300, -10), (300, 40), (190, 40), (80, 40)]
    polygon = Polygon(tuple((float(ra), float(dec)) for ra, dec in band))
    ra, dec = positions_over_sky(20_000)
    inside = polygon.contains(ra, dec)
    assert not inside[(ra < 80) | (ra > 300)].any()
    assert inside[(ra > 80) & (ra < 300) & (dec > 0) & (dec < 40)].all()
    assert inside.mean() * DEG2_OF_SKY < DEG2_OF_SKY / 2
    tiles = polygon.tiles(4)
    assert np.isin(tile_pixels(ra[inside], dec[inside], 4), tiles).all()


def test_a_diagonal_divides_a_polygon_without_gap_or_overlap() -> None:
    whole = ((350.0, -5.0), (10.0, -5.0), (12.0, 8.0), (0.0, 2.0), (348.0, 8.0))
    left = (whole[0], whole[3], whole[4])
    right = (whole[0], whole[1], whole[2], whole[3])
    ra, dec = positions_around(0.0, 0.0, 18.0, 20_000)
    parts = [Polygon(part).contains(ra, dec).astype(int) for part in (left, right)]
    assert np.array_equal(sum(parts), Polygon(whole).contains(ra, dec).astype(int))


def test_polygon_with_many_vertices_becomes_a_circle() -> None:
    azimuth = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ra, dec = positions_around(180.0, 0.0, 3.0, 20_000)
    x, y = np.sin(azimuth) * np.tan(np.radians(2)), np.cos(azimuth) * np.tan(np.radians(2))
    corner_ra = 180 + np.degrees(np.arctan(x))
    corner_dec = np.degrees(np.arctan(y * np.cos(np.arctan(x))))
    polygon = Polygon(tuple(zip(corner_ra.tolist(), corner_dec.tolist(), strict=True)))
    assert (polygon.contains(ra, dec) != Circle(180.0, 0.0, 2.0).contains(ra, dec)).sum() < 10


def test_repeated_vertices_are_one() -> None:
    once = Polygon(((0, 0), (10, 0), (5, 8)))
    again = Polygon(((0, 0), (10, 0), (10, 0), (5, 8), (0, 0)))
    ra, dec = positions_around(5.0, 4.0, 10.0, 2000)
    assert np.array_equal(once.contains(ra, dec), again.contains(ra, dec))


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        (((0, 0), (10, 0)), "give three or more different vertices"),
        (((0, 0), (10, 0), (0, 0)), "give three or more different vertices"),
        ((), "give three or more different vertices"),
        (((0, 0), (10, 0), (5, 95)), "polygon, vertex 3: Dec 95 is out of range"),
        (((0, 0), (400, 0), (5, 5)), "polygon, vertex 2: RA 400 is out of range"),
        (((0, 0), (10, 0), (float("nan"), 5)), "polygon, vertex 3: RA nan is out of range"),
        (((0, 0), (10, 10), (10, 0), (0, 10)), "edges 1 and 3 cross"),
        (((0, 0), (10, 0), (20, 0)), "on a line and enclose nothing"),
        (((0, 0), (120, 0), (240, 0)), "cuts the sky in equal halves"),
        (((0, 0), (180, 0), (90, 40)), "neighbouring vertices are 180 degrees apart"),
    ],
)
def test_bad_polygons(vertices: tuple[tuple[float, float], ...], message: str) -> None:
    with pytest.raises(FootprintError, match=message):
        Polygon(vertices)
