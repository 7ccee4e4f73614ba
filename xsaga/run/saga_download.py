"""Fetching the tables of SAGA DR3 from the survey's site."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import platformdirs

from xsaga.catalog.saga_tables import SAGA_TABLES, table_fault
from xsaga.errors import CatalogError, ImagingError
from xsaga.imaging.http import MEBIBYTE, HttpClient
from xsaga.imaging.http_faults import shown

MAX_BYTES = 256 * MEBIBYTE
"""The largest table, C2, has about 11 MB."""


def cache_folder() -> Path:
    """Folder that keeps the tables by default."""
    return platformdirs.user_cache_path("xsaga") / "saga-dr3"


def fetch_saga_tables(
    address: str, folder: Path, http: HttpClient, say: Callable[[str], object]
) -> None:
    """Make sure that a folder has all SAGA tables, complete; fetch what it lacks.

    A table is put in place under its published name only when it is whole and what it should be
    (`xsaga.catalog.saga_tables.table_fault`); a bad answer is asked for again.

    Parameters
    ----------
    address : str
        Address of the folder of the tables, http or https.
    folder : Path
        Where they are kept; made if needed.
    http : HttpClient
        Request layer.
    say : callable
        Is told what is fetched.

    Raises
    ------
    CatalogError
        When a table cannot be had.
    """
    for table in SAGA_TABLES:
        path = folder / table.name
        if path.is_file() and not table_fault(path, table):
            continue
        url = f"{address.rstrip('/')}/{table.name}"
        say(f"fetching {shown(url)}")
        try:
            http.download(url, path, max_bytes=MAX_BYTES, check=partial(table_fault, table=table))
        except ImagingError as error:
            raise CatalogError(
                f"{error}; fetch the tables {', '.join(t.name for t in SAGA_TABLES)} by other "
                "means and give their folder with --saga-tables FOLDER"
            ) from error
