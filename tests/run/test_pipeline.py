"""Tiles brought to their scores, whatever the timing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import cast

import numpy as np
import pandas as pd
import pytest

from tests.toy_model import TINY, toy_model
from xsaga.config import RunConfig, StoreConfig
from xsaga.errors import ImagingError, ModelError
from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec, CutoutStatus, ImagingFiles
from xsaga.imaging.http_faults import UnreachableError
from xsaga.model.scoring import Scorer
from xsaga.paths import TilePaths
from xsaga.run.pipeline import GivenUpError, TileWork, run_tiles
from xsaga.run.tile import TileJob, fetch_tile, read_failures

SIZE = 48
SPEC = CutoutSpec(SIZE)
FILES = ("scores", "failures", "cutouts", "cutout_index")


@dataclass
class DrawnSky:
    """Cutouts drawn from each position; one of eight positions has none, with a reason.

    Parameters
    ----------
    seed : int
        Of the order and the parts in which cutouts arrive.
    fail_after : int
        So many cutouts, then the imaging as a whole is gone.
    """

    seed: int = 0
    fail_after: int = 10**9
    given: int = 0
    spec: CutoutSpec = SPEC
    release: str = "ls-dr9"
    interrupted: bool = False

    def order(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        return np.lexsort((ra, -dec))

    def cutouts(
        self, ra: np.ndarray, dec: np.ndarray, source_id: np.ndarray
    ) -> Iterator[CutoutBatch]:
        assert len(ra) == len(dec)
        order = np.random.default_rng(self.seed).permutation(len(ra))
        for index in np.array_split(order, -(-len(ra) // 7)) if len(ra) else ():
            self.given += len(index)
            if self.given > self.fail_after:
                raise ImagingError("the imaging is gone")
            empty = source_id[index] % 8 == 0
            images = np.stack([self.image(int(number)) for number in source_id[index]])
            images[empty] = 0
            yield CutoutBatch(
                index=index,
                images=images,
                coverage=np.repeat(1 - empty[:, None].astype(np.float32), 3, axis=1),
                status=np.where(empty, CutoutStatus.FAILED, CutoutStatus.OK).astype(np.int8),
                reason=["no answer" if each else "" for each in empty],
                origin=["drawn"] * len(index),
            )

    @staticmethod
    def image(number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        return rng.normal(0, 0.1, (3, SIZE, SIZE)).astype(np.float32)

    def files(self, *_: object) -> ImagingFiles:
        return ImagingFiles()

    def interrupt(self) -> None:
        self.interrupted = True

    def close(self) -> None:
        raise AssertionError("whoever opened it closes it")


def make_scorer() -> Scorer:
    return Scorer(toy_model(TINY, SIZE), device="cpu", precision="float32", batch_size=16)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return make_scorer()


def make_jobs(folder: Path, counts: tuple[int, ...] = (50, 3, 0, 33)) -> list[TileJob]:
    """Tiles with so many candidates each, and some sources that fail the cuts."""
    config = RunConfig()
    jobs = []
    for tile, count in enumerate(counts):
        rng = np.random.default_rng(tile)
        paths = TilePaths(folder / f"Npix={tile}")
        paths.folder.mkdir(parents=True)
        pd.DataFrame(
            {
                "source_id": 1000 * tile + np.arange(count + 2),
                "ra": rng.uniform(10, 11, count + 2),
                "dec": rng.uniform(-1, 1, count + 2),
                "photometric_flags": [0] * count + [1, 4],
            }
        ).to_parquet(paths.sources)
        jobs.append(TileJob(paths, "fingerprint", config, count))
    return jobs


def content(jobs: list[TileJob]) -> list[bytes]:
    return [getattr(job.paths, name).read_bytes() for job in jobs for name in FILES]


def work(scorer: Scorer, source: DrawnSky, **options: object) -> TileWork:
    return TileWork(imaging=lambda: source, scorers=(scorer,), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def expected(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    jobs = make_jobs(tmp_path_factory.mktemp("expected"))
    run_tiles(jobs, work(scorer, DrawnSky()))
    return content(jobs)


def test_every_candidate_ends_in_scores_or_failures(scorer: Scorer, tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path)
    told: list[TileJob] = []
    counted: list[int] = []
    run_tiles(jobs, work(scorer, DrawnSky(), advance=counted.append), told.append)
    assert told == jobs
    assert sum(counted) == 86
    for job in jobs:
        scores, failures = pd.read_parquet(job.paths.scores), read_failures(job.paths)
        ids = [*scores["source_id"], *failures["source_id"]]
        candidates = pd.read_parquet(job.paths.sources).query("photometric_flags == 0")
        assert sorted(ids) == candidates["source_id"].tolist()
        assert scores["source_id"].is_monotonic_increasing
        assert (failures["source_id"] % 8 == 0).all()
        assert (failures["reason"] == "no answer").all()
        images = np.stack(
            [DrawnSky.image(n) for n in scores["source_id"]] or [np.zeros((3, 48, 48))]
        )
        alone = scorer.score(images[: len(scores)].astype(np.float16))
        assert np.allclose(scores["p_lowz"], alone.p_lowz, atol=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_arrival_leaves_no_trace(
    scorer: Scorer, expected: list[bytes], tmp_path: Path, seed: int
) -> None:
    jobs = make_jobs(tmp_path)
    run_tiles(jobs, work(scorer, DrawnSky(seed)))
    assert content(jobs) == expected


def test_fetching_first_and_several_scorers_leave_no_trace(
    scorer: Scorer, expected: list[bytes], tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path)
    for job in jobs[1:]:
        fetch_tile(job, lambda: DrawnSky(7), lambda _: None)
    source = DrawnSky(8)
    several = dataclasses.replace(
        work(scorer, source), scorers=tuple(make_scorer() for _ in range(3))
    )
    run_tiles(jobs, several)
    assert content(jobs) == expected
    assert source.given == 50  # the cutouts of the others were there


def test_imaging_that_ends_leaves_what_is_done(scorer: Scorer, tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path)
    told: list[TileJob] = []
    with pytest.raises(ImagingError, match="the imaging is gone"):
        run_tiles(jobs, work(scorer, DrawnSky(fail_after=60)), told.append)
    assert [job.paths.scores.is_file() for job in jobs] == [True, True, True, False]
    assert not jobs[3].paths.cutout_index.exists()
    assert not list(tmp_path.rglob("*.tmp-*"))
    run_tiles([jobs[3]], work(scorer, DrawnSky()))
    assert jobs[3].paths.scores.is_file()


def test_fetching_can_be_given_up_between_batches(scorer: Scorer, tmp_path: Path) -> None:
    (job,) = make_jobs(tmp_path, (50,))
    source = DrawnSky()
    with pytest.raises(GivenUpError):
        run_tiles([job], work(scorer, source, give_up=lambda: source.given > 20))
    assert 20 < source.given < 50
    assert not job.paths.scores.exists()
    assert not job.paths.cutout_index.exists()


class GoneSky(DrawnSky):
    """Gives nothing until it is closed, as a service does in an outage."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = Event()

    def cutouts(self, *_: object) -> Iterator[CutoutBatch]:
        assert self.ended.wait(60), "nobody interrupted it"
        raise UnreachableError("asking it was stopped")
        yield

    def interrupt(self) -> None:
        super().interrupt()
        self.ended.set()


def test_fetching_can_be_given_up_while_nothing_arrives(scorer: Scorer, tmp_path: Path) -> None:
    (job,) = make_jobs(tmp_path, (50,))
    source, asked = GoneSky(), iter([False, True])
    with pytest.raises(GivenUpError):
        run_tiles([job], work(scorer, source, give_up=lambda: next(asked)))
    assert source.interrupted
    assert not list(tmp_path.rglob("*.tmp-*"))


def test_an_interruption_ends_the_imaging_and_the_threads(scorer: Scorer, tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path)
    source = DrawnSky()

    def interrupted() -> Iterator[TileJob]:
        yield jobs[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tiles(interrupted(), work(scorer, source))
    finished = jobs[0].paths.scores.is_file()
    assert finished or source.interrupted or not source.given
    assert not list(tmp_path.rglob("*.tmp-*"))


class FailsOnce(DrawnSky):
    """Gives one batch, and the next when scoring that one has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = Event()

    def cutouts(self, *arguments: object) -> Iterator[CutoutBatch]:
        batches = super().cutouts(*arguments)  # type: ignore[arg-type]
        yield next(batches)
        assert self.ended.wait(60), "nobody interrupted it"
        yield from batches

    def interrupt(self) -> None:
        super().interrupt()
        self.ended.set()


class BrokenScorer:
    """Cannot score at all."""

    def __getattr__(self, name: str) -> object:
        raise ModelError(f"no {name}: out of memory")


@pytest.mark.parametrize("scorers", [1, 2])
def test_an_error_of_scoring_ends_what_is_fetched_and_what_waits(
    tmp_path: Path, scorers: int
) -> None:
    jobs = make_jobs(tmp_path, (50, 50, 50, 50))
    source = FailsOnce()
    broken = TileWork(
        imaging=lambda: source,
        scorers=[cast("Scorer", BrokenScorer()) for _ in range(scorers)],
    )
    with pytest.raises(ModelError, match="out of memory"):
        run_tiles(jobs, broken)
    assert source.interrupted
    assert not list(tmp_path.rglob("*.tmp-*"))


def test_an_interruption_ends_scorers_that_wait_for_cutouts(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, (50, 50))
    source = GoneSky()

    def interrupted() -> Iterator[TileJob]:
        yield from jobs
        raise KeyboardInterrupt

    two = TileWork(imaging=lambda: source, scorers=[make_scorer(), make_scorer()])
    with pytest.raises(KeyboardInterrupt):
        run_tiles(interrupted(), two)
    assert not list(tmp_path.rglob("*.tmp-*"))


def flip_last_bit(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)


def test_stored_cutouts_that_rotted_are_fetched_again(
    scorer: Scorer, expected: list[bytes], tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path)
    for job in jobs:
        fetch_tile(job, lambda: DrawnSky(), lambda _: None)
    flip_last_bit(jobs[3].paths.cutouts)
    told: list[str] = []
    source = DrawnSky()
    run_tiles(jobs, work(scorer, source, warn=told.append))
    assert content(jobs) == expected
    assert source.given == 33
    (line,) = told
    assert "are not those that were written" in line
    assert str(jobs[3].paths.cutouts) in line


@pytest.mark.parametrize("keep", [True, False])
def test_cutouts_are_kept_if_wanted(scorer: Scorer, tmp_path: Path, keep: bool) -> None:
    (job,) = make_jobs(tmp_path, (20,))
    config = dataclasses.replace(job.config, store=StoreConfig(keep_cutouts=keep))
    run_tiles([dataclasses.replace(job, config=config)], work(scorer, DrawnSky()))
    assert job.paths.cutouts.exists() == job.paths.cutout_index.exists() == keep


def test_tiles_are_taken_as_their_turn_comes(scorer: Scorer, tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, (9,) * 8)
    finished: list[TileJob] = []
    ahead: list[int] = []

    def one_by_one(done: Callable[[], int]) -> Iterator[TileJob]:
        for number, job in enumerate(jobs):
            ahead.append(number - done())
            yield job

    run_tiles(one_by_one(lambda: len(finished)), work(scorer, DrawnSky()), finished.append)
    assert finished == jobs
    assert max(ahead) <= 3
