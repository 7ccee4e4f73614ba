"""Which sources are there twice, by identifier or by position, in a catalog too large for memory.

By identifier: of the sources with the same ``source_id`` the first in input order is kept,
wherever on the sky they are. By position: of what is left, a source goes when another one that
precedes it lies within the radius. A source precedes another when it comes earlier in input order,
except that TYPE = DUP (a Gaia source on top of a galaxy) never precedes anything else. The rule
looks only at pairs, not at which of them are kept, so it gives the same answer whatever tile looks
at them; in a chain of three sources each within reach of the next, the last two go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import healpy
import numpy as np
from numpy.typing import NDArray

from xsaga.catalog.matching import pairs_within
from xsaga.errors import ConfigError
from xsaga.sky.tiles import tile_pixels

_ARCSEC_PER_PIXEL = 3600 * math.degrees(math.sqrt(4 * math.pi / 12))
"""Size of a HEALPix pixel of order 0: the square root of its area."""

_EVEN_BITS = 0x5555555555555555


@dataclass(frozen=True)
class Places:
    """Sources as far as the search for duplicates needs them.

    Parameters
    ----------
    order : ndarray of int64, shape (N,)
        Place of each source in the input.
    ra, dec : ndarray of float64, shape (N,)
        Degrees.
    last : ndarray of bool, shape (N,)
        Sources that precede only one another (TYPE = DUP).
    """

    order: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    last: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: NDArray[np.generic] | slice) -> Places:
        return Places(self.order[index], self.ra[index], self.dec[index], self.last[index])

    @classmethod
    def joined(cls, parts: list[Places]) -> Places:
        """All sources of several tables, one after another."""
        return cls(
            np.concatenate([part.order for part in parts]),
            np.concatenate([part.ra for part in parts]),
            np.concatenate([part.dec for part in parts]),
            np.concatenate([part.last for part in parts]),
        )


def repeated_ids(source_id: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find identifiers that occur more than once, and the places at which they occur again.

    Parameters
    ----------
    source_id : ndarray of int64, shape (N,)
        In input order.

    Returns
    -------
    ids : ndarray of int64
        Ascending.
    places : ndarray of int64
        Ascending indices of all occurrences but each first one.
    """
    ordered = np.sort(source_id)
    ids = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(ids):
        return ids, np.empty(0, np.int64)
    occurrences = np.flatnonzero(is_among(source_id, ids))
    _, first = np.unique(source_id[occurrences], return_index=True)
    return ids, np.delete(occurrences, first)


def is_among(values: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which values occur in an ascending array."""
    if not len(ascending):
        return np.zeros(len(values), bool)
    index = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    found: NDArray[np.bool_] = ascending[index] == values
    return found


def later_neighbours(places: Places, radius_arcsec: float) -> NDArray[np.bool_]:
    """Which sources have another one within the radius that precedes them.

    Parameters
    ----------
    places : Places
    radius_arcsec : float
        Arcseconds.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    later = np.zeros(len(places), bool)
    pairs = pairs_within(places.ra, places.dec, radius_arcsec)
    if len(pairs):
        left, right = pairs[:, 0], pairs[:, 1]
        left_first = np.where(
            places.last[left] == places.last[right],
            places.order[left] < places.order[right],
            places.last[right],
        )
        later[np.where(left_first, right, left)] = True
    return later


class TileMargins:
    """Sources so near to a tile's edge that they matter for the duplicates of its neighbours.

    Parameters
    ----------
    tile_order : int
        HEALPix order of the tiles.
    radius_arcsec : float
        Reach of the search for duplicates; 0 for none.

    Raises
    ------
    ConfigError
        When the radius is not small compared with a tile.
    """

    def __init__(self, tile_order: int, radius_arcsec: float) -> None:
        # The edge is a seam of small pixels, each wide enough (HEALPix pixels may be half as
        # narrow as the root of their area) that a circle in one reaches only its neighbours.
        order = (
            min(29, math.floor(math.log2(_ARCSEC_PER_PIXEL / (4 * radius_arcsec))))
            if radius_arcsec > 0
            else tile_order
        )
        if radius_arcsec < 0 or (radius_arcsec > 0 and order <= tile_order):
            largest = _ARCSEC_PER_PIXEL / 4 / 2 ** (tile_order + 1)
            raise ConfigError(
                f"radius for duplicates {radius_arcsec:g} arcsec: give 0 to {largest:.3g} for "
                f"tiles of order {tile_order}"
            )
        self._radius = radius_arcsec
        self._order, self._levels = order, order - tile_order
        self._tile: list[NDArray[np.int64]] = []
        self._places: list[Places] = []

    def add(self, places: Places) -> NDArray[np.int64]:
        """Take note of sources near edges and return the tile of every source."""
        small = tile_pixels(places.ra, places.dec, self._order)
        tile: NDArray[np.int64] = small >> (2 * self._levels)
        if self._radius == 0 or not len(places):
            return tile
        inner = (1 << (2 * self._levels)) - 1
        x, y = inner & _EVEN_BITS, inner & (_EVEN_BITS << 1)
        at_edge = np.flatnonzero(
            ((small & x) == 0) | ((small & x) == x) | ((small & y) == 0) | ((small & y) == y)
        )
        around = healpy.get_all_neighbours(2**self._order, small[at_edge], nest=True)
        tiles_around = np.where(around < 0, -1, around >> (2 * self._levels))
        target = np.sort(tiles_around, axis=0)
        new = np.diff(target, axis=0, prepend=-1) > 0
        which, source = np.nonzero(new & (target != tile[at_edge]))
        self._tile.append(target[which, source])
        self._places.append(places[at_edge[source]])
        return tile

    def without(self, dropped: NDArray[np.int64]) -> SortedMargins:
        """Margins by tile, less the sources whose places in the input are in `dropped`."""
        if not self._tile:
            nothing = np.empty(0, np.int64)
            empty = Places(nothing, nothing.astype(float), nothing.astype(float), nothing > 0)
            return SortedMargins(nothing, empty)
        tile, places = np.concatenate(self._tile), Places.joined(self._places)
        kept = np.flatnonzero(~is_among(places.order, dropped))
        kept = kept[np.lexsort((places.order[kept], tile[kept]))]
        return SortedMargins(tile[kept], places[kept])


@dataclass(frozen=True)
class SortedMargins:
    """Sources just outside tiles.

    Parameters
    ----------
    tile : ndarray of int64, shape (N,)
        The tile whose edge each source is near to, ascending.
    places : Places
        The sources, which lie in other tiles.
    """

    tile: NDArray[np.int64]
    places: Places

    def of(self, first: int, last: int) -> Places:
        """Give the sources just outside one of the tiles `first` to `last`.

        Some may lie in another one of these.
        """
        start, end = np.searchsorted(self.tile, [first, last + 1])
        return self.places[start:end]
