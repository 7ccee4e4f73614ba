"""The stages of a run, each resumable: tile, fetch, score, rank."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from xsaga.catalog.partition import partition_catalog
from xsaga.catalog.partition_summary import PartitionSummary
from xsaga.errors import RunError
from xsaga.paths import placed
from xsaga.run.folder import read_partition, write_partition
from xsaga.run.pipeline import forget_cutouts_unless_kept, run_tiles
from xsaga.run.progress import Advance, progress
from xsaga.run.ranking import Ranking, rank_tiles
from xsaga.run.session import Session
from xsaga.run.tile import (
    TileJob,
    discard_cutouts,
    fetch_tile,
    is_scored,
    read_failures,
    tile_jobs,
)


def tile_stage(session: Session) -> PartitionSummary:
    """Split the catalog by tile, with photometry and cuts, unless that is done."""
    paths = session.paths
    if paths.partition.is_file():
        return read_partition(paths)
    order = session.config.footprint.order
    with progress("reading the catalog, rows", None, session.console) as advance:
        read = 0

        def tell(step: str, done: int, _: int | None) -> None:
            nonlocal read
            if step == "read":
                advance(done - read)
                read = done

        summary = partition_catalog(
            session.catalog,
            session.footprint,
            order,
            tile_sources_path=lambda pixel: paths.tile(order, pixel).sources,
            rejected_path=paths.rejected,
            spool=paths.spool,
            cuts=session.cuts,
            dedupe_radius=session.config.catalog.dedupe_radius,
            progress=tell,
        )
    with placed(paths.cutflow) as temporary:
        summary.cut_flow.to_frame().to_csv(temporary, index=False, lineterminator="\n")
    write_partition(paths, summary)
    for warning in summary.warnings:
        session.log.event("warning", f"warning: {warning}")
    session.log.event("tiled", tiles=len(summary.tiles), candidates=summary.n_candidates)
    return summary


def fetch_stage(session: Session) -> None:
    """Get the cutouts of all tiles that are neither fetched nor scored."""
    jobs = [job for job in _unscored(session) if not job.paths.cutout_index.is_file()]
    with _progress(session, "fetching", jobs) as advance:
        for job in jobs:
            fetch_tile(job, lambda: session.imaging, advance)
            session.log.event("tile done", stage="fetching", tile=job.paths.folder.name)


def score_stage(session: Session) -> None:
    """Score all tiles whose cutouts are there.

    Raises
    ------
    RunError
        Some tiles are not fetched yet.
    """
    jobs = _unscored(session)
    missing = sum(not job.paths.cutout_index.is_file() for job in jobs)
    if missing:
        raise RunError(
            f"{missing} of {len(jobs_of(session))} tiles have no cutouts yet: "
            f"`xsaga fetch {session.paths.folder}` first"
        )
    run_stage(session, "scoring")


def run_stage(session: Session, title: str = "fetching and scoring") -> None:
    """Fetch and score all tiles; what is done is left alone."""
    jobs = _unscored(session)
    if not all(job.paths.cutout_index.is_file() for job in jobs):
        _ = session.imaging  # opened in the main thread: Ctrl-C ends it whatever it waits for

    def log(job: TileJob) -> None:
        session.log.event("tile done", stage=title, tile=job.paths.folder.name)

    with _progress(session, title, jobs) as advance:
        run_tiles(jobs, replace(session.tile_work, advance=advance), log)


def forget_failures(session: Session) -> None:
    """Make tiles with sources that could not be scored undone."""
    retried = 0
    for job in jobs_of(session):
        if is_scored(job) and len(read_failures(job.paths)):
            session.paths.ranked.unlink(missing_ok=True)
            discard_cutouts(job.paths)  # before the scores, without which they would be used again
            job.paths.scores.unlink()
            retried += 1
    session.log.event("retry", f"tiles with failures that are tried again: {retried}")


def rank_stage(session: Session) -> Ranking:
    """Rank all scored sources, choose the targets and write the lists.

    Raises
    ------
    RunError
        Some tiles are not scored yet.
    """
    jobs = jobs_of(session)
    undone = sum(not is_scored(job) for job in jobs)
    if undone:
        raise RunError(
            f"{undone} of {len(jobs)} tiles are not scored yet: "
            f"`xsaga run {session.paths.folder}` does all that is missing"
        )
    return rank_tiles(session, [job.paths for job in jobs])


def jobs_of(session: Session) -> list[TileJob]:
    """Make the jobs of all tiles with candidates, in order."""
    summary = read_partition(session.paths)
    return tile_jobs(session.paths, summary, session.config, session.record.fingerprint)


def _unscored(session: Session) -> list[TileJob]:
    """List the tiles that are not scored; of the others, do what is left to do."""
    jobs = []
    for job in jobs_of(session):
        if is_scored(job):
            forget_cutouts_unless_kept(job)
        else:
            jobs.append(job)
    return jobs


def _progress(
    session: Session, title: str, jobs: Sequence[TileJob]
) -> AbstractContextManager[Advance]:
    return progress(title, sum(job.n_candidates for job in jobs), session.console)
