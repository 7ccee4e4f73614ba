"""Kill runs and nights at random moments, by SIGKILL, and see what becomes of them.

Usage::

    python benchmarks/crash.py [FOLDER] [--kills 100] [--nights 30] [--seed 5]

A small simulated sky, made here: ``xsaga run`` from its bricks (tile, fetch with decoding
processes, score, rank, report), then exports; and ``xsaga nightly`` twice, with half of the
catalog and with all of it. Each is done once undisturbed; then again and again, killed and begun
once more until it ends, until there were so many kills. Half of the moments are drawn from the
whole time, half from within a stage that is drawn first, so that short stages get their share. In
turn the whole process group is killed (a power cut, a job that is cancelled) and the first
process alone (the kernel, for want of memory).

Checked after every kill: each file that bears its final name can be read whole; what was scored
is left as it was, by inode and time of change, by the next start; temporary files are gone after
the next start; no process lives on; shared memory does not pile up. At the end of each: all files
are byte for byte those of the undisturbed one, and the log tells of no tile that was done twice.

Prints a Markdown table; exits with 1 where anything was not so. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table, vstack

from xsaga.cli import main as xsaga_command
from xsaga.paths import TEMPORARY_MARK, NightlyPaths, RunPaths, is_leftover
from xsaga.targets.exports.placing import PREVIOUS_MARK

PROCESSES, SHARED_MEMORY = Path("/proc"), Path("/dev/shm")  # noqa: S108
EXPORTS = ("desi-targets", "desi-secondary", "regions", "hats")
WORK = ("begin", "tile", "fetch and score", "rank")
RUN_STAGES = (*WORK, "report", "export")
NIGHT_STAGES = (*WORK, "prepare the list", "publish")
CHANGING = ("log.jsonl", ".lock", ".lock-owner", "summary.txt", "summary.json", "file-hashes.json")
"""Files that tell of the time that things took, or of the working itself."""


@dataclass(frozen=True)
class Leg:
    """Commands that are done one after the other, and where their results are.

    Parameters
    ----------
    name : str
        What it is.
    folder : Path
        What the commands make.
    commands : list of list of str
        Arguments of the command line.
    before : callable
        Done before the command of that number, in the same process.
    stage : callable
        Tells from the folder which stage the work is in.
    stages : tuple of str
        All stages.
    """

    name: str
    folder: Path
    commands: list[list[str]]
    before: Callable[[int], None]
    stage: Callable[[int], str]
    stages: tuple[str, ...]

    @property
    def mark(self) -> Path:
        """Holds the number of the command that is worked on."""
        return self.folder.with_name(f"{self.folder.name}-at")

    @property
    def said(self) -> Path:
        """What the last process said."""
        return self.folder.with_name(f"{self.folder.name}-said.txt")

    @property
    def at(self) -> int:
        """Number of the command that is worked on."""
        return int(self.mark.read_text()) if self.mark.exists() else 0

    def where(self) -> str:
        """Tell which stage the work is in."""
        return self.stage(self.at)


@dataclass
class Findings:
    """What was seen of one leg."""

    kills: Counter[str] = field(default_factory=Counter)
    undisturbed: dict[str, bytes] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    ended: int = 0
    files: int = 0
    kept: int = 0
    leftovers: int = 0
    shared: int = 0
    faults: list[str] = field(default_factory=list)


def begin(leg: Leg) -> int:
    """Go on with a leg in a process that leads a group of its own; give its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    said = os.open(leg.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    code = 0
    for number in range(leg.at, len(leg.commands)):
        note(leg, number)
        leg.before(number)
        sys.argv = ["xsaga", *leg.commands[number]]
        try:
            xsaga_command(leg.commands[number])
        except SystemExit as end:
            code = int(end.code or 0)
        if code not in (0, 3, 4):  # done; with sources that failed; nothing new
            break
    else:
        note(leg, len(leg.commands))
    os._exit(code)


def note(leg: Leg, number: int) -> None:
    """Note which command is worked on."""
    made = leg.mark.with_suffix(".new")
    made.write_text(str(number))
    made.replace(leg.mark)


def ended(child: int) -> int | None:
    """Exit code of a child, or minus its signal; None while it goes on."""
    number, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if number else None


def members(session: int) -> list[int]:
    """List the processes of a session that live."""
    found = []
    for folder in PROCESSES.iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(words[3]) == session and words[0] != "Z":
                found.append(int(folder.name))
    return found


def shared_memory() -> set[str]:
    """Names of the blocks of shared memory; semaphores of 32 bytes are not counted."""
    names = {path.name for path in SHARED_MEMORY.iterdir()} if SHARED_MEMORY.is_dir() else set()
    return {name for name in names if name.startswith(("xsaga-", "psm_"))}


def files_of(folder: Path) -> Iterator[Path]:
    """Give all files below a folder, but for what is in a folder in the making."""
    making = (TEMPORARY_MARK, PREVIOUS_MARK)
    for root, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in (".next", ".spool") and not any(mark in name for mark in making)
        ]
        for name in names:
            yield Path(root) / name


def unreadable(path: Path) -> str:
    """Say what is wrong with a file; empty where it can be read whole."""
    try:
        if path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".npy":
            np.asarray(np.load(path, mmap_mode="r")).sum()
        elif path.suffix in (".fits", ".fz"):
            with fits.open(path, memmap=False, checksum=True) as hdus:
                hdus.verify("exception")
                _ = [hdu.data for hdu in hdus]
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".toml":
            tomllib.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".html" and "</html>" not in path.read_text(encoding="utf-8"):
            return "cut short"
        elif path.suffix == ".jsonl":
            for line in path.read_text(encoding="utf-8").splitlines()[:-1]:
                json.loads(line)
    except Exception as error:  # noqa: BLE001 - whatever it is, the file is broken
        return f"{type(error).__name__}: {error}"
    return ""


def scored(folder: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of change of all scores below a folder."""
    found = {}
    for path in folder.rglob("scores.parquet"):
        status = path.stat()
        found[path] = (status.st_ino, status.st_mtime_ns)
    return found


def temporary(folder: Path) -> set[Path]:
    """Temporary files and folders below a folder."""
    return {path for path in folder.rglob(f"*{TEMPORARY_MARK}*") if is_leftover(path)}


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder that do not tell of the time that things took."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files_of(folder)
        if path.name not in CHANGING
    }


def done_twice(folder: Path) -> list[str]:
    """Tiles that a log says were done twice in one run."""
    twice = []
    for log in folder.rglob("log.jsonl"):
        times: Counter[str] = Counter()
        night = ""
        for line in log.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            night = event.get("night", night)
            if event["event"] in ("tile done", "tile scored"):
                times[f"{event['tile']} {night}"] += 1
        twice += [f"{log.parent.name} {tile}" for tile, count in times.items() if count > 1]
    return twice


def undisturbed(leg: Leg, findings: Findings) -> None:
    """Do a leg once; note its results and how long each stage takes."""
    child, code, stage, since = begin(leg), None, leg.stages[0], time.monotonic()
    while code is None:
        time.sleep(0.002)
        code, now = ended(child), leg.where()
        if now != stage or code is not None:
            spent = time.monotonic() - since
            findings.seconds[stage] = findings.seconds.get(stage, 0.0) + spent
            stage, since = now, time.monotonic()
    if code not in (0, 3, 4):
        raise SystemExit(f"{leg.name}: exit code {code} undisturbed\n{leg.said.read_text()}")
    findings.undisturbed = contents(leg.folder)
    clear(leg)


def clear(leg: Leg) -> None:
    """Have a leg begin anew."""
    shutil.rmtree(leg.folder)
    leg.mark.unlink()


def torture(leg: Leg, kills: int, chance: random.Random) -> Findings:
    """Kill a leg so often; it begins anew whenever it ends."""
    findings = Findings()
    undisturbed(leg, findings)
    before, left_over = scored(leg.folder), temporary(leg.folder)
    while True:
        number = sum(findings.kills.values())
        last = number >= kills
        ahead = leg.stages[leg.stages.index(leg.where()) :]
        stage = chance.choice(ahead) if number % 2 else ""
        whole = sum(findings.seconds.get(name, 0.0) for name in ahead)
        # Twice the time, so that half of those that are left alone come to their end.
        wait = chance.uniform(0, findings.seconds.get(stage, 0.0) if stage else 2 * whole)
        child, code = begin(leg), None
        moment = None if stage else time.monotonic() + wait
        while code is None and (last or moment is None or time.monotonic() < moment):
            time.sleep(0.001)
            code = ended(child)
            if stage and moment is None and leg.where() == stage:
                moment = time.monotonic() + wait
            elif stage and moment is not None and leg.where() != stage:
                break  # it was faster than it was undisturbed
        if code is None:
            where, alone = leg.where(), bool(number % 4 > 1)
            (os.kill if alone else os.killpg)(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            if code == -signal.SIGKILL:
                findings.kills[where] += 1
        tell(f"{leg.name}: {sum(findings.kills.values())} kills, ended {findings.ended} times")
        orphans(child, findings)
        look(leg, findings, before, left_over, code)
        before, left_over = scored(leg.folder), temporary(leg.folder)
        if code != -signal.SIGKILL:
            finish(leg, findings, code)
            before, left_over = {}, set()
            if last:
                return findings


def tell(text: str) -> None:
    """Show how far it is, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def orphans(session: int, findings: Findings) -> None:
    """Give processes that lost their parent a moment to end; those that do not are a fault."""
    patience = time.monotonic() + 20
    while members(session) and time.monotonic() < patience:
        time.sleep(0.01)
    for process in members(session):
        findings.faults.append(f"process {process} lives on")
        os.kill(process, signal.SIGKILL)


def look(
    leg: Leg,
    findings: Findings,
    before: dict[Path, tuple[int, int]],
    left_over: set[Path],
    code: int,
) -> None:
    """Compare a folder with what it held before the process that has ended."""
    now = scored(leg.folder)
    for path, was in before.items():
        if path in now:
            findings.kept += 1
            if now[path] != was:
                findings.faults.append(f"{path} was scored again")
    for path in files_of(leg.folder):
        if not is_leftover(path):
            findings.files += 1
            if why := unreadable(path):
                findings.faults.append(f"{path} after {leg.where()}: {why}")
    left = left_over & temporary(leg.folder)
    findings.leftovers += len(left_over) - len(left)
    if left and (code == 0 or leg.where() not in ("begin", "tile")):
        findings.faults.append(f"{sorted(left)[0]} is left over in {leg.where()}")


def finish(leg: Leg, findings: Findings, code: int) -> None:
    """Compare what has ended with the undisturbed, and begin anew."""
    findings.ended += 1
    if code not in (0, 3, 4):
        findings.faults.append(f"exit code {code}: {leg.said.read_text()[-500:]}")
    found = contents(leg.folder)
    for name in sorted(found.keys() | findings.undisturbed.keys()):
        if found.get(name) != findings.undisturbed.get(name):
            findings.faults.append(f"{name} differs from the undisturbed")
    findings.faults += [f"{tile} was done twice" for tile in done_twice(leg.folder)]
    clear(leg)


def run_stage_of(paths: RunPaths) -> str:
    """Tell from a run folder which stage the run is in."""
    if not paths.record.is_file():
        return "begin"
    if not paths.partition.is_file():
        return "tile"
    tiles = [path for path in paths.tiles.rglob("Npix=*") if (path / "sources.parquet").exists()]
    if not all((path / "scores.parquet").exists() for path in tiles):
        return "fetch and score"
    return "report" if paths.ranked.is_file() else "rank"


def the_run(folder: Path, options: list[str], shown: list[str]) -> Leg:
    """``xsaga run``, then exports."""
    paths = RunPaths(folder)

    def stage(at: int) -> str:
        return "export" if at else run_stage_of(paths)

    formats = [word for name in EXPORTS for word in ("--format", name)]
    commands = [
        ["run", *options, "--out", str(folder)],
        ["export", str(folder), *formats, *shown],
    ]
    return Leg("run", folder, commands, lambda _: None, stage, RUN_STAGES)


def the_nights(folder: Path, options: list[str], rows: Table, catalog: Path) -> Leg:
    """``xsaga nightly`` with half of a catalog, then with all of it."""
    paths = NightlyPaths(folder)
    nights = ("2026-11-26", "2026-11-27")

    def provide(number: int) -> None:
        made = catalog.with_name("new.fits")
        rows[:: 2 - number].write(made, format="fits", overwrite=True)
        os.utime(made, (number, number))  # the records of runs tell it
        made.replace(catalog)

    def stage(at: int) -> str:
        night = nights[min(at, 1)]
        if (paths.lists / night).is_dir():
            return "publish"
        if paths.next_list.is_dir():
            return "prepare the list"
        runs = list(paths.runs.glob(f"{night}-*")) if paths.runs.is_dir() else []
        if not runs:
            return "begin"
        found = run_stage_of(RunPaths(runs[0]))
        return "prepare the list" if found == "report" else found

    always = ["nightly", *options, "--catalog", str(catalog), "--out", str(folder)]
    always += ["--export", "desi-targets"]
    commands = [[*always, "--night", night] for night in nights]
    return Leg("nights", folder, commands, provide, stage, NIGHT_STAGES)


def load() -> None:
    """Import once what all forks need; not at the top, which decoding processes import too."""
    import xsaga.report.run_report
    import xsaga.run.nightly
    import xsaga.targets.exports.desi_targets
    import xsaga.targets.exports.hats_catalog
    import xsaga.targets.exports.registry  # noqa: F401

    with contextlib.suppress(ImportError):
        import hats.io  # noqa: F401


def make_sky(folder: Path, bricks: int, pixels: int) -> None:
    """Simulate the sky in a process of its own, which leaves this one without threads."""
    if (folder / "truth.parquet").exists():
        return
    child = os.fork()
    if child == 0:
        from xsaga.simulation.sky import simulate_sky

        simulate_sky(folder, center=(180.0, 0.25), bricks=bricks, seed=3, brick_pixels=pixels)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit("the sky could not be simulated")


def main() -> None:
    """Kill, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--kills", type=int, default=100, help="all kills")
    parser.add_argument("--nights", type=int, default=30, help="those of them on nights")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--bricks", type=int, default=4)
    parser.add_argument("--pixels", type=int, default=1000, help="on a side of each brick")
    asked = parser.parse_args()
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    load()
    folder = (asked.folder or Path(tempfile.mkdtemp(prefix="xsaga-crash-"))).absolute()
    sky = folder / "sky"
    make_sky(sky, asked.bricks, asked.pixels)
    options = [
        *("--bricks", str(sky), "--cuts", "none", "--r-max", "19.8", "--order", "9"),
        *("--device", "cpu", "--precision", "float32", "--engine", "eager"),
        *("--batch-size", "16"),
        *("--tier", "0.2", "--tier", "0.02", "--tier", "all", "--shred-radii", "0"),
    ]
    sweeps = [Table.read(path, unit_parse_strict="silent") for path in sky.rglob("sweep-*.fits")]
    rows = vstack(sweeps, metadata_conflicts="silent")
    rows.meta.clear()
    chance = random.Random(asked.seed)
    run_options = ["--catalog", str(sky / "sweep"), *options]
    legs = [
        (the_run(folder / "RUN", run_options, []), asked.kills - asked.nights),
        (the_nights(folder / "NIGHTS", options, rows, folder / "catalog.fits"), asked.nights),
    ]
    before = shared_memory()
    begun = time.monotonic()
    found = []
    for leg, kills in legs:
        if leg.folder.exists():
            clear(leg)
        blocks = shared_memory()
        findings = torture(leg, kills, chance)
        findings.shared = len(shared_memory() - blocks)
        found.append((leg, findings))
    print(
        "| | kills | in | ended whole | files read | tiles kept | leftovers cleared | blocks left |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for leg, findings in found:
        share = ", ".join(f"{stage} {findings.kills[stage]}" for stage in leg.stages)
        print(
            f"| {leg.name} | {sum(findings.kills.values())} | {share} | {findings.ended} "
            f"| {findings.files:,} | {findings.kept:,} | {findings.leftovers} "
            f"| {findings.shared} |"
        )
    alone = ", ".join(f"{leg.name} {sum(f.seconds.values()):.0f} s" for leg, f in found)
    print(f"\n{time.monotonic() - begun:.0f} s; undisturbed: {alone}.", end=" ")
    faults = [f"{leg.name}: {fault}" for leg, findings in found for fault in findings.faults]
    if left := shared_memory() - before:
        faults.append(f"{len(left)} blocks of shared memory are left, such as {sorted(left)[0]}")
    print(f"Faults: {len(faults) or 'none'}.")
    for fault in faults[:40]:
        print(f"- {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
