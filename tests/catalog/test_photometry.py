from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xsaga.catalog import photometry as ph

ANY_FLOATS = arrays(np.float32, 5, elements=st.floats(width=32))


def test_magnitudes_by_hand() -> None:
    flux = np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(ph.magnitudes(flux), [22.5, 20.0, 17.5])
    # A source seen through 40 % transmission is intrinsically 0.995 mag brighter.
    np.testing.assert_allclose(ph.magnitudes(flux, 0.4), [21.50515, 19.00515, 16.50515], atol=1e-5)


def test_magnitude_error_by_hand() -> None:
    # flux 10 ± 1 is 10 %: 1.0857 · 0.1
    error = ph.magnitude_errors(np.array([10.0]), np.array([1.0]))
    np.testing.assert_allclose(error, [0.108574], atol=1e-6)


@given(ANY_FLOATS, ANY_FLOATS, ANY_FLOATS)
def test_nothing_raises_or_warns(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mag = ph.magnitudes(a, b)
        error = ph.magnitude_errors(a, b)
        ph.flux_ivars(ph.fluxes(a), b)
        ph.errors_of_ivars(a)
        ph.surface_brightness(a, b)
        ph.surface_brightness_errors(a, b, c)
        ph.radius_of_surface_brightness(a, b)
        ph.transmission_of_ebv(a, "r")
        ph.axis_ratios(a, b)
    assert np.isnan(mag[~(a > 0) | ~(b > 0)]).all()
    assert np.isnan(error[~(a > 0) | ~(b > 0)]).all()
    assert not np.isinf(mag).any()


@given(st.floats(10, 25), st.floats(0.001, 0.5))
def test_fluxes_and_magnitudes_are_inverse(mag: float, error: float) -> None:
    flux = ph.fluxes(np.array([mag]))
    np.testing.assert_allclose(ph.magnitudes(flux), [mag], rtol=1e-12)
    ivar = ph.flux_ivars(flux, np.array([error]))
    np.testing.assert_allclose(ph.magnitude_errors(flux, ivar), [error], rtol=1e-9)


def test_extinction_coefficients() -> None:
    ebv = np.array([0.1])
    for band, a in (("g", 0.3214), ("r", 0.2165), ("i", 0.1592), ("z", 0.1211)):
        np.testing.assert_allclose(ph.transmission_of_ebv(ebv, band), 10 ** (-0.4 * a))


def test_axis_ratio() -> None:
    ratio = ph.axis_ratios(np.array([0.0, 0.3, 0.8]), np.array([0.0, 0.4, 0.9]))
    np.testing.assert_allclose(ratio[:2], [1.0, 1 / 3])
    assert np.isnan(ratio[2])


def test_surface_brightness_by_hand() -> None:
    # R = 2": 2π·4 = 25.13 arcsec², 2.5 log10 = 3.5006
    np.testing.assert_allclose(
        ph.surface_brightness(np.array([20.0]), np.array([2.0])), [23.5006], atol=1e-4
    )
    assert np.isnan(ph.surface_brightness(np.array([20.0]), np.array([0.0])))[0]
    error = ph.surface_brightness_errors(np.array([0.03]), np.array([2.0]), np.array([0.1]))
    np.testing.assert_allclose(error, [np.hypot(0.03, 5 / np.log(10) * 0.05)])


def test_unknown_error_of_one_part_counts_as_nothing() -> None:
    nan, two = np.array([np.nan]), np.array([2.0])
    assert ph.surface_brightness_errors(np.array([0.03]), two, nan)[0] == pytest.approx(0.03)
    assert np.isnan(ph.surface_brightness_errors(nan, two, nan))[0]


@given(st.floats(12, 22), st.floats(0.1, 30))
def test_radius_from_surface_brightness(mag: float, radius: float) -> None:
    m, r = np.array([mag]), np.array([radius])
    np.testing.assert_allclose(
        ph.radius_of_surface_brightness(m, ph.surface_brightness(m, r)), r, rtol=1e-9
    )
