"""Splitting a catalog by tile, against pyarrow alone reading and rewriting the same columns.

    python benchmarks/partition.py FOLDER [--rows 10000000]

FOLDER takes the catalog (made once, 2 GB for ten million rows) and the results. Each measurement
is a fresh process: wall time, and the peak of its resident memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xsaga.catalog.cuts import named_cuts
from xsaga.catalog.partition import partition_catalog
from xsaga.catalog.readers import Catalog
from xsaga.paths import RunPaths
from xsaga.sky.footprint import make_footprint

ORDER = 6
SIDE = 22.4
"""Degrees: a box of about 500 deg² on the equator."""

COMPRESSIONS = ("zstd", "snappy")


def make_catalog(path: Path, rows: int) -> None:
    """Write a catalog with the columns of a sweep and numbers as random as real ones."""
    rng = np.random.default_rng(1)
    schema: pa.Schema | None = None
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, 1_000_000):
        n = min(1_000_000, rows - start)
        table = pa.table(_columns(rng, start, n))
        if writer is None:
            schema = table.schema
            writer = pq.ParquetWriter(path, schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()


def _columns(rng: np.random.Generator, start: int, n: int) -> dict[str, Any]:
    ra = (150 + rng.uniform(0, SIDE, n)) % 360
    dec = rng.uniform(-SIDE / 2, SIDE / 2, n)
    brick = (np.floor(dec * 4 + 360) * 1440 + np.floor(ra * 4)) % 600_000
    kind = np.array(["PSF", "REX", "EXP", "DEV", "SER"])[rng.integers(0, 5, n)]
    extended = kind != "PSF"
    ebv = (0.05 + 0.01 * np.sin(ra) * np.cos(dec)).astype(np.float32)
    columns: dict[str, Any] = {
        "RELEASE": np.full(n, 9010, np.int16),
        "BRICKID": brick.astype(np.int32),
        "OBJID": (np.arange(start, start + n) % 4_000_000).astype(np.int32),
        "TYPE": kind,
        "RA": ra,
        "DEC": dec,
        "EBV": ebv,
        "MASKBITS": np.where(rng.random(n) < 0.05, 2, 0).astype(np.int16),
        "REF_CAT": np.where(rng.random(n) < 0.02, "G2", ""),
        "PHOTSYS": np.full(n, "S"),
        "REF_EPOCH": np.full(n, 2015.5, np.float32),
        "SERSIC": np.where(kind == "SER", rng.uniform(0.5, 6, n), 1).astype(np.float32),
        "SHAPE_R": np.where(extended, rng.gamma(2, 0.6, n), 0).astype(np.float32),
        "SHAPE_R_IVAR": np.where(extended, rng.gamma(2, 100, n), 0).astype(np.float32),
        "SHAPE_E1": np.where(extended, rng.normal(0, 0.2, n), 0).astype(np.float32),
        "SHAPE_E2": np.where(extended, rng.normal(0, 0.2, n), 0).astype(np.float32),
        "FIBERFLUX_R": rng.gamma(1, 2, n).astype(np.float32),
        "PMRA": np.where(extended, 0, rng.normal(0, 5, n)).astype(np.float32),
        "PMDEC": np.where(extended, 0, rng.normal(0, 5, n)).astype(np.float32),
    }
    flux = 10 ** (0.4 * (22.5 - (22.5 - rng.exponential(1.2, n))))
    for band, colour in (("G", 0.5), ("R", 1.0), ("Z", 1.6)):
        columns[f"FLUX_{band}"] = (flux * colour * rng.lognormal(0, 0.2, n)).astype(np.float32)
        columns[f"FLUX_IVAR_{band}"] = rng.gamma(4, 50, n).astype(np.float32)
        columns[f"MW_TRANSMISSION_{band}"] = (10 ** (-ebv * 0.9)).astype(np.float32)
        columns[f"FRACFLUX_{band}"] = rng.gamma(0.5, 0.1, n).astype(np.float32)
        columns[f"RCHISQ_{band}"] = rng.normal(1, 0.05, n).astype(np.float32)
    return columns


def rewrite(source: Path, folder: Path, compression: str) -> dict[str, Any]:
    """Read and rewrite with pyarrow alone, in batches, one file in and one out."""
    target = folder / "rewritten.parquet"
    with (
        pq.ParquetFile(source) as file,
        pq.ParquetWriter(target, file.schema_arrow, compression=compression) as writer,
    ):
        for batch in file.iter_batches(500_000):
            writer.write_batch(batch)
    size = target.stat().st_size
    target.unlink()
    return {"bytes": size}


def partition(source: Path, folder: Path, cuts: str) -> dict[str, Any]:
    """Split by tile, both phases."""
    run = RunPaths(folder / "run")
    times: dict[str, float] = {}

    def note(stage: str, *_: object) -> None:
        times[stage] = time.perf_counter()

    start = time.perf_counter()
    summary = partition_catalog(
        Catalog.of([source]),
        make_footprint(box=[(150.1, 150 + SIDE, -SIDE / 2, SIDE / 2)]),
        ORDER,
        lambda pixel: run.tile(ORDER, pixel).sources,
        run.rejected,
        folder / "spool",
        named_cuts(cuts),
        progress=note,
    )
    size = sum(path.stat().st_size for path in run.tiles.rglob("*.parquet"))
    return {
        "bytes": size,
        "tiles": len(summary.tiles),
        "sources": summary.n_sources,
        "read_s": times["read"] - start,
        "write_s": times["write"] - times["read"],
    }


def measured(job: Callable[..., dict[str, Any]], *args: object) -> dict[str, Any]:
    """Run a job in a fresh process; add wall time (s) and peak memory (bytes)."""
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_measure, args=(sender, job, args)
    )
    process.start()
    sender.close()
    result: dict[str, Any] = receiver.recv()
    process.join()
    return result


def _measure(sender: Any, job: Callable[..., dict[str, Any]], args: tuple[object, ...]) -> None:
    start = time.perf_counter(), time.process_time()
    result = job(*args)
    result["wall_s"] = time.perf_counter() - start[0]
    result["cpu_s"] = time.process_time() - start[1]
    result["peak"] = peak_memory()
    sender.send(result)


def peak_memory() -> int:
    """Peak of this process's resident memory in bytes.

    On Linux not from getrusage, whose figure a process inherits from the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        words = status.read_text(encoding="ascii").split("VmHWM:")[1].split()
        return int(words[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--cuts", default="saga2")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    source = options.folder / f"catalog-{options.rows}.parquet"
    if not source.exists():
        make_catalog(source, options.rows)
    rewrite(source, options.folder, "snappy")  # bring the file into the page cache
    lines = []
    baselines = {}
    for compression in COMPRESSIONS:
        result = baselines[compression] = measured(rewrite, source, options.folder, compression)
        lines.append((f"pyarrow, read and rewrite ({compression})", result, ""))
    result = measured(partition, source, options.folder, options.cuts)
    shutil.rmtree(options.folder / "run")
    ratio = result["wall_s"] / baselines["zstd"]["wall_s"]
    lines.append(("xsaga, partition (zstd)", result, f"{ratio:.2f}"))
    print(f"{options.rows:,} rows, {pq.ParquetFile(source).metadata.num_columns} columns\n")
    print("| job | wall s | CPU s | peak GB | written GB | times pyarrow |")
    print("|---|---|---|---|---|---|")
    for name, entry, times in lines:
        print(
            f"| {name} | {entry['wall_s']:.1f} | {entry['cpu_s']:.1f} | {entry['peak'] / 1e9:.2f} "
            f"| {entry['bytes'] / 1e9:.2f} | {times} |"
        )
    print("\n" + json.dumps({name: entry for name, entry, _ in lines}))


if __name__ == "__main__":
    main()
