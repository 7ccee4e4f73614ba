"""The rate of z < 0.03 among listed sources, and probabilities at another rate.

A probability that is calibrated for a population stays right in any part of it that is chosen by
what the probability knows (a cut on magnitude or colour): only the rate is another there, that of
the mean probability. So the rate which probabilities are for is a property of the list and not of
the sample that they were calibrated on.

Another rate in the same list rests on one assumption: that z < 0.03 galaxies of the list look as
those of the calibration's did within the same cuts, and so do the others, so that only their
proportion differs ("prior shift"). Then all odds change by one factor. Sources of another survey,
or of cuts that change what the others are, break it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from xsaga.errors import ModelError

_LARGEST_SHIFT = 100.0
"""Of log odds: no probability in single precision needs more to come from 0 near to 1."""


@dataclass(frozen=True)
class BaseRate:
    """An estimated rate.

    Parameters
    ----------
    rate : float
        Fraction of z < 0.03, in (0, 1).
    error : float
        Standard error, from the curvature of the likelihood; of statistics alone.
    count : int
        Scores that it comes from.
    """

    rate: float
    error: float
    count: int


def estimate_base_rate(probability: ArrayLike, train_rate: float) -> BaseRate:
    """Estimate the rate from the probabilities of sources whose redshifts are not known.

    Parameters
    ----------
    probability : array_like, shape (N,)
        Calibrated probabilities of z < 0.03.
    train_rate : float
        Rate, in (0, 1), in the part of the calibration's population that passes the cuts by which
        these sources were chosen. The mean of `probability` is no substitute: that is what it
        would be if nothing had changed, and the estimate would be that very number.

    Returns
    -------
    BaseRate
        Not below 1/(2N), and not above 1 − 1/(2N): a sample of N cannot tell a smaller rate.

    Raises
    ------
    ModelError
        If there are no probabilities, one is not a number from 0 to 1, or the rate is not in
        (0, 1).

    Notes
    -----
    The rate is the fixed point of the expectation maximisation of Saerens, Latinne & Decaestecker
    (2002, eq. 9). That is the maximum of the likelihood of a mixture of two known distributions,
    which has one maximum, found here by bisection of its derivative: the iteration itself is slow
    where the classes overlap.
    """
    p = _checked(probability)
    _check_rate(train_rate)
    near, far = p / train_rate, (1 - p) / (1 - train_rate)

    def score(rate: float) -> NDArray[np.float64]:
        """Give the derivative of each source's log likelihood."""
        return np.asarray((near - far) / (rate * near + (1 - rate) * far), dtype=np.float64)

    low, high = 0.5 / p.size, 1 - 0.5 / p.size
    if score(low).sum() <= 0:
        rate = low
    elif score(high).sum() >= 0:
        rate = high
    else:
        rate = float(brentq(lambda rate: score(rate).sum(), low, high, xtol=1e-12))
    information = float(np.sum(score(rate) ** 2))
    return BaseRate(rate, information**-0.5 if information > 0 else np.inf, p.size)


def shift_to_rate(probability: ArrayLike, rate: float) -> float:
    """Find the change of all log odds after which the mean probability is a given rate.

    Parameters
    ----------
    probability : array_like, shape (N,)
        Calibrated probabilities of z < 0.03 of the sources of a list.
    rate : float
        Rate in the list, in (0, 1).

    Returns
    -------
    float
        For `with_shifted_odds`. Under prior shift this is the change that makes the probabilities
        right, whatever rate they were calibrated at.

    Raises
    ------
    ModelError
        If there are no probabilities, one is not a number from 0 to 1, so many are 0 or 1 that no
        change gives that mean, or the rate is not in (0, 1).
    """
    p = _checked(probability)
    _check_rate(rate)
    odds = logit(p)

    def excess(shift: float) -> float:
        return float(expit(odds + shift).mean()) - rate

    if excess(-_LARGEST_SHIFT) >= 0 or excess(_LARGEST_SHIFT) <= 0:
        raise ModelError(
            f"base rate {rate:g}: too many of the {p.size:,} probabilities are 0 or 1 for their "
            "mean to be that: give another rate"
        )
    return float(brentq(excess, -_LARGEST_SHIFT, _LARGEST_SHIFT, xtol=1e-12))


def with_shifted_odds(
    probability: ArrayLike, spread: ArrayLike, shift: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Change all odds by one factor, as another base rate does (Saerens et al. 2002, eq. 4).

    Parameters
    ----------
    probability : array_like, shape (N,)
        Probabilities of z < 0.03.
    spread : array_like, shape (N,)
        Their standard deviations.
    shift : float
        To add to the log odds; from one known rate to another it is
        `xsaga.model.calibration.log_odds_shift`.

    Returns
    -------
    probability, spread : ndarray of float64, shape (N,)
        The spread is the old one times the derivative of the new probability.
    """
    p, std = (np.asarray(values, dtype=np.float64) for values in (probability, spread))
    ratio = np.exp(shift)
    scale = 1 + p * (ratio - 1)
    return ratio * p / scale, ratio * std / scale**2


def _checked(probability: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(probability, dtype=np.float64)
    if p.ndim != 1 or p.size == 0:
        raise ModelError(f"base rate: probabilities of shape {p.shape}: give a list of one or more")
    if not ((p >= 0) & (p <= 1)).all():
        raise ModelError("base rate: a probability is not a number from 0 to 1: score again")
    return p


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise ModelError(f"base rate {rate}: it must lie between 0 and 1")
