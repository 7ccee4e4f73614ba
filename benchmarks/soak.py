"""Nights in a loop for an hour: memory, open files, threads and temporary files must not grow.

Usage::

    python -m benchmarks.soak [FOLDER] [--minutes 60]

A small simulated sky, made here, whose cutouts come from a local server in another process. Night
after night `xsaga nightly` is called in this one process: with other rows of the catalog, with new
redshifts, with a server of which every third answer is at fault, with failed cutouts tried again,
with nothing new, with exports, with a catalog that is cut short. The last fifth of the time does
the same with a process a night, as cron does. Lists are kept by design, so a folder of nights is
replaced by a new one after some.

Prints Markdown tables; exits with 1 where anything grows beyond its noise. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from astropy.table import Table, vstack

from tests.fault_plans import FaultMix
from tests.survey_server import Fault, Seen, survey_server
from xsaga.cli import main as xsaga_command
from xsaga.paths import TEMPORARY_MARK, is_leftover

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
FIRST = date(2026, 12, 1)
KINDS = (
    *("other rows", "new redshifts", "a failing server", "tried again"),
    *("nothing new", "other rows", "exports", "a catalog cut short"),
)
ENDS = {0, 3, 4}
"""Exit codes of nights: a list, one without some sources that failed, nothing new."""


@dataclass(frozen=True)
class Sample:
    """What this process and its surroundings hold after a night.

    Parameters
    ----------
    memory_mib : float
        Resident memory.
    files : int
        Open files and sockets.
    threads : int
        Threads.
    children : int
        Processes that this one began.
    blocks : int
        Blocks of shared memory.
    temporary : int
        Files in the folder for temporary files, and temporary names in the folder of nights.
    cache_mib : float
        What the user's cache holds.
    """

    memory_mib: float
    files: int
    threads: int
    children: int
    blocks: int
    temporary: int
    cache_mib: float


NOISE = Sample(40.0, 2, 1, 0, 0, 0, 5.0)
"""By how much the median of the last quarter may exceed that of the second."""


def sample(
    process: psutil.Process, folder: Path, others: int, memory: float, begun: set[int]
) -> Sample:
    """Look around; `others` processes belong to the trial, `begun` made blocks of memory."""
    blocks = [path.name.split("-") for path in SHARED_MEMORY.glob("xsaga-*-*-*")]
    temporary = [path for path in (folder / "tmp").rglob("*") if path.is_file()]
    temporary += [path for path in folder.rglob(f"*{TEMPORARY_MARK}*") if is_leftover(path)]
    cache = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    return Sample(
        memory_mib=memory / (1 << 20),
        files=process.num_fds(),
        threads=process.num_threads(),
        children=len(process.children(recursive=True)) - others,
        blocks=sum(int(words[2]) in begun for words in blocks),
        temporary=len(temporary),
        cache_mib=cache / (1 << 20),
    )


@dataclass
class Nights:
    """A folder of nights that is worked on, and what is given to it."""

    folder: Path
    rows: Table
    options: list[str]
    chance: random.Random
    number: int = 0
    renewed_after: int = 40

    @property
    def kind(self) -> str:
        """What the next night is like."""
        return KINDS[self.number % len(KINDS)]

    @property
    def failing(self) -> Path:
        """The server is at fault while this is there."""
        return self.folder / "failing"

    def next(self) -> list[str]:
        """Prepare the next night; give the arguments of its command."""
        kind, catalog = self.kind, self.folder / "catalog.fits"
        out = self.folder / "NIGHTS"
        if self.number % self.renewed_after == 0:
            shutil.rmtree(out, ignore_errors=True)
        if kind in ("other rows", "a failing server"):
            share = self.chance.uniform(0.5, 0.9)
            picked = [row for row in range(len(self.rows)) if self.chance.random() < share]
            self.rows[picked].write(catalog, format="fits", overwrite=True)
        if kind == "a catalog cut short":
            os.truncate(catalog, catalog.stat().st_size // 2)
        self.failing.unlink(missing_ok=True)
        if kind == "a failing server":
            self.failing.touch()
        if kind == "new redshifts" or self.number == 0:
            self._redshifts()
        night = FIRST + timedelta(days=self.number)
        arguments = ["nightly", *self.options, "--out", str(out), "--night", night.isoformat()]
        if kind == "tried again":
            arguments.append("--retry-failed")
        if kind == "exports":
            arguments += ["--export", "desi-targets", "--export", "regions"]
        self.number += 1
        return arguments

    def _redshifts(self) -> None:
        picked = self.chance.sample(range(len(self.rows)), 20)
        lines = [
            f"{self.rows['RA'][row]},{self.rows['DEC'][row]},{self.chance.uniform(0.001, 0.4)},0"
            for row in picked
        ]
        text = "\n".join(["ra,dec,z,zwarn", *lines]) + "\n"
        (self.folder / "redshifts.csv").write_text(text, encoding="utf-8")


def here(arguments: list[str]) -> int:
    """Do a night in this process."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        try:
            xsaga_command(arguments)
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def elsewhere(arguments: list[str]) -> tuple[int, int, float]:
    """Do a night in a process of its own: its number, exit code and most memory (bytes)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xsaga", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.pid, process.returncode, usage.ru_maxrss * 1024.0


def loop(nights: Nights, until: float, separate: bool) -> Iterator[tuple[str, int, Sample]]:
    """Do night after night; give what each was like, its exit code and a sample."""
    process = psutil.Process()
    others, begun = len(process.children(recursive=True)), {process.pid}
    while time.monotonic() < until:
        kind, arguments = nights.kind, nights.next()
        if separate:
            number, code, memory = elsewhere(arguments)
            begun.add(number)
        else:
            code = here(arguments)
            gc.collect()
            memory = float(process.memory_info().rss)
        yield kind, code, sample(process, nights.folder, others, memory, begun)


def growth(samples: list[Sample]) -> tuple[list[str], list[str]]:
    """Rows of a table, and what grows beyond its noise; the first quarter is for warming up."""
    if len(samples) < 8:
        return [], [f"{len(samples)} nights are too few to tell: give more minutes"]
    rows, faults = [], []
    quarter = len(samples) // 4
    for name, noise in asdict(NOISE).items():
        values = np.array([getattr(each, name) for each in samples], float)
        parts = [np.median(part) for part in np.array_split(values, 4)]
        steady = values[quarter:]
        slope = np.polyfit(np.arange(len(steady)), steady, 1)[0]
        grows = parts[3] - parts[1] > noise
        if grows:
            faults.append(f"{name} grows: {parts[1]:g} → {parts[3]:g}")
        figures = " | ".join(f"{value:,.0f}" for value in (values[0], *parts, values.max()))
        rows.append(f"| {name} | {figures} | {100 * slope:+.1f} | {'grows' if grows else 'no'} |")
    return rows, faults


def serve(sky: Path, failing: Path, pipe: Connection) -> None:
    """Serve cutouts until told to end; at fault while the file is there."""
    mix = FaultMix(0.33, 7, broken=0.03)

    def plan(seen: Seen) -> Fault | None:
        return mix(seen) if failing.exists() else None

    with survey_server(sky, faults=plan, layer="xsaga-sim") as server:
        pipe.send(server.cutout_url)
        pipe.recv()


def make_sky(sky: Path, weights: Path) -> None:
    """Simulate four small bricks and make a small network of random weights."""
    from dataclasses import replace

    from tests.toy_model import TINY, toy_card, toy_model
    from xsaga.model.weights import save_model
    from xsaga.simulation.sky import simulate_sky

    simulate_sky(sky, center=(180.0, 0.25), bricks=4, seed=3, brick_pixels=500)
    card = replace(toy_card(TINY, 48), image_release=("xsaga-sim",))
    save_model(weights, card, toy_model(TINY, 48).networks)


def in_a_process(context: multiprocessing.context.BaseContext, *call: object) -> None:
    """Do something whose memory is not to count."""
    target, *arguments = call
    process = context.Process(target=target, args=tuple(arguments))  # type: ignore[attr-defined]
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{target} failed")


def main() -> None:
    """Run for the time asked, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    folder = (asked.folder or Path(tempfile.mkdtemp(prefix="xsaga-soak-"))).absolute()
    shutil.rmtree(folder / "NIGHTS", ignore_errors=True)
    for name in ("tmp", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    os.environ |= {"TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}
    tempfile.tempdir = None
    context = multiprocessing.get_context("spawn")
    sky, weights = folder / "sky", folder / "toy"
    if not (sky / "truth.parquet").exists():
        in_a_process(context, make_sky, sky, weights)
    pipe, there = context.Pipe()
    server = context.Process(target=serve, args=(sky, folder / "failing", there))
    server.start()
    options = [
        *("--catalog", str(folder / "catalog.fits"), "--cuts", "none", "--r-max", "22.3"),
        *("--service", pipe.recv(), "--layer", "xsaga-sim", "--rate", "1000", "--timeout", "2"),
        *("--retries", "1", "--max-outage", "3", "--weights", str(weights), "--size", "48"),
        *("--order", "8", "--device", "cpu", "--precision", "float32", "--engine", "eager"),
        *("--redshifts", str(folder / "redshifts.csv"), "--shred-radii", "0"),
    ]
    sweeps = [Table.read(path, unit_parse_strict="silent") for path in sky.rglob("sweep-*.fits")]
    rows = vstack(sweeps, metadata_conflicts="silent")
    rows.meta.clear()
    nights = Nights(folder, rows, options, random.Random(asked.seed))
    begun = time.monotonic()
    faults: list[str] = []
    for separate, share, title in (
        (False, 0.8, "In one process"),
        (True, 1.0, "A process a night (memory: the most each had)"),
    ):
        nights.number = 0
        kinds: Counter[str] = Counter()
        samples = []
        for kind, code, seen in loop(nights, begun + 60 * asked.minutes * share, separate):
            samples.append(seen)
            kinds[f"{kind}: {code}"] += 1
            if code not in ENDS and (code, kind) != (1, "a catalog cut short"):
                faults.append(f"{kind}: exit code {code}")
            if sys.stderr.isatty():
                print(f"\r\033[K{len(samples)} nights, {seen}", end="", file=sys.stderr)
        table = pd.DataFrame([asdict(seen) for seen in samples])
        table.to_csv(folder / f"samples-{'processes' if separate else 'one'}.csv")
        rows_of_table, grown = growth(samples)
        faults += [f"{title}: {fault}" for fault in grown]
        print(f"\n{title}: {len(samples)} nights.\n")
        print(
            "| | first | quarter 1 | quarter 2 | quarter 3 | quarter 4 | most | per 100 | grows |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        print("\n".join(rows_of_table))
        print("\nExit codes: " + ", ".join(f"{kind} × {n}" for kind, n in sorted(kinds.items())))
    pipe.send("end")
    server.join()
    print(f"\n{(time.monotonic() - begun) / 60:.0f} min. Faults: {len(faults) or 'none'}.")
    for fault in faults[:40]:
        print(f"- {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
