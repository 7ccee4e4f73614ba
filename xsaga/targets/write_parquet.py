"""Target lists as Parquet, described for astropy and for the tools of the Virtual Observatory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import meta
from numpy.typing import NDArray

from xsaga.targets.columns import columns_of, text_width
from xsaga.targets.described_table import described_table
from xsaga.targets.provenance import Provenance
from xsaga.targets.write_votable import votable_header

PROVENANCE_KEY = "xsaga.provenance"
"""Key of the file's metadata under which provenance stands as JSON."""

ARROW_TYPES = {
    "i2": pa.int16(),
    "i4": pa.int32(),
    "i8": pa.int64(),
    "f4": pa.float32(),
    "f8": pa.float64(),
    "str": pa.string(),
}


def write_parquet(path: Path, targets: pd.DataFrame, provenance: Provenance) -> None:
    """Write a conformed target list as Parquet, compressed with zstd.

    Units, descriptions and provenance are kept in the file's key-value metadata three times, once
    for each kind of reader: ``table_meta_yaml`` for ``astropy.table.Table.read``,
    ``IVOA.VOTable-Parquet.content`` (VOParquet 1.0) for TOPCAT and its like, and provenance alone
    as JSON under ``xsaga.provenance`` for everything else.

    Parameters
    ----------
    path : Path
        File to write.
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        What the targets were made from.
    """
    columns = columns_of(targets, provenance.weights.z_limit)
    described = described_table(targets.iloc[:0], provenance)
    metadata = {
        "table_meta_yaml": "\n".join(meta.get_yaml_from_table(described)),
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": votable_header(targets, provenance),
        PROVENANCE_KEY: json.dumps(provenance.to_dict(), ensure_ascii=False),
    }
    for column in columns:
        if column.is_text:  # astropy asks for the width of strings
            metadata[f"table::len::{column.name}"] = str(text_width(targets[column.name]))
    schema = pa.schema([(c.name, ARROW_TYPES[c.dtype]) for c in columns], metadata=metadata)
    table = pa.Table.from_pandas(targets, schema=schema, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")


def read_parquet_ids(path: Path) -> NDArray[np.int64]:
    """Read the identifiers in a file written by `write_parquet`."""
    table = pq.read_table(path, columns=["source_id"])
    return np.array(table["source_id"].to_numpy(), dtype=np.int64)
