"""What a target list was made from, for every output to carry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, Final

from xsaga.errors import TargetsError
from xsaga.json_values import from_json

PACKAGES: Final = (
    "astropy",
    "healpy",
    "mocpy",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "scipy",
    "torch",
)
"""Packages whose versions can change a target list."""

_USER_INFO = re.compile(r"(?<=://)[^/?#\s'\"]*@")
_SECRET_PARAMETER = re.compile(
    r"(?<=[?&])((?:[\w-]*(?:token|signature|credential|password|secret|api_?key)|key|sig)=)"
    r"[^&#\s'\"]+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class InputFile:
    """A file that was read.

    Parameters
    ----------
    path : str
        Path or URL.
    size : int
        Bytes.
    sha256 : str
        Checksum in hexadecimal.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class WeightsRecord:
    """The model that gave the scores.

    Parameters
    ----------
    name : str
        Name on the model's card.
    sha256 : str
        Checksum of the safetensors file.
    simulated : bool
        Whether it was fitted to simulated cutouts: then its scores are no basis for observing.
    z_limit : float
        Redshift below which a galaxy is what it looks for; 0.03 in records that do not tell it.
    """

    name: str
    sha256: str
    simulated: bool
    z_limit: float = 0.03


@dataclass(frozen=True)
class Provenance:
    """Everything needed to tell where a target list comes from and to make it again.

    User names, passwords and tokens inside URLs are removed from all of it.

    Parameters
    ----------
    version : str
        Version of xsaga.
    created : str
        ISO 8601 date and time, from SOURCE_DATE_EPOCH or the run's record, never the clock of the
        moment of writing: the same run gives the same bytes. Empty if not known.
    command : str
        Command line.
    config_toml : str
        Resolved configuration.
    weights : WeightsRecord
        The model.
    inputs : tuple of InputFile
        Files read, in the order that `input_file` counts.
    packages : tuple of (name, version)
        Versions of Python and of the packages that matter.
    base_rate : str
        Rate of nearby galaxies that `p_lowz` is for and where it comes from, in words; empty if
        not known.
    tiers : tuple of str
        What chose each tier, tier 1 first, e.g. ``20/deg2`` or ``saga2``.
    area_deg2 : float or None
        Area that the targets were chosen from, masks taken off; None if not known.
    """

    version: str
    created: str
    command: str
    config_toml: str
    weights: WeightsRecord
    inputs: tuple[InputFile, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    base_rate: str = ""
    tiers: tuple[str, ...] = ()
    area_deg2: float | None = None

    def __post_init__(self) -> None:
        # Here, once, so that no writer can forget it.
        object.__setattr__(self, "command", without_credentials(self.command))
        object.__setattr__(self, "config_toml", without_credentials(self.config_toml))
        clean = tuple(
            InputFile(without_credentials(each.path), each.size, each.sha256)
            for each in self.inputs
        )
        object.__setattr__(self, "inputs", clean)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings, numbers and booleans, for JSON and YAML."""
        record = asdict(self)
        record["inputs"] = [asdict(each) for each in self.inputs]
        record["packages"] = dict(self.packages)
        record["tiers"] = list(self.tiers)
        return {"creator": "xsaga", **record}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Provenance:
        """Give back what `to_dict` gave.

        Raises
        ------
        ValueError
            Something is missing or not of ours.
        """
        facts = {name: value for name, value in record.items() if name != "creator"}
        packages = facts.pop("packages", {})
        if not isinstance(packages, dict) or not all(type(v) is str for v in packages.values()):
            raise ValueError("packages must be an object of texts")
        return replace(from_json(cls, facts), packages=tuple(packages.items()))

    def items(self) -> list[tuple[str, str]]:
        """Name and text of each fact, for formats that know only that."""
        facts = [
            ("creator", f"xsaga {self.version}"),
            ("created", self.created),
            ("command", self.command),
            ("weights", self.weights.name),
            ("weights_sha256", self.weights.sha256),
            ("weights_simulated", "true" if self.weights.simulated else "false"),
            ("weights_z_limit", f"{self.weights.z_limit:g}"),
        ]
        if self.base_rate:
            facts.append(("base_rate", self.base_rate))
        facts += [(f"tier_{number}", words) for number, words in enumerate(self.tiers, start=1)]
        if self.area_deg2 is not None:
            facts.append(("area_deg2", f"{self.area_deg2:.6g}"))
        facts += [
            ("input", f"{each.path} ({each.size} bytes, SHA-256 {each.sha256})")
            for each in self.inputs
        ]
        facts += [("package", f"{name} {version}") for name, version in self.packages]
        facts.append(("configuration", self.config_toml))
        return facts


def without_credentials(text: str) -> str:
    """Remove user names and passwords from URLs in a text, and mask secret query parameters."""
    return _SECRET_PARAMETER.sub(r"\1***", _USER_INFO.sub("", text))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; reads it in pieces.

    Raises
    ------
    TargetsError
        When it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise TargetsError(f"{path}: cannot be read for its checksum ({error.strerror})") from error


def installed_versions(packages: Iterable[str] = PACKAGES) -> tuple[tuple[str, str], ...]:
    """Versions of Python and of those of `packages` that are installed, for `Provenance`."""
    found = [("python", python_version())]
    for package in packages:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(found)
