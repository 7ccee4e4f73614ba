"""How well probabilities and labels agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from scipy.stats import rankdata

from xsaga.model.calibration import Calibration

_MAX_LOG_ODDS = 60.0


def area_under_curve(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve, from ranks (Mann & Whitney 1947); ties count half.

    Parameters
    ----------
    scores : array_like, shape (N,)
        Higher means more likely True.
    labels : array_like of bool, shape (N,)
        Both classes must be present.

    Returns
    -------
    float
    """
    positive = np.asarray(labels, dtype=bool)
    hits, misses = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(np.asarray(scores))
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean purity over the steps of completeness, Σ (C_n − C_{n−1}) P_n.

    Parameters
    ----------
    scores : array_like, shape (N,)
        Higher means more likely True; ties are taken together.
    labels : array_like of bool, shape (N,)
        At least one must be True.

    Returns
    -------
    float
    """
    purity, completeness = purity_and_completeness(scores, labels)
    return float(np.sum(np.diff(completeness, prepend=0.0) * purity))


def purity_at_completeness(scores: ArrayLike, labels: ArrayLike, completeness: float) -> float:
    """Best purity of a cut on the score that keeps at least this share of what is True.

    Parameters
    ----------
    scores, labels : array_like, shape (N,)
        As in `average_precision`.
    completeness : float
        In (0, 1].

    Returns
    -------
    float
    """
    purity, kept = purity_and_completeness(scores, labels)
    return float(purity[kept >= completeness - 1e-12].max())


def purity_and_completeness(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Purity and completeness of the cut at each different score, from the highest down.

    Parameters
    ----------
    scores, labels : array_like, shape (N,)
        As in `average_precision`.

    Returns
    -------
    purity, completeness : ndarray of float64, shape (different scores,)
    """
    values = np.asarray(scores)
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    found = np.cumsum(np.asarray(labels, dtype=bool)[order])
    return found[last] / (last + 1), found[last] / found[-1]


def log_loss(probability: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log likelihood of the labels, in nats.

    Parameters
    ----------
    probability : array_like, shape (N,)
        Probabilities of True.
    labels : array_like of bool, shape (N,)
        What was true.

    Returns
    -------
    float
        Finite: log odds are limited to ±60.
    """
    odds = np.clip(logit(np.asarray(probability, dtype=np.float64)), -_MAX_LOG_ODDS, _MAX_LOG_ODDS)
    positive = np.asarray(labels, dtype=bool)
    return float(np.mean(np.logaddexp(0, np.where(positive, -odds, odds))))


def held_out_metrics(
    logits: NDArray[np.float32], positive: NDArray[np.bool_], calibration: Calibration
) -> dict[str, float]:
    """Measure a classifier on held-out data, at the mix of these data.

    Parameters
    ----------
    logits : ndarray of float32, shape (N,)
        Of images the networks were not trained on.
    positive : ndarray of bool, shape (N,)
        True where z < 0.03.
    calibration : Calibration
        Its change of base rate is left out.

    Returns
    -------
    dict of str to float
        ``held_out`` (number of images), ``auc``, ``average_precision``, ``purity_at_90`` (at 90 %
        completeness), ``log_loss`` (nats), and ``purity`` and ``completeness`` at p > 0.5.
    """
    probability = calibration.at_training_mix().probability(logits)
    chosen = probability > 0.5
    found = int((chosen & positive).sum())
    return {
        "held_out": float(positive.size),
        "auc": area_under_curve(logits, positive),
        "average_precision": average_precision(logits, positive),
        "purity_at_90": purity_at_completeness(logits, positive, 0.9),
        "log_loss": log_loss(probability, positive),
        "purity": found / max(1, int(chosen.sum())),
        "completeness": found / int(positive.sum()),
    }
