from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.report.sky_map import sky_map

FIELDS = [(0.0, 0.7), (180.0, -45.0), (359.99, 30.0), (10.0, 89.9), (200.0, -89.95)]


def field(ra: float, dec: float, radius: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Positions on a circle around a centre that is not itself a pole."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    lon, lat, size = np.deg2rad(ra), np.deg2rad(dec), np.deg2rad(radius)
    sine = np.sin(lat) * np.cos(size) + np.cos(lat) * np.sin(size) * np.cos(angle)
    east = np.arctan2(np.sin(angle) * np.sin(size) * np.cos(lat), np.cos(size) - np.sin(lat) * sine)
    return np.rad2deg(lon + east) % 360, np.rad2deg(np.arcsin(np.clip(sine, -1, 1)))


@given(
    st.lists(
        st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90)), min_size=1, max_size=20
    )
)
def test_every_target_is_inside_the_frame(positions: list[tuple[float, float]]) -> None:
    ra, dec = np.array(positions).T
    drawn = sky_map(ra, dec, np.ones(len(ra), dtype=np.int16))
    assert len(drawn.points) == len(ra)
    assert all(0 <= p.x <= drawn.width and 0 <= p.y <= drawn.height for p in drawn.points)


@pytest.mark.parametrize(("ra", "dec"), FIELDS)
def test_a_circle_stays_a_circle_wherever_it_is(ra: float, dec: float) -> None:
    drawn = sky_map(*field(ra, dec), np.ones(40, dtype=np.int16))
    x = np.array([point.x for point in drawn.points])
    y = np.array([point.y for point in drawn.points])
    distance = np.hypot(x - x.mean(), y - y.mean())
    assert distance.min() > 0.98 * distance.max()
    assert distance.max() > 0.4 * drawn.height


def test_north_is_up_and_east_is_left_across_ra_0() -> None:
    ra = np.array([0.1, 359.9, 0.0, 0.0])
    dec = np.array([0.0, 0.0, 0.1, -0.1])
    drawn = sky_map(ra, dec, np.array([1, 2, 3, 4], dtype=np.int16))
    at = {point.tier: point for point in drawn.points}
    assert at[1].x < at[2].x
    assert at[3].y < at[4].y


def test_the_best_target_is_drawn_last() -> None:
    drawn = sky_map(np.array([1.0, 2.0]), np.array([0.0, 0.0]), np.array([1, 3], dtype=np.int16))
    assert [point.tier for point in drawn.points] == [3, 1]


@pytest.mark.parametrize(("ra", "dec"), FIELDS)
def test_there_are_a_few_labelled_lines(ra: float, dec: float) -> None:
    drawn = sky_map(*field(ra, dec), np.ones(40, dtype=np.int16))
    for lines in (drawn.meridians, drawn.parallels):
        assert 1 <= len(lines) <= 12
        labels = [line.label for line in lines]
        assert len(set(labels)) == len(labels)
        assert all(label.endswith("°") for label in labels)


def test_lines_pass_through_the_targets_that_lie_on_them() -> None:
    drawn = sky_map(np.array([0.0, 359.0, 1.0]), np.array([10.0, 9.5, 10.5]), np.ones(3, np.int16))
    target = drawn.points[-1]
    for lines, label in ((drawn.meridians, "0°"), (drawn.parallels, "10°")):
        line = next(line for line in lines if line.label == label)
        points = np.array([pair.split(",") for pair in line.points.split()], dtype=float)
        distance = np.hypot(points[:, 0] - target.x, points[:, 1] - target.y)
        assert distance.min() < 5


def test_no_target_gives_an_empty_map() -> None:
    nothing = np.zeros(0)
    assert sky_map(nothing, nothing, nothing.astype(np.int16)).points == ()
