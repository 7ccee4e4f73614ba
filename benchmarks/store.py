"""Containers for the cutouts of a tile, and what half precision costs.

Usage::

    python benchmarks/store.py [--count N] [--folder FOLDER] [--shared FOLDER]

Writes, reads at random (one cutout at a time) and reads through the same half-precision cutouts
in three containers. Reads come from the page cache: what differs is the work per cutout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from astropy.io import fits

SHAPE = (3, 144, 144)
BATCH = 256
RANDOM_READS = 500
WRITES = 3
NOISE = (0.0024, 0.0041, 0.0105)  # nanomaggies per pixel in g, r, z of real south bricks


def batches(count: int) -> Iterator[np.ndarray]:
    """Half-precision cutouts of noise."""
    rng = np.random.default_rng(1)
    noise = np.array(NOISE, np.float32)[:, np.newaxis, np.newaxis]
    block = (rng.normal(0, 1, (BATCH, *SHAPE)) * noise).astype(np.float16)
    for start in range(0, count, BATCH):
        yield block[: min(BATCH, count - start)]


class Npy:
    """Raw .npy with a Parquet index."""

    name = "raw .npy + Parquet index"

    def write(self, folder: Path, count: int) -> None:
        """Write all cutouts, a batch at a time."""
        header = {"descr": "<f2", "fortran_order": False, "shape": (count, *SHAPE)}
        with (folder / "a.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for batch in batches(count):
                batch.tofile(file)
        pq.write_table(pa.table({"row": np.arange(count)}), folder / "a.parquet")

    def open(self, folder: Path) -> Callable[[slice], np.ndarray]:
        """Give a function that reads a range of cutouts."""
        pixels = np.load(folder / "a.npy", mmap_mode="r")
        return lambda rows: np.array(pixels[rows])


class Arrow:
    """Arrow IPC with a fixed-shape tensor column, memory-mapped."""

    name = "Arrow IPC, fixed-shape tensor"

    def write(self, folder: Path, count: int) -> None:
        """Write all cutouts, a batch at a time."""
        kind = pa.fixed_shape_tensor(pa.float16(), SHAPE)
        with pa.ipc.new_file(str(folder / "a.arrow"), pa.schema({"pixels": kind})) as file:
            for batch in batches(count):
                storage = pa.FixedSizeListArray.from_arrays(
                    pa.array(batch.ravel()), int(np.prod(SHAPE))
                )
                column = pa.ExtensionArray.from_storage(kind, storage)
                file.write_batch(pa.record_batch({"pixels": column}))

    def open(self, folder: Path) -> Callable[[slice], np.ndarray]:
        """Give a function that reads a range of cutouts."""
        reader = pa.ipc.open_file(pa.memory_map(str(folder / "a.arrow")))
        parts = [
            reader.get_batch(n).column(0).to_numpy_ndarray()
            for n in range(reader.num_record_batches)
        ]

        def read(rows: slice) -> np.ndarray:
            first, last = rows.start // BATCH, (rows.stop - 1) // BATCH
            pieces = [
                parts[n][max(rows.start - n * BATCH, 0) : rows.stop - n * BATCH]
                for n in range(first, last + 1)
            ]
            return np.concatenate(pieces)

        return read


class Zarr:
    """Zarr v3: a cutout per chunk, 256 chunks in a shard, default compression."""

    name = "zarr v3, sharded"

    def write(self, folder: Path, count: int) -> None:
        """Write all cutouts, a batch at a time."""
        pixels = zarr.create_array(
            folder / "a.zarr",
            shape=(count, *SHAPE),
            chunks=(1, *SHAPE),
            shards=(BATCH, *SHAPE),
            dtype="float16",
        )
        start = 0
        for batch in batches(count):
            pixels[start : start + len(batch)] = batch
            start += len(batch)

    def open(self, folder: Path) -> Callable[[slice], np.ndarray]:
        """Give a function that reads a range of cutouts."""
        pixels = zarr.open_array(folder / "a.zarr", mode="r")
        return lambda rows: np.asarray(pixels[rows])


def measure(container: Npy | Arrow | Zarr, folder: Path, count: int) -> str:
    """One row of the table; the best of several writes, each flushed to disk."""
    seconds = []
    for attempt in range(WRITES):
        os.sync()
        place = folder / str(attempt)
        place.mkdir()
        start = time.perf_counter()
        container.write(place, count)
        os.sync()
        seconds.append(time.perf_counter() - start)
    write, folder = count / min(seconds), place
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    read = container.open(folder)
    rows = np.random.default_rng(2).integers(0, count, RANDOM_READS).tolist()
    start = time.perf_counter()
    for row in rows:
        assert read(slice(row, row + 1)).shape == (1, *SHAPE)
    at_random = RANDOM_READS / (time.perf_counter() - start)
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        read(slice(first, min(first + BATCH, count)))
    through = count / (time.perf_counter() - start)
    return (
        f"| {container.name} | {write:.0f} | {at_random:.0f} | {through:.0f} | {size / 1e6:.0f} |"
    )


def rounding(folder: Path) -> None:
    """Compare the rounding of real pixels to half precision with their noise."""
    print("\n| band | pixels | noise σ | rms rounding | of σ | most | of σ | pixels off > 0.1 σ |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for band in "grz":
        image, invvar = [], []
        for path in sorted(folder.rglob(f"*-image-{band}.fits.fz")):
            weight = fits.getdata(str(path).replace("-image-", "-invvar-"), 1)
            image.append(fits.getdata(path, 1)[weight > 0])
            invvar.append(weight[weight > 0])
        pixels, sigma = np.concatenate(image), 1 / np.sqrt(np.concatenate(invvar))
        off = np.abs(pixels.astype(np.float16).astype(np.float32) - pixels)
        rms, worst = np.sqrt((off**2).mean()), (off / sigma).argmax()
        print(
            f"| {band} | {len(pixels)} | {np.median(sigma):.2e} | {rms:.1e} | "
            f"{np.sqrt(((off / sigma) ** 2).mean()):.2%} | {off[worst]:.1e} | "
            f"{(off / sigma)[worst]:.2f} | {(off > 0.1 * sigma).mean():.1e} |"
        )


def main() -> None:
    """Run the benchmark and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder else")
    parser.add_argument(
        "--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared"
    )
    options = parser.parse_args()
    versions = f"numpy {np.__version__}, pyarrow {pa.__version__}, zarr {zarr.__version__}"
    print(f"{os.cpu_count()} cores, {versions}; {options.count} × 3×144×144 float16, cutouts/s\n")
    print("| container | write | random read | sequential read | MB |")
    print("|---|---:|---:|---:|---:|")
    for container in (Npy(), Arrow(), Zarr()):
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            print(measure(container, folder, options.count))
        finally:
            shutil.rmtree(folder)
    real = options.shared / "realsky" / "south"
    if real.is_dir():
        rounding(real)


if __name__ == "__main__":
    main()
