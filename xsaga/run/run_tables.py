"""Parquet files of run folders and of nightly lists, read with one line for a damaged one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from xsaga.catalog.sources import SOURCES_ADVICE
from xsaga.errors import RunError
from xsaga.parquet_files import (
    count_rows,
    read_columns,
    read_frame,
    read_parquet_metadata,
    unreadable,
)
from xsaga.reading import Describe

_ANEW = "start the same command again, which scores the tile anew"
_MEND = {
    "sources.parquet": SOURCES_ADVICE,
    "scores.parquet": f"remove it and {_ANEW}",
    "failures.parquet": f"remove it and scores.parquet beside it, and {_ANEW}",
}


def read_run_table(
    path: Path,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    schema: pa.Schema | None = None,
) -> pd.DataFrame:
    """Read a table; see `xsaga.parquet_files.read_columns`.

    Raises
    ------
    RunError
        It is not there, damaged, or lacks a column.
    """
    return read_frame(path, _damaged(path), columns, filters, schema)


def read_run_columns(path: Path, columns: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Read some columns of a table as an Arrow table; raises as `read_run_table`."""
    return read_columns(path, _damaged(path), columns, None, schema)


def count_reasons(path: Path) -> dict[str, int]:
    """Count the rows of a table by their `reason`, most first; raises as `read_run_table`."""
    counts = read_run_table(path, ["reason"])["reason"].value_counts()
    return {str(reason): int(count) for reason, count in counts.items()}


def run_table_rows(path: Path) -> int:
    """Count the rows of a table; raises as `read_run_table`."""
    return count_rows(path, _damaged(path))


def run_table_metadata(path: Path) -> dict[bytes, bytes]:
    """Read what a table says of itself; raises as `read_run_table`."""
    return read_parquet_metadata(path, _damaged(path))


def _damaged(path: Path) -> Describe:
    advice = _MEND.get(path.name, "restore it, or begin anew with --restart")
    return unreadable(path, RunError, advice)
