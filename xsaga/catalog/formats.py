"""Table files of each format, read in pieces as Arrow tables of chosen columns."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from xsaga.errors import CatalogError

FITS_SUFFIXES = (".fits", ".fits.gz", ".fit")
PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
CSV_SUFFIXES = (".csv", ".csv.gz")
ECSV_SUFFIXES = (".ecsv",)
VOTABLE_SUFFIXES = (".vot", ".votable", ".xml")
MRT_SUFFIXES = (".txt", ".mrt")
"""AAS machine-readable tables; read where a file is named, not picked up from folders."""

FOLDER_SUFFIXES = (
    *FITS_SUFFIXES,
    *PARQUET_SUFFIXES,
    *CSV_SUFFIXES,
    *ECSV_SUFFIXES,
    *VOTABLE_SUFFIXES,
)
"""What is taken from a folder."""

_FITS_ROWS = 1 << 16
"""Rows converted at a time: of a sweep's 600-byte rows, this many stay in cache."""

_CSV_BLOCK = 16 << 20


class TableFile(Protocol):
    """An open table."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Yield the given columns, in pieces of about `rows` rows, in the order of the file.

        Missing values are nulls; byte order is native; text is text.
        """


def open_table(path: Path) -> TableFile:
    """Open a table file by the suffix of its name.

    Parameters
    ----------
    path : Path
        FITS, Parquet, CSV, ECSV, VOTable or AAS machine-readable table.

    Returns
    -------
    TableFile

    Raises
    ------
    CatalogError
        When the format is unknown or the file cannot be read.
    """
    name = path.name.lower()
    for suffixes, opener in _OPENERS:
        if name.endswith(suffixes):
            table: TableFile = opener(path)
            return table
    raise CatalogError(
        f"{path}: unknown kind of table: known are "
        f"{', '.join(suffix for suffixes, _ in _OPENERS for suffix in suffixes)}"
    )


class _ParquetTable:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, "Parquet", error) from error

    @property
    def columns(self) -> list[str]:
        return list(self._file.schema_arrow.names)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        schema = self._file.schema_arrow
        text = [c for c in columns if pa.types.is_string(schema.field(c).type)]
        try:
            # Without pre_buffer=False pyarrow keeps all bytes read of the file until its end.
            with pq.ParquetFile(self._path, read_dictionary=text, pre_buffer=False) as file:
                for batch in file.iter_batches(rows, columns=list(columns)):
                    yield pa.Table.from_batches([batch])
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self._path, "Parquet", error) from error


class _CsvTable:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._skip = self._comment_lines()
        self._columns = self._open(None).schema.names

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        # Everything is read as text and converted later, where a bad value can be named with its
        # row; types guessed from the first block of a file fail on later ones.
        reader = self._open(
            pa.csv.ConvertOptions(
                include_columns=list(columns),
                column_types={column: pa.string() for column in columns},
                strings_can_be_null=True,
            )
        )
        pieces: list[pa.RecordBatch] = []
        try:
            for batch in reader:
                pieces.append(batch)
                if sum(len(piece) for piece in pieces) >= rows:
                    yield pa.Table.from_batches(pieces).combine_chunks()
                    pieces = []
        except (OSError, EOFError, pa.ArrowException) as error:
            raise _unreadable(self._path, "CSV", error) from error
        if pieces:
            yield pa.Table.from_batches(pieces).combine_chunks()

    def _comment_lines(self) -> int:
        opener = gzip.open if self._path.name.lower().endswith(".gz") else open
        count = 0
        try:
            with opener(self._path, "rb") as file:
                for line in file:
                    if not line.startswith(b"#"):
                        return count
                    count += 1
        except (OSError, EOFError) as error:
            raise _unreadable(self._path, "CSV", error) from error
        raise CatalogError(f"{self._path}: the file is empty: it has no line with column names")

    def _open(self, convert: pa.csv.ConvertOptions | None) -> Any:
        try:
            return pa.csv.open_csv(
                self._path,
                read_options=pa.csv.ReadOptions(block_size=_CSV_BLOCK, skip_rows=self._skip),
                convert_options=convert,
            )
        except (OSError, EOFError, pa.ArrowException) as error:
            raise _unreadable(self._path, "CSV", error) from error


class _FitsTable:
    def __init__(self, path: Path) -> None:
        self._path = path
        hdus = self._open()
        try:
            self._hdu = self._first_table(hdus)
            self._columns = list(hdus[self._hdu].columns.names)
        finally:
            hdus.close()

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        hdus = self._open()
        try:
            hdu = hdus[self._hdu]
            with _quiet():
                data = hdu.data
            for start in range(0, len(data), rows):
                part = data[start : start + rows]
                yield pa.table({c: _fits_column(part, hdu.columns[c], c) for c in columns})
        except (OSError, EOFError, ValueError, TypeError) as error:
            raise _unreadable(self._path, "FITS", error) from error
        finally:
            hdus.close()

    def _first_table(self, hdus: fits.HDUList) -> int:
        for number, hdu in enumerate(hdus):
            if isinstance(hdu, fits.BinTableHDU):
                self._check_complete(hdu)
                return number
        raise CatalogError(f"{self._path}: no binary table in this FITS file; is it complete?")

    def _check_complete(self, hdu: fits.BinTableHDU) -> None:
        if self._path.name.lower().endswith(".gz"):
            return  # a truncated gzip stream fails when it is read
        needed = hdu.fileinfo()["datLoc"] + hdu.header["NAXIS1"] * hdu.header["NAXIS2"]
        size = self._path.stat().st_size
        if size < needed:
            raise CatalogError(
                f"{self._path}: truncated: its table ends at byte {needed:,} but the file has "
                f"{size:,}; fetch it again"
            )

    def _open(self) -> fits.HDUList:
        try:
            with _quiet():
                hdus = fits.open(self._path, memmap=True)
                len(hdus)  # reads all headers
        except (OSError, EOFError, ValueError, TypeError, KeyError, fits.VerifyError) as error:
            raise _unreadable(self._path, "FITS", error) from error
        return hdus


class _AstropyTable:
    """A table of a format that astropy reads as a whole: ECSV, VOTable, machine-readable table."""

    def __init__(self, path: Path, file_format: str, kind: str) -> None:
        options = {"use_names_over_ids": True} if file_format == "votable" else {}
        self._path, self._kind = path, kind
        try:
            with _quiet():
                self._table = Table.read(path, format=file_format, **options)
        except (OSError, ValueError, TypeError, IndexError, KeyError) as error:
            raise _unreadable(path, kind, error) from error

    @property
    def columns(self) -> list[str]:
        return list(self._table.colnames)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        for start in range(0, len(self._table), rows):
            part = self._table[start : start + rows]
            try:
                arrays = {column: _astropy_column(part[column]) for column in columns}
            except ValueError as error:
                raise _unreadable(self._path, self._kind, error) from error
            yield pa.table(arrays)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep astropy's remarks about the standards of a file to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        yield


def _fits_column(part: fits.FITS_rec, column: fits.Column, name: str) -> pa.Array:
    scaled = any(value not in (None, "") for value in (column.bscale, column.bzero, column.null))
    # FITS_rec converts and caches whole columns; the bare record array is a view of the file.
    values = part.field(name) if scaled else part.view(np.ndarray)[name]
    if values.ndim != 1:
        raise ValueError(f"column {name} holds {values.shape[1:]} values a row, not one")
    if values.dtype.kind == "S":
        return _text(np.ascontiguousarray(values))
    if values.dtype.kind not in "iufb":
        return pa.array(values.astype(str), pa.string())
    native = np.empty(len(values), values.dtype.newbyteorder("="))
    for start in range(0, len(values), _FITS_ROWS):
        native[start : start + _FITS_ROWS] = values[start : start + _FITS_ROWS]
    if column.null not in (None, "") and native.dtype.kind in "iu":
        return pa.array(native, mask=native == int(column.null))
    return pa.array(native)


def _text(values: np.ndarray[Any, np.dtype[np.bytes_]]) -> pa.Array:
    """Fixed-width bytes as a dictionary of text; FITS pads with spaces or zero bytes."""
    width = values.dtype.itemsize
    if width == 0:
        return pa.array([""] * len(values), pa.string()).dictionary_encode()
    fixed = pa.Array.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(values)])
    encoded = fixed.dictionary_encode()
    words = [
        word.rstrip(b"\0 ").decode("utf-8", "replace") for word in encoded.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(words, pa.string()))


def _astropy_column(column: Any) -> pa.Array:
    values = np.ma.asarray(getattr(column, "value", column))
    if values.ndim != 1:
        raise ValueError(
            f"column {column.info.name} holds {values.shape[1:]} values a row, not one"
        )
    mask = np.ma.getmaskarray(values)
    plain = values.data
    if plain.dtype.kind in "SUO":
        texts = [
            word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
            for word in plain.tolist()
        ]
        return pa.array(texts, pa.string(), mask=mask)
    return pa.array(np.ascontiguousarray(plain, plain.dtype.newbyteorder("=")), mask=mask)


def _unreadable(path: Path, kind: str, error: Exception) -> CatalogError:
    if isinstance(error, FileNotFoundError):
        return CatalogError(f"{path}: no such file")
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return CatalogError(f"{path}: cannot be read as {kind}: {reason[0]}")


_OPENERS: tuple[tuple[tuple[str, ...], Any], ...] = (
    (FITS_SUFFIXES, _FitsTable),
    (PARQUET_SUFFIXES, _ParquetTable),
    (CSV_SUFFIXES, _CsvTable),
    (ECSV_SUFFIXES, lambda path: _AstropyTable(path, "ascii.ecsv", "ECSV")),
    (VOTABLE_SUFFIXES, lambda path: _AstropyTable(path, "votable", "VOTable")),
    (MRT_SUFFIXES, lambda path: _AstropyTable(path, "ascii.mrt", "machine-readable table")),
)
