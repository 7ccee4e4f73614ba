"""What an export format needs to know beyond the target list."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, get_args

import pandas as pd

from xsaga.errors import ConfigError
from xsaga.targets.exports.survey_settings import (
    FormatSettings,
    FourmostSettings,
    HatsSettings,
    PfsSettings,
    RegionsSettings,
    SdssvSettings,
)

OBSERVING_CONDITIONS: Final = {"DARK": 1, "GRAY": 2, "BRIGHT": 4, "BACKUP": 8}
"""DESI's OBSCONDITIONS bits (desitarget.targetmask)."""

SURVEYS: Final = ("main", "main2", "main3", "main4", "main5")
"""DESI's main survey and the later calls for secondary targets (desitarget.secondary)."""

UnknownRelease = Literal["refuse", "secondary"]
SkyProfile = Literal["ELG", "BGS", "PSF", "FLT"]
TooType = Literal["FIBER", "TILE"]
TooPriority = Literal["LO", "HI"]

MIN_FLUX: Final = 1e-16
"""Nanomaggies that the size of a flux must reach for DESI (desitarget.secondary)."""

_MAX_PROGRAM = 9999

_DESI = "desi-"


@dataclass(frozen=True)
class ExportSettings:
    """Options of the export formats; each format reads those that it needs.

    Parameters
    ----------
    survey : str
        DESI survey, one of `SURVEYS`: it sets the RELEASE in TARGETIDs of secondary targets.
    obsconditions : str
        Conditions that targets may be observed in: names of `OBSERVING_CONDITIONS`, joined by '|'.
    numobs : int
        Observations wanted of each target; 1 or more.
    unknown_release : {'secondary', 'refuse'}
        What becomes of a source whose RELEASE desitarget's table of releases does not know (DR10.1,
        a simulated sky): given the TARGETID of a secondary target, or refused.
    secondary_name : str
        Name of the program in DESI's 2024 call, in capitals; a tier's file is ``NAME_TIERn``.
    override : bool
        Whether a secondary target shall get a fiber of its own where a primary target exists.
    missing_flux : float or None
        Flux in nanomaggies to write where the source has none and the format forbids that; None
        refuses such a source.
    program : int or None
        Number of DESI's tertiary program, 1 to 9999.
    goaltime : float or None
        Effective exposure time of a tertiary program in seconds; None is DESI's custom, 1000 in
        DARK and 180 in BRIGHT conditions.
    sbprof : {'ELG', 'BGS', 'PSF', 'FLT'} or None
        Light profile that it is for; None is DESI's custom, ELG in DARK and BGS in BRIGHT.
    checker : str
        Who has looked at the targets, at most 7 letters; tertiary programs and targets of
        opportunity ask for it.
    mjd_begin, mjd_end : float or None
        When a target of opportunity may be observed.
    too_type : {'FIBER', 'TILE'}
        Whether a target of opportunity takes spare fibers or a tile of its own.
    too_prio : {'LO', 'HI'}
        Its priority; DESI's main survey forbids FIBER with HI.
    known_ids : DataFrame, mapping or None
        TARGETIDs that were given before: columns `source_id` and `targetid` (both int64), or a
        mapping from one to the other. These sources keep theirs.
    fourmost, pfs, sdssv, hats, regions
        Options of the formats of that name.

    Raises
    ------
    ConfigError
        When a value is not as said above.
    """

    survey: str = "main"
    obsconditions: str = "DARK"
    numobs: int = 1
    unknown_release: UnknownRelease = "secondary"
    secondary_name: str = "XSAGA_LOWZ"
    override: bool = False
    missing_flux: float | None = None
    program: int | None = None
    goaltime: float | None = None
    sbprof: SkyProfile | None = None
    checker: str = ""
    mjd_begin: float | None = None
    mjd_end: float | None = None
    too_type: TooType = "FIBER"
    too_prio: TooPriority = "LO"
    known_ids: pd.DataFrame | Mapping[int, int] | None = field(default=None, compare=False)
    fourmost: FourmostSettings = field(default_factory=FourmostSettings)
    pfs: PfsSettings = field(default_factory=PfsSettings)
    sdssv: SdssvSettings = field(default_factory=SdssvSettings)
    hats: HatsSettings = field(default_factory=HatsSettings)
    regions: RegionsSettings = field(default_factory=RegionsSettings)

    def __post_init__(self) -> None:
        if self.survey not in SURVEYS:
            raise ConfigError(f"survey {self.survey!r}: choose from {', '.join(SURVEYS)}")
        unknown = [each for each in self.conditions if each not in OBSERVING_CONDITIONS]
        if unknown:
            raise ConfigError(
                f"obsconditions {self.obsconditions!r}: {unknown[0]!r} is none of "
                f"{', '.join(OBSERVING_CONDITIONS)}; join several by '|'"
            )
        if self.numobs < 1:
            raise ConfigError(f"numobs {self.numobs}: it must be 1 or more")
        for name, allowed in (
            ("unknown_release", UnknownRelease),
            ("sbprof", SkyProfile),
            ("too_type", TooType),
            ("too_prio", TooPriority),
        ):
            if getattr(self, name) not in (None, *get_args(allowed)):
                raise ConfigError(
                    f"{name} {getattr(self, name)!r}: choose from {', '.join(get_args(allowed))}"
                )
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", self.secondary_name):
            raise ConfigError(
                f"secondary_name {self.secondary_name!r}: DESI wants capitals, digits and '_'"
            )
        flux = self.missing_flux
        if flux is not None and not (math.isfinite(flux) and abs(flux) >= MIN_FLUX):
            raise ConfigError(
                f"missing_flux {flux:g}: DESI takes a flux of 0 for a very bright "
                "source; give an honest one, such as that of the faintest targets"
            )
        if self.program is not None and not 1 <= self.program <= _MAX_PROGRAM:
            raise ConfigError(f"program {self.program}: it must be 1 to {_MAX_PROGRAM}")
        if self.goaltime is not None and not (math.isfinite(self.goaltime) and self.goaltime > 0):
            raise ConfigError(f"goaltime {self.goaltime:g}: it must be above 0 seconds")
        if not re.fullmatch(r"[A-Za-z0-9_.-]{0,7}", self.checker):
            raise ConfigError(f"checker {self.checker!r}: at most 7 letters, such as initials")

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names in `obsconditions`."""
        return tuple(self.obsconditions.split("|"))

    @property
    def obsconditions_mask(self) -> int:
        """Value of OBSCONDITIONS."""
        return sum({OBSERVING_CONDITIONS[each] for each in self.conditions})

    def record(self, format_name: str) -> dict[str, Any]:
        """Plain values of the settings of one format, for the record of an export.

        Parameters
        ----------
        format_name : str
            Name in the registry.

        Returns
        -------
        dict
            Tables by their length; empty for a format without settings.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        groups = [value for value in values.values() if isinstance(value, FormatSettings)]
        for group in groups:
            if group.format_name == format_name:
                return asdict(group)
        if not format_name.startswith(_DESI):
            return {}
        known = values.pop("known_ids")
        own = {name: value for name, value in values.items() if value not in groups}
        return {**own, "known_ids": 0 if known is None else len(known)}
