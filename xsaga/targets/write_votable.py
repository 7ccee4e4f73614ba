"""Target lists as VOTable, and the VOTable header that describes a Parquet file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io.votable import parse
from astropy.io.votable.tree import CooSys, Field, Info, Resource, TableElement, VOTableFile
from numpy.typing import NDArray

from xsaga.targets.columns import Column, columns_of, text_width
from xsaga.targets.provenance import Provenance

_DATATYPES = {"i2": "short", "i4": "int", "i8": "long", "f4": "float", "f8": "double"}
_FRAME = "icrs"


def write_votable(path: Path, targets: pd.DataFrame, provenance: Provenance) -> None:
    """Write a conformed target list as VOTable 1.4 with BINARY2 data.

    BINARY2 keeps NaN apart from missing values and is smaller than TABLEDATA. At about 3,000 rows
    a second it is no format for millions of targets; TOPCAT reads the Parquet file as well.

    Parameters
    ----------
    path : Path
        File to write.
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        Becomes INFO elements.
    """
    if targets.empty:
        # astropy leaves DATA out of an empty table, and TOPCAT passes over a table without it
        text = votable_header(targets, provenance)
        empty = "<DATA><TABLEDATA/></DATA>"
        path.write_text(text.replace("</TABLE>", f"{empty}</TABLE>"), encoding="utf-8")
        return
    document, table = _document(targets, provenance)
    table.create_arrays(len(targets))
    for name in targets.columns:
        table.array[name] = targets[name].to_numpy()
    with path.open("wb") as stream:
        document.to_xml(stream, tabledata_format="binary2")


def read_votable_ids(path: Path) -> NDArray[np.int64]:
    """Read the identifiers in a file written by `write_votable`."""
    table = parse(path, columns=["source_id"]).get_first_table()
    return np.array(table.array["source_id"], dtype=np.int64)


def votable_header(
    targets: pd.DataFrame, provenance: Provenance, first: tuple[Column, ...] = ()
) -> str:
    """VOTable without data that describes the columns of a conformed target list.

    This is what the VOParquet convention (IVOA Note 1.0, 2025-01) puts into the metadata of a
    Parquet file.

    Parameters
    ----------
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        Becomes INFO elements.
    first : tuple of Column
        Numeric columns that stand before those of the list.
    """
    document, table = _document(targets, provenance)
    table.fields[:0] = [_field(document, column, None) for column in first]
    stream = BytesIO()
    document.to_xml(stream)
    return stream.getvalue().decode("utf-8")


def _document(targets: pd.DataFrame, provenance: Provenance) -> tuple[VOTableFile, TableElement]:
    document = VOTableFile(version="1.4")
    resource = Resource(type="results")
    document.resources.append(resource)
    resource.coordinate_systems.append(CooSys(ID=_FRAME, system="ICRS"))
    for number, (name, value) in enumerate(provenance.items()):
        resource.infos.append(_info(number, name, value))
    table = TableElement(document, name="targets")
    resource.tables.append(table)
    for column in columns_of(targets, provenance.weights.z_limit):
        # 1 would mean a single letter, not a string of one
        width = str(max(text_width(targets[column.name]), 2)) if column.is_text else None
        table.fields.append(_field(document, column, width))
    return document, table


def _info(number: int, name: str, value: str) -> Info:
    # astropy takes the name for the ID otherwise, and IDs must be unique
    lines = "\n" in value
    info = Info(ID=f"info{number}", name=name, value="text" if lines else value)
    if lines:  # XML makes blanks of line breaks in attributes
        info.content = value
    return info


def _field(document: VOTableFile, column: Column, width: str | None) -> Field:
    field = Field(
        document,
        ID=column.name,
        name=column.name,
        datatype="unicodeChar" if column.is_text else _DATATYPES[column.dtype],
        arraysize=width,
        ucd=column.ucd,
        unit=column.vounit or None,
        ref=_FRAME if column.name in {"ra", "dec"} else None,
    )
    field.description = column.description
    return field
