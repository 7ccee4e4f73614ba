"""What is known of the sources: labels joined to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from xsaga.catalog.label_file import read_labels
from xsaga.errors import EvaluationError
from xsaga.sky.positions import chord, separation, unit_vectors

MATCH_RADIUS = 1.0
"""Arcseconds within which a label is of a source."""


@dataclass(frozen=True)
class Labels:
    """Labels as `xsaga labels` writes them: every one is of known class.

    Parameters
    ----------
    path : Path
        The file.
    table : DataFrame
        Columns of `xsaga.catalog.label_file.LABEL_FIELDS`.
    record : mapping
        What the file says of itself.
    """

    path: Path
    table: pd.DataFrame
    record: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Labels:
        """Read a file of labels.

        Raises
        ------
        CatalogError
            It cannot be read or is something else.
        """
        content = read_labels(path)
        return cls(path, content.table, content.record)

    @property
    def simulated(self) -> bool:
        """Whether the labels are those of a simulated sky."""
        return bool(self.record.get("simulated", False))

    @property
    def z_limit(self) -> float:
        """Redshift below which a galaxy is a positive."""
        return float(self.record["z_limit"])


@dataclass(frozen=True)
class JoinCounts:
    """How labels and sources met.

    Parameters
    ----------
    labels : int
        Rows of labels.
    by_id, by_position : int
        Labels that met a source by its id, else by position.
    id_elsewhere : int
        Labels whose id is that of a source more than `MATCH_RADIUS` away: not matched by it.
    unmatched : int
        Labels that met no source of the run.
    unmatched_lowz : int
        Positives among these.
    """

    labels: int
    by_id: int
    by_position: int
    id_elsewhere: int
    unmatched: int
    unmatched_lowz: int

    def to_dict(self) -> dict[str, int]:
        """Give JSON types."""
        return asdict(self)


def join_labels(sources: pd.DataFrame, labels: Labels) -> tuple[pd.DataFrame, JoinCounts]:
    """Give each source what its label says.

    By id where the label lies within `MATCH_RADIUS` of the source of that id (the bricks of two
    simulated skies have the same ids), else the nearest source within that radius; a source takes
    one label, the nearest.

    Parameters
    ----------
    sources : DataFrame
        ``source_id``, ``ra``, ``dec``.
    labels : Labels
        What is known.

    Returns
    -------
    joined : DataFrame
        `sources` with ``labelled``, ``lowz`` (z below the limit and no shred), ``z_true``,
        ``shred``, ``kind``, ``conflict`` and ``training`` of `LABEL_FIELDS`.
    counts : JoinCounts
    """
    table = labels.table
    rows = pd.Index(sources["source_id"]).get_indexer(table["label_id"])
    where = unit_vectors(sources["ra"], sources["dec"])
    wanted = unit_vectors(table["ra"], table["dec"])
    same_id = np.flatnonzero(rows >= 0)
    near = separation(where[rows[same_id]], wanted[same_id]) * 3600 <= MATCH_RADIUS
    by_id = same_id[near]
    label_of = np.full(len(sources), -1, np.int64)
    label_of[rows[by_id]] = by_id
    rest = np.setdiff1d(np.arange(len(table)), by_id)
    by_position = _nearest(where, wanted, rest, np.flatnonzero(label_of < 0), label_of)
    matched = np.isin(np.arange(len(table)), label_of)
    has = label_of >= 0
    label = table.iloc[label_of[has]]
    joined = sources.assign(
        labelled=has,
        lowz=False,
        z_true=np.nan,
        shred=False,
        kind="",
        conflict=False,
        training=False,
    )
    for name, column in (
        ("lowz", "is_lowz"),
        ("z_true", "z"),
        ("shred", "shred"),
        ("kind", "kind"),
        ("conflict", "conflict"),
        ("training", "training"),
    ):
        values = joined[name].to_numpy(copy=True)
        values[has] = label[column].to_numpy()
        joined[name] = values
    return joined, JoinCounts(
        labels=len(table),
        by_id=len(by_id),
        by_position=by_position,
        id_elsewhere=int((~near).sum()),
        unmatched=int((~matched).sum()),
        unmatched_lowz=int(table["is_lowz"].to_numpy()[~matched].sum()),
    )


def refuse_other_sky(labels: Labels, counts: JoinCounts, run: str) -> None:
    """Refuse labels that met no source.

    Parameters
    ----------
    labels : Labels
        What was joined.
    counts : JoinCounts
        How they met the sources.
    run : str
        Name of the run in the message.

    Raises
    ------
    EvaluationError
        None of the labels is of a source.
    """
    if counts.by_id + counts.by_position:
        return
    elsewhere = (
        f" ({counts.id_elsewhere:,} have the id of one elsewhere: labels of another sky?)"
        if counts.id_elsewhere
        else ""
    )
    raise EvaluationError(
        f"{labels.path}: none of {counts.labels:,} labels is of a source of {run}{elsewhere}; "
        "give the labels of that sky"
    )


def _nearest(
    where: NDArray[np.float64],
    wanted: NDArray[np.float64],
    labels: NDArray[np.int64],
    free: NDArray[np.int64],
    label_of: NDArray[np.int64],
) -> int:
    """Give the sources `free` their nearest label of `labels`; return how many got one."""
    if len(labels) == 0 or len(free) == 0:
        return 0
    distance, nearest = map(
        np.asarray,
        cKDTree(where[free]).query(wanted[labels], distance_upper_bound=chord(MATCH_RADIUS / 3600)),
    )
    hit = np.isfinite(distance)
    # Farthest first, so that where two labels want one source the nearer is written last.
    order = np.flatnonzero(hit)[np.argsort(-distance[hit], kind="stable")]
    label_of[free[nearest[order]]] = labels[order]
    return int((label_of[free] >= 0).sum())
