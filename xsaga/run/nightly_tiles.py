"""The tiles of one night: what is kept from nights before, what is done anew, what has to wait.

Every tile has a key: what its cutouts and scores are made from, by content. The key is written
before anything made under it, and what was made under another is removed before, so that a night
that is killed anywhere leaves no tile whose key is not true.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xsaga.errors import RunError
from xsaga.imaging.cutouts import CutoutStatus
from xsaga.imaging.http_faults import UnreachableError
from xsaga.paths import RunPaths, TilePaths, placed
from xsaga.run.file_hashes import FileHashes
from xsaga.run.folder import read_partition, read_record
from xsaga.run.log import RunLog
from xsaga.run.nightly_keys import KeyMaker, read_key, write_key
from xsaga.run.pipeline import GivenUpError, forget_cutouts_unless_kept, run_tile
from xsaga.run.progress import progress
from xsaga.run.session import Session
from xsaga.run.stages import jobs_of
from xsaga.run.tile import (
    TileJob,
    carry_scores,
    discard_cutouts,
    is_scored,
    read_failures,
    take_scores,
)

TITLE = "fetching and scoring"


@dataclass(frozen=True)
class Deadline:
    """When a night has to stop.

    Parameters
    ----------
    clock : callable
        Gives the time in seconds.
    ends : float or None
        Time of the clock from which on nothing is begun; None for no limit.
    """

    clock: Callable[[], float]
    ends: float | None = None

    def has_passed(self) -> bool:
        """Whether it is time to stop."""
        return self.ends is not None and self.clock() >= self.ends


@dataclass
class TileTally:
    """What became of the tiles with candidates.

    Parameters
    ----------
    kept : int
        Tiles whose scores are those of a night before.
    rescored : int
        Tiles scored anew from cutouts of a night before.
    scored : int
        Tiles fetched and scored.
    undone : list of TileJob
        Tiles that time did not suffice for.
    """

    kept: int = 0
    rescored: int = 0
    scored: int = 0
    undone: list[TileJob] = field(default_factory=list)


def bring_tiles(
    session: Session,
    donors: Sequence[RunPaths],
    hashes: FileHashes,
    deadline: Deadline,
    log: RunLog,
    older: RunPaths | None = None,
    *,
    retry_failed: bool = False,
) -> TileTally:
    """Bring all tiles to their scores, as far as time goes, doing only what is new.

    At least one tile is always finished, else one that takes longer than a night may would be
    begun anew for ever. Where time is limited and the imaging is not to be had for longer than is
    waited for, the tiles that are left are not done.

    Parameters
    ----------
    session : Session
        The run of the night; its tile stage is done.
    donors : sequence of RunPaths
        Runs of nights before, from which cutouts and scores are taken where their key is the same.
    hashes : FileHashes
        Of the files of the imaging.
    deadline : Deadline
        When to stop.
    log : RunLog
        Where the fate of each tile is told.
    older : RunPaths, optional
        Run of the last list: tiles that it has no scores of come first.
    retry_failed : bool
        Do tiles again that have cutouts that could not be had, though perhaps another time.
    """
    tally = TileTally()
    keys = KeyMaker(session, hashes)
    work: list[TileJob] = []
    prepared: set[TilePaths] = set()
    gone = False

    def is_kept(job: TileJob) -> bool:
        prepared.add(job.paths)
        if not _prepare(job, keys, donors, session, retry_failed=retry_failed):
            return False
        forget_cutouts_unless_kept(job)
        tally.kept += 1
        log.event("tile kept", tile=job.paths.folder.name)
        return True

    for job in jobs_of(session):
        # Files are hashed when a tile's turn comes, unless they may spare it one.
        unheard_of = not any(
            place.key.is_file() for place in (job.paths, *_elsewhere(job, donors, session))
        )
        if deadline.has_passed() or unheard_of or not is_kept(job):
            work.append(job)
    if older is not None:
        work.sort(key=lambda job: _same_tile(older, job, session).scores.is_file())
    with progress(TITLE, sum(job.n_candidates for job in work), session.console) as advance:
        for job in work:
            first = not (tally.rescored + tally.scored)
            if gone or (deadline.has_passed() and not first):
                tally.undone.append(job)
            elif job.paths not in prepared and is_kept(job):
                advance(job.n_candidates)
            else:
                try:
                    done = _finish(job, keys, session, deadline, advance, tally, log, first=first)
                except UnreachableError as error:
                    if deadline.ends is None or first:  # nothing new, or time to wait for it
                        raise
                    done, gone = False, True
                    log.event("warning", f"warning: {error}")
                if not done:
                    tally.undone.append(job)
    return tally


def _finish(
    job: TileJob,
    keys: KeyMaker,
    session: Session,
    deadline: Deadline,
    advance: Callable[[int], None],
    tally: TileTally,
    log: RunLog,
    *,
    first: bool,
) -> bool:
    """Do one tile; False when time ran out on the way."""
    has_cutouts = job.paths.cutout_index.is_file()

    try:
        run_tile(
            job,
            replace(
                session.tile_work,
                advance=advance,
                give_up=lambda: not first and deadline.has_passed(),
            ),
        )
    except GivenUpError:
        return False
    key = read_key(job.paths)
    if key is not None and key.cached:  # now the files that it was made from are there
        write_key(job.paths, keys.key(job))
    if has_cutouts:
        tally.rescored += 1
    else:
        tally.scored += 1
    log.event(
        "tile scored", tile=job.paths.folder.name, cutouts="kept" if has_cutouts else "fetched"
    )
    return True


def _prepare(
    job: TileJob,
    keys: KeyMaker,
    donors: Sequence[RunPaths],
    session: Session,
    *,
    retry_failed: bool,
) -> bool:
    """Give a tile its key and what nights before made under the same; True if that is all."""
    wanted, own = keys.key(job), read_key(job.paths)
    if own is None or not own.same_cutouts(wanted):
        job.paths.scores.unlink(missing_ok=True)
        discard_cutouts(job.paths)
        own = wanted
    elif not own.same_scores(wanted):
        job.paths.scores.unlink(missing_ok=True)
    if wanted.told_by(own) != read_key(job.paths):
        write_key(job.paths, wanted.told_by(own))
    if is_scored(job):
        return True
    for made in _elsewhere(job, donors, session):
        key = read_key(made)
        if key is None or not key.same_cutouts(wanted):
            continue
        if retry_failed and made.failures.is_file() and has_failed(made):
            continue
        if made.cutout_index.is_file() and not job.paths.cutout_index.is_file():
            link(made.cutouts, job.paths.cutouts)
            link(made.cutout_index, job.paths.cutout_index)
        if key.same_scores(wanted) and made.scores.is_file():
            write_key(job.paths, wanted.told_by(key))
            if is_scored(replace(job, paths=made)):  # a run of the same settings: the same bytes
                link(made.failures, job.paths.failures)
                link(made.scores, job.paths.scores)
            else:
                take_scores(job, made)
            return True
    return False


def take_tiling(session: Session, donors: Sequence[RunPaths]) -> None:
    """Take the sources of all tiles from a run of the same catalog and settings, if there is one.

    Parameters
    ----------
    session : Session
        The run of the night.
    donors : sequence of RunPaths
        Runs of nights before.
    """
    paths = session.paths
    if paths.partition.is_file():
        return
    for donor in donors:
        if not donor.partition.is_file():
            continue
        if read_record(donor).fingerprint != session.record.fingerprint:
            continue
        order = session.config.footprint.order
        for tile in read_partition(donor).tiles:
            link(donor.tile(order, tile.pixel).sources, paths.tile(order, tile.pixel).sources)
        for file in (donor.rejected, donor.cutflow, donor.partition):
            if file.is_file():  # the partition last: it says that all is there
                link(file, paths.folder / file.name)
        return


def has_failed(tile: TilePaths) -> bool:
    """Whether a tile has cutouts that could not be had, though perhaps another time."""
    return bool((read_failures(tile)["status"] == CutoutStatus.FAILED.name.lower()).any())


def _elsewhere(job: TileJob, donors: Sequence[RunPaths], session: Session) -> list[TilePaths]:
    return [_same_tile(donor, job, session) for donor in donors]


def _same_tile(run: RunPaths, job: TileJob, session: Session) -> TilePaths:
    return TilePaths(run.tiles / job.paths.folder.relative_to(session.paths.tiles))


def link(made: Path, place: Path) -> None:
    """Put a file that never changes in another place too: a hard link, or a copy."""
    with placed(place) as temporary:
        try:
            os.link(made, temporary)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(made, temporary)


@dataclass(frozen=True)
class CarriedOver:
    """What a list that is published before all tiles are done owes to the list before.

    Parameters
    ----------
    carried : int
        Candidates with their score of an earlier night.
    waiting : int
        Candidates without any score yet.
    """

    carried: int = 0
    waiting: int = 0


def list_so_far(
    session: Session, undone: Sequence[TileJob], older: RunPaths | None, place: RunPaths
) -> CarriedOver:
    """Make a run folder of the tiles that are done and of older scores for the others.

    Parameters
    ----------
    session : Session
        The run of the night.
    undone : sequence of TileJob
        Its tiles that are not done.
    older : RunPaths or None
        Run of the last list.
    place : RunPaths
        Folder to make; whatever it holds is removed.
    """
    shutil.rmtree(place.folder, ignore_errors=True)
    paths = session.paths
    for file in (paths.partition, paths.rejected, paths.cutflow, paths.config, paths.record):
        if file.is_file():
            link(file, place.folder / file.name)
    waits = {job.paths for job in undone}
    carried = waiting = 0
    order = session.config.footprint.order
    for tile in read_partition(paths).tiles:
        made, here = paths.tile(order, tile.pixel), place.tile(order, tile.pixel)
        link(made.sources, here.sources)
        if made in waits:
            job = TileJob(here, session.record.fingerprint, session.config, tile.n_candidates)
            before = older.tile(order, tile.pixel) if older is not None else None
            counts = carry_scores(job, before)
            carried, waiting = carried + counts[0], waiting + counts[1]
        elif tile.n_candidates:
            for file in (made.key, made.failures, made.scores):
                link(file, here.folder / file.name)
    return CarriedOver(carried, waiting)


def remove_runs(runs: Path, kept: Collection[str]) -> None:
    """Remove the run folders of earlier nights.

    Raises
    ------
    RunError
        One cannot be removed.
    """
    for folder in sorted(runs.iterdir()) if runs.is_dir() else ():
        if folder.name not in kept:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise RunError(f"cannot remove {folder}: {error.strerror}; remove it") from None
