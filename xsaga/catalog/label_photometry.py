"""Photometry of labels from a catalog of sources."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from xsaga.catalog.identifiers import IdKind
from xsaga.catalog.readers import Catalog
from xsaga.catalog.redshift_catalogs import PHOTOMETRY
from xsaga.catalog.sources import complete_sources
from xsaga.catalog.standard import ReadingNotes
from xsaga.sky.positions import chord, unit_vectors


def with_photometry(
    rows: pd.DataFrame, catalog: Catalog, radius_arcsec: float, notes: ReadingNotes
) -> tuple[pd.DataFrame, int]:
    """Give rows the position, identifier and photometry of the sources that they match.

    A row matches the source with its own identifier if that is within the radius, else the nearest
    one within the radius. A row without match keeps what it has.

    Parameters
    ----------
    rows : DataFrame
        As `xsaga.catalog.redshift_catalogs.read_redshifts` gives them.
    catalog : Catalog
        The sources, e.g. sweep files; read in pieces.
    radius_arcsec : float
        Arcseconds.
    notes : ReadingNotes
        Takes warnings.

    Returns
    -------
    rows : DataFrame
    matched : int
        How many rows have a match.
    """
    rows = rows.reset_index(drop=True)
    places = unit_vectors(rows["ra"], rows["dec"])
    reach = chord(radius_arcsec / 3600)
    nearest = np.full(len(rows), np.inf)
    taken = rows[["ra", "dec", "label_id", "id_known", *PHOTOMETRY]].copy()
    for batch in catalog.batches(notes):
        if not batch.sources.num_rows:
            continue
        sources = complete_sources(batch.sources)
        vectors = unit_vectors(sources["ra"], sources["dec"])
        tree = cKDTree(vectors, balanced_tree=False, compact_nodes=False)
        found = tree.query(places, distance_upper_bound=np.nextafter(reach, np.inf))
        distance, index = np.asarray(found[0], np.float64), np.asarray(found[1], np.int64)
        distance, index = _same_identifier(rows, sources, places, vectors, reach, distance, index)
        better = np.flatnonzero(distance < nearest)
        nearest[better] = distance[better]
        _take(taken, better, sources.iloc[index[better]])
    rows[taken.columns] = taken
    return rows, int(np.isfinite(nearest).sum())


def _same_identifier(
    rows: pd.DataFrame,
    sources: pd.DataFrame,
    places: NDArray[np.float64],
    vectors: NDArray[np.float64],
    reach: float,
    distance: NDArray[np.float64],
    index: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Let a source with the row's own identifier win over a nearer one."""
    by_id = np.argsort(sources["source_id"].to_numpy(), kind="stable")
    ids = sources["source_id"].to_numpy()[by_id]
    at = by_id[np.minimum(np.searchsorted(ids, rows["label_id"].to_numpy()), len(ids) - 1)]
    same = sources["source_id"].to_numpy()[at] == rows["label_id"].to_numpy()
    same &= np.sqrt(np.square(vectors[at] - places).sum(axis=1)) <= reach
    return np.where(same, -1.0, distance), np.where(same, at, index)


def _take(taken: pd.DataFrame, where: NDArray[np.int64], sources: pd.DataFrame) -> None:
    """Put values of the sources into rows of `taken`."""
    known = (sources["id_kind"] != IdKind.POSITION.label).to_numpy()
    values = sources[["ra", "dec", *PHOTOMETRY]].assign(
        label_id=sources["source_id"], id_known=known
    )
    for name in taken:
        column = taken[name].to_numpy(copy=True)
        column[where] = values[name].to_numpy()
        taken[name] = column
