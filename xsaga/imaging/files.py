"""Cutouts from FITS files in a folder."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.fits_structure import checked_fits
from xsaga.imaging.cutout_fits import CutoutEmpty, CutoutUnusable, nonzero_coverage, read_cutout
from xsaga.imaging.cutouts import (
    CutoutBatch,
    CutoutSpec,
    CutoutStatus,
    ImagingFiles,
    batch_size,
    coverage_status,
)
from xsaga.parquet_files import read_frame
from xsaga.reading import parsing, read_bytes, shortened
from xsaga.text_tables import read_ecsv

SUFFIXES = (".fits", ".fits.fz", ".fits.gz")
"""Of files named by their source, in the order in which they are looked for."""

MAX_TABLE = 256 << 20
"""Bytes of a table of paths in CSV: some five million rows."""

READERS = 4
"""Threads: files on network disks answer slowly."""


@dataclass(frozen=True)
class _Answer:
    """What came of one file."""

    status: CutoutStatus
    reason: str
    origin: str
    image: NDArray[np.float32] | None = None


class FileSource:
    """Cutouts from files named ``<source_id>.fits`` (or ``.fits.fz``, ``.fits.gz``), or listed.

    A file must hold the wanted bands and pixel scale (`xsaga.imaging.cutout_fits.read_cutout`)
    and at least the wanted size; a larger one is cropped around its centre. NaN and 0 mean that
    there is no data.

    Parameters
    ----------
    folder : Path
        Where the files are.
    spec : CutoutSpec
        Geometry of the cutouts.
    table : Path, optional
        CSV, ECSV, Parquet or FITS table with columns ``source_id`` and ``path`` (below `folder`),
        in place of file names made of identifiers.
    release : str
        Image release, where it is known.

    Raises
    ------
    ImagingError
        When there is no such folder, or the table cannot be used.
    """

    def __init__(
        self, folder: Path, spec: CutoutSpec, *, table: Path | None = None, release: str = ""
    ) -> None:
        if not folder.is_dir():
            raise ImagingError(f"{folder}: no such folder; give the folder of the FITS cutouts")
        self._folder = folder
        self._spec = spec
        self._release = release
        self._listed = None if table is None else _read_list(table, folder)

    @property
    def spec(self) -> CutoutSpec:
        """Geometry of the cutouts."""
        return self._spec

    @property
    def release(self) -> str:
        """Image release as it was given."""
        return self._release

    def order(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
        """Leave positions in the order they have."""
        del dec
        return np.arange(len(ra))

    def cutouts(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> Iterator[CutoutBatch]:
        """Yield the cutouts in the order of the sources, in batches of bounded size."""
        del ra, dec  # files are found by identifier
        with ThreadPoolExecutor(READERS) as readers:
            step = batch_size(self._spec)
            for start in range(0, len(source_id), step):
                part = source_id[start : start + step]
                paths = self._paths(part)
                answers = list(readers.map(partial(_read, self._folder, self._spec), paths, part))
                yield self._batch(start, answers)

    def _paths(self, source_id: NDArray[np.int64]) -> list[str | None]:
        """Path of each source's file below the folder; None where there is none."""
        if self._listed is not None:
            paths = self._listed.reindex(source_id)
            return [path if isinstance(path, str) else None for path in paths]
        names = ([f"{number}{suffix}" for suffix in SUFFIXES] for number in source_id.tolist())
        return [next((n for n in some if (self._folder / n).exists()), None) for some in names]

    def _batch(self, start: int, answers: list[_Answer]) -> CutoutBatch:
        bands, size = len(self._spec.bands), self._spec.size
        empty = np.zeros((bands, size, size), dtype=np.float32)
        images = np.stack([empty if a.image is None else a.image for a in answers])
        coverage = nonzero_coverage(images)
        status = np.array([a.status for a in answers], dtype=np.int8)
        status = np.where(status == CutoutStatus.OK, coverage_status(coverage), status)
        partly = (status == CutoutStatus.PARTIAL).tolist()
        return CutoutBatch(
            index=np.arange(start, start + len(answers), dtype=np.int64),
            images=images,
            coverage=coverage,
            status=status,
            reason=[
                "part of the cutout has no data" if part else a.reason
                for a, part in zip(answers, partly, strict=True)
            ],
            origin=[a.origin for a in answers],
        )

    def files(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> ImagingFiles:
        """Name the sources' files, under all names that are looked for where there is none."""
        del ra, dec
        found = zip(source_id.tolist(), self._paths(source_id), strict=True)
        absent = () if self._listed is not None else SUFFIXES
        paths = [
            name
            for number, path in found
            for name in ([path] if path else [f"{number}{suffix}" for suffix in absent])
        ]
        return ImagingFiles(str(self._folder), tuple(sorted(paths)))

    def interrupt(self) -> None:
        """No server is waited for."""

    def close(self) -> None:
        """Nothing to give back."""


def _read(folder: Path, spec: CutoutSpec, path: str | None, source_id: np.int64) -> _Answer:
    if path is None:
        return _Answer(CutoutStatus.FAILED, f"no file for source {source_id} in {folder}", "")
    try:
        image = read_cutout(folder / path, spec, exact_size=False, nan_is_no_data=True)
    except CutoutEmpty as error:
        return _Answer(CutoutStatus.OUTSIDE, f"{path}: {error}", path)
    except CutoutUnusable as error:
        return _Answer(CutoutStatus.CORRUPT, f"{path}: {error}", path)
    except OSError as error:
        return _Answer(CutoutStatus.FAILED, f"{path}: {error.strerror or error}", path)
    return _Answer(CutoutStatus.OK, "", path, image)


def _read_list(table: Path, folder: Path) -> pd.Series[str]:
    """Paths below `folder`, indexed by source_id."""
    rows = _read_table(table)
    missing = sorted({"source_id", "path"} - set(rows.columns))
    if missing:
        raise ImagingError(f"{table}: no column {', '.join(missing)}; it needs source_id and path")
    if not pd.api.types.is_integer_dtype(rows["source_id"]):
        raise ImagingError(f"{table}: column source_id holds other things than integers")
    if rows["source_id"].duplicated().any():
        twice = rows.loc[rows["source_id"].duplicated(), "source_id"].iloc[0]
        raise ImagingError(f"{table}: source_id {twice} is listed twice; keep one row of each")
    if rows["path"].isna().any():
        row = int(np.flatnonzero(rows["path"].isna())[0]) + 1
        raise ImagingError(f"{table}: row {row} has no path")
    root = os.path.abspath(folder)  # noqa: PTH100 - by name only: a link stays as it is
    paths = rows["path"].astype(str)
    if (unnamed := np.flatnonzero(["\0" in path for path in paths])).size:
        raise ImagingError(f"{table}: row {unnamed[0] + 1}: a path with a zero byte")
    full = [os.path.normpath(os.path.join(root, path)) for path in paths]  # noqa: PTH118
    outside = [row for row, path in enumerate(full) if not path.startswith(root + os.sep)]
    if outside:
        raise ImagingError(
            f"{table}: row {outside[0] + 1}: {shortened(paths.iloc[outside[0]])!r} is not below "
            f"{folder}; put the files into that folder"
        )
    below = [path[len(root) + 1 :] for path in full]
    return pd.Series(below, index=rows["source_id"].to_numpy(np.int64), dtype=object)


def _read_table(table: Path) -> pd.DataFrame:
    def describe(reason: str) -> ImagingError:
        return ImagingError(f"{table}: not a readable table ({reason})")

    suffix = table.suffix.lower()
    with parsing(describe), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on units and the like
        if suffix == ".csv":
            return pd.read_csv(io.BytesIO(read_bytes(table, MAX_TABLE)))
        if suffix in {".parquet", ".pq"}:
            return read_frame(table, describe)
        if suffix == ".ecsv":
            return pd.DataFrame(read_ecsv(table).to_pandas())
        if suffix in {".fits", ".fit"}:
            rows = Table.read(checked_fits(table), format="fits", character_as_bytes=False)
            return pd.DataFrame(rows.to_pandas())
    raise ImagingError(f"{table}: cannot tell the format; use .csv, .ecsv, .parquet or .fits")
