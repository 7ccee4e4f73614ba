"""The tables of a tile, with a checksum of every page that is compared when it is read.

Bytes of finished files can rot: without checksums a flipped bit is another flux or probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xsaga.errors import RunError
from xsaga.paths import placed

_MEND = {
    "sources": "remove partition.json of the run and start the same command again",
    "scores": "remove it and start the same command again, which scores the tile anew",
    "failures": "remove it and scores.parquet beside it, and start the same command again, which "
    "scores the tile anew",
}


def write_table(path: Path, table: pa.Table, **how: Any) -> None:
    """Write a Parquet file with checksums; equal tables give equal bytes.

    Parameters
    ----------
    path : Path
        It appears only when it is complete.
    table : pyarrow.Table
        Rows and metadata.
    **how
        Of `pyarrow.parquet.write_table`.
    """
    with placed(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True, **how)


def read_table(path: Path, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """Read a table of a tile, or some columns or rows of it.

    Parameters
    ----------
    path : Path
        Of `xsaga.paths.TilePaths`; a file that was written without checksums is read without.
    columns : sequence of str, optional
        By default all.
    filters : optional
        Of `pyarrow.parquet.read_table`.

    Raises
    ------
    RunError
        It is damaged; the message says how it can be made again.
    OSError
        The system does not give it.
    """
    try:
        return pq.read_table(
            path,
            columns=None if columns is None else list(columns),
            filters=filters,
            partitioning=None,
            page_checksum_verification=True,
        )
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system, not the content
        advice = _MEND.get(path.stem, "restore it")
        raise RunError(f"{path}: damaged ({_first_line(error)}); {advice}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "no reason"
