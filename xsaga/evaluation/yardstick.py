"""The ranked-list yardstick: how good the best N targets per square degree are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.evaluation.intervals import Estimate, rate

NEAR_Z = 0.02
"""Completeness of the yardstick is that of galaxies nearer than this."""

PUBLISHED_Z = 0.03
"""Purity of the published lists is that of galaxies nearer than this."""


@dataclass(frozen=True)
class PublishedList:
    """What DESI LOW-Z published for a list at 19 < r < 21.

    Parameters
    ----------
    per_deg2 : float
        Targets per square degree.
    completeness : float
        Of z < `NEAR_Z`.
    purity : float
        At z < `PUBLISHED_Z`.
    """

    per_deg2: float
    completeness: float
    purity: float


PUBLISHED = (
    PublishedList(2, 0.64, 0.376),
    PublishedList(5, 0.81, 0.231),
    PublishedList(10, 0.92, 0.140),
    PublishedList(20, 0.94, 0.076),
    PublishedList(50, 0.97, 0.032),
)
"""Darragh-Ford et al. 2023 (arXiv:2212.07433), as the project's facts quote them."""


@dataclass(frozen=True)
class RankedList:
    """The best targets of an area.

    Parameters
    ----------
    per_deg2 : float
        Targets per square degree asked for.
    targets : int
        Targets in the list; fewer where there are not enough scored sources.
    completeness : Estimate
        Share of the population's near galaxies that the list holds.
    purity : Estimate
        Share of low-redshift galaxies among its labelled targets.
    """

    per_deg2: float
    targets: int
    completeness: Estimate
    purity: Estimate


def ranked_lists(
    score: ArrayLike,
    source_id: NDArray[np.int64],
    lowz: NDArray[np.bool_],
    near: NDArray[np.bool_],
    labelled: NDArray[np.bool_],
    area_deg2: float,
) -> list[RankedList]:
    """Measure the lists of the published densities.

    Parameters
    ----------
    score : array_like, shape (N,)
        NaN: cannot be a target. Equal scores are ordered by `source_id`. For the list that a run
        delivers give minus the rank.
    source_id : ndarray of int64, shape (N,)
    lowz, near, labelled : ndarray of bool, shape (N,)
        Low redshift; below `NEAR_Z`; whether the label is known.
    area_deg2 : float
        Area that the sources come from.

    Returns
    -------
    list of RankedList
        One for each of `PUBLISHED`.
    """
    given = np.asarray(score, np.float64)
    order = np.lexsort((source_id, -np.nan_to_num(given, nan=-np.inf)))
    order = order[: int(np.isfinite(given).sum())]
    lists = []
    for published in PUBLISHED:
        taken = order[: max(1, round(published.per_deg2 * area_deg2))]
        lists.append(
            RankedList(
                published.per_deg2,
                len(taken),
                rate(int(near[taken].sum()), int(near.sum())),
                rate(int(lowz[taken].sum()), int(labelled[taken].sum())),
            )
        )
    return lists
