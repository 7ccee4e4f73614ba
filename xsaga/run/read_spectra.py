"""Files of redshifts, read for the monitor: all of them before anything is made of any."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from xsaga.catalog.formats import open_table
from xsaga.catalog.redshift_catalogs import is_simulated
from xsaga.catalog.spectra import SPECTRA_COLUMNS, QualityRules, read_spectra
from xsaga.catalog.standard import ReadingNotes
from xsaga.errors import ConfigError, EvaluationError
from xsaga.run.published_lists import UNKNOWN_NIGHT, PublishedLists
from xsaga.targets.provenance import InputFile, sha256_of

GALAXY = ("GALAXY",)
"""Classes that can be near, where a file tells classes."""

STAR_Z = 0.001
"""What is below counts as a star in files that tell no classes."""

_OTHER_CLASS = "SPECTYPE"
_KEPT = (
    *("ra", "dec", "targetid", "night", "z", "good", "why_not", "other"),
    *("delta_chi2", "z_quality", "input_row"),
)


@dataclass(frozen=True)
class SpectraSettings:
    """How files of redshifts are read.

    Parameters
    ----------
    rules : QualityRules
        When a redshift is good; its classes are those that can be near, and are asked for only in
        files that tell classes, unless they were given.
    overrides : mapping of str to str
        From names of `xsaga.catalog.spectra.SPECTRA_COLUMNS` to columns of the files.
    night : int
        Night of rows that tell none, YYYYMMDD; `UNKNOWN_NIGHT`: not given.
    star_z : float
        What is below counts as a star in files that tell no classes.
    """

    rules: QualityRules = field(default_factory=QualityRules)
    overrides: Mapping[str, str] = field(default_factory=dict)
    night: int = UNKNOWN_NIGHT
    star_z: float = STAR_Z


@dataclass(frozen=True)
class Spectra:
    """All spectra of some files.

    Parameters
    ----------
    table : DataFrame
        ``ra``, ``dec`` (deg; NaN: none), ``targetid`` (−1: none), ``z``, ``night`` (YYYYMMDD; 0:
        not known), ``good``, ``why_not``, ``other`` (a good redshift of what cannot be near: a
        star, a quasar), ``delta_chi2``, ``z_quality``, ``input_row``, ``file``.
    files : tuple of InputFile
        What was read.
    simulated : bool
        Whether the files say that they are simulated.
    warnings : tuple of str
        What reading them gave rise to.
    """

    table: pd.DataFrame
    files: tuple[InputFile, ...]
    simulated: bool
    warnings: tuple[str, ...]


def read_all_spectra(
    paths: Sequence[Path], settings: SpectraSettings, lists: PublishedLists
) -> Spectra:
    """Read files of redshifts.

    A redshift of another class than `QualityRules.spectypes` counts as good, and as not near: the
    fiber found out what its target is.

    Raises
    ------
    CatalogError
        A file cannot be read, or lacks what is needed.
    ConfigError
        Rows tell no night and there are several lists.
    EvaluationError
        Some of the files are simulated and others are not.
    """
    notes = ReadingNotes()
    tables, files, simulated = [], [], []
    for number, path in enumerate(paths):
        table = _read(path, settings, notes)
        unknown = int((table["night"] == UNKNOWN_NIGHT).sum())
        if unknown and len(lists.lists) > 1:
            raise ConfigError(
                f"{path}: {unknown:,} of {len(table):,} rows tell no night, and {lists.where} has "
                f"{len(lists.lists):,} lists: give --night YYYY-MM-DD, or --column night=COLUMN"
            )
        tables.append(table.assign(file=np.int16(number)))
        files.append(InputFile(str(path), path.stat().st_size, sha256_of(path)))
        simulated.append(is_simulated(path))
    if len(set(simulated)) > 1:
        raise EvaluationError(
            f"{paths[simulated.index(True)]}: simulated redshifts, but "
            f"{paths[simulated.index(False)]} are real: give them apart"
        )
    return Spectra(
        pd.concat(tables, ignore_index=True), tuple(files), simulated[0], tuple(notes.warnings)
    )


def _read(path: Path, settings: SpectraSettings, notes: ReadingNotes) -> pd.DataFrame:
    rules = settings.rules
    tells_class = _tells_class(path, settings.overrides)
    if tells_class and not rules.spectypes:
        rules = dataclasses.replace(rules, spectypes=GALAXY)
    pieces = []
    for piece in read_spectra(path, rules, settings.overrides, notes):
        other = (piece["why_not"] == _OTHER_CLASS) & (piece["z_quality"] >= rules.min_quality)
        if not tells_class:
            other = piece["good"] & (piece["z"] < settings.star_z)
        good = piece["good"] | other
        piece = piece.assign(
            good=good,
            other=other,
            night=piece["night"].where(piece["night"] != UNKNOWN_NIGHT, settings.night),
            why_not=pd.Categorical(piece["why_not"].where(~other, "")),
        )
        pieces.append(piece[list(_KEPT)])
    return pd.concat(pieces, ignore_index=True)


def _tells_class(path: Path, overrides: Mapping[str, str]) -> bool:
    known = {name.lower() for name in SPECTRA_COLUMNS["spectype"]}
    return "spectype" in overrides or any(
        name.lower() in known for name in open_table(path).columns
    )
