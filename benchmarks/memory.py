"""Peak memory of `xsaga run` for more and more sources: it should not grow.

Usage::

    python benchmarks/memory.py TREE FOLDER --catalog PATH [--catalog PATH …] [--memory GB]

TREE holds the bricks of simulated skies and CATALOG their sources; for each count so many HEALPix
pixels are run that they hold about that many sources.
Memory is the proportional set size (PSS) of the command and of all
processes that it starts, added up twice a second: what two of them share counts once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from xsaga.errors import ExitCode
from xsaga.sky.tiles import tile_pixels

R_MAX, ORDER = 22.0, 6
FINISHED = (ExitCode.OK, ExitCode.SOURCES_FAILED)


def source_pixels(catalogs: list[Path]) -> np.ndarray:
    """HEALPix pixel of every source that passes the cuts."""
    files = [file for catalog in catalogs for file in sorted(catalog.rglob("*.fits"))]
    columns = ["RA", "DEC", "FLUX_R", "MW_TRANSMISSION_R"]
    rows = vstack([Table.read(file, unit_parse_strict="silent")[columns] for file in files])
    flux = np.asarray(rows["FLUX_R"] / rows["MW_TRANSMISSION_R"], float)
    bright = 22.5 - 2.5 * np.log10(np.maximum(flux, 1e-9)) <= R_MAX
    ra, dec = np.asarray(rows["RA"], float)[bright], np.asarray(rows["DEC"], float)[bright]
    return tile_pixels(ra, dec, ORDER)


def footprint_of(count: int, pixels: np.ndarray) -> str:
    """Option of so many pixels that they hold about a number of sources."""
    names, numbers = np.unique(pixels, return_counts=True)
    last = int(np.searchsorted(np.cumsum(numbers), count))
    return f"{ORDER}/" + ",".join(map(str, names[: last + 1].tolist()))


def memory_of(process: int) -> int:
    """Bytes that a process and all below it hold, shared ones once."""
    total = 0
    for one in (process, *children_of(process)):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def children_of(process: int) -> list[int]:
    """All processes below one."""
    found = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(child) for child in tasks.read_text().split()]
        except OSError:
            continue
        found += [each for child in children for each in (child, *children_of(child))]
    return found


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--catalog", type=Path, action="append", required=True)
    parser.add_argument("--memory", type=float, default=4.0)
    parser.add_argument("--weights", default="simulated")
    parser.add_argument("--counts", default="1000,10000,100000")
    options = parser.parse_args()
    pixels = source_pixels(options.catalog)
    print(f"--memory {options.memory:g} (GB)\n")
    print("| scored | tiles | wall s | scored/s | peak GB | of it at the end |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in map(int, options.counts.split(",")):
        run = options.folder / f"run-{count}"
        shutil.rmtree(run, ignore_errors=True)
        command = [sys.executable, "-m", "xsaga", "run", "--out", str(run)]
        command += ["--healpix", footprint_of(count, pixels), "--bricks", str(options.tree)]
        command += [part for path in options.catalog for part in ("--catalog", str(path))]
        command += ["--cuts", "none", "--r-max", str(R_MAX), "--order", str(ORDER)]
        command += ["--weights", options.weights, "--memory", str(options.memory)]
        command += ["--no-keep-cutouts"]
        begun, peak, last = time.perf_counter(), 0, 0
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            while process.poll() is None:
                last = memory_of(process.pid) or last
                peak = max(peak, last)
                time.sleep(0.5)
            if process.returncode not in FINISHED:
                raise SystemExit(process.stderr.read().decode())
        seconds = time.perf_counter() - begun
        done = subprocess.run(
            [sys.executable, "-m", "xsaga", "status", str(run), "--json"],
            capture_output=True,
        )
        if done.returncode not in FINISHED:
            raise SystemExit(done.stderr.decode())
        counts = json.loads(done.stdout)["counts"]
        tiles = len(list(run.rglob("scores.parquet")))
        print(
            f"| {counts['scored']:,} | {tiles} | {seconds:.0f} | {counts['scored'] / seconds:.0f} "
            f"| {peak / 1e9:.2f} | {last / 1e9:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
