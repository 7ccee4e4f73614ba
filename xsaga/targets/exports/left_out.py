"""Targets that a format cannot hold: left out of its table and listed beside it, with the reason.

One faint source without flux shall not stop a night's export, and nothing shall be lost silently:
every target of the list is either in the table or in ``left-out.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from xsaga.errors import TargetsError

LEFT_OUT_FILE: Final = "left-out.csv"
"""Exists in an export that left targets out."""

_COLUMNS = ("source_id", "rank", "tier", "ra", "dec")

Rule = tuple[NDArray[np.bool_], str]
"""Where a rule is broken, shape (N,), and what to say: the format's field, then the reason."""


def reasons(rules: Sequence[Rule], count: int) -> NDArray[np.str_]:
    """Reason for which each target is left out.

    Parameters
    ----------
    rules : sequence of `Rule`
        The first one that a target breaks counts.
    count : int
        Targets.

    Returns
    -------
    ndarray of str, shape (count,)
        Empty where a target is kept.
    """
    if not rules:
        return np.zeros(count, dtype=np.str_)
    return np.select([mask for mask, _ in rules], [words for _, words in rules], default="")


def write_left_out(folder: Path, targets: pd.DataFrame, why: NDArray[np.str_]) -> None:
    """Write the targets that have a reason; no file where none has.

    Parameters
    ----------
    folder : Path
        Of the export.
    targets : DataFrame
        The whole list.
    why : ndarray of str, shape (N,)
        Of `reasons`.
    """
    out = why != ""
    if not out.any():
        return
    table = pa.table({name: targets[name].to_numpy()[out] for name in _COLUMNS})
    table = table.append_column("reason", pa.array(why[out].tolist(), pa.string()))
    csv.write_csv(table, folder / LEFT_OUT_FILE, csv.WriteOptions(quoting_style="needed"))


def left_out_ids(folder: Path) -> NDArray[np.int64]:
    """Read the identifiers of the targets that an export left out, in the order of the list."""
    path = folder / LEFT_OUT_FILE
    if not path.is_file():
        return np.empty(0, np.int64)
    frame = pd.read_csv(path, usecols=["source_id"], dtype={"source_id": np.int64})
    return frame["source_id"].to_numpy()


def refuse_lost(targets: pd.DataFrame, kept: NDArray[np.integer[Any]], folder: Path) -> None:
    """Refuse files in which a target of the list is missing, twice, or in another order.

    Parameters
    ----------
    targets : DataFrame
        The whole list.
    kept : ndarray of int64, shape (K,)
        Identifiers in the format's table, read back.
    folder : Path
        Of the export.

    Raises
    ------
    TargetsError
        One source is named.
    """
    ids = targets["source_id"].to_numpy(np.int64)
    out = left_out_ids(folder)
    expected = ids[~np.isin(ids, out)]
    if len(out) + len(expected) != len(ids) or not np.array_equal(expected, kept):
        found = np.concatenate([kept.astype(np.int64), out])
        strange = np.setxor1d(ids, found)
        which = f": source {strange[0]}" if len(strange) else ", or twice, or in another order"
        raise TargetsError(
            f"of {len(ids)} targets {len(kept)} read back and {len(out)} were left out; some are "
            f"missing or new{which}; the files were not put in place, check the disk"
        )
