"""Parquet files read with their sizes looked at first, and with one line for what is wrong.

Pages are written with checksums, which are compared when they are read: a bit that flipped on disk
would be another flux or probability.

Only the columns themselves count: what pandas or others put into the metadata of a file (an index,
types of columns) is not followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xsaga.errors import XsagaError
from xsaga.paths import placed
from xsaga.reading import MAX_RATIO, RATIO_FROM, Describe, TooLargeError, parsing, printable

MAX_ROWS_PER_BYTE: Final = 100
"""Rows that a byte of a file may stand for: a few bytes can say "a billion times the same", but
tables with positions or identifiers have several bytes a row."""

FEW_ROWS: Final = 1_000_000
"""Rows that any file may have."""

MAX_COLUMNS: Final = 10_000
"""Columns of a file."""

MAX_TEXT: Final = 512 << 20
"""Bytes of text of a column that is read as a whole: one word of a megabyte in a file of kilobytes
can be repeated in each row."""


def open_parquet(
    path: Path, columns: Sequence[str] = (), read_dictionary: Sequence[str] = ()
) -> pq.ParquetFile:
    """Open a Parquet file whose numbers of rows and columns are in proportion to its size.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Columns that will be read: they must be there, once, and hold one value a row.
    read_dictionary : sequence of str
        Columns of text that are read as dictionaries.

    Raises
    ------
    ValueError, OSError, pyarrow.ArrowException
        It cannot be read, is out of proportion, or a column is not as wanted.
    """
    size = path.stat().st_size
    # Without pre_buffer=False pyarrow keeps all bytes read of the file until its end.
    file = pq.ParquetFile(
        path,
        pre_buffer=False,
        read_dictionary=list(read_dictionary),
        page_checksum_verification=True,
    )
    metadata = file.metadata
    if not 0 <= metadata.num_columns <= MAX_COLUMNS:
        raise TooLargeError(f"it has more than {MAX_COLUMNS:,} columns")
    rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    if min([metadata.num_rows, *rows]) < 0 or sum(rows) != metadata.num_rows:
        raise ValueError("its counts of rows contradict each other")
    if metadata.num_rows > max(FEW_ROWS, MAX_ROWS_PER_BYTE * size):
        raise TooLargeError(f"it tells of {metadata.num_rows:,} rows in {size:,} bytes")
    _check_columns(file, size, columns)
    return file


def _check_columns(file: pq.ParquetFile, size: int, columns: Sequence[str]) -> None:
    """Refuse columns that are not there once, hold lists, or are out of proportion."""
    unpacked = _column_bytes(file.metadata, columns)
    if unpacked > max(RATIO_FROM, MAX_RATIO * size):
        raise TooLargeError(f"its {size:,} bytes unpack to {unpacked:,}")
    names = file.schema_arrow.names
    for name in columns:
        if names.count(name) != 1:
            how = "no" if name not in names else "more than one"
            raise ValueError(f"it has {how} column {printable(name)}")
        if pa.types.is_nested(file.schema_arrow.field(name).type):
            raise ValueError(f"column {printable(name)} holds lists, not one value a row")


def _column_bytes(metadata: pq.FileMetaData, columns: Sequence[str]) -> int:
    """Count the bytes of columns without compression; encodings that repeat a value stay."""
    wanted = set(columns)
    total = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in wanted:
                total += max(0, column.total_uncompressed_size)
    return total


def write_table(path: Path, table: pa.Table, **how: Any) -> None:
    """Write a Parquet file with checksums; equal tables give equal bytes.

    Parameters
    ----------
    path : Path
        It appears only when it is complete.
    table : pyarrow.Table
        Rows and metadata.
    **how
        Of `pyarrow.parquet.write_table`; compressed with zstd by default.
    """
    with placed(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True, **{"compression": "zstd", **how})


def read_columns(
    path: Path,
    describe: Describe,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    schema: pa.Schema | None = None,
) -> pa.Table:
    """Read a Parquet file, or some columns of it, as a whole.

    Parameters
    ----------
    path : Path
        The file.
    describe : callable
        From the reason to the error; it names the file.
    columns : sequence of str, optional
        By default all.
    filters : optional
        As of `pyarrow.parquet.read_table`.
    schema : pyarrow.Schema, optional
        Types that the columns must have, see `conformed`.

    Returns
    -------
    pyarrow.Table
        Texts are plain texts; the metadata are those of the file.

    Raises
    ------
    XsagaError
        Of `describe`: it cannot be read, is out of proportion, or lacks a column.
    """
    with parsing(describe):
        with open_parquet(path) as file:
            own = file.schema_arrow
            wanted = list(own.names if columns is None else columns)
            filtered = [name for name, _, _ in filters or ()]
            _check_columns(file, path.stat().st_size, [*dict.fromkeys([*wanted, *filtered])])
        texts = [name for name in wanted if is_text(own.field(name).type)]
        table = pq.read_table(
            path,
            columns=wanted,
            filters=filters,
            read_dictionary=texts,
            partitioning=None,
            page_checksum_verification=True,
        )
        for place, name in enumerate(table.column_names):
            column = table.column(name)
            if pa.types.is_dictionary(column.type):  # a category of a writer's, too
                plain = column.type.value_type
                if is_text(plain):
                    _check_text(name, column.chunks)
                table = table.set_column(place, name, column.cast(plain))
        if schema is not None:
            table = conformed(table, schema)
        return table.replace_schema_metadata(own.metadata)


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give columns the types that they are written in, as far as no value changes.

    Parameters
    ----------
    table : pyarrow.Table
        Any columns.
    schema : pyarrow.Schema
        Columns that are looked at where the table has them; others stay.

    Raises
    ------
    ValueError
        A column holds something else, or has rows without a value and is not floating-point.
    """
    for place, name in enumerate(table.column_names):
        if name not in schema.names:
            continue
        column, wanted = table.column(name), schema.field(name).type
        if column.type != wanted:
            try:
                column = column.cast(wanted)
            except pa.ArrowException as error:
                raise ValueError(
                    f"column {name} holds {printable(str(column.type))}, not {wanted}"
                ) from error
            table = table.set_column(place, name, column)
        if column.null_count and not pa.types.is_floating(wanted):
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise ValueError(f"column {name} has no value in row {row}")
    return table


def read_frame(
    path: Path,
    describe: Describe,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    schema: pa.Schema | None = None,
) -> pd.DataFrame:
    """Read a Parquet file as a DataFrame with a plain index; see `read_columns`."""
    table = read_columns(path, describe, columns, filters, schema)
    with parsing(describe):
        frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def read_parquet_metadata(path: Path, describe: Describe) -> dict[bytes, bytes]:
    """Read what is kept in a Parquet file beside its columns."""
    with parsing(describe), open_parquet(path) as file:
        return dict(file.schema_arrow.metadata or {})


def count_rows(path: Path, describe: Describe) -> int:
    """Count the rows of a Parquet file."""
    with parsing(describe), open_parquet(path) as file:
        return int(file.metadata.num_rows)


def unreadable(path: Path, error: type[XsagaError], advice: str) -> Describe:
    """Make the error of a file that cannot be read, with what to do."""

    def describe(reason: str) -> XsagaError:
        return error(f"{path}: cannot be read ({reason}): {advice}")

    return describe


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text or bytes of any length."""
    return any(
        test(kind)
        for test in (
            *(pa.types.is_string, pa.types.is_large_string),
            *(pa.types.is_binary, pa.types.is_large_binary),
        )
    )


def _check_text(name: str, chunks: Iterable[pa.DictionaryArray]) -> None:
    total = 0
    for chunk in chunks:
        lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
        total += pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0
    if total > MAX_TEXT:
        raise TooLargeError(f"column {printable(name)} holds {total:,} bytes of text")
