"""Positions on the sphere: which are valid, their unit vectors, angles between them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.errors import FootprintError

RA_MIN, RA_MAX = -180.0, 360.0
"""Right ascensions that are accepted: both the 0…360 and the −180…180 convention."""


def valid_positions(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
    """Which positions are on the sky at all.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Degrees; NaN and infinities are allowed and not valid.

    Returns
    -------
    ndarray of bool, shape (N,)
        Finite, −180 ≤ RA ≤ 360 and −90 ≤ Dec ≤ 90.
    """
    ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    valid: NDArray[np.bool_] = (ra >= RA_MIN) & (ra <= RA_MAX) & (np.abs(dec) <= 90.0)
    return valid


def normalised_ra(ra: ArrayLike) -> NDArray[np.float64]:
    """Right ascensions in [0, 360), of ones from −180 to 360 degrees."""
    ra = np.asarray(ra, np.float64)
    wrapped = np.where(ra < 0, ra + 360.0, ra)
    return np.where(wrapped >= 360.0, wrapped - 360.0, wrapped)


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Cartesian unit vectors, shape (N, 3), of positions in degrees."""
    lon, lat = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    cos_lat = np.cos(lat)
    return np.stack([cos_lat * np.cos(lon), cos_lat * np.sin(lon), np.sin(lat)], axis=-1)


def chord(angle: float) -> float:
    """Straight distance between two points of the unit sphere that are `angle` degrees apart.

    Chords, unlike cosines, stay exact for separations of milliarcseconds.
    """
    return 2.0 * math.sin(math.radians(min(angle, 180.0)) / 2.0)


def separation(vectors: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in degrees, shape (N,), between unit vectors (N, 3) and one unit vector (3,)."""
    lengths = np.sqrt(np.square(vectors - centre).sum(axis=-1))
    angles: NDArray[np.float64] = np.degrees(2.0 * np.arcsin(np.minimum(lengths / 2.0, 1.0)))
    return angles


def check_position(ra: float, dec: float, where: str) -> None:
    """Refuse one position that is not on the sky.

    Parameters
    ----------
    ra, dec : float
        Degrees.
    where : str
        What the position belongs to, for the message.

    Raises
    ------
    FootprintError
        When RA or Dec is not a number or out of range.
    """
    check_ra(ra, where)
    check_dec(dec, where)


def check_ra(ra: float, where: str) -> None:
    """Refuse a right ascension outside −180…360; see `check_position`."""
    if not RA_MIN <= ra <= RA_MAX:
        raise FootprintError(
            f"{where}: RA {ra:g} is out of range: give degrees from {RA_MIN:g} to {RA_MAX:g}"
        )


def check_dec(dec: float, where: str) -> None:
    """Refuse a declination outside ±90; see `check_position`."""
    if not -90.0 <= dec <= 90.0:
        raise FootprintError(f"{where}: Dec {dec:g} is out of range: give degrees from -90 to 90")


def check_radius(radius: float, where: str) -> None:
    """Refuse a radius that is not above 0 and at most 180 degrees.

    Raises
    ------
    FootprintError
        When it is not, or not a number.
    """
    if not 0.0 < radius <= 180.0:
        raise FootprintError(
            f"{where}: radius {radius:g} is out of range: give degrees above 0, at most 180"
        )
