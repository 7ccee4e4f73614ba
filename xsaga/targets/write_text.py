"""Target lists as text: CSV for everyone, ECSV for astronomers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from xsaga.targets.columns import Column, columns_of
from xsaga.targets.described_table import described_table
from xsaga.targets.provenance import Provenance

_CSVW_TYPES = {"i2": "short", "i4": "int", "i8": "long", "f4": "float", "f8": "double"}


def write_csv(path: Path, targets: pd.DataFrame, provenance: Provenance) -> None:  # noqa: ARG001
    """Write a conformed target list as plain CSV: one line of names, then rows, no comments.

    TOPCAT, spreadsheets and ``pandas.read_csv`` without options all stumble over comment lines, so
    units, descriptions and provenance go beside the file (`write_csv_metadata`). NaN is an empty
    field, an empty string is a pair of quotes.

    Parameters
    ----------
    path : Path
        File to write.
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        Not used here.
    """
    table = pa.Table.from_pandas(targets, preserve_index=False)
    csv.write_csv(table, path, csv.WriteOptions(quoting_style="needed"))


def write_csv_metadata(
    path: Path, csv_name: str, targets: pd.DataFrame, provenance: Provenance
) -> None:
    """Write the description of a CSV file as W3C "CSV on the Web" metadata (CSVW, 2015).

    Parameters
    ----------
    path : Path
        File to write; CSVW looks for ``<name>.csv-metadata.json`` beside the CSV file.
    csv_name : str
        Name of the CSV file.
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        Written as ``dc:provenance``.
    """
    description = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": csv_name,
        "dc:creator": f"xsaga {provenance.version}",
        "dc:provenance": provenance.to_dict(),
        "tableSchema": {
            "columns": [
                _csvw_column(column) for column in columns_of(targets, provenance.weights.z_limit)
            ],
            "primaryKey": "source_id",
        },
    }
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def read_csv_ids(path: Path) -> NDArray[np.int64]:
    """Read the identifiers in a file written by `write_csv`."""
    frame = pd.read_csv(path, usecols=["source_id"], dtype={"source_id": np.int64})
    return frame["source_id"].to_numpy()


def write_ecsv(path: Path, targets: pd.DataFrame, provenance: Provenance) -> None:
    """Write a conformed target list as comma-separated ECSV (astropy's APE 6).

    Parameters
    ----------
    path : Path
        File to write.
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        Becomes the table's meta.
    """
    described_table(targets, provenance).write(path, format="ascii.ecsv", delimiter=",")


def read_ecsv_ids(path: Path) -> NDArray[np.int64]:
    """Read the identifiers in a file written by `write_ecsv`."""
    frame = pd.read_csv(path, usecols=["source_id"], dtype={"source_id": np.int64}, comment="#")
    return frame["source_id"].to_numpy()


def _csvw_column(column: Column) -> dict[str, str]:
    described = {
        "name": column.name,
        "datatype": "string" if column.is_text else _CSVW_TYPES[column.dtype],
        "dc:description": column.description,
        "schema:additionalType": column.ucd,
    }
    if column.unit:
        described["schema:unitText"] = column.unit
    return described
