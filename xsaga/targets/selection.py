"""From ranked sources to targets: exclusions, tiers, and no two closer than fibers can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.matching import pairs_within
from xsaga.sky.positions import unit_vectors
from xsaga.targets.separation import thinned
from xsaga.targets.tiers import TierChoice, Tiers

TOO_CLOSE: Final = "too close to a better target"
NO_TIER: Final = "in no tier"

NOT_TARGET_COLUMNS: Final = ("source_id", "ra", "dec", "p_lowz", "tier", "reason", "detail")
"""Columns of ``not-targets.parquet``; ``tier`` is the one whose place a source takes that is
observed or has a good redshift, else 0."""


@dataclass(frozen=True)
class Exclusions:
    """Why some of N sources are no targets.

    Parameters
    ----------
    reason : ndarray of str, shape (N,)
        Empty for those that may be targets.
    detail : ndarray of str, shape (N,)
        What exactly: which catalog, row, bit.
    keeps_place : ndarray of bool, shape (N,)
        Excluded sources that count for the density of a tier as if they were targets: what was
        observed has used its place.
    """

    reason: NDArray[np.object_]
    detail: NDArray[np.object_]
    keeps_place: NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """What became of all scored sources.

    Parameters
    ----------
    targets : DataFrame
        By tier, in each by probability, with `rank` (int64, from 1, the place in this list),
        `tier` (int16) and `priority` (int32).
    not_targets : DataFrame
        `NOT_TARGET_COLUMNS` of the others, best first.
    """

    targets: pd.DataFrame
    not_targets: pd.DataFrame

    def reasons(self) -> Mapping[str, int]:
        """How many sources are no targets, by reason."""
        counts = self.not_targets["reason"].value_counts()
        return {str(reason): int(count) for reason, count in counts.sort_index().items()}


def select_targets(
    ranked: pd.DataFrame,
    choice: TierChoice,
    tiers: Tiers,
    exclusions: Exclusions,
    min_separation: float = 0.0,
) -> Selection:
    """Choose the targets among ranked sources.

    Parameters
    ----------
    ranked : DataFrame
        Of `xsaga.targets.ranking.rank_sources`, N rows, best first.
    choice : TierChoice
        What the rules look at, in the same order.
    tiers : Tiers
        The rules.
    exclusions : Exclusions
        In the same order.
    min_separation : float
        Of targets closer than this (arcsec) the one later in the list is none, and the tier takes
        another in its stead.

    Returns
    -------
    Selection
    """
    reason, detail = exclusions.reason.copy(), exclusions.detail.copy()
    eligible = (reason == "") | exclusions.keeps_place
    while True:
        tier = choice.tiers(tiers, eligible)
        rows = np.flatnonzero((tier > 0) & (reason == ""))
        rows = rows[np.argsort(tier[rows], kind="stable")]
        dropped, beside = _too_close(ranked, rows, min_separation)
        if len(dropped) == 0:
            break
        eligible[dropped] = False
        reason[dropped] = TOO_CLOSE
        detail[dropped] = _how_close(ranked, dropped, beside)
    targets = ranked.iloc[rows].reset_index(drop=True)
    targets["rank"] = np.arange(1, len(targets) + 1, dtype=np.int64)
    targets["tier"] = tier[rows]
    targets["priority"] = np.asarray(tiers.priorities, dtype=np.int32)[tier[rows] - 1]
    reason[(reason == "") & (tier == 0)] = NO_TIER
    rest = reason != ""
    not_targets = ranked.loc[rest, ["source_id", "ra", "dec", "p_lowz"]].assign(
        tier=tier[rest], reason=reason[rest].astype(str), detail=detail[rest].astype(str)
    )
    return Selection(targets, not_targets[list(NOT_TARGET_COLUMNS)].reset_index(drop=True))


def _too_close(
    ranked: pd.DataFrame, rows: NDArray[np.int64], min_separation: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to drop, and the better ones beside them."""
    if min_separation <= 0:
        return rows[:0], rows[:0]
    ra, dec = (ranked[name].to_numpy()[rows] for name in ("ra", "dec"))
    beside = thinned(pairs_within(ra, dec, min_separation), len(rows))
    drop = beside >= 0
    return rows[drop], rows[beside[drop]]


def _how_close(
    ranked: pd.DataFrame, rows: NDArray[np.int64], beside: NDArray[np.int64]
) -> list[str]:
    ra, dec = ranked["ra"].to_numpy(), ranked["dec"].to_numpy()
    apart = unit_vectors(ra[rows], dec[rows]) - unit_vectors(ra[beside], dec[beside])
    arcsec = np.degrees(2 * np.arcsin(np.sqrt(np.square(apart).sum(axis=1)) / 2)) * 3600
    ids = ranked["source_id"].to_numpy()[beside]
    return [f"{a:.1f} arcsec from {i}" for a, i in zip(arcsec, ids, strict=True)]
