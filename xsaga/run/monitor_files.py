"""The files of `xsaga monitor`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xsaga.evaluation.json_types import DIGITS
from xsaga.evaluation.success import surprises
from xsaga.paths import LEFT_FOR_S, clear_leftovers, placed
from xsaga.run.observed_targets import ObservedTargets
from xsaga.run.published_lists import PublishedLists, night_text

JSON_NAME = "monitor.json"
TABLE_NAME = "monitor.csv"
MISSES_NAME = "confident-misses"

_VIEWER = "https://www.legacysurvey.org/viewer?ra={:.6f}&dec={:.6f}&layer=ls-dr9&zoom=16"


@dataclass(frozen=True)
class Monitored:
    """What was found.

    Parameters
    ----------
    content : dict
        Of ``monitor.json``, in JSON types.
    table : DataFrame
        Of ``monitor.csv``: a row for each night and tier.
    misses : DataFrame
        Of ``confident-misses``.
    """

    content: dict[str, Any]
    table: pd.DataFrame
    misses: pd.DataFrame


def write_monitor(out: Path, found: Monitored) -> list[Path]:
    """Write tables and ``monitor.json``, this one last; return their paths."""
    clear_leftovers(out, older_than=LEFT_FOR_S)
    misses = out / f"{MISSES_NAME}.parquet"
    with placed(misses) as temporary:
        found.misses.to_parquet(temporary, index=False)
    for name, frame in ((f"{MISSES_NAME}.csv", found.misses), (TABLE_NAME, found.table)):
        with placed(out / name) as temporary:
            frame.to_csv(temporary, index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    with placed(out / JSON_NAME) as temporary:
        temporary.write_text(json_text(found.content), encoding="utf-8", newline="\n")
    return [out / JSON_NAME, out / TABLE_NAME, misses, misses.with_suffix(".csv")]


def json_text(content: Mapping[str, Any]) -> str:
    """Write the content as JSON."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def nightly_table(
    table: pd.DataFrame, lists: PublishedLists, seen: ObservedTargets, words: Mapping[int, str]
) -> pd.DataFrame:
    """Name night, list and tier of each row of `xsaga.evaluation.success.by_night`."""
    used = {each.index: each for each in seen.lists}
    place = lists.in_force(table["night"].to_numpy(np.int64))
    named = pd.DataFrame(
        {
            "night": [night_text(night) for night in table["night"]],
            "list": [used[index].name for index in place],
            "tier": table["tier"].to_numpy(),
            "words": [words[tier] for tier in table["tier"]],
            "targets": [
                used[index].targets.get(tier, 0)
                for index, tier in zip(place, table["tier"], strict=True)
            ],
        }
    )
    return pd.concat([named, table.drop(columns=["night", "tier"])], axis=1)


def misses_table(
    totals: pd.DataFrame, count: int, lists: PublishedLists, *, simulated: bool
) -> pd.DataFrame:
    """List the confident misses, see `xsaga.evaluation.success.surprises`."""
    found = surprises(totals, count).rename(columns={"target": "source_id"})
    viewer = [
        "" if simulated else _VIEWER.format(ra, dec)
        for ra, dec in zip(found["ra"], found["dec"], strict=True)
    ]
    return pd.DataFrame(
        {
            "surprise": found["surprise"].astype(str),
            "source_id": found["source_id"].astype(np.int64),
            "ra": found["ra"].astype(np.float64),
            "dec": found["dec"].astype(np.float64),
            "p_lowz": found["p_lowz"].astype(np.float64),
            "z": found["z"].astype(np.float64),
            "night": pd.Series([night_text(night) for night in found["night"]], dtype=str),
            "list": pd.Series([lists.lists[index].name for index in found["list"]], dtype=str),
            "tier": found["tier"].astype(np.int16),
            "rank": found["rank"].astype(np.int64),
            "unfamiliar": found["unfamiliar"].astype(bool),
            "simulated": np.full(len(found), simulated),
            "viewer": pd.Series(viewer, dtype=str),
        }
    )
