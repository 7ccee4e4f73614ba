"""Which parts of a brick's planes to decode, and what that costs.

A piece of a plane costs more per pixel than the whole of it, so where sources touch much of a
brick all of it is decoded; how much is measured as bricks are decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL = 100
"""Pixels on a side of the pieces that are decoded: the compression tiles of public coadds."""

Pieces = tuple[tuple[slice, slice], ...]
"""(rows, columns) of the parts of a plane to decode."""


PIECE_RATIO = 1.5
"""Time of a cell by itself over that of one of a whole plane, as long as it is not measured."""


@dataclass
class DecodeRates:
    """What decoding costs here, learnt from what was decoded so far.

    Parameters
    ----------
    whole_seconds, whole_cells : float
        Time and cells of planes that were decoded as a whole.
    piece_seconds, piece_cells : float
        Time and cells of pieces.
    """

    whole_seconds: float = 0.0
    whole_cells: float = 0.0
    piece_seconds: float = 0.0
    piece_cells: float = 0.0

    def count(self, cells: int, seconds: float, *, whole: bool) -> None:
        """Learn from a task."""
        if whole:
            self.whole_seconds += seconds
            self.whole_cells += cells
        else:
            self.piece_seconds += seconds
            self.piece_cells += cells

    def prefer_whole(self, cells: NDArray[np.bool_]) -> bool:
        """Whether to decode all cells of a plane costs less than to decode these."""
        ratio = PIECE_RATIO
        if self.whole_seconds and self.piece_seconds:
            ratio = self.piece_seconds / self.piece_cells / (self.whole_seconds / self.whole_cells)
        return bool(cells.size < np.count_nonzero(cells) * ratio)


def cells_of(
    x: NDArray[np.int64], y: NDArray[np.int64], size: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Cells that square boxes touch.

    Parameters
    ----------
    x, y : ndarray of int64, shape (N,)
        First column and row of each box; boxes may reach beyond the plane.
    size : int
        Pixels on a side of the boxes.
    shape : tuple of int
        Rows and columns of the plane.

    Returns
    -------
    ndarray of bool, shape (rows / CELL, columns / CELL), rounded up
    """
    rows, columns = -(-shape[0] // CELL), -(-shape[1] // CELL)
    # corners of the boxes in a difference image, whose double sum counts the boxes on each cell
    edges = np.zeros((rows + 1, columns + 1), dtype=np.int64)
    meets = (x < shape[1]) & (y < shape[0]) & (x + size > 0) & (y + size > 0)
    x0, y0 = np.maximum(x[meets], 0) // CELL, np.maximum(y[meets], 0) // CELL
    x1 = (np.minimum(x[meets] + size, shape[1]) - 1) // CELL + 1
    y1 = (np.minimum(y[meets] + size, shape[0]) - 1) // CELL + 1
    np.add.at(edges, (y0, x0), 1)
    np.add.at(edges, (y1, x1), 1)
    np.add.at(edges, (y0, x1), -1)
    np.add.at(edges, (y1, x0), -1)
    return np.asarray(edges.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0)


def pieces_of(cells: NDArray[np.bool_]) -> Pieces:
    """Join cells to rectangles."""
    steps = np.diff(np.pad(cells, ((0, 1), (1, 1))).astype(np.int8), axis=1)
    starts, stops = np.argwhere(steps == 1), np.argwhere(steps == -1)  # both sorted by row
    runs: dict[int, set[tuple[int, int]]] = {}
    for (row, first), (_, last) in zip(starts.tolist(), stops.tolist(), strict=True):
        runs.setdefault(row, set()).add((first, last))
    pieces = []
    growing: dict[tuple[int, int], int] = {}  # columns of a rectangle → its first row
    for row in range(len(steps)):
        here = runs.get(row, set())
        ended = sorted(growing.keys() - here)
        pieces += [_rectangle(growing.pop(run), row, *run) for run in ended]
        growing.update(dict.fromkeys(here - growing.keys(), row))
    return tuple(pieces)


def _rectangle(top: int, bottom: int, first: int, last: int) -> tuple[slice, slice]:
    return slice(top * CELL, bottom * CELL), slice(first * CELL, last * CELL)


def cells_in(pieces: Pieces) -> NDArray[np.int64]:
    """Row and column of each cell that rectangles are made of, shape (N, 2), in their order."""
    return np.concatenate(
        [
            np.argwhere(np.ones([-(-(s.stop - s.start) // CELL) for s in piece], dtype=bool))
            + [s.start // CELL for s in piece]
            for piece in pieces
        ]
    )
