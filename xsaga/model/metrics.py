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
        Its slope and intercept are used, its change of base rate is not.

    Returns
    -------
    dict of str to float
        ``held_out`` (number of images), ``auc``, ``log_loss`` (nats), and ``purity`` and
        ``completeness`` at p > 0.5.
    """
    at_training_mix = Calibration(calibration.slope, calibration.intercept)
    probability = at_training_mix.probability(logits)
    chosen = probability > 0.5
    found = int((chosen & positive).sum())
    return {
        "held_out": float(positive.size),
        "auc": area_under_curve(logits, positive),
        "log_loss": log_loss(probability, positive),
        "purity": found / max(1, int(chosen.sum())),
        "completeness": found / int(positive.sum()),
    }
