"""From the networks' logits to a probability at the rate of the sky that is searched.

A calibration maps the mean logit of an ensemble to the log odds that held-out data show (Platt
1999, "Probabilistic outputs for support vector machines"), with one bend where the data ask for
it. Training sets hold far more near galaxies than the sky does, so the odds are then multiplied by
the ratio of the prior odds (Elkan 2001, Theorem 2; Saerens, Latinne & Decaestecker 2002, eq. 4),
which on the log odds is a shift.

The logits are averaged before they are calibrated, not the probabilities after it: a mean of
calibrated probabilities is underconfident (Ranjan & Gneiting 2010, Theorem 1). In cross-validation
each image is held out by one member only, though, and what one member says is noisier than the
mean of all: after training the probabilities of an ensemble are a little underconfident, until
`xsaga calibrate` fits them on the mean logits of a run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from xsaga.errors import ModelError

_BEND_GAIN = 6.63
"""Twice the gain in log likelihood that a bend must bring: 1 % of χ² with one degree of freedom."""

_LARGEST_BEND = 2.0
"""Of |ln(1 + bend)|: beyond it few objects decide on a curve that is nearly a step."""

_NEWTON_STEPS = 20


@dataclass(frozen=True)
class Calibration:
    """How a logit becomes a probability.

    With x = ``slope · logit + intercept``, the log odds in the training mix are
    x + ``bend`` · ln(1 + exp x): slope 1 in x where z < 0.03 is unlikely, 1 + `bend` where it is
    likely.

    Parameters
    ----------
    slope, intercept : float
        Of x.
    train_rate : float
        Fraction of z < 0.03 in the data the calibration was fitted on, in (0, 1).
    target_rate : float
        Fraction of z < 0.03 expected among the sources to be scored, in (0, 1).
    bend : float
        Above −1, so that the probability rises with the logit.

    Raises
    ------
    ModelError
        If a value is not finite, a rate is not inside (0, 1) or the bend is not above −1.
    """

    slope: float = 1.0
    intercept: float = 0.0
    train_rate: float = 0.5
    target_rate: float = 0.5
    bend: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise ModelError(
                f"calibration: slope {self.slope} and intercept {self.intercept} must be finite"
            )
        if not -1 < self.bend < math.inf:
            raise ModelError(f"calibration: bend {self.bend} must be finite and above -1")
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
            Mean logit of the ensemble; NaN stays NaN.

        Returns
        -------
        ndarray of float64, shape of `logits`
        """
        shift = log_odds_shift(self.train_rate, self.target_rate)
        x = self.slope * np.asarray(logits, dtype=np.float64) + self.intercept
        rise = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))  # logaddexp warns of NaN
        return np.asarray(expit(x + self.bend * rise + shift), dtype=np.float64)

    def logits(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Give back the logits that have these probabilities.

        Parameters
        ----------
        probability : array_like, any shape
            In (0, 1), at the target rate. Of one that is stored in single precision the logit is
            the less certain the nearer it is to 1.

        Returns
        -------
        ndarray of float64, shape of `probability`

        Raises
        ------
        ModelError
            If the slope is 0: all logits have the same probability.
        """
        if self.slope == 0:
            raise ModelError("calibration: slope 0 gives all logits the same probability")
        odds = logit(np.asarray(probability, dtype=np.float64))
        odds -= log_odds_shift(self.train_rate, self.target_rate)
        x = np.where(odds > 0, odds / (1 + self.bend), odds)
        for _ in range(_NEWTON_STEPS if self.bend else 0):
            # The curve rises and bends one way only: Newton's steps overshoot once at most.
            excess = x + self.bend * (np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))) - odds
            x = x - excess / (1 + self.bend * expit(x))
        return np.asarray((x - self.intercept) / self.slope, dtype=np.float64)

    def at_training_mix(self) -> Calibration:
        """Give the same calibration for the mix that it was fitted on."""
        return replace(self, target_rate=self.train_rate)


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


def fit_calibration(
    logits: ArrayLike, labels: ArrayLike, target_rate: float | None = None
) -> Calibration:
    """Fit a calibration on held-out data by maximum likelihood.

    Parameters
    ----------
    logits : array_like, shape (N,)
        Outputs of networks for images these were not trained on.
    labels : array_like of bool, shape (N,)
        True where z < 0.03.
    target_rate : float, optional
        Fraction of z < 0.03 expected among the sources to be scored; that of the data if not given.

    Returns
    -------
    Calibration

    Raises
    ------
    ModelError
        If the data hold one class only, differ in length, or hold a logit that is not finite.

    Notes
    -----
    The labels are smoothed as Platt (1999, section 2.2) does, (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2),
    which keeps the slope finite where the classes separate perfectly.
    """
    values, positive = _checked(logits, labels)
    slope, intercept, bend = _fit_curve(values, positive)
    rate = float(positive.mean())
    return Calibration(slope, intercept, rate, rate if target_rate is None else target_rate, bend)


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give logits and labels, or refuse them."""
    values = np.asarray(logits, dtype=np.float64)
    positive = np.asarray(labels, dtype=bool)
    if values.ndim != 1 or positive.shape != values.shape:
        raise ModelError(
            f"calibration: logits {values.shape} and labels {positive.shape} must be of one length"
        )
    if not np.isfinite(values).all():
        worst = int(np.argmin(np.isfinite(values)))
        raise ModelError(f"calibration: logit {worst} is not finite: train again")
    hits, misses = int(positive.sum()), int((~positive).sum())
    if hits == 0 or misses == 0:
        raise ModelError(
            f"calibration: {hits} sources at z < 0.03 and {misses} beyond held out: both are needed"
        )
    return values, positive


def _fit_curve(
    values: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Slope, intercept and bend; the bend is 0 unless it is worth it."""
    hits, misses = int(positive.sum()), int((~positive).sum())
    goal = np.where(positive, (hits + 1) / (hits + 2), 1 / (misses + 2))
    scale = max(float(values.std()), np.finfo(np.float64).tiny)
    scaled = values / scale

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        # Of slope, intercept and, if there is a third, ln(1 + bend), which keeps the curve rising.
        x = parameters[0] * scaled + parameters[1]
        rise = np.logaddexp(0, x)
        more = math.exp(parameters[2]) if len(parameters) > 2 else 1.0
        odds = x + (more - 1) * rise
        excess = (expit(odds) - goal) / len(values)
        by_x = excess * (1 + (more - 1) * expit(x))
        gradient = [np.sum(by_x * scaled), np.sum(by_x), np.sum(excess * more * rise)]
        value = float(np.mean(np.logaddexp(0, odds) - goal * odds))
        return value, np.array(gradient[: len(parameters)])

    straight = minimize(loss, np.array([scale, 0.0]), jac=True, method="BFGS")
    bent = minimize(loss, np.array([*straight.x, 0.0]), jac=True, method="BFGS")
    best = np.append(straight.x, 0.0)
    # Where a network has learnt nothing the bend runs off to a flat or a falling curve.
    is_sound = bent.x[0] > 0 and abs(bent.x[2]) < _LARGEST_BEND
    if is_sound and 2 * len(values) * (straight.fun - bent.fun) > _BEND_GAIN:
        best = bent.x
    return float(best[0] / scale), float(best[1]), math.expm1(best[2])
