"""What a run has done, what failed and why; the counts add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from xsaga.paths import RunPaths
from xsaga.run.folder import (
    RankedFacts,
    is_ranked,
    ranked_facts,
    read_partition,
    read_record,
    read_run_config,
)
from xsaga.run.run_tables import count_reasons
from xsaga.run.tile import (
    FAILURE_COLUMNS,
    TileJob,
    count_failed_cuts,
    count_scored,
    count_unfamiliar,
    is_scored,
    read_candidates,
    read_failures,
    tile_jobs,
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
    unfamiliar : int
        Of these, the ones flagged UNFAMILIAR.
    failed : mapping of str to int
        Candidates that could not be scored, by outcome.
    waiting : int
        Candidates that are not done yet.
    targets : mapping of str to int
        Scored sources in the target lists, by tier, once these are made.
    not_targets : mapping of str to int
        The other scored sources, by reason.
    """

    read: int = 0
    outside_footprint: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    sources: int = 0
    failed_cuts: int = 0
    candidates: int = 0
    scored: int = 0
    unfamiliar: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    targets: Mapping[str, int] = field(default_factory=dict)
    not_targets: Mapping[str, int] = field(default_factory=dict)

    def imbalances(self) -> tuple[str, ...]:
        """Say in a sentence each which counts do not add up; empty when all do."""
        gone = self.outside_footprint + sum(self.rejected.values()) + self.duplicates
        ended = self.scored + sum(self.failed.values()) + self.waiting
        sums = [
            (self.read, "rows were read", gone + self.sources, "left out or kept"),
            (self.sources, "sources", self.failed_cuts + self.candidates, "failed or passed cuts"),
            (self.candidates, "candidates", ended, "scored, failed or waiting"),
        ]
        listed = sum(self.targets.values()) + sum(self.not_targets.values())
        if listed:
            sums.append((self.scored, "scored", listed, "targets or not"))
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
    base_rate : str
        What the probabilities of the target lists are for, in words; empty before these are made.
    area_deg2 : float
        Area that the targets were chosen from; 0 before the lists are made.
    z_limit : float
        Redshift below which a galaxy is what the model looks for.
    """

    folder: str
    stage: str
    counts: RunCounts = field(default_factory=RunCounts)
    tiles: int = 0
    tiles_fetched: int = 0
    tiles_scored: int = 0
    base_rate: str = ""
    area_deg2: float = 0.0
    z_limit: float = 0.03

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
            ("        of these unlike the training cutouts", counts.unfamiliar),
            *((f"        targets: {tier}", count) for tier, count in counts.targets.items()),
            *((f"        no target: {why}", count) for why, count in counts.not_targets.items()),
            *((f"      failed: {why}", count) for why, count in counts.failed.items()),
            ("      waiting", counts.waiting),
        ]
        lines = [f"{name:<44}{count:>14,}" for name, count in rows]
        lines.append(
            f"tiles: {self.tiles}, {self.tiles_fetched} fetched, {self.tiles_scored} scored"
        )
        if self.base_rate:
            lines.append(f"base rate of z < {self.z_limit:g}: {self.base_rate}")
        if self.area_deg2:
            lines.append(f"area that targets are chosen from: {self.area_deg2:.4g} deg²")
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
    config, record = read_run_config(paths), read_record(paths)
    if not paths.partition.is_file():
        return RunStatus(str(paths.folder), "tile")
    summary = read_partition(paths)
    scored: list[TileJob] = []
    unscored: list[TileJob] = []
    for job in tile_jobs(paths, summary, config, record.fingerprint):
        (scored if is_scored(job) else unscored).append(job)
    n_fetched = sum(job.paths.cutout_index.is_file() for job in unscored)
    if unscored:
        stage = "score" if n_fetched == len(unscored) else "fetch"
    else:
        stage = "done" if is_ranked(paths, config) else "rank"
    # Each count is read from the files it is about, none is worked out from the others: that is
    # what makes it a check that they add up.
    order = config.footprint.order
    done = stage == "done"
    ranked = ranked_facts(paths) if done else RankedFacts()
    failed = _failures(scored)["status"].value_counts().sort_index()
    return RunStatus(
        folder=str(paths.folder),
        stage=stage,
        counts=RunCounts(
            read=summary.n_read,
            outside_footprint=summary.n_outside_footprint,
            rejected=summary.n_rejected,
            duplicates=sum(summary.n_duplicates.values()),
            sources=summary.n_sources,
            failed_cuts=sum(count_failed_cuts(paths.tile(order, t.pixel)) for t in summary.tiles),
            candidates=summary.n_candidates,
            scored=sum(count_scored(job.paths) for job in scored),
            unfamiliar=sum(count_unfamiliar(job.paths) for job in scored),
            failed={str(outcome): int(count) for outcome, count in failed.items()},
            waiting=sum(len(read_candidates(job.paths)) for job in unscored),
            targets=ranked.targets,
            not_targets=dict(sorted(count_reasons(paths.not_targets).items())) if done else {},
        ),
        tiles=len(scored) + len(unscored),
        tiles_fetched=len(scored) + n_fetched,
        tiles_scored=len(scored),
        base_rate=ranked.base_rate,
        area_deg2=ranked.area_deg2,
        z_limit=record.weights.z_limit,
    )


def failure_table(paths: RunPaths) -> pd.DataFrame:
    """List every candidate that could not be scored, with the outcome and the reason.

    Raises
    ------
    RunError
        The folder is no run folder.
    """
    config, record = read_run_config(paths), read_record(paths)
    jobs = tile_jobs(paths, read_partition(paths), config, record.fingerprint)
    return _failures([job for job in jobs if is_scored(job)])


def _failures(scored: Sequence[TileJob]) -> pd.DataFrame:
    filled = [part for job in scored if len(part := read_failures(job.paths))]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=FAILURE_COLUMNS)
