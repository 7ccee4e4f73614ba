"""Where targets and grid lines go on a map of the sky, for the page to draw as SVG.

The projection is Lambert's azimuthal equal-area one (Snyder 1987, USGS Professional Paper 1395,
equations 24-2 to 24-4 and 20-14 to 20-15) centred on the targets, so that fields at RA = 0 and at
the poles look like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 45.0, 60.0)
_MOST_LINES = 6
_LINE_SAMPLES = 181
_FRAME_SAMPLES = 25
_MARGIN = 1.1
_SMALLEST_FIELD = np.deg2rad(0.02)


@dataclass(frozen=True)
class Line:
    """A line of the grid.

    Parameters
    ----------
    points : str
        Its course as SVG writes it.
    label : str
        Its coordinate in degrees.
    x, y : float
        Where the label goes: the lowest visible point of a meridian, the leftmost of a parallel.
    at_frame : bool
        Whether the line ends at the frame there, so that the label fits outside of it.
    """

    points: str
    label: str
    x: float
    y: float
    at_frame: bool


@dataclass(frozen=True)
class Point:
    """A target."""

    x: float
    y: float
    tier: int


@dataclass(frozen=True)
class SkyMap:
    """Targets on the sky, north up and east to the left.

    Parameters
    ----------
    width, height : float
        Size of the plotting area in SVG units.
    points : tuple of Point
        Targets, the best last so that they lie on top.
    meridians, parallels : tuple of Line
        Lines of constant right ascension and declination.
    """

    width: float
    height: float
    points: tuple[Point, ...]
    meridians: tuple[Line, ...]
    parallels: tuple[Line, ...]


@dataclass(frozen=True)
class _Frame:
    """The projection with its scale: sky in radians to SVG units and back."""

    ra: float
    dec: float
    middle_x: float
    middle_y: float
    scale: float
    width: float
    height: float

    def place(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        x, y = _project(ra, dec, self.ra, self.dec)
        return (
            self.width / 2 + (x - self.middle_x) * self.scale,
            self.height / 2 - (y - self.middle_y) * self.scale,
        )

    def holds(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        return (x >= 0) & (x <= self.width) & (y >= 0) & (y <= self.height)

    def visible(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Ranges of right ascension and declination in degrees that the frame shows."""
        across = np.linspace(0, self.width, _FRAME_SAMPLES)
        down = np.linspace(0, self.height, _FRAME_SAMPLES)
        x = (across[None, :] - self.width / 2) / self.scale + self.middle_x
        y = (self.height / 2 - down[:, None]) / self.scale + self.middle_y
        offset, dec = _unproject(x, y, self.dec)
        low, high = float(np.nanmin(dec)), float(np.nanmax(dec))
        west, east = float(np.nanmin(offset)), float(np.nanmax(offset))
        for pole in (-90.0, 90.0):
            at = self.place(np.array([self.ra]), np.array([np.deg2rad(pole)]))
            if self.holds(*at).any():
                low, high = min(low, pole), max(high, pole)
                west, east = -180.0, 180.0
        centre = float(np.rad2deg(self.ra))
        return (centre + west, centre + east), (low, high)


def sky_map(
    ra: Floats,
    dec: Floats,
    tier: NDArray[np.int16],
    *,
    width: float = 600,
    height: float = 300,
) -> SkyMap:
    """Place targets on a map that just holds them, wherever they are.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (N,)
        Positions in degrees, best target first.
    tier : ndarray of int16, shape (N,)
        Tier of each.
    width, height : float
        Size of the plotting area in SVG units.

    Returns
    -------
    SkyMap
    """
    if len(ra) == 0:
        return SkyMap(width, height, (), (), ())
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    frame = _frame_around(lon, lat, width, height)
    x, y = frame.place(lon, lat)
    points = tuple(
        Point(round(float(px), 1), round(float(py), 1), int(t))
        for px, py, t in zip(x[::-1], y[::-1], tier[::-1], strict=True)
    )
    ra_range, dec_range = frame.visible()
    along_ra = np.linspace(*ra_range, _LINE_SAMPLES)
    along_dec = np.linspace(*dec_range, _LINE_SAMPLES)
    meridians = [
        _line(frame, np.full_like(along_dec, at), along_dec, at % 360, meridian=True)
        for at in _round_values(*ra_range)
    ]
    parallels = [
        _line(frame, along_ra, np.full_like(along_ra, at), at, meridian=False)
        for at in _round_values(*dec_range)
        if abs(at) < 90
    ]
    return SkyMap(
        width,
        height,
        points,
        tuple(line for line in meridians if line),
        tuple(line for line in parallels if line),
    )


def _frame_around(lon: Floats, lat: Floats, width: float, height: float) -> _Frame:
    mean = np.array(
        [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], dtype=np.float64
    ).mean(axis=1)
    centre_ra = float(np.arctan2(mean[1], mean[0]))
    centre_dec = float(np.arctan2(mean[2], np.hypot(mean[0], mean[1])))
    x, y = _project(lon, lat, centre_ra, centre_dec)
    scale = min(
        width / (_MARGIN * max(float(np.ptp(x)), _SMALLEST_FIELD)),
        height / (_MARGIN * max(float(np.ptp(y)), _SMALLEST_FIELD)),
    )
    middle_x, middle_y = float(x.min() + x.max()) / 2, float(y.min() + y.max()) / 2
    return _Frame(centre_ra, centre_dec, middle_x, middle_y, scale, width, height)


def _project(ra: Floats, dec: Floats, ra0: float, dec0: float) -> tuple[Floats, Floats]:
    """Lambert azimuthal equal-area, radians in, x to the west."""
    cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    stretch = np.sqrt(2 / np.maximum(1 + cosine, 1e-9))
    x = -stretch * np.cos(dec) * np.sin(ra - ra0)
    y = stretch * (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0))
    return x, y


def _unproject(x: Floats, y: Floats, dec0: float) -> tuple[Floats, Floats]:
    """Offset in right ascension and declination in degrees; NaN beyond the whole sky."""
    distance = np.hypot(x, y)
    angle = 2 * np.arcsin(np.where(distance <= 2, distance, np.nan) / 2)
    safe = np.where(distance > 0, distance, 1)
    sine = np.cos(angle) * np.sin(dec0) + y * np.sin(angle) * np.cos(dec0) / safe
    offset = np.arctan2(
        -x * np.sin(angle),
        distance * np.cos(dec0) * np.cos(angle) - y * np.sin(dec0) * np.sin(angle),
    )
    offset = np.where(distance > 0, offset, 0)
    return np.rad2deg(offset), np.rad2deg(np.arcsin(np.clip(sine, -1, 1)))


def _round_values(low: float, high: float) -> list[float]:
    span = high - low
    step = next((step for step in _STEPS if span / step <= _MOST_LINES), _STEPS[-1])
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    if span >= 360:  # the last is the first again
        last = first + round(360 / step) - 1
    return [round(step * n, 6) for n in range(first, last + 1)]


def _line(frame: _Frame, ra: Floats, dec: Floats, value: float, *, meridian: bool) -> Line | None:
    x, y = frame.place(np.deg2rad(ra), np.deg2rad(dec))
    seen = np.flatnonzero(frame.holds(x, y))
    if len(seen) == 0:
        return None
    end = seen[np.argmax(y[seen]) if meridian else np.argmin(x[seen])]
    close = frame.height / 20
    at_frame = bool(frame.height - y[end] < close if meridian else x[end] < close)
    return Line(
        points=" ".join(f"{px:.1f},{py:.1f}" for px, py in zip(x, y, strict=True)),
        label=f"{value:g}°".replace("-", "−"),
        x=round(float(x[end]), 1),
        y=round(float(y[end]), 1),
        at_frame=at_frame,
    )
