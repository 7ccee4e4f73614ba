"""Options of formats, declared once: the command line makes its options and help from them.

A field's metadata hold its help and the placeholder of its value; `Literal` fields are choices.
Nothing heavy is imported here, for the command line reads this file at every start.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from xsaga.errors import ConfigError

_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,256}")
_RULESET = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,255}")
TIER_MARK = "{tier}"
"""In a name of `FourmostSettings`: stands for the number of the tier."""


@dataclass(frozen=True)
class OptionGroup:
    """Options that stand together in the help."""

    title: ClassVar[str]
    """What the help calls them."""

    prefix: ClassVar[str]
    """Begin of these options on the command line; empty for none."""


@dataclass(frozen=True)
class FormatSettings(OptionGroup):
    """Options of one format."""

    format_name: ClassVar[str]
    """Name of the format in the registry."""


@dataclass(frozen=True)
class FourmostSettings(FormatSettings):
    """Options of ``4most``; see `xsaga.targets.exports.fourmost` for what each column means."""

    format_name = "4most"
    title = "4MOST"
    prefix = "4most"

    subsurvey: str = field(
        default="",
        metadata={"help": "SUBSURVEY, required; {tier} becomes the tier.", "metavar": "NAME"},
    )
    template: str = field(
        default="",
        metadata={"help": "TEMPLATE, required; {tier} as above.", "metavar": "FILE"},
    )
    ruleset: str = field(
        default="",
        metadata={"help": "RULESET, required; {tier} as above.", "metavar": "NAME"},
    )
    band: Literal["g", "r", "z"] = field(default="r", metadata={"help": "Band of MAG."})
    mag_type: str = field(
        default="",
        metadata={"help": "MAG_TYPE.  [default: DECam_<band>_AB]", "metavar": "NAME"},
    )
    redshift: float | None = field(
        default=None,
        metadata={"help": "REDSHIFT_ESTIMATE of all.  [default: half of the model's limit]"},
    )
    redshift_error: float | None = field(
        default=None,
        metadata={"help": "REDSHIFT_ERROR of all.  [default: half of the model's limit]"},
    )
    template_redshift: float = field(default=0.0, metadata={"help": "TEMPLATE_REDSHIFT."})
    resolution: Literal[1, 2] = field(default=1, metadata={"help": "1 = LRS, 2 = HRS."})
    cadence: int = field(default=0, metadata={"help": "CADENCE, encoded as 4MOST does."})
    classification: str = field(
        default="GAL", metadata={"help": "CLASSIFICATION.", "metavar": "NAME"}
    )
    completeness: float = field(default=0.0, metadata={"help": "COMPLETENESS, 0 to 1."})
    date_earliest: float = field(default=0.0, metadata={"help": "DATE_EARLIEST, JD; 0 = any."})
    date_latest: float = field(default=0.0, metadata={"help": "DATE_LATEST, JD; 0 = any."})
    format_version: str = field(default="2.5", metadata={"help": "FMTVERS.", "metavar": "NUMBER"})

    def __post_init__(self) -> None:
        for name in ("subsurvey", "template", "mag_type", "classification", "format_version"):
            _refuse_name(self, name, _WORD, "letters, digits and _ . + -")
        _refuse_name(self, "ruleset", _RULESET, "a letter, then letters, digits and _ . + -")
        _refuse_outside(self, "redshift", -0.01, 10.0)
        _refuse_outside(self, "redshift_error", 0.0, 10.0)
        _refuse_outside(self, "template_redshift", -0.1, 10.0)
        _refuse_outside(self, "cadence", 0, 2**22 - 1)
        _refuse_outside(self, "completeness", 0.0, 1.0)
        _refuse_outside(self, "date_earliest", 0.0, 1e7)
        _refuse_outside(self, "date_latest", 0.0, 1e7)


@dataclass(frozen=True)
class PfsSettings(FormatSettings):
    """Options of ``pfs``; see `xsaga.targets.exports.pfs`."""

    format_name = "pfs"
    title = "PFS"
    prefix = "pfs"

    exptime: float = field(default=900.0, metadata={"help": "Exposure time of all, seconds."})
    resolution: Literal["L", "M"] = field(
        default="L", metadata={"help": "Low or medium resolution in the red arm."}
    )
    reference_arm: Literal["", "b", "r", "n", "m"] = field(
        default="",
        metadata={"help": "Arm that the exposure time is for.  [default: r, with M m]"},
    )
    filters: Literal["ps1", "sdss", "hsc"] = field(
        default="ps1",
        metadata={"help": "System that the DECam fluxes are given as: PFS has none of DECam."},
    )
    bright_limit: float = field(
        default=16.0, metadata={"help": "Leave out targets brighter than this in any band, AB."}
    )

    def __post_init__(self) -> None:
        _refuse_outside(self, "exptime", 1.0, 1e6)
        _refuse_outside(self, "bright_limit", 0.0, 40.0)
        wrong = {"L": "m", "M": "r"}[self.resolution]
        if self.reference_arm == wrong:
            raise ConfigError(
                f"--pfs-reference-arm {wrong} does not go with --pfs-resolution {self.resolution}"
            )

    @property
    def arm(self) -> str:
        """Reference arm to write."""
        return self.reference_arm or {"L": "r", "M": "m"}[self.resolution]


@dataclass(frozen=True)
class SdssvSettings(FormatSettings):
    """Options of ``sdssv-too``; see `xsaga.targets.exports.sdssv_too`."""

    format_name = "sdssv-too"
    title = "SDSS-V"
    prefix = "sdssv"

    program: str = field(
        default="", metadata={"help": "program: who asks for the targets.", "metavar": "NAME"}
    )
    sky: Literal["dark", "bright", "either"] = field(
        default="dark", metadata={"help": "sky_brightness_mode."}
    )
    exposures: int = field(default=1, metadata={"help": "n_exposures."})
    observe_from: int | None = field(
        default=None, metadata={"help": "observe_from_mjd.  [default: empty, the day of loading]"}
    )
    observe_until: int | None = field(
        default=None, metadata={"help": "observe_until_mjd.  [default: empty, never expires]"}
    )
    added_on: str = field(
        default="",
        metadata={"help": "added_on.  [default: the day the list was made]", "metavar": "DATE"},
    )

    def __post_init__(self) -> None:
        _refuse_name(self, "program", _WORD, "letters, digits and _ . + -")
        _refuse_outside(self, "exposures", 1, 2**15 - 1)
        for name in ("observe_from", "observe_until"):
            _refuse_outside(self, name, 0, 10**6)
        if self.added_on:
            try:
                dt.date.fromisoformat(self.added_on)
            except ValueError:
                raise ConfigError(
                    f"{_option(self, 'added_on')} {self.added_on!r}: write a date as 2026-11-26"
                ) from None


@dataclass(frozen=True)
class HatsSettings(FormatSettings):
    """Options of ``hats``; see `xsaga.targets.exports.hats_catalog`."""

    format_name = "hats"
    title = "HATS"
    prefix = "hats"

    name: str = field(
        default="xsaga_targets", metadata={"help": "Name of the catalog.", "metavar": "NAME"}
    )
    max_rows: int = field(default=1_000_000, metadata={"help": "Most rows of one partition."})

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError(f"{_option(self, 'name')}: give the catalog a name")
        _refuse_name(self, "name", _WORD, "letters, digits and _ . + -")
        _refuse_outside(self, "max_rows", 1, 10**9)


@dataclass(frozen=True)
class RegionsSettings(FormatSettings):
    """Options of ``regions``; see `xsaga.targets.exports.regions`."""

    format_name = "regions"
    title = "region"
    prefix = "regions"

    radius: float = field(default=5.0, metadata={"help": "Radius of the circles, arcsec."})

    def __post_init__(self) -> None:
        _refuse_outside(self, "radius", 0.01, 3600.0)


GROUPS: Final[dict[str, type[FormatSettings]]] = {
    "fourmost": FourmostSettings,
    "pfs": PfsSettings,
    "sdssv": SdssvSettings,
    "hats": HatsSettings,
    "regions": RegionsSettings,
}
"""Settings by the name of their field in `xsaga.targets.exports.settings.ExportSettings`."""


def option_name(prefix: str, name: str) -> str:
    """Option of a setting on the command line, such as ``--pfs-exptime`` or ``--numobs``."""
    return "--" + "-".join(filter(None, (prefix, name.replace("_", "-"))))


def _option(settings: FormatSettings, name: str) -> str:
    return option_name(settings.prefix, name)


def _refuse_name(settings: FormatSettings, name: str, allowed: re.Pattern[str], words: str) -> None:
    value = str(getattr(settings, name))
    if value and not allowed.fullmatch(value.replace(TIER_MARK, "1")):
        raise ConfigError(
            f"{_option(settings, name)} {value!r}: write {words}, 256 characters at most"
        )


def _refuse_outside(settings: FormatSettings, name: str, least: float, most: float) -> None:
    value = getattr(settings, name)
    if value is not None and not least <= value <= most:
        raise ConfigError(
            f"{_option(settings, name)} {value:g} is out of range: give {least:g} to {most:g}"
        )
