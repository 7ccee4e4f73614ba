"""Circles and boxes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import FootprintError
from xsaga.sky.positions import (
    check_dec,
    check_position,
    check_ra,
    check_radius,
    chord,
    separation,
    unit_vectors,
)
from xsaga.sky.region import MARGIN, Shape


@dataclass(frozen=True)
class Circle(Shape):
    """All positions within `radius` of a centre.

    Parameters
    ----------
    ra, dec : float
        Centre in degrees.
    radius : float
        Degrees, above 0 and at most 180.

    Raises
    ------
    FootprintError
        When a value is out of range.
    """

    ra: float
    dec: float
    radius: float

    def __post_init__(self) -> None:
        where = f"circle {self.ra:g},{self.dec:g},{self.radius:g}"
        check_position(self.ra, self.dec, where)
        check_radius(self.radius, where)

    def inside(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `Region.inside`."""
        result = np.abs(dec - self.dec) <= self.radius + MARGIN  # spares most sources the sines
        rows = np.flatnonzero(result)
        offsets = unit_vectors(ra[rows], dec[rows]) - unit_vectors(self.ra, self.dec)
        result[rows] = np.square(offsets).sum(axis=1) <= chord(self.radius) ** 2
        return result

    def near(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], distance: float
    ) -> NDArray[np.bool_]:
        """See `Shape.near`."""
        angles = separation(unit_vectors(ra, dec), unit_vectors(self.ra, self.dec))
        return angles <= self.radius + distance

    def describe(self) -> dict[str, object]:
        """See `Region.describe`."""
        return {"kind": "circle", **asdict(self)}


@dataclass(frozen=True)
class Box(Shape):
    """All positions between two right ascensions and two declinations, limits included.

    Parameters
    ----------
    ra_min, ra_max : float
        Degrees. The box reaches from `ra_min` eastward to `ra_max`, through RA = 0 when
        `ra_min` > `ra_max`; limits that are 360 or more apart mean every right ascension.
    dec_min, dec_max : float
        Degrees, `dec_min` < `dec_max`.

    Raises
    ------
    FootprintError
        When a value is out of range or the box is empty.
    """

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float

    def __post_init__(self) -> None:
        where = f"box {self.ra_min:g},{self.ra_max:g},{self.dec_min:g},{self.dec_max:g}"
        for ra in (self.ra_min, self.ra_max):
            check_ra(ra, where)
        for dec in (self.dec_min, self.dec_max):
            check_dec(dec, where)
        if self.dec_min >= self.dec_max:
            raise FootprintError(f"{where}: it is empty: give DEC_MIN below DEC_MAX")
        if not _all_around(self.ra_min, self.ra_max) and self.ra_min % 360 == self.ra_max % 360:
            raise FootprintError(f"{where}: it is empty: give RA_MIN and RA_MAX that differ")

    def inside(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `Region.inside`."""
        rows: NDArray[np.bool_] = (dec >= self.dec_min) & (dec <= self.dec_max)
        return rows & _within_ra(ra, self.ra_min, self.ra_max)

    def near(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], distance: float
    ) -> NDArray[np.bool_]:
        """See `Shape.near`."""
        return near_box(ra, dec, distance, (self.ra_min, self.ra_max), (self.dec_min, self.dec_max))

    def describe(self) -> dict[str, object]:
        """See `Region.describe`."""
        return {"kind": "box", **asdict(self)}


def near_box(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    distance: float,
    ra_limits: tuple[float, float],
    dec_limits: tuple[float, float],
) -> NDArray[np.bool_]:
    """Which positions are within a distance of a range of RA and Dec or inside it.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (N,)
        Degrees.
    distance : float
        Degrees.
    ra_limits, dec_limits : (float, float)
        As of `Box`, but equal limits are allowed: the range is a line or a point then.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    # Due north or south of the box, or inside it, the way to it runs along a meridian. From
    # elsewhere the nearest point is on the side that is nearer in RA: an arc of a meridian.
    along_meridian = np.maximum(dec_limits[0] - dec, dec - dec_limits[1])
    to_side = np.minimum(*(_meridian_distance(ra, dec, side, dec_limits) for side in ra_limits))
    return np.where(_within_ra(ra, *ra_limits), along_meridian, to_side) <= distance


def _meridian_distance(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    meridian: float,
    dec_limits: tuple[float, float],
) -> NDArray[np.float64]:
    """Degrees from positions to the arc of one meridian between two declinations."""
    vectors = unit_vectors(ra - meridian, dec)
    # the foot of the perpendicular on the whole great circle, from its own side of the poles
    foot = np.degrees(np.arctan2(vectors[:, 2], vectors[:, 0]))
    beyond = (foot < dec_limits[0]) | (foot > dec_limits[1])
    to_circle = np.degrees(np.arcsin(np.clip(np.abs(vectors[:, 1]), 0.0, 1.0)))
    to_ends = np.minimum(*(separation(vectors, unit_vectors(0.0, end)) for end in dec_limits))
    return np.where(beyond, to_ends, to_circle)


def _all_around(ra_min: float, ra_max: float) -> bool:
    return ra_max - ra_min >= 360.0


def _within_ra(ra: NDArray[np.float64], ra_min: float, ra_max: float) -> NDArray[np.bool_]:
    if _all_around(ra_min, ra_max):
        return np.ones(len(ra), dtype=np.bool_)
    # Remainders of values that are in 0…360 already are exact: limits mean what they say.
    ra, west, east = ra % 360.0, ra_min % 360.0, ra_max % 360.0
    if west <= east:
        return (ra >= west) & (ra <= east)
    return (ra >= west) | (ra <= east)
