"""Uncertainties of measured rates: binomial intervals, ratios, the bootstrap by patch of sky."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import beta, chi2, norm

from xsaga.sky.tiles import tile_pixels

LEVEL = 0.95
"""Probability content of all intervals."""

PATCH_ORDER = 8
"""HEALPix order of the patches that are drawn together: 0.05 deg², about a survey brick."""

MIN_PATCHES = 5
"""With fewer patches the bootstrap says nothing and no interval is given."""

_QUANTILE = float(norm.ppf(0.5 + LEVEL / 2))
_FARTHEST_LOG = 40.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Parameters
    ----------
    value : float
        NaN where it cannot be measured.
    low, high : float
        Interval of content `LEVEL`; NaN where it is not known.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")


def jeffreys(successes: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
    """Equal-tailed Jeffreys intervals of a binomial rate (Brown, Cai & DasGupta 2001, eq. 6).

    Parameters
    ----------
    successes, trials : array_like, shape (N,)
        Counts.

    Returns
    -------
    low, high : ndarray of float64, shape (N,)
        0 and 1 at no and at all successes, NaN without trials.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    tail = (1 - LEVEL) / 2
    low = np.where(k > 0, beta.ppf(tail, k + 0.5, n - k + 0.5), 0.0)
    high = np.where(k < n, beta.ppf(1 - tail, k + 0.5, n - k + 0.5), 1.0)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def rate(successes: float, trials: float) -> Estimate:
    """One binomial rate with its Jeffreys interval; NaN without trials."""
    if trials <= 0:
        return Estimate(float("nan"))
    low, high = jeffreys(successes, trials)
    return Estimate(float(successes / trials), float(low), float(high))


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
    """Score intervals of a binomial rate (Wilson 1927, JASA 22, 209).

    Parameters
    ----------
    successes, trials : array_like, shape (N,)
        Counts.

    Returns
    -------
    low, high : ndarray of float64, shape (N,)
        Exactly 0 and 1 at no and at all successes, NaN without trials.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    some = np.where(n > 0, n, np.nan)
    square = _QUANTILE**2
    middle = (k + square / 2) / (some + square)
    half = _QUANTILE / (some + square) * np.sqrt(k * (some - k) / some + square / 4)
    return np.where(k == 0, 0.0 * some, middle - half), np.where(k == n, some / some, middle + half)


def share(successes: float, trials: float) -> Estimate:
    """One binomial rate with its Wilson interval; NaN without trials."""
    low, high = wilson(successes, trials)
    value = successes / trials if trials > 0 else float("nan")
    return Estimate(float(value), float(low), float(high))


def rate_ratio(successes: float, trials: float, of_successes: float, of_trials: float) -> Estimate:
    """One binomial rate over another, with its score interval (Koopman 1984, Biometrics 40, 513).

    The interval holds where a count is 0, as that of the logarithm (Katz et al. 1978) does not.

    Parameters
    ----------
    successes, trials : float
        Counts of the rate above the line.
    of_successes, of_trials : float
        Counts of the rate below it.

    Returns
    -------
    Estimate
        NaN where either has no trials or neither has a success; infinite, with a finite lower end,
        where only the lower rate has none.
    """
    x, n, y, m = map(float, (successes, trials, of_successes, of_trials))
    if min(n, m) <= 0 or x + y == 0:
        return Estimate(float("nan"))

    def excess(log_ratio: float) -> float:
        """Koopman's statistic less its quantile, at the likeliest rates of that ratio."""
        ratio = math.exp(log_ratio)
        # Miettinen & Nurminen 1985, Statist. Med. 4, 213, eq. 10: the smaller root.
        a, b, c = (n + m) * ratio, -(n * ratio + x + m + y * ratio), x + y
        below = 2 * c / (-b + math.sqrt(max(b * b - 4 * a * c, 0.0)))
        above = min(ratio * below, 1.0)
        statistic = 0.0
        for found, size, expected in ((x, n, above), (y, m, below)):
            variance = size * expected * (1 - expected)
            gap = found - size * expected
            if abs(gap) > 1e-9 * size:  # a rate of 1 leaves rounding, and no variance
                statistic += gap * gap / variance if variance > 0 else math.inf
        return min(statistic, 1e300) - _QUANTILE**2

    if x == 0:
        value, start = 0.0, math.log(0.5 / n * m / y)
    elif y == 0:
        value, start = math.inf, math.log(x / n * m / 0.5)
    else:
        value, start = x / n * m / y, math.log(x / n * m / y)
    low, high = 0.0, math.inf
    if x > 0:
        low = math.exp(_crossing(excess, start, -_FARTHEST_LOG))
    if y > 0:
        high = math.exp(_crossing(excess, start, _FARTHEST_LOG))
    return Estimate(value, low, high)


def count_ratio(found: int, expected: float) -> Estimate:
    """Divide a count by what was expected, with the exact Poisson interval (Garwood 1936).

    The interval is somewhat wide for a sum of Bernoulli trials, whose variance is smaller.
    NaN where nothing is expected.
    """
    if not expected > 0:
        return Estimate(float("nan"))
    tail = (1 - LEVEL) / 2
    low = chi2.ppf(tail, 2 * found) / 2 if found else 0.0
    high = chi2.isf(tail, 2 * found + 2) / 2
    return Estimate(found / expected, float(low / expected), float(high / expected))


def odds_factor(probability: Floats, positive: NDArray[np.bool_]) -> Estimate:
    """Factor on the odds of all probabilities that agrees best with the outcomes.

    The likeliest factor makes the expected number that of the positives; its interval is that of
    the score test, where the number is no more than the normal quantile of its standard
    deviations off.

    Parameters
    ----------
    probability : ndarray of float64, shape (N,)
        Probabilities of being positive.
    positive : ndarray of bool, shape (N,)

    Returns
    -------
    Estimate
        1: the probabilities are right on the whole. 0 or infinite where none or all are positive;
        NaN where no probability lies between 0 and 1.
    """
    doubtful = (probability > 0) & (probability < 1)
    p, found = probability[doubtful], int(positive[doubtful].sum())
    if len(p) == 0:
        return Estimate(float("nan"))

    def surplus(log_factor: float, quantiles: float) -> float:
        odds = p / (1 - p) * math.exp(log_factor)
        shifted = odds / (1 + odds)
        deviation = math.sqrt(float((shifted / (1 + odds)).sum()))
        return found - float(shifted.sum()) - quantiles * deviation

    def solved(quantiles: float) -> float:
        return math.exp(
            brentq(lambda x: surplus(x, quantiles), -_FARTHEST_LOG, _FARTHEST_LOG, xtol=1e-9)
        )

    none, every = found == 0, found == len(p)
    value = 0.0 if none else math.inf if every else solved(0.0)
    return Estimate(
        value,
        0.0 if none else solved(_QUANTILE),
        math.inf if every else solved(-_QUANTILE),
    )


def _crossing(function: Callable[[float], float], inside: float, end: float) -> float:
    """Where a function that is negative at `inside` becomes positive on the way to `end`."""
    step = 0.5 if end > inside else -0.5
    near, far = inside, inside + step
    while function(far) < 0 and abs(far) < _FARTHEST_LOG:
        near, far, step = far, far + 2 * step, 2 * step
    return float(brentq(function, near, far, xtol=1e-10)) if function(far) >= 0 else end


def sky_patches(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Find the HEALPix patch of order `PATCH_ORDER`, numbered from 0, of positions in degrees."""
    pixels = tile_pixels(ra, dec, PATCH_ORDER)
    return np.unique(pixels, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class PatchBootstrap:
    """Patches of sky drawn with replacement, the same draws for all that is compared.

    Galaxies near each other share their large-scale structure, their seeing and their shredded
    neighbour, so that sources are not independent but patches nearly are.

    Parameters
    ----------
    counts : ndarray of float64, shape (resamples, patches)
        How often each draw takes each patch.
    """

    counts: Floats

    @classmethod
    def of(cls, patches: int, resamples: int, seed: int) -> PatchBootstrap:
        """Draw as many patches as there are, `resamples` times."""
        rng = np.random.default_rng(seed)
        shares = np.full(patches, 1 / patches) if patches else np.empty(0)
        return cls(rng.multinomial(patches, shares, size=resamples).astype(np.float64))

    @property
    def is_useful(self) -> bool:
        """Whether there are patches enough."""
        return int(self.counts.shape[1]) >= MIN_PATCHES

    def values(self, statistic: Callable[[Floats], float]) -> Floats:
        """Statistic of each draw, shape (resamples,); it is given the weight of each patch."""
        if not self.is_useful:
            return np.empty(0)
        return np.array([statistic(weights) for weights in self.counts])


def percentile_interval(value: float, draws: Floats) -> Estimate:
    """Percentile interval of bootstrap draws.

    Draws in which the statistic does not exist (a completeness out of reach) count as the lowest:
    an interval that begins at NaN says that more than its lower tail is made of them.
    """
    if len(draws) == 0 or np.isnan(value):
        return Estimate(value)
    tail = (1 - LEVEL) / 2
    ordered = np.sort(np.nan_to_num(draws, nan=-np.inf))
    low, high = np.quantile(ordered, [tail, 1 - tail], method="inverted_cdf")
    return Estimate(value, *(float(x) if np.isfinite(x) else float("nan") for x in (low, high)))
