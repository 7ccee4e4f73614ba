"""Rows set aside on disk in the order of their tiles, to be read back a few tiles at a time.

Rows are sorted by tile in pieces of bounded size, each piece going to one Arrow file whose record
batches hold whole tiles. So thousands of tiles mean neither thousands of open files nor tiny
writes, and the rows of a range of tiles are a few record batches of each file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xsaga.catalog.schema import missing_values

TILE = "tile"
"""Name of the column that holds the tile's pixel number."""

_BATCH_ROWS = 4096
"""Rows after which a record batch ends with its tile: small enough to read little in vain."""


@dataclass(frozen=True)
class _Piece:
    path: Path
    first_tile: NDArray[np.int64]
    last_tile: NDArray[np.int64]


class Spool:
    """Rows on disk, sorted by tile.

    Parameters
    ----------
    folder : Path
        Folder for the files; whatever it holds is removed, now and by `close`.
    piece_rows : int
        Rows held back in memory until they are written.
    """

    def __init__(self, folder: Path, piece_rows: int) -> None:
        self._folder, self._piece_rows = folder, piece_rows
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0
        self._pieces: list[_Piece] = []
        self._tiles: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._columns: dict[str, None] = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def add(self, rows: pa.Table) -> None:
        """Set rows aside; they have a column `TILE` and, text apart, plain columns."""
        if rows.num_rows == 0:
            return
        self._columns |= dict.fromkeys(rows.column_names)
        self._waiting.append(rows)
        self._n_waiting += rows.num_rows
        if self._n_waiting >= self._piece_rows:
            self._write()

    def tiles(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixel numbers of all tiles, ascending, and the number of rows of each."""
        self._write()
        if not self._tiles:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        tiles, inverse = np.unique(np.concatenate(self._tiles), return_inverse=True)
        counts = np.bincount(inverse, weights=np.concatenate(self._counts))
        return tiles, counts.astype(np.int64)

    def read(self, first: int, last: int) -> pa.Table:
        """Read the rows of the tiles `first` to `last` in the order in which they were added.

        The table has all columns that any of the rows set aside has.
        """
        found = []
        for piece in self._pieces:
            wanted = np.flatnonzero((piece.last_tile >= first) & (piece.first_tile <= last))
            if not len(wanted):
                continue
            # A plain file, not a memory map: mapped pages would count as memory of the process.
            with pa.OSFile(str(piece.path)) as file, pa.ipc.open_file(file) as reader:
                for index in wanted:
                    rows = pa.Table.from_batches([reader.get_batch(int(index))])
                    if piece.first_tile[index] < first or piece.last_tile[index] > last:
                        tile = rows[TILE]
                        rows = rows.filter(
                            pc.and_(pc.greater_equal(tile, first), pc.less_equal(tile, last))
                        )
                    found.append(rows)
        return _joined(found, self._columns)

    def close(self) -> None:
        """Remove all files."""
        self._waiting, self._pieces = [], []
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self) -> None:
        if not self._waiting:
            return
        rows = _joined(self._waiting, self._columns)
        self._waiting, self._n_waiting = [], 0
        tile = rows[TILE].to_numpy()
        by_tile = np.argsort(tile, kind="stable")
        rows = rows.take(pa.array(by_tile))
        tiles, starts, counts = np.unique(tile[by_tile], return_index=True, return_counts=True)
        batch_of_tile = starts // _BATCH_ROWS
        first = np.flatnonzero(np.diff(batch_of_tile, prepend=-1))
        last = np.append(first[1:], len(tiles)) - 1
        path = self._folder / f"{len(self._pieces):06d}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            for start, end in zip(starts[first], starts[last] + counts[last], strict=True):
                writer.write_table(rows.slice(start, end - start))
        self._pieces.append(_Piece(path, tiles[first], tiles[last]))
        self._tiles.append(tiles)
        self._counts.append(counts)


def _joined(tables: list[pa.Table], names: Iterable[str]) -> pa.Table:
    """One table of many, each column one array, with "not known" where a table lacks a column."""
    filled = []
    for table in tables:
        columns = {
            name: table[name]
            if name in table.column_names
            else missing_values(name, table.num_rows)
            for name in names
        }
        filled.append(pa.table(columns))
    return pa.concat_tables(filled).unify_dictionaries().combine_chunks()
