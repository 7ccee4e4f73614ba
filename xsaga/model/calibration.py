"""From the network's logit to a probability at the rate of the sky that is searched.

Two steps. Platt scaling maps a logit to the log odds that held-out data show (Platt 1999,
"Probabilistic outputs for support vector machines"). Training sets hold far more near galaxies
than the sky does, so the odds are then multiplied by the ratio of the prior odds (Elkan 2001,
Theorem 2; Saerens, Latinne & Decaestecker 2002, eq. 4), which on the log odds is a shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from xsaga.errors import ModelError


@dataclass(frozen=True)
class Calibration:
    """How a logit becomes a probability.

    Parameters
    ----------
    slope, intercept : float
        Log odds in the training mix are ``slope · logit + intercept``.
    train_rate : float
        Fraction of z < 0.03 in the data the slope and intercept were fitted on, in (0, 1).
    target_rate : float
        Fraction of z < 0.03 expected among the sources to be scored, in (0, 1).

    Raises
    ------
    ModelError
        If a value is not finite or a rate is not inside (0, 1).
    """

    slope: float = 1.0
    intercept: float = 0.0
    train_rate: float = 0.5
    target_rate: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise ModelError(
                f"calibration: slope {self.slope} and intercept {self.intercept} must be finite"
            )
        if not (0 < self.train_rate < 1 and 0 < self.target_rate < 1):
            raise ModelError(
                f"calibration: train_rate {self.train_rate} and target_rate {self.target_rate} "
                "must lie between 0 and 1"
            )

    def probability(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probability of z < 0.03 at the target rate.

        Parameters
        ----------
        logits : array_like, any shape
            The network's output; NaN stays NaN.

        Returns
        -------
        ndarray of float64, shape of `logits`
        """
        shift = log_odds_shift(self.train_rate, self.target_rate)
        values = np.asarray(logits, dtype=np.float64)
        return np.asarray(expit(self.slope * values + self.intercept + shift), dtype=np.float64)


def log_odds_shift(train_rate: float, target_rate: float) -> float:
    """Compute what a new base rate adds to the log odds (Elkan 2001, Theorem 2).

    Parameters
    ----------
    train_rate, target_rate : float
        Base rates before and after, in (0, 1).

    Returns
    -------
    float
    """
    return float(logit(target_rate) - logit(train_rate))


def fit_calibration(logits: ArrayLike, labels: ArrayLike, target_rate: float) -> Calibration:
    """Fit slope and intercept on held-out data by maximum likelihood.

    Parameters
    ----------
    logits : array_like, shape (N,)
        Outputs of networks for images these were not trained on.
    labels : array_like of bool, shape (N,)
        True where z < 0.03.
    target_rate : float
        Fraction of z < 0.03 expected among the sources to be scored.

    Returns
    -------
    Calibration

    Raises
    ------
    ModelError
        If the data hold one class only, differ in length or hold a logit that is not finite.

    Notes
    -----
    The labels are smoothed as Platt (1999, section 2.2) does, (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2),
    which keeps the slope finite where the classes separate perfectly.
    """
    values = np.asarray(logits, dtype=np.float64)
    positive = np.asarray(labels, dtype=bool)
    if values.ndim != 1 or values.shape != positive.shape:
        raise ModelError(
            f"calibration: logits {values.shape} and labels {positive.shape} must be two lists of "
            "one length"
        )
    if not np.isfinite(values).all():
        raise ModelError(
            f"calibration: logit {int(np.argmin(np.isfinite(values)))} is not finite: train again"
        )
    hits, misses = int(positive.sum()), int((~positive).sum())
    if hits == 0 or misses == 0:
        raise ModelError(
            f"calibration: {hits} sources at z < 0.03 and {misses} beyond held out: both are needed"
        )
    goal = np.where(positive, (hits + 1) / (hits + 2), 1 / (misses + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = parameters[0] * values + parameters[1]
        excess = expit(odds) - goal
        gradient = np.array([(excess * values).mean(), excess.mean()])
        return float(np.mean(np.logaddexp(0, odds) - goal * odds)), gradient

    rate = hits / len(values)
    fitted = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    slope, intercept = (float(value) for value in fitted.x)
    return Calibration(slope, intercept, train_rate=rate, target_rate=target_rate)
