"""A target list read back with what it was made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from xsaga.errors import TargetsError
from xsaga.paths import RunPaths
from xsaga.targets.provenance import Provenance
from xsaga.targets.write_parquet import PROVENANCE_KEY

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
    try:
        schema = pq.read_schema(path)
        provenance = Provenance.from_dict(
            json.loads((schema.metadata or {})[PROVENANCE_KEY.encode()])
        )
        wanted = schema.names if columns is None else list(columns)
        if absent := [name for name in wanted if name not in schema.names]:
            raise TargetsError(f"{path}: no column {', '.join(absent)}: rank the run again")
        return TargetList(path, pq.read_table(path, columns=wanted).to_pandas(), provenance)
    except (KeyError, TypeError, ValueError) as error:
        raise TargetsError(
            f"{path}: not a target list of xsaga ({error}): give the targets.parquet of a run"
        ) from None
    except (OSError, pa.ArrowException) as error:
        raise TargetsError(f"{path}: cannot be read ({error}); rank the run again") from None
