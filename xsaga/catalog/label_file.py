"""The file of labels, ``labels.parquet``, and the table of conflicts beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from astropy.table import Column as TableColumn
from astropy.table import Table, meta

from xsaga.catalog.redshift_catalogs import LABEL_MARK, MORPHOLOGY
from xsaga.catalog.schema import FIELDS_BY_NAME, Field
from xsaga.errors import CatalogError
from xsaga.parquet_files import conformed, read_columns, unreadable, write_table
from xsaga.paths import placed
from xsaga.reading import parse_json, parsing

LABEL_FIELDS: tuple[Field, ...] = (
    Field("label_id", pa.int64(), "", "identifier of the source, else HEALPix order-29 pixel"),
    FIELDS_BY_NAME["ra"],
    FIELDS_BY_NAME["dec"],
    Field("z", pa.float64(), "", "redshift, heliocentric; NaN for artefacts"),
    Field("z_quality", pa.int32(), "", "quality of the redshift; 4 where all are good"),
    Field("is_lowz", pa.bool_(), "", "a galaxy nearer than the limit, and no shred"),
    Field("shred", pa.bool_(), "", "a piece of a large galaxy"),
    Field("training", pa.bool_(), "", "added to a simulated sky to learn from; no sky has it"),
    Field("kind", pa.string(), "", "galaxy, star, quasar, artefact; empty: not known"),
    *(FIELDS_BY_NAME[name] for name in ("mag_g", "mag_r", "mag_z", "sb_r", "radius", "ba")),
    FIELDS_BY_NAME["sersic"],
    Field("source", pa.string(), "", "catalog of the redshift"),
    Field("host", pa.string(), "", "host galaxy in whose field it is; empty: none"),
    Field("group", pa.int64(), "", "patch of sky that folds keep together"),
    Field("n_matched", pa.int32(), "", "rows of the inputs that are this object"),
    Field("conflict", pa.bool_(), "", "redshifts of this object disagree"),
)
"""Columns of ``labels.parquet``."""

LABEL_SCHEMA: pa.Schema = pa.schema([(field.name, field.kind) for field in LABEL_FIELDS])
"""Arrow schema of ``labels.parquet``; columns of `MORPHOLOGY`, float32, come after these."""


@dataclass(frozen=True)
class LabelFile:
    """Contents of a file of labels.

    Parameters
    ----------
    table : DataFrame
        Columns `LABEL_FIELDS` and, where an input had them, those of `MORPHOLOGY`.
    record : dict
        How the labels were made: ``z_limit``, ``min_quality`` and the other settings, ``inputs``
        with SHA-256, ``counts``, ``simulated``.
    """

    table: pd.DataFrame
    record: dict[str, Any]

    @property
    def simulated(self) -> bool:
        """Whether the objects are those of a simulated sky."""
        return bool(self.record.get("simulated", False))


def conflicts_path(path: Path) -> Path:
    """Where the conflicts of a file of labels are listed: ``<name>-conflicts.csv`` beside it."""
    return path.with_name(f"{path.stem}-conflicts.csv")


def write_labels(
    path: Path, table: pd.DataFrame, conflicts: pd.DataFrame, record: Mapping[str, Any]
) -> None:
    """Write labels and their conflicts; equal labels give equal bytes.

    Parameters
    ----------
    path : Path
        File of the labels, Parquet; `conflicts_path` tells where the conflicts go, which is
        written even if there are none.
    table : DataFrame
        Columns `LABEL_FIELDS`; of others those of `MORPHOLOGY` are written too.
    conflicts : DataFrame
        As `xsaga.catalog.labels.make_labels` gives them.
    record : mapping
        Kept as JSON in the file's metadata under ``xsaga.labels``.
    """
    with placed(conflicts_path(path)) as temporary:
        conflicts.to_csv(temporary, index=False, lineterminator="\n", float_format="%.9g")
    fields = [*LABEL_FIELDS, *(_morphology_field(name) for name in _morphology(table.columns))]
    described = Table(
        [
            TableColumn(
                name=field.name,
                dtype="U1" if pa.types.is_string(field.kind) else field.kind.to_pandas_dtype(),
                unit=field.unit or None,
                description=field.meaning,
            )
            for field in fields
        ]
    )
    metadata = {
        LABEL_MARK: json.dumps(record, ensure_ascii=False),
        b"table_meta_yaml": "\n".join(meta.get_yaml_from_table(described)),
    }
    for field in LABEL_FIELDS:
        if pa.types.is_string(field.kind):  # astropy asks for the width of strings
            width = table[field.name].map(len).max() if len(table) else 1
            metadata[f"table::len::{field.name}".encode()] = str(max(int(width), 1))
    schema = pa.schema([(field.name, field.kind) for field in fields])
    arrow = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    write_table(path, arrow.replace_schema_metadata(metadata))


def read_labels(path: Path) -> LabelFile:
    """Read a file of labels.

    Parameters
    ----------
    path : Path
        Written by `write_labels`.

    Raises
    ------
    CatalogError
        When it cannot be read or is something else.
    """
    if not path.exists():
        raise CatalogError(f"{path}: no such file; make it with `xsaga labels`")
    describe = unreadable(path, CatalogError, "make it anew with `xsaga labels`")
    table = read_columns(path, describe)
    record = _record(path, (table.schema.metadata or {}).get(LABEL_MARK, b""))
    absent = set(LABEL_SCHEMA.names) - set(table.column_names)
    if absent:
        raise CatalogError(
            f"{path}: columns are missing: {', '.join(sorted(absent))}; make it anew with "
            "`xsaga labels`"
        )
    more = _morphology(table.column_names)
    schema = pa.schema([*LABEL_SCHEMA, *((name, pa.float32()) for name in more)])
    with parsing(describe):
        table = conformed(table.select(schema.names), schema)
    return LabelFile(table.to_pandas(ignore_metadata=True), record)


def _record(path: Path, text: bytes) -> dict[str, Any]:
    """Read what a file of labels says of itself."""
    try:
        record = parse_json(text)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise CatalogError(f"{path}: not a file of labels; make one with `xsaga labels`")
    limit = record.get("z_limit", 0.0)
    if type(limit) not in (int, float) or not math.isfinite(limit):
        raise CatalogError(f"{path}: its z_limit is no number; make it anew with `xsaga labels`")
    return record


def _morphology(columns: Iterable[str]) -> list[str]:
    return sorted(name for name in columns if name.startswith(MORPHOLOGY))


def _morphology_field(name: str) -> Field:
    return Field(name, pa.float32(), "", f"morphology: {name.removeprefix(MORPHOLOGY)}")
