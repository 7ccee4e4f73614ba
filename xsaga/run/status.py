"""What a run has done, what failed and why; the counts add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from xsaga.catalog.partition_summary import PartitionSummary
from xsaga.config import RunConfig
from xsaga.paths import RunPaths
from xsaga.run.folder import read_partition, read_record, read_run_config
from xsaga.run.tile import (
    FAILURE_COLUMNS,
    TileJob,
    count_failed_cuts,
    is_scored,
    read_candidates,
    read_failures,
    read_outcome,
)


@dataclass(frozen=True)
class RunCounts:
    """Where every row of the catalog went.

    Parameters
    ----------
    read : int
        Rows read.
    outside_footprint : int
        Rows outside the footprint.
    rejected : mapping of str to int
        Rows that could not be used, by reason.
    duplicates : int
        Rows dropped because another row is the same source.
    sources : int
        Rows that entered a tile.
    failed_cuts : int
        Sources that failed the photometric cuts.
    candidates : int
        Sources that passed them.
    scored : int
        Candidates with a score.
    failed : mapping of str to int
        Candidates that could not be scored, by outcome.
    waiting : int
        Candidates that are not done yet.
    """

    read: int = 0
    outside_footprint: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    sources: int = 0
    failed_cuts: int = 0
    candidates: int = 0
    scored: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0

    def imbalances(self) -> tuple[str, ...]:
        """Say in a sentence each which counts do not add up; empty when all do."""
        gone = self.outside_footprint + sum(self.rejected.values()) + self.duplicates
        ended = self.scored + sum(self.failed.values()) + self.waiting
        sums = (
            (self.read, "rows were read", gone + self.sources, "left out or kept"),
            (self.sources, "sources", self.failed_cuts + self.candidates, "failed or passed cuts"),
            (self.candidates, "candidates", ended, "scored, failed or waiting"),
        )
        return tuple(
            f"{count:,} {what}, but {parts:,} {ends}"
            for count, what, parts, ends in sums
            if count != parts
        )


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Parameters
    ----------
    folder : str
        The run folder.
    stage : str
        What comes next: 'tile', 'fetch', 'score', 'rank', or 'done'.
    counts : RunCounts
        Where every row went.
    tiles, tiles_fetched, tiles_scored : int
        Tiles with candidates; of those, the ones with cutouts (or further) and with scores.
    """

    folder: str
    stage: str
    counts: RunCounts = field(default_factory=RunCounts)
    tiles: int = 0
    tiles_fetched: int = 0
    tiles_scored: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Give JSON types."""
        return asdict(self)

    def format(self) -> str:
        """Give plain text for a terminal."""
        counts = self.counts
        rows = [
            ("rows read", counts.read),
            ("  outside the footprint", counts.outside_footprint),
            *((f"  rejected: {why}", count) for why, count in counts.rejected.items()),
            ("  duplicates", counts.duplicates),
            ("  sources", counts.sources),
            ("    failed the cuts", counts.failed_cuts),
            ("    candidates", counts.candidates),
            ("      scored", counts.scored),
            *((f"      failed: {why}", count) for why, count in counts.failed.items()),
            ("      waiting", counts.waiting),
        ]
        lines = [f"{name:<44}{count:>14,}" for name, count in rows]
        lines.append(
            f"tiles: {self.tiles}, {self.tiles_fetched} fetched, {self.tiles_scored} scored"
        )
        lines += [f"THE COUNTS DO NOT ADD UP: {wrong}" for wrong in counts.imbalances()]
        lines.append(
            {
                "tile": f"next: xsaga tile {self.folder}",
                "fetch": f"next: xsaga fetch {self.folder} (or xsaga run {self.folder})",
                "score": f"next: xsaga score {self.folder} (or xsaga run {self.folder})",
                "rank": f"next: xsaga rank {self.folder}",
                "done": "all done",
            }[self.stage]
        )
        return "\n".join(lines)


def run_status(paths: RunPaths) -> RunStatus:
    """Count what a run folder holds; needs no lock and changes nothing.

    Raises
    ------
    RunError
        The folder is no run folder.
    """
    config = read_run_config(paths)
    if not paths.partition.is_file():
        return RunStatus(str(paths.folder), "tile")
    summary = read_partition(paths)
    jobs = _jobs(paths, summary, config)
    scored = [job for job in jobs if is_scored(job)]
    n_fetched = sum(is_scored(job) or job.paths.cutout_index.is_file() for job in jobs)
    if len(scored) == len(jobs):
        has_lists = all(paths.targets(form).is_file() for form in config.rank.formats)
        stage = "done" if has_lists else "rank"
    else:
        stage = "score" if n_fetched == len(jobs) else "fetch"
    # Each count is read from the files it is about, none is worked out from the others: that is
    # what makes it a check that they add up.
    outcomes = [read_outcome(job.paths) for job in scored]
    waiting = sum(len(read_candidates(job.paths)) for job in jobs if job not in scored)
    order = config.footprint.order
    n_failed_cuts = sum(count_failed_cuts(paths.tile(order, tile.pixel)) for tile in summary.tiles)
    failed = failure_table(paths)["status"].value_counts().sort_index()
    return RunStatus(
        folder=str(paths.folder),
        stage=stage,
        counts=RunCounts(
            read=summary.n_read,
            outside_footprint=summary.n_outside_footprint,
            rejected=summary.n_rejected,
            duplicates=sum(summary.n_duplicates.values()),
            sources=summary.n_sources,
            failed_cuts=n_failed_cuts,
            candidates=summary.n_candidates,
            scored=sum(outcome.scored for outcome in outcomes),
            failed={str(outcome): int(count) for outcome, count in failed.items()},
            waiting=waiting,
        ),
        tiles=len(jobs),
        tiles_fetched=n_fetched,
        tiles_scored=len(scored),
    )


def failure_table(paths: RunPaths) -> pd.DataFrame:
    """List every candidate that could not be scored, with the outcome and the reason.

    Raises
    ------
    RunError
        The folder is no run folder.
    """
    jobs = _jobs(paths, read_partition(paths), read_run_config(paths))
    parts = [read_failures(job.paths) for job in jobs if is_scored(job)]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=FAILURE_COLUMNS)


def _jobs(paths: RunPaths, summary: PartitionSummary, config: RunConfig) -> list[TileJob]:
    fingerprint, order = read_record(paths).fingerprint, config.footprint.order
    return [
        TileJob(paths.tile(order, tile.pixel), fingerprint, config)
        for tile in summary.tiles
        if tile.n_candidates
    ]
