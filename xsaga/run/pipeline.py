"""Tiles brought from their sources to their scores, fetching and scoring at the same time.

One thread fetches, tile after tile; for each scorer (a GPU, or the CPU) another scores the cutouts
of a tile as they arrive. What lies between them is the tile's own file of cutouts, so that memory
does not grow however much faster one of them is. The batches of a tile are made of its candidates
in a fixed order, whatever came first: scores do not depend on timing.

Every way of running goes through `run_tiles`: local, resumed, nightly and distributed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event

from xsaga.imaging.cutouts import CutoutSource
from xsaga.imaging.store import ArrivingCutouts, RottenCutoutsError, read_cutouts
from xsaga.model.scoring import Scorer
from xsaga.run.tile import TileJob, discard_cutouts, fetch_tile, score_cutouts, write_scores

AHEAD = 2
"""Tiles begun beyond those that are being scored; their cutouts wait on disk."""

LOOK_S = 1.0
"""Seconds between two looks at `TileWork.give_up` while nothing arrives."""


class GivenUpError(Exception):
    """Fetching was ended by `TileWork.give_up`; the tile is not done."""


@dataclass(frozen=True)
class TileWork:
    """With what tiles are brought to their scores.

    Parameters
    ----------
    imaging : callable
        Gives the source of cutouts; called only when it is needed.
    scorers : sequence of Scorer
        The model, once for each device; at least one, and none twice.
    advance : callable
        Told how many more candidates have their cutout, or are done.
    warn : callable
        Told what a person should know.
    give_up : callable
        Asked between batches of cutouts whether to fetch no more.
    """

    imaging: Callable[[], CutoutSource]
    scorers: Sequence[Scorer]
    advance: Callable[[int], None] = lambda _: None
    warn: Callable[[str], None] = lambda _: None
    give_up: Callable[[], bool] = lambda: False


@dataclass
class _TileInFlight:
    """A tile that is worked on; `arriving` gives None where its cutouts are stored already."""

    job: TileJob
    arriving: Future[ArrivingCutouts | None] = field(default_factory=Future)
    counted: int = 0


def run_tiles(
    jobs: Iterable[TileJob], work: TileWork, done: Callable[[TileJob], None] = lambda _: None
) -> None:
    """Bring tiles that are not scored to their scores; cutouts that are stored are not fetched.

    Parameters
    ----------
    jobs : iterable of TileJob
        The tiles; taken one by one as their turn comes.
    work : TileWork
        With what.
    done : callable
        Told of each tile that has its scores, in order.

    Raises
    ------
    XsagaError
        The imaging as a whole cannot be used, a disk is full, or the model cannot be used; tiles
        that are done stay so.
    GivenUpError
        `TileWork.give_up` said so.
    """
    line = _Line(work)
    with ExitStack() as stack:
        line.fetching = stack.enter_context(ThreadPoolExecutor(1, "fetch"))
        line.scoring = stack.enter_context(ThreadPoolExecutor(len(work.scorers), "score"))
        stack.callback(line.stop)  # before the threads are waited for
        for job in jobs:
            line.begin(job)
            while len(line.in_flight) >= len(work.scorers) + AHEAD:
                line.finish_first(done)
        while line.in_flight:
            line.finish_first(done)


def run_tile(job: TileJob, work: TileWork) -> None:
    """Bring one tile that is not scored to its scores (`run_tiles`)."""
    run_tiles([job], work)


def forget_cutouts_unless_kept(job: TileJob) -> None:
    """Remove the cutouts of a tile that is scored, where the configuration says so."""
    if not job.config.store.keep_cutouts:
        discard_cutouts(job.paths)


class _Line:
    """The tiles in flight, in order, and the threads that work on them."""

    fetching: ThreadPoolExecutor
    scoring: ThreadPoolExecutor

    def __init__(self, work: TileWork) -> None:
        self.work = work
        self.in_flight: deque[tuple[_TileInFlight, Future[None], Future[None]]] = deque()
        self._free: SimpleQueue[Scorer] = SimpleQueue()
        for scorer in work.scorers:
            self._free.put(scorer)
        self._stopped = Event()
        self._source: CutoutSource | None = None

    def begin(self, job: TileJob) -> None:
        self.in_flight.append(self._submit(job))

    def _submit(self, job: TileJob) -> tuple[_TileInFlight, Future[None], Future[None]]:
        tile = _TileInFlight(job)
        fetched = self.fetching.submit(self._fetch, tile)
        return tile, fetched, self.scoring.submit(self._score, tile, fetched)

    def finish_first(self, done: Callable[[TileJob], None]) -> None:
        """Wait for the first tile; one whose stored cutouts are damaged is begun anew."""
        tile, fetched, scored = self.in_flight[0]
        while True:
            ended = wait((fetched, scored), LOOK_S, return_when=FIRST_EXCEPTION)
            failed = any(future.exception() is not None for future in ended.done)
            if failed or not ended.not_done:
                break
            if not fetched.done() and self.work.give_up():  # also while it waits for a server
                raise GivenUpError
        try:
            if fetched.done():
                fetched.result()
            scored.result()
        except RottenCutoutsError as rotten:
            self.work.warn(f"warning: {rotten}")
            self.in_flight[0] = self._submit(tile.job)
            return
        self.in_flight.popleft()
        forget_cutouts_unless_kept(tile.job)
        self.work.advance(tile.job.n_candidates - tile.counted)
        done(tile.job)

    def stop(self) -> None:
        """End what is still going on; nothing is where all went well."""
        self._stopped.set()
        for _, _, scored in self.in_flight:
            scored.cancel()
        for tile, fetched, _ in self.in_flight:
            if fetched.cancel():  # what was to score it may wait for its cutouts already
                tile.arriving.set_exception(GivenUpError())
        fetching = any(not fetched.done() for _, fetched, _ in self.in_flight)
        if self._source is not None and fetching:
            self._source.interrupt()  # it may wait for a server

    def _fetch(self, tile: _TileInFlight) -> None:
        def count(cutouts: int) -> None:
            if self._stopped.is_set() or self.work.give_up():
                raise GivenUpError
            tile.counted += cutouts
            self.work.advance(cutouts)

        def imaging() -> CutoutSource:
            self._source = self.work.imaging()
            if self._stopped.is_set():  # `stop` may have looked before it was there
                raise GivenUpError
            return self._source

        try:
            if tile.job.paths.cutout_index.is_file():
                tile.arriving.set_result(None)
            else:
                fetch_tile(tile.job, imaging, count, tile.arriving.set_result)
        except BaseException as error:
            if not tile.arriving.done():
                tile.arriving.set_exception(error)
            raise

    def _score(self, tile: _TileInFlight, fetched: Future[None]) -> None:
        arriving = tile.arriving.result()
        scorer = self._free.get()
        try:
            if arriving is None:
                score_stored(tile.job, scorer)
                return
            result = score_cutouts(tile.job, scorer, arriving.source_id, arriving.spec, arriving)
            fetched.result()
            write_scores(tile.job, read_cutouts(tile.job.paths).index, result)
        finally:
            self._free.put(scorer)


def score_stored(job: TileJob, scorer: Scorer) -> None:
    """Score a tile's stored cutouts.

    Raises
    ------
    RottenCutoutsError
        Their bytes are not those that were written; they are removed then.
    """
    stored = read_cutouts(job.paths)
    try:
        result = score_cutouts(
            job, scorer, stored.index["source_id"].to_numpy(), stored.spec, stored.checked
        )
    except RottenCutoutsError:
        discard_cutouts(job.paths)
        raise
    write_scores(job, stored.index, result)
