"""Uncertainties of measured rates: binomial intervals and the bootstrap by patch of sky."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from xsaga.sky.tiles import tile_pixels

LEVEL = 0.95
"""Probability content of all intervals."""

PATCH_ORDER = 8
"""HEALPix order of the patches that are drawn together: 0.05 deg², about a survey brick."""

MIN_PATCHES = 5
"""With fewer patches the bootstrap says nothing and no interval is given."""

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
