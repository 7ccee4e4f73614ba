"""Groups of labels that folds keep together, so that no patch of sky is in two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from xsaga.catalog.matching import pairs_within
from xsaga.sky.positions import chord, unit_vectors
from xsaga.sky.tiles import tile_pixels

FIELD_RADIUS_DEG = 1.0
"""So near to an object of a host's field, other objects belong to that field."""

SEPARATION_ARCSEC = 60.0
"""Two cutouts of 144 pixels (37.7") cannot share a pixel when their centres are 53.4" apart."""


@dataclass(frozen=True)
class LabelGroups:
    """Groups of labels.

    Parameters
    ----------
    group : ndarray of int64, shape (N,)
        NESTED HEALPix pixel below ``12 · 4**order``, a field of one or more hosts from there on.
    crowded : ndarray of bool, shape (N,)
        Labels that must be left out for the rest to keep their distance: nearer than the
        separation to a label of another group.
    """

    group: NDArray[np.int64]
    crowded: NDArray[np.bool_]


def label_groups(
    ra: ArrayLike,
    dec: ArrayLike,
    host: ArrayLike,
    *,
    order: int,
    separation_arcsec: float = SEPARATION_ARCSEC,
    favoured: ArrayLike | None = None,
) -> LabelGroups:
    """Divide labels into groups of sky.

    A label with a host belongs to the field of that host; fields that come nearer to each other
    than the separation are one. A label without a host that is within `FIELD_RADIUS_DEG` of one
    with a host belongs to the nearest such field, whichever catalog it is from; any other one
    belongs to its HEALPix pixel. Pixels (and fields) of a densely covered sky touch: of two labels
    of different groups nearer than the separation one is marked as crowded, one that has no host
    first, then one that is not favoured. Without the crowded ones, labels nearer to each other
    than the separation are always of one group.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Degrees; must be valid positions.
    host : array_like of str, shape (N,)
        Host of each label; empty where there is none.
    order : int
        HEALPix order of the pixels.
    separation_arcsec : float
        Arcseconds; 0 leaves nothing out and joins no fields.
    favoured : array_like of bool, shape (N,), optional
        Labels to keep rather than others.

    Returns
    -------
    LabelGroups
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    names, code = np.unique(np.asarray(host, str), return_inverse=True)
    hosted = names[code] != "" if len(names) else np.zeros(0, bool)
    pairs = pairs_within(ra, dec, separation_arcsec) if separation_arcsec > 0 else _NO_PAIRS
    field = _joined_fields(code, len(names), pairs[hosted[pairs].all(axis=1)])
    group = np.where(hosted, 12 * 4**order + field[code], 0)
    if not hosted.all():
        group[~hosted] = tile_pixels(ra[~hosted], dec[~hosted], order)
        if hosted.any():
            vectors = unit_vectors(ra, dec)
            found = cKDTree(vectors[hosted]).query(
                vectors[~hosted], distance_upper_bound=chord(FIELD_RADIUS_DEG)
            )
            inside, nearest = np.isfinite(found[0]), np.asarray(found[1])
            group[np.flatnonzero(~hosted)[inside]] = group[hosted][nearest[inside]]
    rank = 2 * hosted.astype(np.int8)
    if favoured is not None:
        rank += np.asarray(favoured, bool)
    return LabelGroups(group, _losers(group, rank, pairs))


_NO_PAIRS = np.empty((0, 2), np.int64)


def _joined_fields(
    code: NDArray[np.int64], hosts: int, pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Field of each host: the first in alphabetical order of those that are one with it."""
    links = np.unique(code[pairs], axis=0)
    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), (hosts, hosts))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    joined: NDArray[np.int64] = first[inverse].astype(np.int64)
    return joined


def _losers(
    group: NDArray[np.int64], rank: NDArray[np.int8], pairs: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Of each pair of labels of different groups the one of lower rank, else of higher group."""
    apart = pairs[group[pairs[:, 0]] != group[pairs[:, 1]]]
    left, right = apart[:, 0], apart[:, 1]
    left_goes = np.where(
        rank[left] == rank[right], group[left] > group[right], rank[left] < rank[right]
    )
    losers = np.zeros(len(group), bool)
    losers[np.where(left_goes, left, right)] = True
    return losers
