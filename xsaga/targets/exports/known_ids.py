"""The table of TARGETIDs that were given before."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from xsaga.errors import TargetsError
from xsaga.parquet_files import open_parquet, read_frame, unreadable
from xsaga.reading import parsing

KNOWN_IDS_FILE = "target-ids.parquet"
"""Name of such a table in an export."""

_SCHEMA = pa.schema([("source_id", pa.int64()), ("targetid", pa.int64())])


def read_known_ids(path: Path) -> pd.DataFrame:
    """Read a table of TARGETIDs.

    Parameters
    ----------
    path : Path
        Parquet with the int64 columns `source_id` and `targetid`.

    Raises
    ------
    TargetsError
        It cannot be read or is no such table.
    """
    advice = f"give the {KNOWN_IDS_FILE} of an earlier export"
    describe = unreadable(path, TargetsError, advice)
    with parsing(describe), open_parquet(path) as file:
        held = {field.name: str(field.type) for field in file.schema_arrow}
    if any(held.get(name) != "int64" for name in _SCHEMA.names):
        raise TargetsError(f"{path}: has no int64 columns source_id and targetid: {advice}")
    return read_frame(path, describe, _SCHEMA.names)


def secondary_ids(export: Path) -> int:
    """Count the sources whose TARGETID in an export is not their own; 0 without such a table."""
    path = export / KNOWN_IDS_FILE
    if not path.is_file():
        return 0
    known = read_known_ids(path)
    return int((known["source_id"] != known["targetid"]).sum())


def write_known_ids(path: Path, known: pd.DataFrame) -> None:
    """Write a table of TARGETIDs that `read_known_ids` reads back.

    Parameters
    ----------
    path : Path
        File to write.
    known : DataFrame
        Columns `source_id` and `targetid`, int64.
    """
    table = pa.Table.from_pandas(known[_SCHEMA.names], schema=_SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")
