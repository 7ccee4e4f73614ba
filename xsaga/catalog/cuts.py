"""Named photometric cuts, and a bitmask of what each source failed.

A cut set is a series of steps with coefficients that the configuration can override. A source
that lacks what a step needs (a colour, a surface brightness, an axis ratio) passes that step, as
in SAGA; a source without an r magnitude fails where an r limit is in force, with a bit of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog import cut_steps
from xsaga.catalog.cut_steps import Coefficient, Coefficients, Evaluation, PhotometricFlag, Step
from xsaga.catalog.cutflow import CutFlow
from xsaga.catalog.matching import BrightObjects
from xsaga.errors import ConfigError, nearest_name


@dataclass(frozen=True)
class Cuts:
    """A named cut set with its coefficients.

    Made by `named_cuts`.

    Parameters
    ----------
    name : str
        One of `CUT_NAMES`.
    coefficients : mapping
        All coefficients of the set.
    r_min, r_max : float, optional
        Further limits of the r magnitude (inclusive), whatever the set.
    """

    name: str
    coefficients: Coefficients
    r_min: float | None = None
    r_max: float | None = None

    @property
    def uses_i_band(self) -> bool:
        """Whether the i band, where the catalog has it, makes a difference."""
        return any(step.flag is PhotometricFlag.COLOUR_RI for step in _CUT_SETS[self.name].steps)

    @property
    def bright_object_limit(self) -> float | None:
        """Magnitude in r above which objects count as bright; None if they do not matter."""
        if "bright_object_r" not in self.coefficients:
            return None
        limit = self.coefficients["bright_object_r"]
        return float(limit) if not isinstance(limit, tuple) else None


def named_cuts(
    name: str,
    overrides: Mapping[str, object] | None = None,
    r_min: float | None = None,
    r_max: float | None = None,
) -> Cuts:
    """Cut set by name.

    =========== ==================================================================================
    name        steps
    =========== ==================================================================================
    none        none
    xsaga       r ≤ 21; (g−r) − σ_gr + 0.06 (r−14) < 0.9; sb_r + σ_sb − 0.7 (r−14) > 18.5
                (Wu et al. 2022); galaxies only
    saga1       r < 20.75; g−r − 2σ < 0.85, r−i − 2σ < 0.55, r−z − 2σ < 1 (Geha et al. 2017);
                galaxies only. Without an i band (Legacy Surveys DR9) r−i passes
    saga2       r < 20.75; the colour and surface-brightness cuts of xsaga (Mao et al. 2021);
                galaxies only
    saga3       saga2 with r < 20.65, and b/a > 0.08 (r−20.75) + 0.3 (Mao et al. 2024)
    desi-lowz   TYPE ≠ DUP; galaxies (TYPE ≠ PSF or REF_CAT = L3); no MASKBITS 1, 5, 6, 7, 12, 13;
                not S/N < 5, FRACFLUX > 0.35 or RCHISQ > 2 in two or more of g, r, z (each
                counted by itself); g−r > −0.1; 19 < r < 21.15;
                (g−r) − σ_gr + 0.06 (r−14) < 0.99; sb_r + σ_sb − 0.7 (r−14) > 16.8;
                not within 4 radii of an r < 16 object
    =========== ==================================================================================

    The numbers of ``desi-lowz`` are those of a re-implementation seen in public code; they are not
    confirmed against the table in Darragh-Ford et al. 2023. Its cut on SGA-2020 ellipses of large
    galaxies is not made. SAGA and xSAGA start from sources catalogued as galaxies, so TYPE = PSF
    (or, where no type is known, a radius of exactly zero) fails there;
    ``reject_point_sources = false`` lets those through. Errors that are not known count as zero.

    SAGA's surface brightness, and so that of xSAGA, is the one within the circularised radius
    R √(b/a); DESI LOW-Z takes R itself, as column ``sb_r`` does (``circularise``).

    Parameters
    ----------
    name : str
        One of `CUT_NAMES`.
    overrides : mapping, optional
        Coefficients that replace those of the set.
    r_min, r_max : float, optional
        Further limits of the r magnitude (inclusive), whatever the set.

    Returns
    -------
    Cuts

    Raises
    ------
    ConfigError
        For an unknown cut set or coefficient (the nearest known one is offered) or a value of the
        wrong type.
    """
    if name not in _CUT_SETS:
        raise ConfigError(f"unknown cuts '{name}': {nearest_name(name, CUT_NAMES)}")
    coefficients = dict(_CUT_SETS[name].coefficients)
    for key, value in (overrides or {}).items():
        if key not in coefficients:
            known = nearest_name(key, coefficients) if coefficients else "they have none"
            raise ConfigError(f"cuts '{name}' have no coefficient '{key}': {known}")
        coefficients[key] = _checked(
            f"coefficient {key} of cuts '{name}'", value, coefficients[key]
        )
    if r_min is not None and r_max is not None and not r_min <= r_max:
        raise ConfigError(f"r_min {r_min:g} is fainter than r_max {r_max:g}: no source can pass")
    return Cuts(name, MappingProxyType(coefficients), r_min, r_max)


def apply_cuts(
    sources: pd.DataFrame, cuts: Cuts, bright_objects: BrightObjects | None = None
) -> tuple[NDArray[np.int32], CutFlow]:
    """Evaluate all steps of a cut set for all sources.

    Parameters
    ----------
    sources : DataFrame
        Columns of `xsaga.catalog.schema.SOURCE_FIELDS` with the photometry evaluated, and
        ``mag_i``, ``mag_i_err`` where the i band is known.
    cuts : Cuts
        What to apply.
    bright_objects : BrightObjects, optional
        Bright galaxies in and around the area; without them the step that needs them passes all.

    Returns
    -------
    flags : ndarray of int32, shape (N,)
        `PhotometricFlag` bits of the steps that a source fails; 0 for a candidate.
    cut_flow : CutFlow
        How many sources pass each step after the ones before.
    """
    steps = list(_CUT_SETS[cuts.name].steps)
    coefficients = dict(cuts.coefficients)
    if cuts.r_min is not None:
        coefficients["r_min"] = cuts.r_min
        steps.append(Step(_F.BRIGHT, "r >= {r_min:g}", cut_steps.r_above("r_min", inclusive=True)))
    if cuts.r_max is not None:
        coefficients["r_max"] = cuts.r_max
        steps.append(Step(_F.FAINT, "r <= {r_max:g}", cut_steps.r_below("r_max", inclusive=True)))
    if any(step.flag in _NEED_R for step in steps):
        steps.insert(0, Step(_F.NO_MAGNITUDE, "has an r magnitude", cut_steps.has_r))
    evaluation = Evaluation(sources, coefficients, bright_objects)
    flags = np.zeros(len(sources), np.int32)
    masks = []
    for step in steps:
        with np.errstate(all="ignore"):  # what is not a number passes or fails as each step says
            passed = step.passes(evaluation)
        flags[~passed] |= step.flag
        masks.append((step.text.format_map(coefficients), passed))
    return flags, CutFlow.of_masks(len(sources), masks)


@dataclass(frozen=True)
class _CutSet:
    steps: tuple[Step, ...] = ()
    coefficients: Coefficients = field(default_factory=dict)


_F = PhotometricFlag
_NEED_R = (_F.BRIGHT, _F.FAINT)

_GALAXY = Step(_F.POINT_SOURCE, "is a galaxy", cut_steps.galaxy)
_FAINT = Step(_F.FAINT, "r < {r_faint:g}", cut_steps.r_below("r_faint"))
_COLOUR = Step(
    _F.COLOUR_GR,
    "(g-r) - error + {colour_slope:g} (r - {pivot_r:g}) < {colour_limit:g}",
    cut_steps.tilted_colour,
)
_BRIGHTNESS = Step(
    _F.SURFACE_BRIGHTNESS,
    "sb_r + error - {sb_slope:g} (r - {pivot_r:g}) > {sb_limit:g}",
    cut_steps.tilted_brightness,
)


def _flat(flag: PhotometricFlag, blue: str, red: str) -> Step:
    text = f"{blue}-{red} - {{colour_sigmas:g}} errors < {{{blue}{red}_limit:g}}"
    return Step(flag, text, cut_steps.flat_colour(blue, red))


_TILTED: dict[str, Coefficient] = {
    "reject_point_sources": True,
    "pivot_r": 14.0,
    "colour_slope": 0.06,
    "colour_limit": 0.9,
    "sb_slope": 0.7,
    "sb_limit": 18.5,
    "circularise": True,
}

_XSAGA = _CutSet(
    (
        _GALAXY,
        Step(_F.FAINT, "r <= {r_faint:g}", cut_steps.r_below("r_faint", inclusive=True)),
        _COLOUR,
        _BRIGHTNESS,
    ),
    {**_TILTED, "r_faint": 21.0},
)

_SAGA1 = _CutSet(
    (
        _GALAXY,
        _FAINT,
        _flat(_F.COLOUR_GR, "g", "r"),
        _flat(_F.COLOUR_RI, "r", "i"),
        _flat(_F.COLOUR_RZ, "r", "z"),
    ),
    {
        "reject_point_sources": True,
        "r_faint": 20.75,
        "colour_sigmas": 2.0,
        "gr_limit": 0.85,
        "ri_limit": 0.55,
        "rz_limit": 1.0,
    },
)

_SAGA2 = _CutSet((_GALAXY, _FAINT, _COLOUR, _BRIGHTNESS), {**_TILTED, "r_faint": 20.75})

_SAGA3 = _CutSet(
    (
        *_SAGA2.steps,
        Step(
            _F.AXIS_RATIO,
            "b/a > {ba_slope:g} (r - {ba_pivot_r:g}) + {ba_limit:g}",
            cut_steps.round_enough,
        ),
    ),
    {**_TILTED, "r_faint": 20.65, "ba_slope": 0.08, "ba_pivot_r": 20.75, "ba_limit": 0.3},
)

_DESI_LOWZ = _CutSet(
    (
        Step(_F.DUPLICATE_TYPE, "type is not DUP", cut_steps.not_duplicate_type),
        _GALAXY,
        Step(_F.MASKBITS, "no maskbits {maskbits}", cut_steps.unmasked),
        Step(_F.SIGNAL_TO_NOISE, "S/N >= {snr_min:g} in two of grz", cut_steps.enough_signal),
        Step(
            _F.FRACFLUX,
            "fracflux <= {fracflux_max:g} in two of grz",
            cut_steps.below_in_bands("fracflux"),
        ),
        Step(
            _F.RCHISQ, "rchisq <= {rchisq_max:g} in two of grz", cut_steps.below_in_bands("rchisq")
        ),
        Step(_F.TOO_BLUE, "g-r > {gr_min:g}", cut_steps.not_too_blue),
        Step(_F.BRIGHT, "r > {r_bright:g}", cut_steps.r_above("r_bright")),
        _FAINT,
        _COLOUR,
        _BRIGHTNESS,
        Step(
            _F.NEAR_BRIGHT_OBJECT,
            "beyond {bright_object_radii:g} radii of r < {bright_object_r:g} objects",
            cut_steps.away_from_bright,
        ),
    ),
    {
        **_TILTED,
        "colour_limit": 0.99,
        "sb_limit": 16.8,
        "circularise": False,
        "maskbits": (1, 5, 6, 7, 12, 13),
        "snr_min": 5.0,
        "fracflux_max": 0.35,
        "rchisq_max": 2.0,
        "gr_min": -0.1,
        "r_bright": 19.0,
        "r_faint": 21.15,
        "bright_object_r": 16.0,
        "bright_object_radii": 4.0,
    },
)

_CUT_SETS: Mapping[str, _CutSet] = MappingProxyType(
    {
        "none": _CutSet(),
        "xsaga": _XSAGA,
        "saga1": _SAGA1,
        "saga2": _SAGA2,
        "saga3": _SAGA3,
        "desi-lowz": _DESI_LOWZ,
    }
)

CUT_NAMES: tuple[str, ...] = tuple(_CUT_SETS)
"""Names of all cut sets."""


def _checked(what: str, value: object, like: Coefficient) -> Coefficient:
    if isinstance(like, bool):
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{what} must be true or false, not {value!r}")
    if isinstance(like, tuple):
        bits = value if isinstance(value, (list, tuple)) else [value]
        if all(isinstance(b, int) and not isinstance(b, bool) and 0 <= b < 32 for b in bits):
            return tuple(bits)
        raise ConfigError(f"{what} must be a list of bit numbers from 0 to 31, not {value!r}")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value):
        return float(value)
    raise ConfigError(f"{what} must be a number, not {value!r}")
