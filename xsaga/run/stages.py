"""The stages of a run, each resumable: tile, fetch, score, rank."""

from __future__ import annotations

from collections.abc import Callable

from xsaga.catalog.partition import partition_catalog
from xsaga.catalog.partition_summary import PartitionSummary
from xsaga.errors import RunError
from xsaga.paths import placed
from xsaga.run.folder import read_partition, write_partition
from xsaga.run.progress import progress
from xsaga.run.ranking import rank_tiles
from xsaga.run.session import Session
from xsaga.run.tile import (
    TileJob,
    discard_cutouts,
    fetch_tile,
    is_scored,
    read_failures,
    run_tile,
    tile_jobs,
)
from xsaga.targets.selection import Selection

Advance = Callable[[int], None]


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

    def fetch(job: TileJob, advance: Advance) -> None:
        if not is_scored(job):
            fetch_tile(job, lambda: session.imaging, advance)

    _each_tile(session, "fetching", fetch)


def score_stage(session: Session) -> None:
    """Score all tiles whose cutouts are there.

    Raises
    ------
    RunError
        Some tiles are not fetched yet.
    """
    jobs = jobs_of(session)
    missing = sum(not (is_scored(job) or job.paths.cutout_index.is_file()) for job in jobs)
    if missing:
        raise RunError(
            f"{missing} of {len(jobs)} tiles have no cutouts yet: "
            f"`xsaga fetch {session.paths.folder}` first"
        )
    run_stage(session, "scoring")


def run_stage(session: Session, title: str = "fetching and scoring") -> None:
    """Fetch and score tile by tile; what is done is left alone."""
    _each_tile(
        session,
        title,
        lambda job, advance: run_tile(job, lambda: session.imaging, session.scorer, advance),
    )


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


def rank_stage(session: Session) -> Selection:
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


def _each_tile(session: Session, title: str, work: Callable[[TileJob, Advance], None]) -> None:
    """Do what is left of the work of all tiles; the bar shows tiles that are not scored yet."""
    jobs = jobs_of(session)
    left = {job.paths: job.n_candidates for job in jobs if not is_scored(job)}
    with progress(title, sum(left.values()), session.console) as advance:
        for job in jobs:
            work(job, advance if job.paths in left else lambda _: None)
            if job.paths in left:
                session.log.event("tile done", stage=title, tile=job.paths.folder.name)
