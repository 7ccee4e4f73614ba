"""Positions and regions for property tests of the sky."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xsaga.sky.positions import unit_vectors

unhurried = settings(deadline=None)
"""For property tests: how long an example takes depends on what else the machine does."""

DEG2_OF_SKY = 360.0**2 / np.pi

ras = st.floats(0.0, 360.0) | st.sampled_from([0.0, 1e-9, 45.0, 180.0, 359.999999999, 360.0])
decs = st.floats(-90.0, 90.0) | st.sampled_from([-90.0, -41.8103, 0.0, 41.8103, 89.9999, 90.0])


def positions_around(
    ra: float, dec: float, radius: float, number: int, seed: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions scattered evenly over a circle (deg)."""
    random = np.random.default_rng(seed)
    # a cap around the pole, turned to the centre
    height = 1 - random.uniform(0, 1, number) * (1 - np.cos(np.radians(radius)))
    azimuth = random.uniform(0, 2 * np.pi, number)
    across = np.sqrt(1 - height**2)
    colatitude = np.radians(90 - dec)
    x = across * np.cos(azimuth) * np.cos(colatitude) + height * np.sin(colatitude)
    y = across * np.sin(azimuth)
    z = -across * np.cos(azimuth) * np.sin(colatitude) + height * np.cos(colatitude)
    return (np.degrees(np.arctan2(y, x)) + ra) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))


def positions_over_sky(
    number: int, seed: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions scattered evenly over the whole sky (deg)."""
    random = np.random.default_rng(seed)
    return random.uniform(0, 360, number), np.degrees(np.arcsin(random.uniform(-1, 1, number)))


def angles(
    ra: NDArray[np.float64], dec: NDArray[np.float64], centre: tuple[float, float]
) -> NDArray[np.float64]:
    """Angles (deg) from positions to one position, by the formula of Vincenty."""
    a, b = unit_vectors(ra, dec), unit_vectors(*centre)
    sines = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(sines, a @ b))
