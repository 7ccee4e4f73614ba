"""Options of DESI's formats, declared once: see `xsaga.targets.exports.survey_settings`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from xsaga.errors import ConfigError
from xsaga.targets.exports.survey_settings import OptionGroup

DESI_FORMATS: Final = "desi-"
"""How the names of DESI's formats begin; all but ToO lists hold TARGETIDs."""

OBSERVING_CONDITIONS: Final = {"DARK": 1, "GRAY": 2, "BRIGHT": 4, "BACKUP": 8}
"""DESI's OBSCONDITIONS bits (desitarget.targetmask)."""

SURVEYS: Final = ("main", "main2", "main3", "main4", "main5")
"""DESI's main survey and the later calls for secondary targets (desitarget.secondary)."""

MIN_FLUX: Final = 1e-16
"""Nanomaggies that the size of a flux must reach for DESI (desitarget.secondary)."""

UnknownRelease = Literal["refuse", "secondary"]
SkyProfile = Literal["ELG", "BGS", "PSF", "FLT"]
TooType = Literal["FIBER", "TILE"]
TooPriority = Literal["LO", "HI"]

_MAX_PROGRAM = 9999


@dataclass(frozen=True)
class DesiSettings(OptionGroup):
    """Options that DESI's formats share; each format reads those that it needs.

    Raises
    ------
    ConfigError
        When a value is not as its help says.
    """

    title = "DESI"
    prefix = ""

    survey: str = field(
        default="main", metadata={"help": "main, or main2 to main5.", "metavar": "NAME"}
    )
    obsconditions: str = field(
        default="DARK",
        metadata={
            "help": "DARK, GRAY, BRIGHT or BACKUP; join several by '|'.",
            "metavar": "NAMES",
        },
    )
    numobs: int = field(default=1, metadata={"help": "Observations wanted of each target."})
    unknown_release: UnknownRelease = field(
        default="secondary",
        metadata={
            "help": "What becomes of a source whose RELEASE desitarget does not know: given the "
            "TARGETID of a secondary target, or refused."
        },
    )
    secondary_name: str = field(
        default="XSAGA_LOWZ",
        metadata={"help": "Program of desi-secondary and desi-tertiary.", "metavar": "NAME"},
    )
    override: bool = field(
        default=False,
        metadata={
            "help": "Whether secondary targets get a fiber of their own where a primary target "
            "exists.  [default: no]"
        },
    )
    missing_flux: float | None = field(
        default=None,
        metadata={
            "help": "Written by desi-secondary where a source has no flux.  [default: refuse it]",
            "metavar": "NMGY",
        },
    )
    program: int | None = field(
        default=None, metadata={"help": "Number of the tertiary program; it needs one."}
    )
    goaltime: float | None = field(
        default=None,
        metadata={
            "help": "Exposure time of a tertiary program.  [default: 1000 in DARK, 180 in BRIGHT]",
            "metavar": "SECONDS",
        },
    )
    sbprof: SkyProfile | None = field(
        default=None,
        metadata={
            "help": "Light profile that --goaltime is for.  [default: ELG in DARK, BGS in BRIGHT]"
        },
    )
    checker: str = field(
        default="",
        metadata={
            "help": "Who looked at the targets, at most 7 letters; desi-tertiary and desi-too "
            "need it.",
            "metavar": "NAME",
        },
    )
    mjd_begin: float | None = field(
        default=None, metadata={"help": "From when on desi-too may observe; it needs one."}
    )
    mjd_end: float | None = field(
        default=None, metadata={"help": "Until when desi-too may observe; it needs one."}
    )
    too_type: TooType = field(
        default="FIBER",
        metadata={"help": "Whether desi-too takes spare fibers or a tile of its own."},
    )
    too_prio: TooPriority = field(
        default="LO", metadata={"help": "The main survey takes HI with TILE only."}
    )

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
