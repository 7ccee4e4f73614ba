"""The cutouts of a tile on disk: one memory-mappable file of pixels and an index.

``cutouts.npy`` holds the pixels, one row per source in the order they were asked for, and
``cutouts.parquet`` one row per source with a checksum of its pixels. The index is written last:
where it exists, the tile's cutouts are complete. A source without pixels leaves a hole in the
file, which takes no room on disk. Raw .npy can be written in any order, and read as far as it is
written, which neither Arrow IPC (a fixed-shape tensor column) nor sharded zarr v3 can; it reads
and writes nearly as fast as the former and far faster than the latter, at more cutouts per second
than a network scores (`benchmarks/store.py`).

Half precision keeps 11 bits: a pixel of value f is off by 4.9e-4 |f| at most. On real sky the
rounding is 1 to 2 % of the pixels' noise (rms); it exceeds a tenth of the noise in one pixel of
2,000, all in the cores of bright stars, where it is below the error of the flux scale.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from io import BytesIO
from types import TracebackType
from typing import BinaryIO, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec, CutoutStatus
from xsaga.json_values import from_json
from xsaga.parquet_files import conformed, read_columns, write_table
from xsaga.paths import TilePaths, placed
from xsaga.reading import parse_json, parsing

StoreDtype = Literal["float16", "float32"]

WITH_PIXELS = (CutoutStatus.OK, CutoutStatus.PARTIAL)
"""Outcomes whose pixels are stored."""

METADATA_KEY = b"xsaga.cutouts"
INDEX_SCHEMA: pa.Schema = pa.schema(
    [
        ("source_id", pa.int64()),
        ("row", pa.int64()),
        ("status", pa.int8()),
        ("reason", pa.string()),
        ("origin", pa.string()),
        ("clipped", pa.bool_()),
        ("crc32", pa.uint32()),
    ]
)
"""Columns of the index; one of float32 for the coverage of each band comes after these."""


class RottenCutoutsError(ImagingError):
    """Pixels on disk are no longer those that were written."""


class CutoutWriter:
    """Writes the cutouts of a tile, in whatever order they arrive.

    Use as a context manager. On leaving it, every source must have been answered; the pixels are
    then put in place and the index after them. When the block raises, neither file is there.
    Another thread may read what has arrived, see `arriving`.

    Parameters
    ----------
    paths : TilePaths
        Files of the tile; an index that stands there is removed first.
    source_id : ndarray of int64, shape (N,)
        The sources that will be answered; `CutoutBatch.index` counts along it.
    spec : CutoutSpec
        Geometry of the cutouts.
    dtype : {'float16', 'float32'}
        How pixels are kept. Values beyond the range of half precision (65504) are clipped and
        flagged in the index.

    Raises
    ------
    ImagingError
        When the disk is full or not writable, a batch does not fit, or a source is answered
        twice or never.
    """

    def __init__(
        self,
        paths: TilePaths,
        source_id: NDArray[np.int64],
        spec: CutoutSpec,
        dtype: StoreDtype = "float16",
    ) -> None:
        count, bands = len(source_id), len(spec.bands)
        self._paths = paths
        self._source_id = source_id
        self._spec = spec
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._shape = (bands, spec.size, spec.size)
        self._row_bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        self._status = np.full(count, -1, dtype=np.int8)
        self._coverage = np.zeros((count, bands), dtype=np.float32)
        self._clipped = np.zeros(count, dtype=np.bool_)
        self._checksum = np.zeros(count, dtype=np.uint32)
        self._reason = np.full(count, "", dtype=object)
        self._origin = np.full(count, "", dtype=object)
        self._stack = ExitStack()
        self._changed = threading.Condition()  # of `_status` and `_ended`
        self._ended = False

    @property
    def arriving(self) -> ArrivingCutouts:
        """The cutouts as they arrive, for another thread to read."""
        return ArrivingCutouts(self, self._paths, self._source_id, self._spec)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, bands, size, size)."""
        return (len(self._source_id), *self._shape)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """How pixels are kept."""
        return self._dtype

    def __enter__(self) -> Self:
        try:
            self._paths.cutout_index.unlink(missing_ok=True)
            self._temporary = self._stack.enter_context(placed(self._paths.cutouts))
            self._file = self._stack.enter_context(self._temporary.open("wb", buffering=0))
            self._data_start = self._write_header()
            self._file.truncate(self._data_start + len(self._source_id) * self._row_bytes)
        except OSError as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise self._unwritable(error) from error
        return self

    def put(self, batch: CutoutBatch) -> None:
        """Take some cutouts.

        Parameters
        ----------
        batch : CutoutBatch
            Rows that were not answered before.
        """
        if batch.images.shape[1:] != self._shape:
            raise ImagingError(
                f"cutouts of shape {batch.images.shape[1:]} were given, {self._shape} wanted"
            )
        numbers, times = np.unique(batch.index, return_counts=True)
        twice = numbers[(times > 1) | (self._status[numbers] >= 0)]
        if len(twice):
            raise ImagingError(
                f"source {self._source_id[twice[0]]} came twice; "
                "this is a fault of the imaging source"
            )
        self._coverage[batch.index] = batch.coverage
        self._reason[batch.index] = batch.reason
        self._origin[batch.index] = batch.origin
        kept = np.flatnonzero(np.isin(batch.status, WITH_PIXELS))
        kept = kept[np.argsort(batch.index[kept])]
        rows, images = batch.index[kept], batch.images[kept]
        if self._dtype.itemsize == 2:
            stored, self._clipped[rows] = _in_half_precision(images)
        else:
            stored = images.astype(self._dtype)
        self._checksum[rows] = _checksums(stored)
        runs = np.flatnonzero(np.diff(rows) > 1) + 1
        try:
            for run, pixels in zip(np.split(rows, runs), np.split(stored, runs), strict=True):
                if len(run):
                    self._write(int(run[0]), pixels)
        except OSError as error:
            raise self._unwritable(error) from error
        with self._changed:
            self._status[batch.index] = batch.status
            self._changed.notify_all()

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        """Read some rows once all of them are answered; zeros where a cutout has no pixels.

        Raises
        ------
        ImagingError
            They will not be answered any more.
        """
        with self._changed:
            while (self._status[start:stop] < 0).any():
                if self._ended:
                    raise ImagingError(f"{self._paths.folder}: fetching was stopped")
                self._changed.wait()
        try:
            with self._open_to_read() as file:
                file.seek(self._data_start + start * self._row_bytes)
                pixels = np.fromfile(file, self._dtype, (stop - start) * int(np.prod(self._shape)))
            return pixels.reshape(stop - start, *self._shape)
        except (OSError, ValueError) as error:
            raise ImagingError(f"{self._paths.cutouts}: not readable ({error})") from error

    def _open_to_read(self) -> BinaryIO:
        try:
            return self._temporary.open("rb")
        except FileNotFoundError:  # it has its name already
            return self._paths.cutouts.open("rb")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                self._stack.__exit__(kind, error, trace)
                return
            with self._stack:
                self._check_answered()
            self._write_index()
        except OSError as full:
            self._paths.cutouts.unlink(missing_ok=True)  # useless without an index, and large
            raise self._unwritable(full) from full
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _write_header(self) -> int:
        header = BytesIO()
        described = npy.dtype_to_descr(self._dtype)
        npy.write_array_header_1_0(
            header, {"descr": described, "fortran_order": False, "shape": self.shape}
        )
        self._write_all(header.getvalue())
        return len(header.getvalue())

    def _write(self, row: int, pixels: NDArray[np.generic]) -> None:
        self._file.seek(self._data_start + row * self._row_bytes)
        self._write_all(pixels.tobytes())

    def _write_all(self, content: bytes) -> None:
        left = memoryview(content)
        while left:  # a raw file may take a part only
            left = left[self._file.write(left) or 0 :]

    def _check_answered(self) -> None:
        unanswered = np.flatnonzero(self._status < 0)
        if len(unanswered):
            raise ImagingError(
                f"{len(unanswered)} sources got no cutout and no reason, the first is "
                f"{self._source_id[unanswered[0]]}; this is a fault of the imaging source"
            )

    def _write_index(self) -> None:
        kept = np.isin(self._status, WITH_PIXELS)
        columns = {
            "source_id": pa.array(self._source_id, pa.int64()),
            "row": pa.array(np.where(kept, np.arange(len(kept)), -1), pa.int64()),
            "status": pa.array(self._status, pa.int8()),
            "reason": pa.array(self._reason, pa.string()),
            "origin": pa.array(self._origin, pa.string()),
            "clipped": pa.array(self._clipped),
            "crc32": pa.array(self._checksum, pa.uint32()),
        }
        for band, coverage in zip(self._spec.bands, self._coverage.T, strict=True):
            columns[f"coverage_{band}"] = pa.array(coverage, pa.float32())
        described = json.dumps(asdict(self._spec), sort_keys=True).encode()
        table = pa.table(columns).replace_schema_metadata({METADATA_KEY: described})
        write_table(self._paths.cutout_index, table)

    def _unwritable(self, error: OSError) -> ImagingError:
        return ImagingError(
            f"{self._paths.folder}: cannot write cutouts ({error.strerror or error}); "
            "make room or choose another run folder, then start the same command again"
        )


@dataclass(frozen=True)
class ArrivingCutouts:
    """Cutouts that another thread writes at this moment; reading waits for them.

    An `xsaga.model.images.ImageArray` that is read from the file as far as it is written: the
    file is the queue between those who fetch and those who score, so however much faster one of
    them is, no pixels pile up in memory.

    Parameters
    ----------
    writer : CutoutWriter
        Writes them.
    paths : TilePaths
        Where they will be.
    source_id : ndarray of int64, shape (N,)
        The sources, in the order of the rows.
    spec : CutoutSpec
        Geometry.
    """

    writer: CutoutWriter
    paths: TilePaths
    source_id: NDArray[np.int64]
    spec: CutoutSpec

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, bands, size, size)."""
        return self.writer.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """How pixels are kept."""
        return self.writer.dtype

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.floating]:
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self.source_id))
            return self.writer.read(start, stop)
        return np.concatenate([self.writer.read(row, row + 1) for row in rows.tolist()])


@dataclass(frozen=True)
class StoredCutouts:
    """The cutouts of a tile as they lie on disk.

    Parameters
    ----------
    paths : TilePaths
        Where they are.
    index : DataFrame
        One row per source: `source_id`, `row` in `images` (−1 without pixels), `status`,
        `reason`, `origin`, `clipped`, `crc32` and `coverage_<band>`.
    images : ndarray, shape (N, bands, size, size)
        Pixels in nanomaggies, memory-mapped, float16 or float32; 0 without pixels.
    spec : CutoutSpec
        Geometry they were made with.
    """

    paths: TilePaths
    index: pd.DataFrame
    images: NDArray[np.floating]
    spec: CutoutSpec

    @property
    def checked(self) -> CheckedImages:
        """`images`, compared with their checksums as they are read."""
        return CheckedImages(self)


@dataclass(frozen=True)
class CheckedImages:
    """Pixels on disk that are compared with their checksums when they are read.

    Parameters
    ----------
    stored : StoredCutouts
        What is read.
    """

    stored: StoredCutouts

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, bands, size, size)."""
        return self.stored.images.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """How pixels are kept."""
        return self.stored.images.dtype

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.floating]:
        images, index = self.stored.images[rows], self.stored.index
        wanted = index["crc32"].to_numpy()[rows]
        kept = np.flatnonzero(index["row"].to_numpy()[rows] >= 0)
        rotten = kept[_checksums(images[at] for at in kept) != wanted[kept]]
        if len(rotten):
            raise RottenCutoutsError(
                f"{self.stored.paths.cutouts}: the pixels of source "
                f"{index['source_id'].to_numpy()[rows][rotten[0]]} are not those that were "
                "written (a damaged disk?); fetch the cutouts of this tile again"
            )
        return np.asarray(images)


def _in_half_precision(
    images: NDArray[np.float32],
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Round images, and tell which of them hold a pixel beyond the largest number there is."""
    import torch  # rounds as numpy does, nine times as fast

    largest = np.finfo(np.float16).max
    clipped = np.zeros(len(images), bool)
    if images.size and not max(images.max(), -images.min()) <= largest:  # or not a number
        clipped |= (np.abs(images) > largest).any(axis=(1, 2, 3))
        images = images.clip(-largest, largest)
    return torch.from_numpy(images).half().numpy(), clipped


def _checksums(images: Iterable[NDArray[np.floating]]) -> NDArray[np.uint32]:
    """CRC-32 of the bytes of each cutout, whose pixels lie in a row."""
    return np.array([zlib.crc32(image.data) for image in images], dtype=np.uint32)


def read_cutouts(paths: TilePaths) -> StoredCutouts:
    """Open the cutouts of a tile.

    Parameters
    ----------
    paths : TilePaths
        Files of the tile.

    Returns
    -------
    StoredCutouts

    Raises
    ------
    ImagingError
        When there are none, or the files are damaged or do not belong together.
    """
    again = "fetch the cutouts of this tile again"
    if not paths.cutout_index.is_file():
        raise ImagingError(f"{paths.folder}: no cutouts here; {again}")

    def damaged(_: str) -> ImagingError:
        return ImagingError(f"{paths.cutout_index}: not an index of cutouts; {again}")

    table = read_columns(paths.cutout_index, damaged)
    with parsing(damaged):
        spec = from_json(CutoutSpec, parse_json((table.schema.metadata or {})[METADATA_KEY]))
        schema = pa.schema([*INDEX_SCHEMA, *((f"coverage_{b}", pa.float32()) for b in spec.bands)])
        index = conformed(table.select(schema.names), schema).to_pandas(ignore_metadata=True)
        rows = index["row"].to_numpy()
        if spec.size < 1 or not index["status"].isin([each.value for each in CutoutStatus]).all():
            raise ValueError("no such geometry or outcome")
    shape = (len(index), len(spec.bands), spec.size, spec.size)
    with parsing(lambda why: ImagingError(f"{paths.cutouts}: not readable ({why}); {again}")):
        images = _map_images(paths)
    if images.dtype not in (np.float16, np.float32):
        raise ImagingError(f"{paths.cutouts}: holds {images.dtype}, not pixels; {again}")
    if images.shape != shape or not (rows[rows >= 0] == np.flatnonzero(rows >= 0)).all():
        raise ImagingError(
            f"{paths.cutouts}: holds {images.shape}, its index tells of {shape}; {again}"
        )
    return StoredCutouts(paths, index, images, spec)


def _map_images(paths: TilePaths) -> NDArray[np.floating]:
    with paths.cutouts.open("rb") as file:
        npy.read_magic(file)
        shape, _, dtype = npy.read_array_header_1_0(file)
    if not np.prod(shape):
        return np.zeros(shape, dtype)  # nothing to map
    images: NDArray[np.floating] = np.load(paths.cutouts, mmap_mode="r", allow_pickle=False)
    return images
