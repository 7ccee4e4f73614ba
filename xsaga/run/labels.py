"""Labels from catalogs on disk or on the network: read, match, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from xsaga import __version__
from xsaga.catalog.columns import AUTO
from xsaga.catalog.label_file import conflicts_path, write_labels
from xsaga.catalog.label_photometry import with_photometry
from xsaga.catalog.labels import Labels, LabelSettings, make_labels
from xsaga.catalog.readers import Catalog
from xsaga.catalog.redshift_catalogs import (
    RedshiftCatalog,
    RowCounts,
    is_simulated,
    read_redshifts,
    redshift_catalogs,
)
from xsaga.catalog.saga_tables import PUBLIC_ADDRESS, saga_catalogs
from xsaga.catalog.standard import ReadingNotes
from xsaga.errors import CatalogError, ConfigError
from xsaga.imaging.http import HttpClient
from xsaga.run.saga_download import cache_folder, fetch_saga_tables
from xsaga.targets.provenance import InputFile, sha256_of

SAGA = "saga"
"""Word that stands for the tables of SAGA DR3 among the inputs."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class LabelInputs:
    """What labels are made from.

    Parameters
    ----------
    entries : tuple of str
        `SAGA`, or files, patterns and folders of catalogs with redshifts; in cases of equal
        quality the earlier one counts.
    saga_tables : str
        Folder or http(s) address of the SAGA tables.
    cache : Path
        Keeps downloaded SAGA tables; not used where they lie in a folder.
    columns : str
        Column map of positions and photometry, for all but SAGA.
    overrides : mapping of str to str
        Columns to use in all but SAGA, see `xsaga.catalog.redshift_catalogs.redshift_catalogs`.
    photometry : tuple of str
        Files, patterns and folders of a catalog of sources that gives the photometry.
    """

    entries: tuple[str, ...]
    saga_tables: str = PUBLIC_ADDRESS
    cache: Path = field(default_factory=cache_folder)
    columns: str = AUTO
    overrides: Mapping[str, str] = field(default_factory=dict)
    photometry: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelsMade:
    """Labels that were written.

    Parameters
    ----------
    path, conflicts : Path
        The files.
    labels : Labels
        What is in them.
    record : dict
        What is in the metadata of the file of labels.
    """

    path: Path
    conflicts: Path
    labels: Labels
    record: dict[str, Any]


def write_labels_of(
    inputs: LabelInputs, settings: LabelSettings, path: Path, say: Say
) -> LabelsMade:
    """Read catalogs with redshifts and write one file of labels.

    Parameters
    ----------
    inputs : LabelInputs
        What to read.
    settings : LabelSettings
        How to make labels of it.
    path : Path
        File to write, ``.parquet``; the conflicts go beside it.
    say : callable
        Is told warnings and what takes its time.

    Returns
    -------
    LabelsMade

    Raises
    ------
    ConfigError
        For senseless options.
    CatalogError
        When an input cannot be had, read or used.
    """
    if path.suffix != ".parquet":
        raise ConfigError(f"--out {path}: labels are written as Parquet; let it end in .parquet")
    catalogs = _catalogs(inputs, say)
    sources = Catalog.of(inputs.photometry) if inputs.photometry else None
    files = [catalog.path for catalog in catalogs] + (list(sources.files) if sources else [])
    if path.resolve() in {file.resolve() for file in files}:
        raise ConfigError(f"--out {path}: it is one of the inputs; choose another name")
    counts, notes = RowCounts(), ReadingNotes()
    rows = pd.concat(
        [
            read_redshifts(catalog, number, settings.min_quality, counts, notes)
            for number, catalog in enumerate(catalogs)
        ],
        ignore_index=True,
    )
    with_source = None
    if sources is not None:
        rows, with_source = with_photometry(rows, sources, settings.match_radius, notes)
    for warning in notes.warnings:
        say(f"warning: {warning}")
    labels = make_labels(rows, settings)
    record = {
        "xsaga_version": __version__,
        **asdict(settings),
        "simulated": any(is_simulated(file) for file in files),
        "inputs": [asdict(InputFile(str(f), f.stat().st_size, sha256_of(f))) for f in files],
        "counts": asdict(counts) | _counts(labels, len(rows), with_source),
    }
    numbered = dict(enumerate(str(catalog.path) for catalog in catalogs))
    conflicts = labels.conflicts.assign(input_file=labels.conflicts["input_file"].map(numbered))
    write_labels(path, labels.table, conflicts, record)
    return LabelsMade(path, conflicts_path(path), labels, record)


def _catalogs(inputs: LabelInputs, say: Say) -> list[RedshiftCatalog]:
    if not inputs.entries:
        raise ConfigError(f"nothing to make labels from: give '{SAGA}' or catalogs with redshifts")
    found: dict[Path, RedshiftCatalog] = {}
    for entry in inputs.entries:
        if entry == SAGA:
            these: Sequence[RedshiftCatalog] = _saga(inputs, say)
        else:
            these = redshift_catalogs(entry, inputs.columns, inputs.overrides)
        for catalog in these:
            found.setdefault(catalog.path.resolve(), catalog)
    if len(found) > 1000:
        raise CatalogError(f"{len(found):,} catalogs with redshifts: at most 1000 can be joined")
    return list(found.values())


def _saga(inputs: LabelInputs, say: Say) -> list[RedshiftCatalog]:
    if not inputs.saga_tables.startswith(("http://", "https://")):
        return saga_catalogs(Path(inputs.saga_tables).expanduser())
    with HttpClient() as http:
        fetch_saga_tables(inputs.saga_tables, inputs.cache, http, say)
    return saga_catalogs(inputs.cache)


def _counts(labels: Labels, usable: int, with_source: int | None) -> dict[str, int]:
    counts = {
        "usable": usable,
        "duplicates": labels.duplicates,
        "conflicting": labels.conflicting,
        "conflicting_class": labels.conflicting_class,
        "local": labels.local,
        "crowded": labels.crowded,
        "labels": len(labels.table),
        "lowz": int(labels.table["is_lowz"].sum()),
        "shreds": int(labels.table["shred"].sum()),
        "groups": int(labels.table["group"].nunique()),
    }
    return counts if with_source is None else counts | {"with_source": with_source}
