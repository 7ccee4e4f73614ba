"""Simulating a sky: bricks in parallel, a folder that appears only when it is complete."""

from __future__ import annotations

import math
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from astropy.table import Table, vstack
from filelock import FileLock, Timeout

from xsaga.errors import SimulationError
from xsaga.simulation.bricks import Brick, bricks_in_box, nearest_bricks
from xsaga.simulation.coadd_grid import BRICK_PIXELS, CoaddGrid
from xsaga.simulation.conditions import Conditions, observing_conditions
from xsaga.simulation.drawing.render import render_model
from xsaga.simulation.dust import reddening
from xsaga.simulation.extras import import_galsim, import_sep, one_blas_thread
from xsaga.simulation.measuring.catalog import measured_catalog
from xsaga.simulation.observing.observe import observe
from xsaga.simulation.population.objects import draw_objects
from xsaga.simulation.population.training_targets import grid_positions
from xsaga.simulation.sky_model import SkyModel
from xsaga.simulation.tree import write_bricks_tables, write_coadd, write_sweeps, write_truth

DEC_RANGE = (-80.0, 85.0)
"""Declinations that can be simulated: away from the poles, where bricks are no squares."""

REACH = 360.0 / 3600.0
"""How far outside a coadd, in degrees, objects may stand that still shed light into it."""


@dataclass(frozen=True)
class SimulationSummary:
    """What was simulated.

    Parameters
    ----------
    folder : str
        Where it is.
    bricks : int
        Number of bricks.
    objects : int
        Galaxies and stars in the truth table.
    sources : int
        Sources measured on the images, in the sweep files.
    shreds : int
        Those of them that are pieces of galaxies.
    lowz : int
        Galaxies at z < 0.03 with dereddened r < 21 in the truth table.
    area_deg2 : float
        Solid angle in square degrees.
    seconds : float
        Time it took.
    """

    folder: str
    bricks: int
    objects: int
    sources: int
    shreds: int
    lowz: int
    area_deg2: float
    seconds: float


@dataclass(frozen=True)
class _BrickTask:
    """One brick to simulate; small, as it travels to another process."""

    brick: Brick
    sky: SkyModel
    pixels: int
    root: Path


@dataclass(frozen=True)
class _BrickResult:
    """Rows of one brick."""

    truth: pd.DataFrame
    sources: Table
    redshifts: pd.DataFrame
    conditions: Conditions


def objects_around(grid: CoaddGrid, sky: SkyModel) -> pd.DataFrame:
    """Return all objects that may shed light into a coadd: of every brick within 6' of it.

    Parameters
    ----------
    grid : CoaddGrid
        The coadd. Its neighbours see the same objects, so overlapping coadds agree.
    sky : SkyModel
        What sky.

    Returns
    -------
    DataFrame
        Rows of the truth table.
    """
    reach = grid.half_extent + REACH
    near = bricks_in_box(grid.ra, grid.dec, reach, reach)
    return pd.concat([draw_objects(brick, sky) for brick in near], ignore_index=True)


def simulate_sky(
    out: Path,
    *,
    center: tuple[float, float],
    bricks: int,
    seed: int,
    lowz_boost: float = 1.0,
    density: float = 1.0,
    training: int = 0,
    training_lowz: float = 0.25,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    brick_pixels: int = BRICK_PIXELS,
) -> SimulationSummary:
    """Simulate a piece of sky and write it as a Legacy Surveys tree.

    Parameters
    ----------
    out : Path
        Folder to make; it may exist if it is empty. Everything is written beside it, in
        ``<out>.partial``, and renamed at the end: a folder that exists is complete, and what an
        interrupted simulation left there is replaced by the next.
    center : tuple of float
        RA and Dec in degrees; −80 ≤ Dec ≤ 85. Bricks at Dec > 32.375 north of the Galactic plane
        are those of BASS and MzLS, the others those of DECam.
    bricks : int
        How many bricks, those nearest to the centre, each 0.0625 deg².
    seed : int
        Not negative. The same arguments give the same bytes, whatever `workers` is.
    lowz_boost : float
        Factor on the odds of z < 0.03, for training sets; kept in the truth table's metadata.
    density : float
        Factor on the number of galaxies and stars.
    training : int
        Targets to learn from, added to each brick; marked in the tables.
    training_lowz : float
        Share of those at z < 0.03.
    workers : int
        Processes.
    progress : callable, optional
        Called with the number of finished bricks and of all bricks.
    brick_pixels : int
        Pixels on a side of a coadd. Smaller than the survey's 3600 for tests only: the sky between
        bricks is then missing.

    Returns
    -------
    SimulationSummary

    Raises
    ------
    SimulationError
        When an argument is out of range, `out` is not an empty folder, or another process is
        simulating into it.
    MissingExtraError
        When GalSim or SEP is not installed.
    """
    started = time.monotonic()
    _check(out, center, bricks, seed, lowz_boost, density, workers)
    sky = SkyModel(seed, lowz_boost, density, training, training_lowz)
    import_galsim()
    import_sep()
    chosen = nearest_bricks(center[0] % 360.0, center[1], bricks)
    for brick in chosen if training else ():
        grid_positions(brick, training, sky.generator(brick, 5))  # refused here, not on the way
    with _folder_in_the_making(out) as root:
        tasks = [_BrickTask(brick, sky, brick_pixels, root) for brick in chosen]
        results = _simulate_all(tasks, workers, progress)
        write_bricks_tables(
            root,
            chosen,
            [result.conditions for result in results],
            [reddening(brick, sky) for brick in chosen],
        )
        sources = vstack([result.sources for result in results], metadata_conflicts="silent")
        write_sweeps(root, sources)
        truth = pd.concat([result.truth for result in results], ignore_index=True)
        redshifts = pd.concat([result.redshifts for result in results], ignore_index=True)
        truth["in_catalog"] = truth["source_id"].isin(redshifts.loc[redshifts["main"], "truth_id"])
        settings = {
            "center": list(center),
            "bricks": [brick.name for brick in chosen],
            "seed": seed,
            "lowz_boost": lowz_boost,
            "density": density,
            "training": training,
            "training_lowz": training_lowz,
        }
        write_truth(root / "truth.parquet", truth, settings)
        write_truth(root / "redshifts-simulated.parquet", redshifts, settings)
    side = 2 * CoaddGrid(0.0, 0.0, brick_pixels).half_extent
    return SimulationSummary(
        folder=str(out),
        bricks=len(chosen),
        objects=len(truth),
        sources=len(sources),
        shreds=int(redshifts["shred"].sum()),
        lowz=int((truth["is_lowz"] & (truth["mag_r"] < 21)).sum()),
        area_deg2=round(sum(min(brick.area_deg2, side**2) for brick in chosen), 5),
        seconds=round(time.monotonic() - started, 1),
    )


def _check(
    out: Path,
    center: tuple[float, float],
    bricks: int,
    seed: int,
    lowz_boost: float,
    density: float,
    workers: int,
) -> None:
    low, high = DEC_RANGE
    if not (math.isfinite(center[0]) and low <= center[1] <= high):
        raise SimulationError(
            f"cannot simulate around RA {center[0]}, Dec {center[1]}: choose a Dec from {low:g} to "
            f"{high:g}"
        )
    for name, value, least in (
        ("the number of bricks", bricks, 1),
        ("the seed", seed, 0),
        ("the number of workers", workers, 1),
    ):
        if value < least:
            raise SimulationError(f"{name} is {value}: give {least} or more")
    for name, factor in (("lowz_boost", lowz_boost), ("density", density)):
        if not (math.isfinite(factor) and factor > 0):
            raise SimulationError(f"{name} is {factor}: give a number above 0")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SimulationError(
            f"{out} exists and is not an empty folder: remove it or choose another"
        )


@contextmanager
def _folder_in_the_making(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`; rename it to `out` when the block succeeds."""
    out = out.absolute()
    partial = out.with_name(f"{out.name}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(f"{partial.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SimulationError(
            f"another process is simulating into {out}: wait for it or choose another folder"
        ) from None
    try:
        if partial.exists():
            shutil.rmtree(partial)  # what an interrupted simulation left
        partial.mkdir()
        yield partial
        if out.exists():
            out.rmdir()  # empty, or this fails
        partial.rename(out)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _simulate_all(
    tasks: list[_BrickTask], workers: int, progress: Callable[[int, int], None] | None
) -> list[_BrickResult]:
    """Simulate all bricks, in processes if there is more than one worker; results in order."""
    report = progress or _silent
    results: dict[int, _BrickResult] = {}
    if workers == 1 or len(tasks) == 1:
        for i, task in enumerate(tasks):
            results[i] = _simulate_brick(task)
            report(len(results), len(tasks))
    else:
        # spawn: the parent may hold threads (torch, BLAS), which a fork would not survive
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(tasks)), mp_context=context, initializer=_leave_interrupts_to_parent
        ) as pool:
            index = {pool.submit(_simulate_brick, task): i for i, task in enumerate(tasks)}
            try:
                for future in as_completed(index):
                    results[index[future]] = future.result()
                    report(len(results), len(tasks))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # bricks under way end, the rest never start
                raise
    return [results[i] for i in range(len(tasks))]


def _silent(done: int, total: int) -> None:
    """Report nothing of `done` out of `total`."""


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _simulate_brick(task: _BrickTask) -> _BrickResult:
    """Draw, render, observe and write one brick."""
    with one_blas_thread():
        brick, sky = task.brick, task.sky
        grid = CoaddGrid(brick.ra, brick.dec, task.pixels)
        conditions = observing_conditions(brick, sky)
        around = objects_around(grid, sky)
        model = render_model(grid, around, conditions)
        coadd = observe(model, grid, brick, around, conditions, sky.generator(brick, 2))
        write_coadd(task.root, brick, grid, coadd, conditions)

        x, y = grid.pixel_positions(around["ra"].to_numpy(), around["dec"].to_numpy())
        ebv = reddening(brick, sky)
        catalog = measured_catalog(
            around, grid, brick, coadd, conditions, ebv, sky.generator(brick, 3)
        )
        own = (around["brickid"] == brick.brickid).to_numpy() & grid.inside(x, y)
        truth = around[own].reset_index(drop=True)
        return _BrickResult(truth, catalog.sources, catalog.redshifts, conditions)
