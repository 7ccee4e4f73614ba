"""Purity and completeness of a list that takes the best scores first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.evaluation.intervals import (
    Estimate,
    PatchBootstrap,
    jeffreys,
    percentile_interval,
    rate,
)

COMPLETENESS_LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Completeness at which purity is given."""

CURVE_POINTS = 100
"""Most points of a curve."""

THRESHOLDS = (0.001, 0.002, 0.005, 0.01, *(round(0.02 * step, 2) for step in range(1, 50)))
"""Scores at which purity and completeness are given."""

RANKED_LAST = 2.0
"""What `ranking_score` takes from sources that are ranked last: more than a probability can be."""

_ROUNDING = 1e-9

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def ranking_score(probability: Floats, last: Mask) -> Floats:
    """Give scores that order sources as their target list does, those that are ranked last too.

    Parameters
    ----------
    probability : ndarray of float64, shape (N,)
        NaN without a score.
    last : ndarray of bool, shape (N,)
        Sources that come after all others (`xsaga.targets.ranking.is_last`).

    Returns
    -------
    ndarray of float64, shape (N,)
        The probability; less `RANKED_LAST`, and so below 0, for sources that are ranked last.
    """
    return np.where(last, probability - RANKED_LAST, probability)


@dataclass(frozen=True)
class RankedSample:
    """Sources of a population, best score first.

    Parameters
    ----------
    score : ndarray of float64, shape (N,)
        Descending; −inf for sources without a score, which no list takes.
    positive : ndarray of bool, shape (N,)
        True where the label says that it is at low redshift.
    labelled : ndarray of bool, shape (N,)
        Purity is a share of these.
    patch : ndarray of int64, shape (N,)
        Patch of sky.
    ends : ndarray of int64
        Indices at which a list can end: the last source of each score, so that sources of one
        score are taken together or not at all.
    """

    score: Floats
    positive: Mask
    labelled: Mask
    patch: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        score: ArrayLike,
        positive: ArrayLike,
        labelled: ArrayLike,
        patch: ArrayLike,
    ) -> RankedSample:
        """Sort a population; NaN is no score."""
        given = np.asarray(score, np.float64)
        filled = np.where(np.isnan(given), -np.inf, given)
        order = np.argsort(-filled, kind="stable")
        ranked = filled[order]
        last = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.empty(0, bool)
        return cls(
            ranked,
            np.asarray(positive, bool)[order],
            np.asarray(labelled, bool)[order],
            np.asarray(patch, np.int64)[order],
            np.flatnonzero(last & np.isfinite(ranked)),
        )

    def cumulative(self, patch_weights: Floats | None = None) -> tuple[Floats, Floats, float]:
        """Count what the lists hold.

        Parameters
        ----------
        patch_weights : ndarray of float64, shape (patches,), optional
            How often each patch counts; once if None.

        Returns
        -------
        found : ndarray, shape of `ends`
            Positives in the list.
        judged : ndarray, shape of `ends`
            Labelled sources in the list.
        positives : float
            Positives in the whole population, with a score or not.
        """
        weight = 1.0 if patch_weights is None else patch_weights[self.patch]
        found = np.cumsum(self.positive * weight)
        judged = np.cumsum(self.labelled * weight)
        total = float(found[-1]) if len(found) else 0.0
        return found[self.ends], judged[self.ends], total


def purity_at(
    sample: RankedSample, completeness: float, patch_weights: Floats | None = None
) -> float:
    """Best purity of a list that reaches a completeness; NaN where none does.

    As `xsaga.model.metrics.purity_at_completeness`, with sources that have no label or no score.
    """
    best = _best_list(*sample.cumulative(patch_weights), completeness)
    return float("nan") if best is None else best[1]


def _best_list(
    found: Floats, judged: Floats, positives: float, completeness: float
) -> tuple[int, float] | None:
    """Find which list of those complete enough is purest, and its purity."""
    enough = int(np.searchsorted(found, completeness * positives * (1 - _ROUNDING)))
    if positives == 0 or enough == len(found):
        return None
    purity = found[enough:] / judged[enough:]
    best = int(np.argmax(purity))
    return enough + best, float(purity[best])


def average_precision(sample: RankedSample, patch_weights: Floats | None = None) -> float:
    """Sum of purity times gain of completeness over all lists, Σ (Rᵢ − Rᵢ₋₁) Pᵢ.

    As `xsaga.model.metrics.average_precision`, but positives that no list can take (they have
    no score) add nothing.
    """
    found, judged, total = sample.cumulative(patch_weights)
    if total == 0:
        return float("nan")
    purity = np.divide(found, judged, out=np.zeros_like(found), where=judged > 0)
    return float(np.sum(np.diff(found, prepend=0.0) / total * purity))


@dataclass(frozen=True)
class FixedCompleteness:
    """The purest list that reaches a completeness.

    Parameters
    ----------
    completeness : float
        Asked for.
    purity : Estimate
        Interval from the bootstrap; NaN where the scored sources do not reach that completeness.
    threshold : float
        Lowest score in the list; below 0 where it goes on into sources that are ranked last
        (`ranking_score`).
    selected : int
        Sources in it.
    """

    completeness: float
    purity: Estimate
    threshold: float
    selected: int


def fixed_completeness(
    sample: RankedSample, completeness: float, bootstrap: PatchBootstrap
) -> FixedCompleteness:
    """Measure the purest list that reaches a completeness."""
    best = _best_list(*sample.cumulative(), completeness)
    if best is None:
        return FixedCompleteness(completeness, Estimate(float("nan")), float("nan"), 0)
    end, purity = int(sample.ends[best[0]]), best[1]
    draws = bootstrap.values(lambda weights: purity_at(sample, completeness, weights))
    return FixedCompleteness(
        completeness, percentile_interval(purity, draws), float(sample.score[end]), end + 1
    )


@dataclass(frozen=True)
class CurvePoint:
    """One list.

    Parameters
    ----------
    threshold : float
        Lowest score that it takes; see `FixedCompleteness`.
    selected : int
        Sources in it.
    purity, completeness : Estimate
        With binomial intervals.
    """

    threshold: float
    selected: int
    purity: Estimate
    completeness: Estimate


def threshold_curve(sample: RankedSample) -> list[CurvePoint]:
    """Measure lists of all sources with a score of at least each of `THRESHOLDS`."""
    found, judged, total = sample.cumulative()
    lowest = sample.score[sample.ends]
    points = []
    for threshold in THRESHOLDS:
        lists = int(np.searchsorted(-lowest, -threshold, side="right"))
        k, n = (float(found[lists - 1]), float(judged[lists - 1])) if lists else (0.0, 0.0)
        selected = int(sample.ends[lists - 1]) + 1 if lists else 0
        points.append(CurvePoint(threshold, selected, rate(k, n), rate(k, total)))
    return points


def completeness_curve(sample: RankedSample) -> list[CurvePoint]:
    """Measure lists that end at a positive, at most `CURVE_POINTS` of them, from the shortest."""
    found, judged, total = sample.cumulative()
    gains = np.flatnonzero(np.diff(found, prepend=0.0) > 0)
    if len(gains) > CURVE_POINTS:
        gains = gains[np.unique(np.linspace(0, len(gains) - 1, CURVE_POINTS).round().astype(int))]
    low, high = jeffreys(found[gains], judged[gains])
    ends = sample.ends[gains]
    return [
        CurvePoint(
            float(sample.score[end]),
            int(end) + 1,
            Estimate(float(found[at] / judged[at]), float(low[i]), float(high[i])),
            rate(float(found[at]), total),
        )
        for i, (at, end) in enumerate(zip(gains.tolist(), ends.tolist(), strict=True))
    ]
