"""Matching ten million positions against ten million others.

    python benchmarks/crossmatch.py [--rows 10000000] [--radius 1] [--workers 1]

Positions lie evenly over 3000 deg² around RA = 0; nine in ten of the others are one of them moved
by 0.3 arcsec in each coordinate, the rest are elsewhere. Each measurement is a process of its
own: wall and CPU time, and the peak of its resident memory beyond what it held with the inputs
made; results count as beyond. The matches of a random 100,000 positions are compared with
astropy's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xsaga.catalog.crossmatch import Matcher, nearest_within, pairs_between

HALF_SIDE = 27.4
"""Degrees in RA cos(Dec) and Dec on each side of (0, 0)."""

SAMPLE = 100_000
BATCH = 500_000
Positions = tuple[NDArray[np.float64], NDArray[np.float64]]


def positions(rows: int) -> tuple[Positions, Positions]:
    """Make two lists of positions (deg) with the same seed each time."""
    random = np.random.default_rng(1)
    dec = random.uniform(-HALF_SIDE, HALF_SIDE, rows)
    ra = random.uniform(-HALF_SIDE, HALF_SIDE, rows)
    other_dec = dec + random.normal(0, 0.3 / 3600, rows)
    other_ra = ra + random.normal(0, 0.3 / 3600, rows) / np.cos(np.radians(dec))
    alone = random.random(rows) < 0.1
    other_dec[alone] = random.uniform(-HALF_SIDE, HALF_SIDE, alone.sum())
    other_ra[alone] = random.uniform(-HALF_SIDE, HALF_SIDE, alone.sum())
    shuffled = random.permutation(rows)
    return (ra % 360, dec), (other_ra[shuffled] % 360, other_dec[shuffled])


def nearest(first: Positions, second: Positions, radius: float, workers: int) -> dict[str, Any]:
    """Match all with `nearest_within`, and a sample with astropy."""
    index, separation = nearest_within(*first, *second, radius, workers)
    return {"found": int((index >= 0).sum()), "index": index, "separation": separation}


def pairs(first: Positions, second: Positions, radius: float, _workers: int) -> dict[str, Any]:
    """Find all pairs with `pairs_between`."""
    found = pairs_between(*first, *second, radius)
    return {"found": len(found), "pairs": found}


def stream(first: Positions, second: Positions, radius: float, workers: int) -> dict[str, Any]:
    """Match the first list in batches against the second held in a `Matcher`."""
    matcher = Matcher(*second, radius, workers)
    found = 0
    for start in range(0, len(first[0]), BATCH):
        batch = slice(start, start + BATCH)
        index, _ = matcher.nearest(first[0][batch], first[1][batch])
        found += int((index >= 0).sum())
    return {"found": found}


def compare(first: Positions, second: Positions, radius: float, result: dict[str, Any]) -> str:
    """Words on how the result for a random sample compares with astropy's."""
    from astropy import units
    from astropy.coordinates import SkyCoord, match_coordinates_sky, search_around_sky

    chosen = np.sort(np.random.default_rng(2).choice(len(first[0]), SAMPLE, replace=False))
    sample = SkyCoord(first[0][chosen], first[1][chosen], unit="deg")
    others = SkyCoord(*second, unit="deg")
    if "pairs" in result:
        i, j, *_ = search_around_sky(sample, others, radius * units.arcsec)
        wanted = np.stack([chosen[i], j], axis=1)
        wanted = wanted[np.lexsort((wanted[:, 1], wanted[:, 0]))]
        mine = result["pairs"][np.isin(result["pairs"][:, 0], chosen)]
        return f"{len(wanted):,} pairs, {'the same' if np.array_equal(mine, wanted) else 'OTHER'}"
    if "index" in result:
        j, separation, _ = match_coordinates_sky(sample, others)
        wanted = np.where(separation.arcsec <= radius, j, -1)
        same = int((result["index"][chosen] == wanted).sum())
        found = wanted >= 0
        apart = np.abs(result["separation"][chosen][found] - separation.arcsec[found]).max()
        return f"{same:,} of {SAMPLE:,} the same, separations to {apart:.0e} arcsec"
    return ""


def measure(sender: Any, name: str, rows: int, radius: float, workers: int) -> None:
    """Make the inputs, run one job, and send what it took."""
    first, second = positions(rows)
    before = memory("VmRSS")
    reset_peak()
    start, start_cpu = time.perf_counter(), time.process_time()
    result = JOBS[name](first, second, radius, workers)
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = memory("VmHWM")
    words = compare(first, second, radius, result)
    sender.send((result["found"], wall, cpu, peak - before, before, words))


def memory(name: str) -> int:
    """Bytes of this process's memory, VmRSS now or VmHWM at most, as Linux tells it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


def reset_peak() -> None:
    """Let VmHWM begin anew, so that making the inputs does not count."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


JOBS = {"nearest_within": nearest, "pairs_between": pairs, "Matcher.nearest, batches": stream}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--radius", type=float, default=1.0, help="arcsec")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        parser.error("peak memory is read from /proc: run this on Linux")
    print(
        f"{options.rows:,} against {options.rows:,}, {options.radius:g} arcsec, "
        f"{options.workers} threads\n"
    )
    print("| job | wall s | CPU s | peak beyond inputs GB | inputs GB | found | against astropy |")
    print("|---|---|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for name in JOBS:
        receiver, sender = context.Pipe(duplex=False)
        arguments = (sender, name, options.rows, options.radius, options.workers)
        process = context.Process(target=measure, args=arguments)
        process.start()
        sender.close()
        found, wall, cpu, beyond, inputs, words = receiver.recv()
        process.join()
        print(
            f"| {name} | {wall:.1f} | {cpu:.1f} | {beyond / 1e9:.2f} "
            f"| {inputs / 1e9:.2f} | {found:,} | {words} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
