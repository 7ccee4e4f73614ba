"""Matching two lists of positions: the nearest one, or all that are near.

Both whole-list functions go through the sky in strips of declination. Positions that are near
each other have near declinations, at the poles and through RA = 0 as anywhere, so a strip needs
only those of the other list that lie in it or within the radius above and below it. What is held
beyond input and result is a sort order of each list and one strip.

Pairs within one list are those of `xsaga.catalog.matching.pairs_within`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from xsaga.errors import CatalogError
from xsaga.sky.positions import chord, normalised_ra, unit_vectors, valid_positions
from xsaga.sky.tiles import DEEPEST_ORDER, tile_pixels

MAX_RADIUS = 180 * 3600.0
"""Arcseconds: the whole sky."""

STRIP_ROWS = 500_000
"""Positions of the other list in one strip, about, and of the first list matched at a time."""

MAX_PAIRS = 200_000_000
"""Pairs of one batch that are refused, because memory would not hold them: 5 GB."""

SAME = 1e-9
"""Arcseconds: separations that differ by less are equal. Right ascensions in float64 are given to
2e-10 arcsec."""

_SAMPLED = 100
"""One position in so many tells about how many pairs there will be."""

_SAME_CHORD = chord(SAME / 3600)

_SLACK = 1e-14
"""The tree is asked for so much more than a chord; one formula then tells what is within it."""


class Matcher:
    """A list of positions in memory, to match batch after batch of others against.

    Parameters
    ----------
    ra, dec : array_like, shape (M,)
        The list in degrees. RA from -180 to 360. Positions that are not on the sky, NaN say,
        match nothing.
    radius_arcsec : float
        Positions at most so far apart match.
    workers : int
        Threads that look for the nearest.

    Raises
    ------
    CatalogError
        For a radius that is negative or no number.
    """

    def __init__(
        self, ra: ArrayLike, dec: ArrayLike, radius_arcsec: float, workers: int = 1
    ) -> None:
        self._reach = chord(_checked(radius_arcsec) / 3600)
        self._workers = workers
        self._rows, self._vectors, again = _placed(ra, dec)
        # A tree does badly with a position that is given many times (0, 0 for "not known"); the
        # nearest of them is the one of lowest index.
        self._first = np.flatnonzero(~again) if again.any() else None

    def nearest(
        self, ra: ArrayLike, dec: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Nearest position of the list to each of a batch.

        Parameters
        ----------
        ra, dec : array_like, shape (N,)
            Degrees, as those of the list.

        Returns
        -------
        index : ndarray of int64, shape (N,)
            Index into the list; -1 where none is within the radius. Of several that are equally
            near (to `SAME`) the one of lowest index.
        separation_arcsec : ndarray of float64, shape (N,)
            NaN where there is none.
        """
        ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
        index = np.full(len(ra), -1, np.int64)
        separation = np.full(len(ra), np.nan)
        if len(self._rows) == 0:
            return index, separation
        for start in range(0, len(ra), STRIP_ROWS):
            piece = slice(start, start + STRIP_ROWS)
            rows, vectors, _ = _placed(ra[piece], dec[piece])
            hit, found, length = self._nearest(vectors)
            index[start + rows[hit]] = self._rows[found]
            separation[start + rows[hit]] = _arcsec(length)
        return index, separation

    def pairs(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
        """All pairs of one of a batch and one of the list within the radius.

        Parameters
        ----------
        ra, dec : array_like, shape (N,)
            Degrees, as those of the list.

        Returns
        -------
        ndarray of int64, shape (pairs, 2)
            Indices into the batch and into the list, sorted.

        Raises
        ------
        CatalogError
            For far too many pairs, see `MAX_PAIRS`.
        """
        return _sorted(*self._near(ra, dec))

    def _near(self, ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find all pairs as indices into a batch and into the list, in no particular order."""
        rows, vectors, _ = _placed(ra, dec)
        if len(rows) == 0 or len(self._rows) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        sample = _quick_tree(np.ascontiguousarray(vectors[::_SAMPLED]))
        expected = sample.count_neighbors(self._tree, self._reach) * _SAMPLED
        if expected > MAX_PAIRS:
            raise CatalogError(
                f"about {expected:.0e} pairs within {_arcsec(np.array(self._reach)):.3g} arcsec: "
                "give a smaller radius, and leave out rows of which one position stands for many"
            )
        batch = _quick_tree(vectors)
        near = batch.sparse_distance_matrix(self._tree, self._reach + _SLACK, output_type="ndarray")
        i, j = near["i"], near["j"]
        within = _lengths(vectors[i], self._vectors[j]) <= self._reach
        return rows[i[within]], self._rows[j[within]]

    def _nearest(
        self, vectors: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Which of the vectors have one of the list near, its place in the tree, its distance."""
        if len(vectors) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        # The second nearest tells whether there is a choice.
        distances, places = self._distinct_tree.query(
            vectors, k=2, distance_upper_bound=self._reach + _SLACK, workers=self._workers
        )
        hit = np.flatnonzero(np.isfinite(distances[:, 0]))
        found = self._of_distinct(np.asarray(places[hit, 0], np.int64))
        length = _lengths(vectors[hit], self._vectors[found])
        within = length <= self._reach
        hit, found, length = hit[within], found[within], length[within]
        tie = np.flatnonzero(distances[hit, 1] - length <= _SAME_CHORD)
        if len(tie):
            found[tie] = self._lowest(vectors[hit[tie]], length[tie])
            length[tie] = _lengths(vectors[hit[tie]], self._vectors[found[tie]])
        return hit, found, length

    def _lowest(
        self, vectors: NDArray[np.float64], length: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Of those of the list as near as `length`, the place of the one of lowest index."""
        reach = np.minimum(length + _SAME_CHORD, self._reach)
        near = self._distinct_tree.query_ball_point(vectors, reach + _SLACK, workers=self._workers)
        of = np.repeat(np.arange(len(near)), [len(each) for each in near])
        places = self._of_distinct(np.fromiter(chain.from_iterable(near), np.int64, len(of)))
        within = _lengths(vectors[of], self._vectors[places]) <= reach[of]
        of, places = of[within], places[within]
        order = np.lexsort((self._rows[places], of))
        _, first = np.unique(of[order], return_index=True)
        return places[order[first]]

    def _of_distinct(self, distinct: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places in the list of places among the distinct positions."""
        return distinct if self._first is None else self._first[distinct]

    @cached_property
    def _tree(self) -> cKDTree:
        return _quick_tree(self._vectors)

    @cached_property
    def _distinct_tree(self) -> cKDTree:
        return self._tree if self._first is None else _quick_tree(self._vectors[self._first])


def nearest_within(
    ra: ArrayLike,
    dec: ArrayLike,
    other_ra: ArrayLike,
    other_dec: ArrayLike,
    radius_arcsec: float,
    workers: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest of the other positions to each position, within a radius.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Degrees; RA from -180 to 360. What is not on the sky, NaN say, matches nothing.
    other_ra, other_dec : array_like, shape (M,)
        The same of the others.
    radius_arcsec : float
        Arcseconds; a pair at just this separation counts.
    workers : int
        Threads.

    Returns
    -------
    index : ndarray of int64, shape (N,)
        Index into the others; -1 where none is within the radius. Of several that are equally
        near (to `SAME`) the one of lowest index.
    separation_arcsec : ndarray of float64, shape (N,)
        NaN where there is none.

    Raises
    ------
    CatalogError
        For a radius that is negative or no number.
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    index, separation = np.full(len(ra), -1, np.int64), np.full(len(ra), np.nan)
    for rows, others, matcher in _strips(ra, dec, other_ra, other_dec, radius_arcsec, workers):
        found, separation[rows] = matcher.nearest(ra[rows], dec[rows])
        index[rows] = np.where(found >= 0, others[found], -1)
    return index, separation


def pairs_between(
    ra: ArrayLike,
    dec: ArrayLike,
    other_ra: ArrayLike,
    other_dec: ArrayLike,
    radius_arcsec: float,
) -> NDArray[np.int64]:
    """All pairs of a position and another one within a radius.

    Parameters
    ----------
    ra, dec, other_ra, other_dec, radius_arcsec
        As in `nearest_within`.

    Returns
    -------
    ndarray of int64, shape (pairs, 2)
        Indices into the positions and into the others, sorted.

    Raises
    ------
    CatalogError
        For a radius that is negative or no number, and for far too many pairs, see `MAX_PAIRS`.
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    nothing = np.empty(0, np.int64)
    first, second = [nothing], [nothing]
    for rows, others, matcher in _strips(ra, dec, other_ra, other_dec, radius_arcsec):
        i, j = matcher._near(ra[rows], dec[rows])
        first.append(rows[i])
        second.append(others[j])
    return _sorted(np.concatenate(first), np.concatenate(second))


def _strips(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    other_ra: ArrayLike,
    other_dec: ArrayLike,
    radius_arcsec: float,
    workers: int = 1,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Matcher]]:
    """Rows of a strip or a piece of it, rows of the others that can be near, and their matcher."""
    margin = _checked(radius_arcsec) / 3600 + 2 * SAME
    other_ra, other_dec = np.asarray(other_ra, np.float64), np.asarray(other_dec, np.float64)
    rows, others = _by_dec(ra, dec), _by_dec(other_ra, other_dec)
    if len(rows) == 0 or len(others) == 0:
        return
    sorted_dec = other_dec[others]
    # Strips thinner than their margins would have most positions in several trees.
    edges = [-np.inf]
    for edge in sorted_dec[STRIP_ROWS::STRIP_ROWS].tolist():
        if edge - edges[-1] >= 2 * margin:
            edges.append(edge)
    bounds = [*np.searchsorted(dec[rows], edges).tolist(), len(rows)]
    for first, last in pairwise(bounds):
        if first == last:
            continue
        low, high = dec[rows[first]] - margin, dec[rows[last - 1]] + margin
        start, end = np.searchsorted(sorted_dec, low), np.searchsorted(sorted_dec, high, "right")
        if start == end:
            continue
        near = np.sort(others[start:end])  # the lowest index of these is the lowest of all
        matcher = Matcher(other_ra[near], other_dec[near], radius_arcsec, workers)
        for begin in range(first, last, STRIP_ROWS):
            yield rows[begin : min(begin + STRIP_ROWS, last)], near, matcher


def _checked(radius_arcsec: float) -> float:
    if not 0 <= radius_arcsec <= MAX_RADIUS:
        raise CatalogError(
            f"match radius {radius_arcsec:g} is out of range: give arcseconds from 0 to "
            f"{MAX_RADIUS:g}"
        )
    return float(radius_arcsec)


def _by_dec(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows with a valid position, by declination."""
    valid = valid_positions(ra, dec)
    if valid.all():
        return np.argsort(dec)
    rows = np.flatnonzero(valid)
    return rows[np.argsort(dec[rows])]


def _placed(
    ra: ArrayLike, dec: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Rows with a valid position, near ones near each other, and their unit vectors.

    And whether the same vector is that of a lower row.
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    rows = np.flatnonzero(valid_positions(ra, dec))
    pixels = tile_pixels(ra[rows], dec[rows], DEEPEST_ORDER)
    order = np.argsort(pixels)
    rows, pixels = rows[order], pixels[order]
    vectors = unit_vectors(normalised_ra(ra[rows]), dec[rows])
    again = np.zeros(len(rows), bool)
    same = np.flatnonzero(pixels[1:] == pixels[:-1])
    if len(same):
        places = np.union1d(same, same + 1)
        places = places[np.argsort(rows[places])]
        again[places] = pd.DataFrame(vectors[places]).duplicated()
    return rows, vectors, again


def _quick_tree(vectors: NDArray[np.float64]) -> cKDTree:
    # Built for few queries: fast to make matters more than balance.
    return cKDTree(vectors, balanced_tree=False, compact_nodes=False)


def _lengths(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chords between vectors (N, 3) and vectors (N, 3)."""
    lengths: NDArray[np.float64] = np.sqrt(np.square(a - b).sum(axis=1))
    return lengths


def _arcsec(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles of chords."""
    angles: NDArray[np.float64] = np.degrees(2 * np.arcsin(np.minimum(lengths / 2, 1))) * 3600
    return angles


def _sorted(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of indices, shape (pairs, 2), by the first, then the second."""
    span = int(second.max(initial=0)) + 1
    keys = np.sort(first * span + second)  # one number sorts ten times as fast as two
    return np.stack(np.divmod(keys, span), axis=1)
