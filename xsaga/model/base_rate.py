"""The rate of z < 0.03 among the sources that are scored, and probabilities at another rate.

Both rest on one assumption: that z < 0.03 galaxies look the same wherever they are scored, and so
do the others, so that only their proportion differs ("prior shift"). Sources of another survey, or
of cuts that change what the others are, break it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from xsaga.errors import ModelError


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
        Calibrated probabilities of z < 0.03, at `train_rate`.
    train_rate : float
        Rate that the probabilities are for, in (0, 1).

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
    p = np.asarray(probability, dtype=np.float64)
    _check_rate(train_rate)
    if p.ndim != 1 or p.size == 0:
        raise ModelError(f"base rate: probabilities of shape {p.shape}: give a list of one or more")
    if not ((p >= 0) & (p <= 1)).all():
        raise ModelError("base rate: a probability is not a number from 0 to 1: score again")
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


def at_base_rate(
    probability: ArrayLike, spread: ArrayLike, from_rate: float, to_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give probabilities and their spread at another base rate.

    Parameters
    ----------
    probability : array_like, shape (N,)
        Probabilities of z < 0.03 at `from_rate`.
    spread : array_like, shape (N,)
        Their standard deviations.
    from_rate, to_rate : float
        Rates before and after, in (0, 1).

    Returns
    -------
    probability, spread : ndarray of float64, shape (N,)
        The odds times the ratio of the prior odds (Saerens et al. 2002, eq. 4); the spread times
        the derivative of that.
    """
    _check_rate(from_rate)
    _check_rate(to_rate)
    p, std = (np.asarray(values, dtype=np.float64) for values in (probability, spread))
    ratio = to_rate * (1 - from_rate) / (from_rate * (1 - to_rate))
    scale = 1 + p * (ratio - 1)
    return ratio * p / scale, ratio * std / scale**2


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise ModelError(f"base rate {rate}: it must lie between 0 and 1")
