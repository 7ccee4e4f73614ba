"""What came, changed and went between two lists, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from xsaga.errors import TargetsError
from xsaga.sky.tiles import tile_pixels

ADDED, CHANGED, REMOVED = "added", "changed", "removed"

CHANGES_SCHEMA: Final = pa.schema(
    [
        ("night", pa.string()),
        ("list", pa.string()),
        ("source_id", pa.int64()),
        ("what", pa.string()),
        ("tier_before", pa.int16()),
        ("tier_after", pa.int16()),
        ("priority_before", pa.int32()),
        ("priority_after", pa.int32()),
        ("p_lowz_before", pa.float32()),
        ("p_lowz_after", pa.float32()),
        ("why", pa.string()),
        ("detail", pa.string()),
    ]
)
"""Columns of the ledger: one row per source that is added to, changed in or removed from a list."""

_COMPARED = ("tier", "priority", "p_lowz")

PHOTOMETRY: Final = ("ra", "dec", "mag_g", "mag_r", "mag_z", "radius", "sb_r", "ba")
"""Columns of a list whose change is one of the source's photometry."""

ABSENT, FAILS_CUTS, FAILED, WAITS, OUTSIDE = (
    "not in the catalog",
    "fails the cuts",
    "failed cutout",
    "not scored yet",
    "outside footprint",
)
NO_TIER, NOT_LISTED, RUN_GONE = "in no tier", "not listed", "not known"
"""Words for where a source is that is in no list; else it is the reason of an exclusion."""

_ADDED_AS: Final = {
    ABSENT: "new in catalog",
    FAILS_CUTS: "newly passes",
    FAILED: "newly scored",
    WAITS: "newly scored",
    OUTSIDE: "footprint",
    NO_TIER: "into a tier",
    NOT_LISTED: "into a tier",
    RUN_GONE: "not known",
}
_REMOVED_AS: Final = {
    ABSENT: "no longer in catalog",
    NO_TIER: "pushed out of its tier",
    NOT_LISTED: "pushed out of its tier",
}


@dataclass(frozen=True)
class Causes:
    """What differs between two nights, for what the changes of a list are put down to.

    Parameters
    ----------
    order : int
        HEALPix order of the tiles.
    by_tile : mapping of int to str
        Why the scores of a tile differ: 'weights', 'imaging' or 'photometry'; tiles whose scores
        do not are left out.
    base_rate : bool
        Whether probabilities are for another base rate.
    ranking : bool
        Whether settings of the ranking differ.
    p_tolerance : float
        Differences of p_lowz up to this are rounding.
    """

    order: int
    by_tile: Mapping[int, str]
    base_rate: bool
    ranking: bool
    p_tolerance: float


def list_changes(
    before: pd.DataFrame,
    after: pd.DataFrame,
    was: pd.DataFrame,
    is_now: pd.DataFrame,
    causes: Causes,
) -> pd.DataFrame:
    """Compare two lists.

    Parameters
    ----------
    before, after : DataFrame
        Targets; `before` has no rows for the first list.
    was : DataFrame
        Columns ``fate`` and ``detail`` by source_id: where each source that is new in `after` was
        when `before` was made; sources that it does not know are new in the catalog.
    is_now : DataFrame
        The same of sources that are gone from `after`.
    causes : Causes
        What differs besides.

    Returns
    -------
    DataFrame
        Columns of `CHANGES_SCHEMA` but for night and list; added, changed, removed, each by rank.

    Raises
    ------
    TargetsError
        The changes do not lead from the one list to the other: a fault of xsaga.
    """
    old, new = before.set_index("source_id"), after.set_index("source_id")
    added = new.index[~new.index.isin(old.index)]
    removed = old.index[~old.index.isin(new.index)]
    kept = new.index[new.index.isin(old.index)]
    parts = [
        _rows(ADDED, added, None, new, _words(added, was, _ADDED_AS, "no longer: ")),
        _changed(kept, old, new, causes),
        _rows(REMOVED, removed, old, None, _words(removed, is_now, _REMOVED_AS, "")),
    ]
    changes = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    _reconcile(before, after, changes)
    return changes


def changes_table(changes: pd.DataFrame, night: str, name: str) -> pa.Table:
    """Make the table of the ledger that belongs to one list."""
    return pa.Table.from_pandas(
        changes.assign(night=night, list=name), schema=CHANGES_SCHEMA, preserve_index=False
    ).replace_schema_metadata(None)


def _reconcile(before: pd.DataFrame, after: pd.DataFrame, changes: pd.DataFrame) -> None:
    """Make sure that the list before, plus what is added, minus what is removed, is the new one."""
    added = changes.loc[changes["what"] == ADDED, "source_id"]
    removed = changes.loc[changes["what"] == REMOVED, "source_id"]
    kept = before.loc[~before["source_id"].isin(removed), "source_id"]
    result = np.sort(np.concatenate([kept, added]))
    fits = np.array_equal(result, np.sort(after["source_id"].to_numpy()))
    if not fits or len(kept) + len(removed) != len(before):
        raise TargetsError(
            f"{len(before):,} targets before, {len(added):,} added and {len(removed):,} removed do "
            f"not make the {len(after):,} of the new list: it is not published; report this"
        )


def _rows(
    what: str,
    ids: pd.Index,
    old: pd.DataFrame | None,
    new: pd.DataFrame | None,
    words: pd.DataFrame,
) -> pd.DataFrame:
    """One row for each of some sources, with what they were and are."""
    columns: dict[str, object] = {"source_id": ids.to_numpy(np.int64), "what": what}
    kinds = {"tier": "Int16", "priority": "Int32", "p_lowz": "Float32"}
    for name in _COMPARED:
        for when, table in (("before", old), ("after", new)):
            values = pd.Series(pd.NA, index=ids, dtype=kinds[name])
            if table is not None:
                values = table.loc[ids, name].astype(kinds[name])
            columns[f"{name}_{when}"] = values.array
    return pd.DataFrame(columns | {"why": words["why"].array, "detail": words["detail"].array})


def _words(
    ids: pd.Index, fates: pd.DataFrame, names: Mapping[str, str], other: str
) -> pd.DataFrame:
    known = fates.reindex(ids)
    fate = known["fate"].fillna(ABSENT).astype(str)
    why = [names.get(word) or f"{other}{word}" for word in fate]
    return pd.DataFrame({"why": why, "detail": known["detail"].fillna("").astype(str)})


def _changed(ids: pd.Index, old: pd.DataFrame, new: pd.DataFrame, causes: Causes) -> pd.DataFrame:
    one, other = old.loc[ids], new.loc[ids]
    p_before, p_after = (table["p_lowz"].to_numpy(np.float64) for table in (one, other))
    other_p = np.abs(p_after - p_before) > causes.p_tolerance
    moved = np.zeros(len(ids), bool)
    for name in ("tier", "priority"):
        moved |= one[name].to_numpy() != other[name].to_numpy()
    rows = np.flatnonzero(other_p | moved)
    ids, one, other, other_p = ids[rows], one.iloc[rows], other.iloc[rows], other_p[rows]
    why = np.where(
        other_p,
        _why_scored_otherwise(one, other, causes),
        "settings" if causes.ranking else "ranking",
    )
    detail = np.where(
        other_p | causes.ranking, "", "same p_lowz: others came, went or changed around it"
    )
    words = pd.DataFrame({"why": why.astype(object), "detail": detail.astype(object)})
    return _rows(CHANGED, ids, old, new, words)


def _why_scored_otherwise(
    one: pd.DataFrame, other: pd.DataFrame, causes: Causes
) -> NDArray[np.object_]:
    if not len(other):
        return np.empty(0, object)
    tiles = tile_pixels(other["ra"].to_numpy(), other["dec"].to_numpy(), causes.order)
    why = pd.Series(tiles).map(causes.by_tile.get).to_numpy(object, copy=True)
    if causes.base_rate:
        why[pd.isna(why)] = "base rate"
    measured = np.zeros(len(other), bool)
    for name in PHOTOMETRY:
        if name in one and name in other:
            a, b = one[name].to_numpy(np.float64), other[name].to_numpy(np.float64)
            measured |= ~((a == b) | (np.isnan(a) & np.isnan(b)))
    why[measured & (why != "weights") & (why != "imaging")] = "photometry"
    why[pd.isna(why)] = "scored again"
    return why
