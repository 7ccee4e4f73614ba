"""The table of TARGETIDs that were given before."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from xsaga.errors import TargetsError

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
    try:
        table = pq.read_table(path, columns=_SCHEMA.names)
    except (OSError, pa.ArrowException) as error:
        raise TargetsError(f"{path}: cannot be read as a table of TARGETIDs ({error})") from None
    if table.schema.remove_metadata() != _SCHEMA:
        raise TargetsError(
            f"{path}: holds {', '.join(map(str, table.schema.types))}, not the int64 columns "
            "source_id and targetid: give the target-ids.parquet of an earlier export"
        )
    known: pd.DataFrame = table.to_pandas()
    return known


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
