"""Whether probabilities are what they say: reliability and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xsaga.evaluation.intervals import Estimate, rate

BINS = 10
"""Bins of a reliability diagram."""

JUDGED_ABOVE = 0.1
"""Bins of a mean probability above this are compared with their binomial intervals."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Sources of similar probability.

    Parameters
    ----------
    low, high : float
        Range of probability; the upper end belongs to it.
    sources, lowz : int
        How many, and how many of them are positives.
    mean_probability : float
        What was said.
    observed : Estimate
        What was found, with the binomial interval.
    agrees : bool
        Whether `mean_probability` lies in the interval.
    """

    low: float
    high: float
    sources: int
    lowz: int
    mean_probability: float
    observed: Estimate
    agrees: bool


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram.

    Parameters
    ----------
    binning : str
        'equal width' or 'equal count'.
    bins : tuple of ReliabilityBin
        Those that hold sources.
    expected_calibration_error : float
        Mean of |observed − said| over bins, weighted by their sources (Naeini et al. 2015).
    judged, agreeing : int
        Bins with a mean probability above `JUDGED_ABOVE`, and those of them that agree.
    """

    binning: str
    bins: tuple[ReliabilityBin, ...]
    expected_calibration_error: float
    judged: int
    agreeing: int


def reliability(
    probability: NDArray[np.float64], positive: NDArray[np.bool_], binning: str
) -> Reliability:
    """Measure a reliability diagram.

    Parameters
    ----------
    probability : ndarray of float64, shape (N,)
        Probabilities of being positive.
    positive : ndarray of bool, shape (N,)
    binning : str
        'equal width': `BINS` bins of the same width over 0 to 1; 'equal count': bins of nearly the
        same number of sources (equal probabilities stay together).
    """
    if binning == "equal width":
        edges = np.linspace(0, 1, BINS + 1)
    else:
        edges = np.unique(np.quantile(probability, np.linspace(0, 1, BINS + 1)))
        edges = np.concatenate([[0.0], edges[1:]]) if len(edges) > 1 else np.array([0.0, 1.0])
    number = np.clip(np.searchsorted(edges, probability, side="left") - 1, 0, len(edges) - 2)
    bins = tuple(
        _bin(float(edges[i]), float(edges[i + 1]), probability[inside], positive[inside])
        for i in range(len(edges) - 1)
        if (inside := number == i).any()
    )
    gaps = sum(b.sources * abs(b.observed.value - b.mean_probability) for b in bins)
    judged = [b for b in bins if b.mean_probability > JUDGED_ABOVE]
    return Reliability(
        binning,
        bins,
        gaps / len(probability) if len(probability) else float("nan"),
        len(judged),
        sum(b.agrees for b in judged),
    )


def _bin(
    low: float, high: float, probability: NDArray[np.float64], positive: NDArray[np.bool_]
) -> ReliabilityBin:
    count, lowz = len(probability), int(positive.sum())
    said, observed = float(probability.mean()), rate(lowz, count)
    return ReliabilityBin(
        low, high, count, lowz, said, observed, bool(observed.low <= said <= observed.high)
    )
