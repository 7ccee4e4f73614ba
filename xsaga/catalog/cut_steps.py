"""Steps of photometric cuts: each says which sources pass one condition.

A source that lacks what a step needs (a colour, a surface brightness, an axis ratio) passes it, as
in SAGA. Errors that are not known count as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.matching import BrightObjects
from xsaga.catalog.photometry import circularisation

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Coefficient = float | bool | tuple[int, ...]
Coefficients = Mapping[str, Coefficient]


class PhotometricFlag(IntFlag):
    """Bits of column ``photometric_flags``: which kind of step a source failed.

    The values are part of the file format and never change.
    """

    NO_MAGNITUDE = 1 << 0
    """No usable r magnitude where an r limit is in force."""
    BRIGHT = 1 << 1
    """Brighter than the bright limit."""
    FAINT = 1 << 2
    """Fainter than the faint limit."""
    COLOUR_GR = 1 << 3
    """Too red in g − r."""
    SURFACE_BRIGHTNESS = 1 << 4
    """Too compact: surface brightness too bright for the magnitude."""
    AXIS_RATIO = 1 << 5
    """Too elongated for a faint galaxy (SAGA III)."""
    COLOUR_RI = 1 << 6
    """Too red in r − i."""
    COLOUR_RZ = 1 << 7
    """Too red in r − z."""
    POINT_SOURCE = 1 << 8
    """Not extended."""
    DUPLICATE_TYPE = 1 << 9
    """TYPE = DUP: a Gaia source that coincides with a galaxy."""
    MASKBITS = 1 << 10
    """In a masked area: near a bright star, a large galaxy, a cluster, bad pixels."""
    SIGNAL_TO_NOISE = 1 << 11
    """Low signal-to-noise ratio in two or more bands."""
    FRACFLUX = 1 << 12
    """Dominated by neighbours in two or more bands."""
    RCHISQ = 1 << 13
    """Badly fitted in two or more bands."""
    TOO_BLUE = 1 << 14
    """Bluer in g − r than galaxies are."""
    NEAR_BRIGHT_OBJECT = 1 << 15
    """Within a few radii of a bright galaxy: probably a piece of it."""


@dataclass(frozen=True)
class Evaluation:
    """What the steps look at.

    Parameters
    ----------
    sources : DataFrame
        Sources with their photometry.
    coefficients : mapping
        Coefficients of the cut set, and ``r_min``, ``r_max`` where asked for.
    bright_objects : BrightObjects, optional
        Bright galaxies in and around the area.
    """

    sources: pd.DataFrame
    coefficients: Coefficients
    bright_objects: BrightObjects | None = None

    def number(self, name: str) -> float:
        """Give a coefficient that is one number."""
        value = self.coefficients[name]
        if isinstance(value, tuple):
            raise TypeError(f"coefficient {name} is not one number")
        return float(value)

    def column(self, name: str) -> Floats:
        """Give a column; NaN where there is none."""
        if name not in self.sources.columns:
            return np.full(len(self.sources), np.nan)
        return self.sources[name].to_numpy(dtype=np.float64)

    def error(self, name: str) -> Floats:
        """Give a column of errors; zero where not known."""
        return np.nan_to_num(self.column(name), nan=0.0, posinf=0.0)

    def colour(self, blue: str, red: str) -> Floats:
        """Give a colour; NaN where a magnitude is missing."""
        return self.column(f"mag_{blue}") - self.column(f"mag_{red}")

    def colour_error(self, blue: str, red: str) -> Floats:
        """Give the error of a colour."""
        return np.hypot(self.error(f"mag_{blue}_err"), self.error(f"mag_{red}_err"))

    def text_is(self, name: str, value: str) -> Mask:
        """Tell where a column of text has a value."""
        if name not in self.sources.columns:
            return self.none()
        return (self.sources[name] == value).to_numpy(dtype=bool)

    def all(self) -> Mask:
        """Pass every source."""
        return np.ones(len(self.sources), bool)

    def none(self) -> Mask:
        """Pass no source."""
        return np.zeros(len(self.sources), bool)


@dataclass(frozen=True)
class Step:
    """One step of a cut set.

    Parameters
    ----------
    flag : PhotometricFlag
        Bit of the sources that fail.
    text : str
        What is asked for; coefficients in braces are filled in.
    passes : callable
        From an `Evaluation` to which sources pass.
    """

    flag: PhotometricFlag
    text: str
    passes: Callable[[Evaluation], Mask]


def has_r(e: Evaluation) -> Mask:
    """Magnitude in r is known."""
    return np.isfinite(e.column("mag_r"))


def r_above(coefficient: str, inclusive: bool = False) -> Callable[[Evaluation], Mask]:
    """Fainter than a limit, or as faint where the limit is `inclusive`."""

    def passes(e: Evaluation) -> Mask:
        r, limit = e.column("mag_r"), e.number(coefficient)
        return ~(r < limit) if inclusive else ~(r <= limit)

    return passes


def r_below(coefficient: str, inclusive: bool = False) -> Callable[[Evaluation], Mask]:
    """Brighter than a limit, or as bright where the limit is `inclusive`."""

    def passes(e: Evaluation) -> Mask:
        r, limit = e.column("mag_r"), e.number(coefficient)
        return ~(r > limit) if inclusive else ~(r >= limit)

    return passes


def tilted_colour(e: Evaluation) -> Mask:
    """(g−r) − σ + slope (r − pivot) below the limit."""
    tilt = e.number("colour_slope") * (e.column("mag_r") - e.number("pivot_r"))
    return ~(e.colour("g", "r") - e.colour_error("g", "r") + tilt >= e.number("colour_limit"))


def flat_colour(blue: str, red: str) -> Callable[[Evaluation], Mask]:
    """Colour less a number of its errors below its limit."""

    def passes(e: Evaluation) -> Mask:
        lowest = e.colour(blue, red) - e.number("colour_sigmas") * e.colour_error(blue, red)
        return ~(lowest >= e.number(f"{blue}{red}_limit"))

    return passes


def not_too_blue(e: Evaluation) -> Mask:
    """g−r above the limit."""
    return ~(e.colour("g", "r") <= e.number("gr_min"))


def tilted_brightness(e: Evaluation) -> Mask:
    """sb_r + σ − slope (r − pivot) above the limit; within the circularised radius if so set."""
    tilt = e.number("sb_slope") * (e.column("mag_r") - e.number("pivot_r"))
    brightness = e.column("sb_r")
    if e.coefficients["circularise"]:
        brightness = brightness + circularisation(e.column("ba"))
    return ~(brightness + np.abs(e.error("sb_r_err")) - tilt <= e.number("sb_limit"))


def round_enough(e: Evaluation) -> Mask:
    """b/a above a limit that grows with r."""
    tilt = e.number("ba_slope") * (e.column("mag_r") - e.number("ba_pivot_r"))
    return ~(e.column("ba") <= tilt + e.number("ba_limit"))


def galaxy(e: Evaluation) -> Mask:
    """TYPE is not PSF, or REF_CAT is L3; without a type, the radius is not exactly zero."""
    if not e.coefficients["reject_point_sources"]:
        return e.all()
    typeless = e.text_is("type", "") if "type" in e.sources.columns else e.all()
    point = e.text_is("type", "PSF") | (typeless & (e.column("radius") == 0))
    passed: Mask = ~point | e.text_is("ref_cat", "L3")
    return passed


def not_duplicate_type(e: Evaluation) -> Mask:
    """TYPE is not DUP."""
    return ~e.text_is("type", "DUP")


def unmasked(e: Evaluation) -> Mask:
    """None of the rejected MASKBITS is set."""
    bits = e.coefficients["maskbits"]
    if not isinstance(bits, tuple) or "maskbits" not in e.sources.columns:
        return e.all()
    rejected = sum(1 << bit for bit in set(bits))
    masked = e.sources["maskbits"].to_numpy(dtype=np.int64) & rejected
    passed: Mask = masked == 0
    return passed


def enough_signal(e: Evaluation) -> Mask:
    """S/N below the limit in fewer than two of g, r, z; bands of unknown error do not count."""
    low = []
    for band in "grz":
        ivar = e.column(f"flux_ivar_{band}")
        ratio = e.column(f"flux_{band}") * np.sqrt(np.where(ivar >= 0, ivar, np.nan))
        low.append(ratio < e.number("snr_min"))
    return _fewer_than_two(low)


def below_in_bands(stem: str) -> Callable[[Evaluation], Mask]:
    """Above the limit in fewer than two of g, r, z."""

    def passes(e: Evaluation) -> Mask:
        limit = e.number(f"{stem}_max")
        return _fewer_than_two([e.column(f"{stem}_{band}") > limit for band in "grz"])

    return passes


def away_from_bright(e: Evaluation) -> Mask:
    """Outside the reach of bright objects, or one of them."""
    if e.bright_objects is None:
        return e.all()
    near = e.bright_objects.near(e.column("ra"), e.column("dec"), e.number("bright_object_radii"))
    return ~near | (e.column("mag_r") < e.number("bright_object_r"))


def _fewer_than_two(bad: list[Mask]) -> Mask:
    return np.asarray(np.sum(bad, axis=0) < 2)
