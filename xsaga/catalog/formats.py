"""Table files of each format, read in pieces as Arrow tables of chosen columns."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from xsaga.errors import CatalogError
from xsaga.fits_structure import checked_fits
from xsaga.parquet_files import is_text, open_parquet
from xsaga.reading import (
    GZIP_MAGIC,
    Describe,
    MeasuredGzip,
    TooLargeError,
    parsing,
    printable,
)
from xsaga.text_tables import read_ecsv, read_machine_readable, read_votable

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

MAX_CSV_HEADER = 1 << 20
"""Bytes of the line of column names, and of each comment before it."""

MAX_CSV_COMMENTS = 100_000
"""Lines of comment before the column names."""

MAX_TEXT = 1 << 16
"""Bytes of one text of a catalog: names and types have some tens."""


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
        with parsing(_unreadable(path, "Parquet")), open_parquet(path) as file:
            self._schema = file.schema_arrow

    @property
    def columns(self) -> list[str]:
        return list(self._schema.names)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        text = [c for c in columns if pa.types.is_string(self._schema.field(c).type)]
        with parsing(_unreadable(self._path, "Parquet")):
            file = open_parquet(self._path, columns, read_dictionary=text)
        with file:
            batches = file.iter_batches(rows, columns=list(columns))
            for batch in _each(batches, _unreadable(self._path, "Parquet")):
                table = pa.Table.from_batches([batch])
                _refuse_long_text(table, self._path)
                yield table


class _CsvTable:
    def __init__(self, path: Path) -> None:
        self._path = path
        with parsing(_unreadable(path, "CSV")):
            self._skip = self._comment_lines()
            with self._stream() as stream:
                self._columns = self._open(stream, None).schema.names

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        # Everything is read as text and converted later, where a bad value can be named with its
        # row; types guessed from the first block of a file fail on later ones.
        convert = pa.csv.ConvertOptions(
            include_columns=list(columns),
            column_types={column: pa.string() for column in columns},
            strings_can_be_null=True,
        )
        with self._stream() as stream:
            with parsing(_unreadable(self._path, "CSV")):
                reader = self._open(stream, convert)
            pieces: list[pa.RecordBatch] = []
            for batch in _each(reader, _unreadable(self._path, "CSV")):
                pieces.append(batch)
                if sum(len(piece) for piece in pieces) >= rows:
                    yield pa.Table.from_batches(pieces).combine_chunks()
                    pieces = []
            if pieces:
                yield pa.Table.from_batches(pieces).combine_chunks()

    def _stream(self) -> IO[bytes]:
        with self._path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
        if zipped:
            return io.BufferedReader(MeasuredGzip(self._path), 1 << 20)
        return self._path.open("rb")

    def _comment_lines(self) -> int:
        count = 0
        with self._stream() as file:
            while line := file.readline(MAX_CSV_HEADER):
                if len(line) == MAX_CSV_HEADER:
                    raise TooLargeError(f"line {count + 1} has more than {MAX_CSV_HEADER:,} bytes")
                if not line.startswith(b"#"):
                    return count
                count += 1
                if count > MAX_CSV_COMMENTS:
                    raise TooLargeError(f"more than {MAX_CSV_COMMENTS:,} lines of comment")
        raise CatalogError(f"{self._path}: the file is empty: it has no line with column names")

    def _open(self, stream: IO[bytes], convert: pa.csv.ConvertOptions | None) -> Any:
        return pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(block_size=_CSV_BLOCK, skip_rows=self._skip),
            convert_options=convert,
        )


class _FitsTable:
    def __init__(self, path: Path) -> None:
        self._path = path
        with self._opened() as hdus, parsing(_unreadable(path, "FITS")), _quiet():
            self._hdu = self._first_table(hdus)
            self._columns = [str(name) for name in hdus[self._hdu].columns.names]

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        with self._opened() as hdus:
            hdu = hdus[self._hdu]
            with parsing(_unreadable(self._path, "FITS")), _quiet():
                data = hdu.data
            for start in range(0, len(data), rows):
                with parsing(_unreadable(self._path, "FITS")), _quiet():
                    part = data[start : start + rows]
                    table = pa.table({c: _fits_column(part, hdu.columns[c], c) for c in columns})
                yield table

    def _first_table(self, hdus: fits.HDUList) -> int:
        for number, hdu in enumerate(hdus):
            if isinstance(hdu, fits.BinTableHDU):
                return number
        raise CatalogError(f"{self._path}: no binary table in this FITS file; is it complete?")

    @contextmanager
    def _opened(self) -> Iterator[fits.HDUList]:
        with parsing(_unreadable(self._path, "FITS")), _quiet():
            hdus = open_fits(self._path)
        try:
            yield hdus
        finally:
            hdus.close()


class _AstropyTable:
    """A table of a format that astropy reads as a whole: ECSV, VOTable, machine-readable table."""

    def __init__(self, path: Path, read: Callable[[Path], Table], kind: str) -> None:
        self._path, self._kind = path, kind
        with parsing(_unreadable(path, kind)), _quiet():
            self._table = read(path)

    @property
    def columns(self) -> list[str]:
        return list(self._table.colnames)

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        for start in range(0, len(self._table), rows):
            with parsing(_unreadable(self._path, self._kind)), _quiet():
                part = self._table[start : start + rows]
                table = pa.table({column: _astropy_column(part[column]) for column in columns})
            yield table


def open_fits(path: Path) -> fits.HDUList:
    """Open a FITS file of which all headers are sound, see `xsaga.fits_structure`.

    A file that is not compressed is mapped, not read.

    Raises
    ------
    OSError, ValueError
        It cannot be read, or is not such a file. What astropy raises comes on top of that.
    """
    found = checked_fits(path)
    hdus = fits.open(found, memmap=isinstance(found, Path))
    len(hdus)  # reads all headers
    return hdus


def _each(items: Any, describe: Describe) -> Iterator[Any]:
    """Give the pieces that a parser makes one by one; what it raises becomes one of our errors.

    What the taker of a piece raises is none of the parser's.
    """
    remaining = iter(items)
    while True:
        with parsing(describe):
            try:
                item = next(remaining)
            except StopIteration:
                return
        yield item


def _refuse_long_text(table: pa.Table, path: Path) -> None:
    """Refuse texts that a few bytes of a file can repeat a million times."""
    for name in table.column_names:
        for chunk in table.column(name).chunks:
            words = chunk.dictionary if isinstance(chunk, pa.DictionaryArray) else chunk
            if not (is_text(words.type) and len(words)):
                continue
            longest = pc.max(pc.binary_length(words)).as_py()
            if longest is not None and longest > MAX_TEXT:
                raise CatalogError(
                    f"{path}: column {printable(name)} holds a text of {longest:,} bytes: at most "
                    f"{MAX_TEXT:,} are read"
                )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep remarks about the standards of a file, and about its numbers, to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _fits_column(part: fits.FITS_rec, column: fits.Column, name: str) -> pa.Array:
    if re.match(r"\d*[PQ]", str(column.format).upper()):
        raise ValueError(f"column {name} holds lists, not one value a row")
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


def _unreadable(path: Path, kind: str) -> Describe:
    def describe(reason: str) -> CatalogError:
        if reason == "no such file":
            return CatalogError(f"{path}: {reason}")
        return CatalogError(f"{path}: cannot be read as {kind}: {reason}")

    return describe


_OPENERS: tuple[tuple[tuple[str, ...], Any], ...] = (
    (FITS_SUFFIXES, _FitsTable),
    (PARQUET_SUFFIXES, _ParquetTable),
    (CSV_SUFFIXES, _CsvTable),
    (ECSV_SUFFIXES, lambda path: _AstropyTable(path, read_ecsv, "ECSV")),
    (VOTABLE_SUFFIXES, lambda path: _AstropyTable(path, read_votable, "VOTable")),
    (MRT_SUFFIXES, lambda path: _AstropyTable(path, read_machine_readable, "AAS table")),
)
