"""A night's list, made ready beside the published ones: all its files, changes and summary."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from xsaga.errors import RunError
from xsaga.parquet_files import write_table
from xsaga.paths import ListPaths, NightlyPaths, RunPaths, placed
from xsaga.run.list_names import ListName
from xsaga.run.nightly_changes import (
    ADDED,
    CHANGED,
    REMOVED,
    Causes,
    changes_table,
    list_changes,
)
from xsaga.run.nightly_fates import fates
from xsaga.run.nightly_keys import read_key
from xsaga.run.nightly_lists import PublishedList
from xsaga.run.nightly_summary import NightSummary, loss_warning, reasons, tier_counts
from xsaga.run.nightly_tiles import CarriedOver, TileTally
from xsaga.run.run_tables import count_reasons, read_run_table
from xsaga.run.session import Session
from xsaga.run.stages import jobs_of
from xsaga.run.status import run_status
from xsaga.run.tile import FAILURE_COLUMNS, WAITING, read_failures
from xsaga.targets.exports.desi_ids import assign_targetids, ids_after
from xsaga.targets.exports.desi_settings import DESI_FORMATS
from xsaga.targets.exports.export import export
from xsaga.targets.exports.known_ids import read_known_ids, write_known_ids
from xsaga.targets.exports.placing import LOCK_FILE
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.target_list import TargetList, read_target_list

ROUNDING = {"float32": 1e-4}
OTHER_ROUNDING = 2e-3
"""Differences of p_lowz that a score made anew may have by its precision alone: ten times, and
twice, what `xsaga.model.scoring` allows for another order of the same cutouts."""

_TILE_COLUMNS = ("candidates", "settings", "photometry", "scoring")


@dataclass(frozen=True)
class Night:
    """What a list is made from.

    Parameters
    ----------
    name : ListName
        Of the list.
    date : date
        Of the night.
    inputs : str
        Fingerprint of all inputs but the imaging.
    session : Session
        The run whose scores make the list; it is ranked.
    tally : TileTally
        What became of the tiles.
    carried : CarriedOver
        What is owed to the list before.
    warnings : tuple of str
        What looked wrong so far.
    seconds : float
        Run time so far.
    """

    name: ListName
    date: date
    inputs: str
    session: Session
    tally: TileTally
    carried: CarriedOver
    warnings: tuple[str, ...]
    seconds: float


def prepare_list(
    paths: NightlyPaths,
    night: Night,
    last: PublishedList | None,
    exports: Mapping[str, ExportSettings],
) -> NightSummary:
    """Write all files of a list into the folder that it is published from.

    Raises
    ------
    TargetsError
        The changes do not add up, or a format cannot hold the list.
    RunError
        The counts of the run do not add up.
    """
    place = ListPaths(paths.next_list)
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir(parents=True)
    run = night.session.paths
    _copy_lists(run, place)
    failures = _failures(night.session)
    _write(place.failures, pa.Table.from_pandas(failures, preserve_index=False))
    tiles = _tile_keys(night.session)
    _write(place.tiles, pa.Table.from_pandas(tiles, preserve_index=False))
    listed = read_target_list(place.folder)
    _export(listed, place, last, exports)
    before = read_target_list(last.paths.folder).targets if last is not None else None
    changes = _changes(night, before, listed.targets, paths, last, tiles)
    name = str(night.name)
    _write(place.changes, changes_table(changes, night.date.isoformat(), name))
    summary = _summary(night, last, before, listed, changes, place, tuple(exports))
    place.summary.write_text(summary.format() + "\n", encoding="utf-8", newline="\n")
    place.summary_json.write_text(
        json.dumps(summary.to_dict(), indent=1) + "\n", encoding="utf-8", newline="\n"
    )
    return summary


def _copy_lists(run: RunPaths, place: ListPaths) -> None:
    wanted = [*run.folder.glob("targets.*"), *run.folder.glob("*.moc.fits")]
    for file in [*wanted, run.folder / place.not_targets.name]:
        if file.is_file():
            shutil.copyfile(file, place.folder / file.name)


def _failures(session: Session) -> pd.DataFrame:
    """Candidates of all tiles that have no score, in the order of tiles and sources."""
    parts = [part for job in jobs_of(session) if len(part := read_failures(job.paths))]
    columns = list(FAILURE_COLUMNS)
    if parts:
        return pd.concat(parts, ignore_index=True)[columns]
    kinds = {"source_id": np.int64, "ra": np.float64, "dec": np.float64}
    return pd.DataFrame({name: pd.Series([], dtype=kinds.get(name, str)) for name in columns})


def _tile_keys(session: Session) -> pd.DataFrame:
    """Table what the scores of each tile are made from; tiles with older scores are left out."""
    rows = []
    for job in jobs_of(session):
        key = read_key(job.paths)
        if key is not None:
            pixel = int(job.paths.folder.name.partition("=")[2])
            values = {name: getattr(key, name) for name in _TILE_COLUMNS}
            rows.append({"pixel": pixel, **values, "imaging": key.imaging_digest})
    kinds = dict.fromkeys((*_TILE_COLUMNS, "imaging"), str)
    return pd.DataFrame(rows, columns=["pixel", *kinds]).astype({"pixel": np.int64, **kinds})


def _export(
    listed: TargetList,
    place: ListPaths,
    last: PublishedList | None,
    exports: Mapping[str, ExportSettings],
) -> None:
    """Write the exports; a TARGETID that was given to a source once is its own for good."""
    known = pd.DataFrame({"source_id": [], "targetid": []}, dtype=np.int64)
    if last is not None and last.paths.targetids.is_file():
        known = read_known_ids(last.paths.targetids)
    for name, chosen in exports.items():
        settings = chosen
        if name.startswith(DESI_FORMATS):
            before = replace(chosen, known_ids=known)
            known = ids_after(listed.targets, assign_targetids(listed.targets, before), before)
            known = known[known["source_id"] != known["targetid"]]
            settings = replace(chosen, known_ids=known)
        export(listed, name, place.exports(name), settings)
    if exports:
        (place.folder / "exports" / LOCK_FILE).unlink(missing_ok=True)
    if len(known) or any(name.startswith(DESI_FORMATS) for name in exports):
        with placed(place.targetids) as temporary:
            write_known_ids(temporary, known)


def _changes(
    night: Night,
    before: pd.DataFrame | None,
    after: pd.DataFrame,
    paths: NightlyPaths,
    last: PublishedList | None,
    tiles: pd.DataFrame,
) -> pd.DataFrame:
    record = night.session.record
    order = night.session.config.footprint.order
    tolerance = ROUNDING.get(str(record.settings["precision"]), OTHER_ROUNDING)
    if before is None or last is None:
        causes = Causes(order, {}, base_rate=False, ranking=False, p_tolerance=tolerance)
        nobody = fates(after.iloc[:0], ListPaths(Path()), RunPaths(Path()))
        return list_changes(after.iloc[:0], after, nobody, nobody, causes).assign(why="first list")
    added = after[~after["source_id"].isin(before["source_id"])]
    removed = before[~before["source_id"].isin(after["source_id"])]
    same_weights = last.facts["weights"] == _weights(night.session)
    settings = _ranking(night.session)
    causes = Causes(
        order,
        _why_by_tile(_tiles_of(last.paths), tiles, same_weights=same_weights),
        base_rate=settings["base_rate"] != last.facts["ranking"].get("base_rate"),
        ranking=settings != last.facts["ranking"],
        p_tolerance=tolerance,
    )
    was = fates(added, last.paths, paths.run(last.run))
    is_now = fates(removed, ListPaths(paths.next_list), night.session.paths)
    return list_changes(before, after, was, is_now, causes)


def _tiles_of(place: ListPaths) -> pd.DataFrame:
    facts = (*_TILE_COLUMNS, "imaging")
    kinds = pa.schema([("pixel", pa.int64()), *((name, pa.string()) for name in facts)])
    return read_run_table(place.tiles, kinds.names, schema=kinds)


def _why_by_tile(
    before: pd.DataFrame, after: pd.DataFrame, *, same_weights: bool
) -> dict[int, str]:
    both = before.merge(after, on="pixel", suffixes=("_before", "_after"))

    def other(*names: str) -> Any:
        differ = np.zeros(len(both), bool)
        for name in names:
            differ |= both[f"{name}_before"].to_numpy() != both[f"{name}_after"].to_numpy()
        return differ

    why = np.full(len(both), "", object)
    why[other("candidates", "photometry")] = "photometry"
    why[other("imaging", "settings")] = "imaging"
    why[other("scoring")] = "settings" if same_weights else "weights"
    return {pixel: word for pixel, word in zip(both["pixel"].tolist(), why, strict=True) if word}


def _weights(session: Session) -> dict[str, Any]:
    record = session.record
    weights = record.weights
    return {
        "name": weights.name,
        "sha256": weights.sha256,
        "card_sha256": record.inputs[-1].sha256,
        "simulated": weights.simulated,
    }


def _ranking(session: Session) -> dict[str, Any]:
    """Give the settings of the ranking in JSON types."""
    values = vars(session.config.rank)
    return dict(json.loads(json.dumps({k: v for k, v in values.items() if k != "formats"})))


def _summary(
    night: Night,
    last: PublishedList | None,
    before: pd.DataFrame | None,
    listed: TargetList,
    changes: pd.DataFrame,
    place: ListPaths,
    exports: tuple[str, ...],
) -> NightSummary:
    session, after = night.session, listed.targets
    counts = run_status(session.paths).counts
    if counts.imbalances():
        raise RunError(
            f"the counts do not add up: {'; '.join(counts.imbalances())}: no list is published"
        )
    failed = dict(counts.failed)
    waiting = failed.pop(WAITING, 0)
    old = before if before is not None else after.iloc[:0]
    removed = reasons(changes, REMOVED)
    loss = loss_warning(len(old), removed)
    tally = night.tally
    provenance = listed.provenance
    return NightSummary(
        night=night.date.isoformat(),
        list=str(night.name),
        previous=str(last.name) if last is not None else "",
        complete=not tally.undone,
        run=session.paths.folder.name,
        inputs=night.inputs,
        targets=len(after),
        targets_before=len(old),
        tiers=tier_counts(old, after, provenance.tiers, session.config.rank.priorities),
        added=reasons(changes, ADDED),
        changed=reasons(changes, CHANGED),
        removed=removed,
        not_targets=_not_targets(place),
        counts={**vars(counts), "failed": failed, "waiting": waiting},
        failed=failed,
        waiting=waiting,
        carried_over=night.carried.carried,
        tiles={
            "kept": tally.kept,
            "rescored": tally.rescored,
            "scored": tally.scored,
            "waiting": len(tally.undone),
        },
        exports=exports,
        weights=_weights(session),
        ranking=_ranking(session),
        base_rate=provenance.base_rate,
        area_deg2=provenance.area_deg2,
        warnings=(*night.warnings, *([loss] if loss else []), *_warnings(session)),
        to_do=_to_do(failed, night, session),
        seconds=round(night.seconds, 1),
        peak_memory_mib=round(_peak_memory_mib(), 1),
    )


def _not_targets(place: ListPaths) -> dict[str, int]:
    return count_reasons(place.not_targets) if place.not_targets.is_file() else {}


def _warnings(session: Session) -> list[str]:
    """List what the run warned of since it was begun or gone on with, each once."""
    found: dict[str, None] = {}
    for line in session.log.events():
        message = str(line.get("message", ""))
        if line.get("event") == "begin":
            found = {}
        elif line.get("event") == "warning" and message.startswith("warning: "):
            found[message.removeprefix("warning: ")] = None
    return list(found)


def _to_do(failed: Mapping[str, int], night: Night, session: Session) -> tuple[str, ...]:
    to_do = []
    if night.tally.undone:
        to_do.append(
            "the next night goes on where this one stopped; if that happens every night, give a "
            "longer --max-runtime, a GPU or imaging on disk"
        )
    if failed:
        again = " (--retry-failed tries again)" if failed.get("failed") else ""
        to_do.append(f"failures.parquet lists the failed sources and why{again}")
    if session.record.weights.simulated:
        to_do.append("train on SAGA's redshifts before you observe: the README says how")
    return tuple(to_do)


def _peak_memory_mib() -> float:
    if sys.platform == "win32":
        return 0.0  # not told there
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _write(path: Path, table: pa.Table) -> None:
    write_table(path, table.replace_schema_metadata(None))
