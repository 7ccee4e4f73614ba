"""Labels of known class: rows with redshifts, one per object, each near or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xsaga.catalog.identifiers import position_ids
from xsaga.catalog.label_groups import SEPARATION_ARCSEC, label_groups
from xsaga.catalog.matching import pairs_within
from xsaga.catalog.redshift_catalogs import PHOTOMETRY
from xsaga.errors import CatalogError, ConfigError

Z_LIMIT = 0.03
"""Galaxies nearer than this are the class that xsaga looks for."""

_MAX_ORDER = 12


@dataclass(frozen=True)
class LabelSettings:
    """How rows with redshifts become labels.

    Parameters
    ----------
    z_limit : float
        Galaxies below this redshift are of the class.
    z_min : float
        What is below this redshift counts as a star, so not as of the class, unless it has a host
        or its catalog calls it a galaxy. 0.001 is 300 km/s: few stars of the halo are faster.
    min_quality : int
        Least ``z_quality`` of a redshift.
    match_radius : float
        Arcseconds; rows nearer to each other are one object.
    max_dz : float
        Redshifts of one object that differ by more are in conflict.
    group_order : int
        HEALPix order of the groups where there is no host.
    separation : float
        Arcseconds between labels of different groups; 0 leaves out none for that reason.

    Raises
    ------
    ConfigError
        For a number that makes no sense.
    """

    z_limit: float = Z_LIMIT
    z_min: float = 0.001
    min_quality: int = 3
    match_radius: float = 1.0
    max_dz: float = 0.003
    group_order: int = 6
    separation: float = SEPARATION_ARCSEC

    def __post_init__(self) -> None:
        wrong = {
            f"--z-limit {self.z_limit:g}: give a redshift above --z-min {self.z_min:g}": not (
                self.z_min < self.z_limit < np.inf
            ),
            f"--match-radius {self.match_radius:g}: give arcsec, 0 to 60": not (
                0 <= self.match_radius <= 60
            ),
            f"--max-dz {self.max_dz:g}: give a difference of redshifts, 0 or more": not (
                self.max_dz >= 0
            ),
            f"--group-order {self.group_order}: give 0 to {_MAX_ORDER}": not (
                0 <= self.group_order <= _MAX_ORDER
            ),
            f"--separation {self.separation:g}: give arcsec, 0 to 600": not (
                0 <= self.separation <= 600
            ),
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(message)


@dataclass(frozen=True)
class Labels:
    """Labels and what was worth noting when they were made.

    Parameters
    ----------
    table : DataFrame
        One row per object, see `xsaga.catalog.label_file.LABEL_FIELDS`.
    conflicts : DataFrame
        The rows of objects whose redshifts disagree, see `CONFLICT_COLUMNS`.
    duplicates : int
        Rows that went into another one of the same object.
    conflicting : int
        Objects whose redshifts disagree.
    conflicting_class : int
        Those of them for which the redshifts are on both sides of the limit.
    local : int
        Objects that are not of the class because they are below ``z_min``.
    crowded : int
        Objects left out because they are too near to another group.
    """

    table: pd.DataFrame
    conflicts: pd.DataFrame
    duplicates: int
    conflicting: int
    conflicting_class: int
    local: int
    crowded: int


CONFLICT_COLUMNS = (
    "object",
    "kept",
    "label_id",
    "ra",
    "dec",
    "z",
    "z_quality",
    "is_lowz",
    "source",
    "host",
    "input_file",
    "input_row",
)
"""Columns of the table of conflicts: ``object`` numbers the objects from 1, ``is_lowz`` is the
class that the row alone would give, ``input_file`` and ``input_row`` count from 0."""


def make_labels(rows: pd.DataFrame, settings: LabelSettings) -> Labels:
    """Make one label of the rows of each object.

    Rows nearer to each other than the match radius, and rows connected by such, are one object.
    Its redshift, position and shred come from the row of the best quality (of equal ones that which
    is no shred, then the first one); photometry, host, kind and identifier from the first row in
    that order that has them. It is in conflict where its redshifts disagree, or a row says that
    they did.

    Parameters
    ----------
    rows : DataFrame
        As `xsaga.catalog.redshift_catalogs.read_redshifts` gives them.
    settings : LabelSettings

    Returns
    -------
    Labels

    Raises
    ------
    CatalogError
        When there are no rows.
    """
    if rows.empty:
        raise CatalogError(
            "no row of the catalogs has a position and a redshift that is good enough: look at "
            f"--min-quality {settings.min_quality} and the columns that were taken"
        )
    rows = rows.reset_index(drop=True)
    lowz, local = _classes(rows, settings)
    objects = _Objects.of(rows, settings.match_radius)
    # A file of labels keeps one row of an object whose redshifts disagreed, and says so.
    conflict = objects.any(rows["conflict"].to_numpy(bool))
    conflict |= objects.spread(rows["z"].to_numpy()) > settings.max_dz
    kept = objects.first
    table = rows.iloc[kept].reset_index(drop=True)
    for columns, known in (
        (list(PHOTOMETRY), np.isfinite(rows["mag_r"].to_numpy())),
        (["host"], (rows["host"] != "").to_numpy()),
        (["kind"], (rows["kind"] != "").to_numpy()),
        (["label_id", "id_known"], rows["id_known"].to_numpy(bool)),
    ):
        table[columns] = rows.loc[objects.first_where(known), columns].to_numpy()
    table = table.astype({name: rows[name].dtype for name in (*PHOTOMETRY, "label_id", "id_known")})
    table["label_id"] = _unique_ids(table)
    table["is_lowz"], local = _classes(table, settings)
    table["n_matched"] = objects.sizes
    table["conflict"] = conflict
    groups = label_groups(
        table["ra"],
        table["dec"],
        table["host"],
        order=settings.group_order,
        separation_arcsec=settings.separation,
        favoured=table["is_lowz"],
    )
    table["group"] = groups.group
    return Labels(
        table[~groups.crowded].reset_index(drop=True),
        _conflicts(rows.assign(is_lowz=lowz), objects, conflict),
        duplicates=len(rows) - len(table),
        conflicting=int(conflict.sum()),
        conflicting_class=int((conflict & (objects.spread(lowz.astype(float)) > 0)).sum()),
        local=int(local.sum()),
        crowded=int(groups.crowded.sum()),
    )


@dataclass(frozen=True)
class _Objects:
    """Which rows are one object.

    Parameters
    ----------
    number : ndarray of int64, shape (rows,)
        Object of each row.
    order : ndarray of int64, shape (rows,)
        Rows sorted by object, those to prefer first.
    start : ndarray of int64, shape (objects,)
        Where each object begins in `order`.
    """

    number: NDArray[np.int64]
    order: NDArray[np.int64]
    start: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pd.DataFrame, radius_arcsec: float) -> _Objects:
        count = len(rows)
        pairs = pairs_within(rows["ra"], rows["dec"], radius_arcsec)
        links = coo_array((np.ones(len(pairs), np.int8), pairs.T), (count, count))
        _, component = connected_components(links, directed=False)
        preference = np.lexsort((np.arange(count), rows["shred"], -rows["z_quality"]))
        # number objects by the place of their best row in the input
        by_component = preference[np.argsort(component[preference], kind="stable")]
        start = np.flatnonzero(np.diff(component[by_component], prepend=-1))
        rank = np.empty(len(start), np.int64)
        rank[np.argsort(by_component[start])] = np.arange(len(start))
        number = rank[component]
        order = preference[np.argsort(number[preference], kind="stable")]
        return cls(number, order, np.flatnonzero(np.diff(number[order], prepend=-1)))

    @property
    def first(self) -> NDArray[np.int64]:
        """Best row of each object."""
        return self.order[self.start]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each object."""
        return np.diff(self.start, append=len(self.order))

    def first_where(self, condition: NDArray[np.bool_]) -> NDArray[np.int64]:
        """First row of each object that meets a condition, else its best row."""
        found = self.first.copy()
        meeting = self.order[condition[self.order]]
        objects, place = np.unique(self.number[meeting], return_index=True)
        found[objects] = meeting[place]
        return found

    def any(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a value is true in any row of each object."""
        found: NDArray[np.bool_] = np.logical_or.reduceat(values[self.order], self.start)
        return found

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest difference of a value within each object; NaN is not looked at."""
        ordered = values[self.order]
        known = np.isfinite(ordered)
        high = np.maximum.reduceat(np.where(known, ordered, -np.inf), self.start)
        low = np.minimum.reduceat(np.where(known, ordered, np.inf), self.start)
        spread: NDArray[np.float64] = np.maximum(high - low, 0.0)
        return spread


def _classes(
    rows: pd.DataFrame, settings: LabelSettings
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are of the class, and which are not only because they are too near."""
    near = (rows["z"] < settings.z_limit) & ~rows["shred"] & rows["kind"].isin(["", "galaxy"])
    local = (rows["z"] < settings.z_min) & (rows["kind"] != "galaxy") & (rows["host"] == "")
    return (near & ~local).to_numpy(bool), (near & local).to_numpy(bool)


def _unique_ids(table: pd.DataFrame) -> NDArray[np.int64]:
    """Give identifiers; where one comes again (two catalogs that count from 1) the position's."""
    again = table["label_id"].duplicated().to_numpy()
    return np.where(again, position_ids(table["ra"], table["dec"]), table["label_id"].to_numpy())


def _conflicts(rows: pd.DataFrame, objects: _Objects, conflict: NDArray[np.bool_]) -> pd.DataFrame:
    members = objects.order[conflict[objects.number[objects.order]]]
    table = rows.iloc[members].reset_index(drop=True)
    table["object"] = pd.factorize(objects.number[members])[0] + 1
    table["kept"] = np.isin(members, objects.first)
    return table[list(CONFLICT_COLUMNS)]
