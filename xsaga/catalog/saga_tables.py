"""The tables of SAGA DR3 (Mao et al. 2024) that hold redshifts, and whether a file is one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xsaga.catalog.columns import load_column_maps
from xsaga.catalog.redshift_catalogs import RedshiftCatalog
from xsaga.errors import CatalogError

PUBLIC_ADDRESS = "https://sagasurvey.org/data/"
"""Where the survey publishes its tables."""

_TITLE = "Title: The SAGA Survey"
_RULE = "-" * 20
_COLUMN = re.compile(r"\s*(\d+-)?\s*(?P<last>\d+)\s+[AIFE]\d\S*\s+\S+\s+(?P<label>\S+)")
"""A line like `` 38- 48 F11.7 deg RAdeg Right ascension``."""


@dataclass(frozen=True)
class SagaTable:
    """One table as published.

    Parameters
    ----------
    name : str
        File name.
    content : str
        What it lists, in words.
    rows : int
        Rows as published; a file with fewer is incomplete.
    labels : tuple of str
        Columns that it must have.
    """

    name: str
    content: str
    rows: int
    labels: tuple[str, ...]


SAGA_TABLES: tuple[SagaTable, ...] = (
    SagaTable("saga-dr3-tableC1.txt", "hosts", 101, ("HOSTID", "RAdeg", "DEdeg", "HRV")),
    SagaTable(
        "saga-dr3-tableC2.txt",
        "galaxies with redshifts",
        75_704,
        ("OBJID", "HOSTID", "RAdeg", "DEdeg", "rmag", "gr", "sb", "z"),
    ),
    SagaTable(
        "saga-dr3-tableC3.txt",
        "satellites",
        378,
        ("OBJID", "HOSTID", "RAdeg", "DEdeg", "rmag", "gr", "sb", "z"),
    ),
)
"""Hosts (their redshift is the heliocentric velocity over c), galaxies, satellites.

All redshifts in them are good ones (z = −1 where there is none). Satellites are in C2 as well and
are matched there like any other duplicate.
"""


def table_fault(path: Path, table: SagaTable) -> str:
    """Say what is wrong with a file that should be one of the tables; nothing if it is complete.

    An AAS machine-readable table starts with its title and a description of its columns byte by
    byte; the rows follow the last line of dashes, each up to the last column at least.

    Parameters
    ----------
    path : Path
        The file.
    table : SagaTable
        What it should be.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        content = ""
    lines = content.split("\n")
    if not content.startswith(_TITLE):
        start = " ".join(lines[0].split())[:40]
        return f"not a table of the SAGA survey: it begins with {start!r}"
    rules = [number for number, line in enumerate(lines[:500]) if line.startswith(_RULE)]
    described = lines[: rules[-1] if rules else 0]
    ends = {label: _last_byte(label, described) for label in table.labels}
    absent = [label for label, end in ends.items() if end == 0]
    if absent:
        return f"not SAGA DR3 {table.name}: it describes no column {absent[0]}"
    rows = [line for line in lines[rules[-1] + 1 :] if line.strip()]
    if len(rows) < table.rows:
        return f"incomplete: {len(rows):,} of {table.rows:,} rows"
    if len(rows[-1]) < max(ends.values()):
        return f"incomplete: its last row ends after {len(rows[-1])} bytes"
    return ""


def _last_byte(label: str, described: list[str]) -> int:
    """Last byte of a column in a byte-by-byte description, 0 where it is not described."""
    for line in described:
        match = _COLUMN.match(line)
        if match is not None and match["label"] == label:
            return int(match["last"])
    return 0


def saga_catalogs(folder: Path) -> list[RedshiftCatalog]:
    """Give the tables in a folder as catalogs with redshifts.

    Parameters
    ----------
    folder : Path
        Folder of the three files under their published names.

    Raises
    ------
    CatalogError
        When one of them is not there or is not what its name says.
    """
    maps = load_column_maps("saga-dr3")
    catalogs = []
    for table in SAGA_TABLES:
        path = folder / table.name
        if not path.is_file():
            raise CatalogError(
                f"{path}: no such file ({table.content} of SAGA DR3); fetch it from "
                f"{PUBLIC_ADDRESS}{table.name}"
            )
        if fault := table_fault(path, table):
            raise CatalogError(f"{path}: {fault}; fetch it from {PUBLIC_ADDRESS}{table.name}")
        catalogs.append(RedshiftCatalog(path, maps, all_good=True))
    return catalogs
