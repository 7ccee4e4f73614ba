"""Where a place lies in the Galaxy, and which of the two surveys observed it."""

from __future__ import annotations

from typing import Literal

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Region = Literal["north", "south"]

NORTH_DEC = 32.375
"""The north of the Legacy Surveys: above this declination in degrees, north of the Galaxy."""


def galactic_coordinates(ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Galactic longitude and latitude in degrees of positions in degrees, each of shape (N,)."""
    galactic = SkyCoord(ra * u.deg, dec * u.deg, frame="icrs").galactic
    return np.asarray(galactic.l.deg), np.asarray(galactic.b.deg)


def region_of(ra: float, dec: float) -> Region:
    """Which survey observed a place: BASS and MzLS ('north') or DECaLS ('south').

    North is Dec > 32.375° on the northern side of the Galactic plane (legacysurvey.org/dr9/
    description). A brick belongs to the region of its centre.
    """
    if dec <= NORTH_DEC:
        return "south"
    _, latitude = galactic_coordinates(np.array([ra]), np.array([dec]))
    return "north" if latitude[0] > 0 else "south"
