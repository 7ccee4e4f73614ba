from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from tests.sky_positions import decs, positions_around, ras, unhurried
from xsaga.sky.ellipses import Ellipses


def one(ra: float, dec: float, radius: float, ratio: float, angle: float) -> Ellipses:
    return Ellipses(*(np.array([float(v)]) for v in (ra, dec, radius, ratio, angle)))


def test_the_position_angle_goes_from_north_through_east() -> None:
    north = one(150, 2, 0.1, 0.2, 0)
    assert north.contains([150, 150.09], [2.09, 2]).tolist() == [True, False]
    northeast = one(150, 2, 0.1, 0.2, 45)
    east_is_left = [150 + 0.06, 150 - 0.06]
    assert northeast.contains(east_is_left, [2.06, 2.06]).tolist() == [True, False]


@unhurried
@given(ras, decs, st.floats(0.001, 1.0), st.floats(0.1, 1.0), st.floats(0, 180))
def test_it_agrees_with_astropy_at_any_place(
    ra: float, dec: float, radius: float, ratio: float, angle: float
) -> None:
    lon, lat = positions_around(ra, dec, 1.3 * radius, 200)
    centre, positions = SkyCoord(ra, dec, unit="deg"), SkyCoord(lon, lat, unit="deg")
    apart, towards = centre.separation(positions), centre.position_angle(positions)
    turned = (towards - angle * u.deg).rad
    across = np.sin(apart.rad) / np.sin(np.radians(radius))
    distance = np.hypot(across * np.cos(turned), across * np.sin(turned) / ratio)
    if ratio == 1:
        distance = apart.deg / radius
    sure = np.abs(distance - 1) > 1e-6
    inside = one(ra, dec, radius, ratio, angle).contains(lon, lat)
    np.testing.assert_array_equal(inside[sure], (distance < 1)[sure])


def test_the_first_of_several_is_told() -> None:
    circles = Ellipses.circles([10, 10.01, 40], [0, 0, 0], [0.02, 0.02, 0.5])
    assert circles.first_around([10.005, 10.025, 40.3, 200], [0, 0, 0, 0]).tolist() == [0, 1, 2, -1]
    assert len(Ellipses.circles([], [], [])) == 0
    assert not Ellipses.circles([], [], []).contains([1.0], [1.0]).any()
    assert len(circles.contains([], [])) == 0


@pytest.mark.parametrize("dec", [-90.0, 0.0, 90.0])
def test_circles_reach_over_ra_zero_and_the_poles(dec: float) -> None:
    circle = Ellipses.circles([0.0], [dec], [0.5])
    ra, lat = positions_around(0.0, dec, 0.49, 50)
    assert circle.contains(ra, lat).all()
