"""A target list read back with what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from xsaga.errors import TargetsError
from xsaga.parquet_files import read_columns, unreadable
from xsaga.paths import RunPaths
from xsaga.reading import parse_json, reason_of
from xsaga.targets.columns import COLUMNS
from xsaga.targets.provenance import Provenance
from xsaga.targets.write_parquet import ARROW_TYPES, PROVENANCE_KEY

LIST_FILE = "targets.parquet"


@dataclass(frozen=True)
class TargetList:
    """A ranked list as it was written.

    Parameters
    ----------
    path : Path
        The Parquet file.
    targets : DataFrame
        Columns of `xsaga.targets.columns.COLUMNS`, by tier, then by rank.
    provenance : Provenance
        What it was made from; `Provenance.tiers` tells what chose each tier.
    """

    path: Path
    targets: pd.DataFrame
    provenance: Provenance


def read_target_list(where: Path, columns: Sequence[str] | None = None) -> TargetList:
    """Read the list of a run, of the latest night, or of a file.

    Parameters
    ----------
    where : Path
        A run folder, the folder of one night's list, the folder of nightly runs (its ``latest``
        list is taken), or a Parquet file that xsaga wrote.
    columns : sequence of str, optional
        Read no others; by default all.

    Raises
    ------
    TargetsError
        There is no such list, it cannot be read, lacks a column, or xsaga did not write it.
    """
    path, run = where, RunPaths(where)
    if run.record.is_file() and run.partition.is_file() and not run.ranked.is_file():
        raise TargetsError(
            f"{where}: its lists are not whole: a ranking is at work or was stopped; "
            f"`xsaga rank {where}` first"
        )
    if where.is_dir():
        latest = where / "latest" / LIST_FILE
        path = latest if latest.is_file() else where / LIST_FILE
    if not path.is_file():
        raise TargetsError(
            f"{where}: no {LIST_FILE} here: give a run folder with `--format parquet` among its "
            "formats (`xsaga rank RUN` writes the lists), or the file itself"
        )
    describe = unreadable(path, TargetsError, "rank the run again")
    schema = pa.schema([(column.name, ARROW_TYPES[column.dtype]) for column in COLUMNS])
    content = read_columns(path, describe, columns, schema=schema)
    try:
        metadata = content.schema.metadata or {}
        if PROVENANCE_KEY.encode() not in metadata:
            raise ValueError(f"no {PROVENANCE_KEY} in its metadata")
        record = parse_json(metadata[PROVENANCE_KEY.encode()])
        if not isinstance(record, dict):
            raise ValueError(f"{PROVENANCE_KEY} is no object")
        provenance = Provenance.from_dict(record)
    except ValueError as error:
        raise TargetsError(
            f"{path}: not a target list of xsaga ({reason_of(error)}): give the targets.parquet of "
            "a run"
        ) from None
    return TargetList(path, content.to_pandas(ignore_metadata=True), provenance)
