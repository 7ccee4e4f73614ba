"""Damage small whole files in thousands of ways and see whether each ends in a result or one line.

    python -m benchmarks.fuzz [--cases 12000] [--workers 2] [--seed 1] [--reader NAME] [--keep DIR]

Each case is a file of `benchmarks.fuzz_readers`, damaged by `benchmarks.fuzz_mutations` or made to
lie by `benchmarks.fuzz_bombs`, and read by a worker process, which may take 10 s and 1 GB above
what it had. Anything but a result or one error line that names the
file is a finding: a traceback, something written to the terminal, a hang, memory, a crash of the
process. Needs ../shared; the same seed makes the same cases.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.fuzz_bombs import BOMBS, Bomb
from benchmarks.fuzz_mutations import mutated
from benchmarks.fuzz_readers import READERS, Reader, make_seeds
from xsaga.cli.edge import error_line
from xsaga.errors import XsagaError
from xsaga.reading import quiet_astropy

SECONDS = 10.0
MEGABYTES = 1024
RESULT, LINE = "result", "error line"
BY_NAME = {reader.name: reader for reader in READERS}


@dataclass(frozen=True)
class Case:
    """One damaged file: of a reader and a whole file, or a bomb."""

    reader: str
    file: str
    number: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What reading it came to."""

    case: Case
    verdict: str
    detail: str
    seconds: float
    megabytes: float


def main() -> None:
    """Run all cases and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="xsaga-fuzz-") as name:
        folder = Path(name)
        seeds = options.seeds or folder / "seeds"
        if not seeds.is_dir():
            _make(seeds)
        cases = _cases(seeds, options)
        print(f"{len(cases):,} cases", file=sys.stderr)
        outcomes = _run_all(cases, seeds, folder, options)
    print(_table(outcomes))
    bad = [each for each in outcomes if each.verdict not in (RESULT, LINE)]
    for each in bad[: options.show]:
        print(f"\n{each.case}\n{each.verdict}: {each.detail}", file=sys.stderr)
    sys.exit(bool(bad))


def _make(seeds: Path) -> None:
    """Write the whole files in another process: workers are forked before torch has threads."""
    maker = multiprocessing.get_context("spawn").Process(target=_make_all, args=(seeds,))
    maker.start()
    maker.join()
    if maker.exitcode:
        sys.exit("the whole files cannot be made")


def _make_all(seeds: Path) -> None:
    make_seeds(seeds)
    for number, bomb in enumerate(BOMBS):
        place = seeds / f"bombs/{number}"
        place.mkdir(parents=True)
        bomb.write(place)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=12_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", help="only readers whose name holds this")
    parser.add_argument("--seeds", type=Path, help="where the whole files are, or shall be")
    parser.add_argument("--keep", type=Path, help="keep the files of findings here")
    parser.add_argument("--show", type=int, default=40, help="findings to print")
    return parser.parse_args()


def _cases(seeds: Path, options: argparse.Namespace) -> list[Case]:
    """Spread the cases over readers evenly, and over the files of each."""
    wanted = [each for each in READERS if not options.reader or options.reader in each.name]
    cases = []
    for place, reader in enumerate(wanted):
        files = [path for form in reader.files for path in sorted(seeds.glob(form))]
        if not files:
            sys.exit(f"{reader.name}: no whole file")
        names = [path.relative_to(seeds).as_posix() for path in files]
        count = options.cases // len(wanted) + (place < options.cases % len(wanted))
        cases += [Case(reader.name, names[n % len(names)], n, options.seed) for n in range(count)]
    if not options.reader or options.reader in "bombs":
        cases += [Case("bombs", bomb.name, n, options.seed) for n, bomb in enumerate(BOMBS)]
    return cases


def _run_all(
    cases: list[Case], seeds: Path, folder: Path, options: argparse.Namespace
) -> list[Outcome]:
    context = multiprocessing.get_context("fork")
    waiting, outcomes, began = list(reversed(cases)), [], time.monotonic()
    workers = [
        _Worker(context, seeds, folder / f"worker-{number}") for number in range(options.workers)
    ]
    while waiting or any(worker.case for worker in workers):
        for worker in workers:
            if worker.case is None and waiting:
                worker.begin(waiting.pop())
        time.sleep(0.002)
        for worker in workers:
            outcome = worker.poll()
            if outcome is None:
                continue
            outcomes.append(outcome)
            if outcome.verdict not in (RESULT, LINE) and options.keep:
                worker.keep(options.keep, outcome)
            if len(outcomes) % 1000 == 0:
                print(f"{len(outcomes):,} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    for worker in workers:
        worker.stop()
    return outcomes


class _Worker:
    """A process that reads one case after the other; replaced when it dies or is killed."""

    def __init__(
        self, context: multiprocessing.context.ForkContext, seeds: Path, place: Path
    ) -> None:
        self._context, self._seeds, self.place = context, seeds, place
        self.case: Case | None = None
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_work, args=(theirs, self._seeds, self.place), daemon=True
        )
        self._process.start()
        theirs.close()

    def begin(self, case: Case) -> None:
        self.case, self._began, self._base = case, time.monotonic(), self._resident()
        self._pipe.send(case)

    def poll(self) -> Outcome | None:
        if self.case is None:
            return None
        spent = time.monotonic() - self._began
        try:
            if self._pipe.poll():
                outcome: Outcome = self._pipe.recv()
                self.case = None
                return outcome
        except (EOFError, OSError):
            self._process.join()
            return self._replaced(f"crash ({self._process.exitcode})", spent)
        grown = self._resident() - self._base
        if grown > MEGABYTES:
            return self._replaced("memory", spent, grown)
        if spent > SECONDS:
            return self._replaced("hang", spent, grown)
        return None

    def _replaced(self, verdict: str, seconds: float, megabytes: float = 0.0) -> Outcome:
        outcome = Outcome(self.case, verdict, "", seconds, megabytes)
        self.stop()
        self.case = None
        self._start()
        return outcome

    def _resident(self) -> float:
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def keep(self, folder: Path, outcome: Outcome) -> None:
        case = outcome.case
        name = f"{case.reader}-{case.number}".replace(" ", "_").replace(",", "")
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(self.place / "case", folder / name)
        (folder / f"{name}.txt").write_text(f"{case}\n{outcome.verdict}\n{outcome.detail}\n")

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _work(pipe: Connection, seeds: Path, place: Path) -> None:
    """Read the cases that come; tell what each came to."""
    quiet_astropy()  # as the command line does
    place.mkdir(exist_ok=True)
    noise = os.open(place / "noise", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(noise, 1)
    os.dup2(noise, 2)
    while True:
        case: Case = pipe.recv()
        path, named, read = _prepare(case, seeds, place / "case")
        os.ftruncate(noise, 0)
        os.lseek(noise, 0, os.SEEK_SET)
        Path("/proc/self/clear_refs").write_text("5")
        before, began = _status("VmRSS"), time.monotonic()
        verdict, detail = _verdict(read, path, named)
        seconds, peak = time.monotonic() - began, _status("VmHWM") - before
        sys.stdout.flush()
        sys.stderr.flush()
        said = os.pread(noise, 2000, 0).decode("utf-8", "replace")
        if said and verdict in (RESULT, LINE):
            verdict, detail = "noise", said
        if peak > MEGABYTES:
            verdict = "memory"
        if seconds > SECONDS:
            verdict = "hang"
        pipe.send(Outcome(case, verdict, detail, seconds, max(0.0, peak)))


def _prepare(case: Case, seeds: Path, place: Path) -> tuple[Path, str, object]:
    """Write the damaged file; give what is to be read, the name an error must have, and how."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    if case.reader == "bombs":
        bomb: Bomb = BOMBS[case.number]
        shutil.copytree(seeds / f"bombs/{case.number}", place, dirs_exist_ok=True)
        path = place / bomb.file
        return path, str(place), bomb.read
    reader: Reader = BY_NAME[case.reader]
    file = Path(case.file)
    up = len(file.parts) - 1 if reader.whole < 0 else reader.whole
    below = Path(*file.parts[len(file.parts) - 1 - up :])
    target = place / below
    if up:
        shutil.copytree(seeds.joinpath(*file.parts[: len(file.parts) - up]), target.parents[up - 1])
    rng = random.Random(f"{case.seed}:{case.reader}:{case.file}:{case.number}")
    content = mutated(file.name, (seeds / file).read_bytes(), rng)
    target.unlink(missing_ok=True)
    target.write_bytes(content)
    path = target.parents[up - 1] if up else target
    if reader.mend:
        reader.mend(path)
    return path, str(place), reader.read


def _verdict(read: object, path: Path, named: str) -> tuple[str, str]:
    try:
        read(path)
    except (XsagaError, OSError) as error:
        if not isinstance(error, XsagaError) and error.errno is None:
            return "traceback", traceback.format_exc()
        line = error_line(error)
        if not line.isprintable() or len(line) > 2000:
            return "bad line", repr(line[:3000])
        if named not in line:
            return "file not named", line
        return LINE, line
    except BaseException:  # noqa: BLE001 (what a reader lets through is what is looked for)
        return "traceback", traceback.format_exc()
    return RESULT, ""


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def _table(outcomes: list[Outcome]) -> str:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for each in outcomes:
        groups[each.case.reader].append(each)
    lines = [
        "| reader | inputs | results | error lines | findings | worst s | worst MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    names = [
        *(each.name for each in READERS if each.name in groups),
        *(["bombs"] * ("bombs" in groups)),
    ]
    for name, group in [*((name, groups[name]) for name in names), ("**all**", outcomes)]:
        good = [each.verdict for each in group]
        lines.append(
            f"| {name} | {len(group):,} | {good.count(RESULT):,} | {good.count(LINE):,} "
            f"| {sum(verdict not in (RESULT, LINE) for verdict in good):,} "
            f"| {max(each.seconds for each in group):.1f} "
            f"| {max(each.megabytes for each in group):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
