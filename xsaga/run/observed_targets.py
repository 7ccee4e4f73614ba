"""Spectra joined to the targets that they are of, by the list that was in force on their night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from xsaga.catalog.crossmatch import nearest_within
from xsaga.catalog.identifiers import IdKind
from xsaga.errors import EvaluationError, RunError
from xsaga.model.score_flags import ScoreFlag
from xsaga.parquet_files import read_frame, unreadable
from xsaga.run.published_lists import PublishedLists
from xsaga.sky.positions import chord, unit_vectors, valid_positions
from xsaga.targets.provenance import Provenance
from xsaga.targets.target_list import TargetList, read_target_list

ID_RADIUS = 60.0
"""Arcseconds: an id whose target is farther away is of another sky or program."""

LIST_COLUMNS = ("source_id", "id_kind", "ra", "dec", "rank", "tier", "p_lowz", "score_flags")
_TARGET_COLUMNS = ("source_id", "ra", "dec", "rank", "tier", "p_lowz", "unfamiliar")


@dataclass(frozen=True)
class JoinCounts:
    """How spectra met targets; the first four add up to all spectra.

    Parameters
    ----------
    by_targetid, by_position : int
        Spectra of a target, matched by its TARGETID or by position.
    before_first_list : int
        Spectra of nights before the first list: not judged.
    unmatched : int
        Spectra of no target of the list in force.
    id_elsewhere : int
        Spectra whose TARGETID is that of a target more than `ID_RADIUS` away: not matched by it.
    """

    by_targetid: int = 0
    by_position: int = 0
    before_first_list: int = 0
    unmatched: int = 0
    id_elsewhere: int = 0


@dataclass(frozen=True)
class ListInForce:
    """A list that spectra were judged by.

    Parameters
    ----------
    index : int
        Its place among the published lists.
    name : str
        What it is called.
    path : Path
        The file.
    provenance : Provenance
        What it was made from.
    targets : mapping of int to int
        Number of targets by tier.
    """

    index: int
    name: str
    path: Path
    provenance: Provenance
    targets: dict[int, int]


@dataclass(frozen=True)
class ObservedTargets:
    """Spectra of targets.

    Parameters
    ----------
    spectra : DataFrame
        The spectra that met a target, with what its list said: ``target`` (its ``source_id``),
        ``list`` (index among the published lists), ``ra``, ``dec``, ``rank``, ``tier``,
        ``p_lowz``, ``unfamiliar``.
    lists : tuple of ListInForce
        Those that were read, by publication.
    targets : dict of int to int
        Different targets of all these lists, by the tier that each had last.
    counts : JoinCounts
        How spectra met them.
    """

    spectra: pd.DataFrame
    lists: tuple[ListInForce, ...]
    targets: dict[int, int]
    counts: JoinCounts


@dataclass
class _Seen:
    """Ids and tiers of the targets of several lists, each target once."""

    source_id: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    tier: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, targets: pd.DataFrame) -> None:
        """Add a later list; its tiers replace earlier ones."""
        ids = np.concatenate([targets["source_id"].to_numpy(np.int64), self.source_id])
        tiers = np.concatenate([targets["tier"].to_numpy(np.int64), self.tier])
        self.source_id, first = np.unique(ids, return_index=True)
        self.tier = tiers[first]


def join_spectra(
    lists: PublishedLists, spectra: pd.DataFrame, radius: float, simulated: bool
) -> ObservedTargets:
    """Find the target of each spectrum.

    By TARGETID where the list's ids are TARGETIDs or its targets were exported with one, else the
    nearest target within the radius. Lists are read one after the other, those only that were in
    force on a night with spectra.

    Parameters
    ----------
    lists : PublishedLists
        What was published.
    spectra : DataFrame
        ``ra``, ``dec`` (deg), ``targetid`` (−1: none), ``night`` (YYYYMMDD), and more.
    radius : float
        Arcseconds.
    simulated : bool
        Whether the redshifts are those of a simulated sky.

    Raises
    ------
    TargetsError
        A list cannot be read.
    EvaluationError
        One of lists and redshifts is simulated and the other is not, or lists differ in that.
    RunError
        The file of TARGETIDs cannot be read.
    """
    in_force = lists.in_force(spectra["night"].to_numpy(np.int64))
    exported = _exported(lists.targetids, spectra["targetid"].to_numpy(np.int64))
    used: list[ListInForce] = []
    pieces: list[pd.DataFrame] = []
    seen = _Seen()
    by_id = by_position = elsewhere = 0
    for index in np.unique(in_force[in_force >= 0]).tolist():
        published = lists.lists[index]
        content = read_target_list(published.path, LIST_COLUMNS)
        _refuse_mismatch(content, simulated)
        targets = content.targets
        rows = np.flatnonzero(in_force == index)
        wanted = spectra.iloc[rows]
        target, farther = _by_targetid(targets, wanted, exported)
        elsewhere += farther
        by_id += int((target >= 0).sum())
        rest = np.flatnonzero(target < 0)
        target[rest] = _by_position(targets, wanted.iloc[rest], radius)
        by_position += int((target[rest] >= 0).sum())
        met = target >= 0
        pieces.append(_joined(wanted[met], targets.iloc[target[met]], index))
        seen.add(targets)
        counts = targets["tier"].value_counts().sort_index()
        used.append(
            ListInForce(
                index,
                published.name,
                published.path,
                content.provenance,
                {int(tier): int(count) for tier, count in counts.items()},  # type: ignore[call-overload]
            )
        )
    early = int((in_force < 0).sum())
    joined = pd.concat(pieces, ignore_index=True) if pieces else _nothing(spectra)
    tiers, number = np.unique(seen.tier, return_counts=True)
    return ObservedTargets(
        joined,
        tuple(used),
        dict(zip(tiers.tolist(), number.tolist(), strict=True)),
        JoinCounts(
            by_id, by_position, early, len(spectra) - early - by_id - by_position, elsewhere
        ),
    )


def _refuse_mismatch(content: TargetList, simulated: bool) -> None:
    weights = content.provenance.weights
    if weights.simulated != simulated:
        kinds = {True: "simulated", False: "real"}
        raise EvaluationError(
            f"{content.path}: targets of weights {weights.name} from {kinds[weights.simulated]} "
            f"images, but the redshifts are {kinds[simulated]}: give "
            f"{kinds[weights.simulated]} redshifts"
        )


def _exported(path: Path | None, targetids: NDArray[np.int64]) -> pd.Series:
    """``source_id`` by the TARGETID of the export, of those TARGETIDs that occur."""
    if path is None:
        return pd.Series(np.empty(0, np.int64), pd.Index(np.empty(0, np.int64)))
    ids = pa.schema([("source_id", pa.int64()), ("targetid", pa.int64())])
    advice = "give a target-ids.parquet of an export, with --targetids"
    table = read_frame(path, unreadable(path, RunError, advice), ids.names, schema=ids)
    table = table[table["targetid"].isin(targetids)].drop_duplicates("targetid", keep="last")
    return pd.Series(table["source_id"].to_numpy(np.int64), pd.Index(table["targetid"]))


def _by_targetid(
    targets: pd.DataFrame, spectra: pd.DataFrame, exported: pd.Series
) -> tuple[NDArray[np.int64], int]:
    """Row of the target with each spectrum's TARGETID or −1; how many were too far away."""
    wanted, ids = spectra["targetid"].to_numpy(np.int64), targets["source_id"].to_numpy(np.int64)
    own = targets["id_kind"].to_numpy() == IdKind.TARGETID.label
    row = _rows_of(np.where(own, ids, -1), wanted)
    if len(exported):
        place = exported.index.get_indexer(pd.Index(wanted))
        through = _rows_of(ids, np.where(place >= 0, exported.to_numpy(np.int64)[place], -1))
        row = np.where(row >= 0, row, through)
    met = np.flatnonzero(row >= 0)
    far = ~_are_near(targets.iloc[row[met]], spectra.iloc[met], ID_RADIUS)
    row[met[far]] = -1
    return row, int(far.sum())


def _rows_of(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the wanted ids stand among `ids`; −1 for those that do not, and for negative ones."""
    # Few spectra among millions of targets: sorting the few is the cheap side.
    asked, inverse = np.unique(wanted, return_inverse=True)
    found = np.full(len(asked), -1, np.int64)
    if len(asked):
        at = np.minimum(np.searchsorted(asked, ids), len(asked) - 1)
        hit = np.flatnonzero(asked[at] == ids)
        found[at[hit]] = hit
    found[asked < 0] = -1
    rows: NDArray[np.int64] = found[inverse]
    return rows


def _by_position(targets: pd.DataFrame, spectra: pd.DataFrame, radius: float) -> NDArray[np.int64]:
    index, _ = nearest_within(
        spectra["ra"].to_numpy(),
        spectra["dec"].to_numpy(),
        targets["ra"].to_numpy(),
        targets["dec"].to_numpy(),
        radius,
    )
    return index


def _are_near(targets: pd.DataFrame, spectra: pd.DataFrame, radius: float) -> NDArray[np.bool_]:
    """Whether rows lie within a radius of each other; a spectrum without position is believed."""
    placed = valid_positions(spectra["ra"], spectra["dec"])
    gap = unit_vectors(targets["ra"], targets["dec"]) - unit_vectors(spectra["ra"], spectra["dec"])
    near: NDArray[np.bool_] = np.sqrt(np.square(gap).sum(axis=1)) <= chord(radius / 3600)
    return near | ~placed


def _joined(spectra: pd.DataFrame, targets: pd.DataFrame, index: int) -> pd.DataFrame:
    flags = targets["score_flags"].to_numpy(np.int64)
    said = targets.assign(unfamiliar=(flags & ScoreFlag.UNFAMILIAR) != 0)
    said = said[list(_TARGET_COLUMNS)].rename(columns={"source_id": "target"})
    kept = spectra.drop(columns=["ra", "dec"]).reset_index(drop=True)
    joined = pd.concat([kept, said.reset_index(drop=True)], axis=1)
    return joined.assign(list=index, p_lowz=joined["p_lowz"].astype(np.float64))


def _nothing(spectra: pd.DataFrame) -> pd.DataFrame:
    columns: Sequence[str] = LIST_COLUMNS
    empty = pd.DataFrame({name: np.empty(0) for name in columns})
    return _joined(spectra.iloc[:0], empty, -1)
