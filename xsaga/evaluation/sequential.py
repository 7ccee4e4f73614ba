"""Whether outcomes still agree with the probabilities, asked anew after every night.

The hypothesis is that each outcome is positive with the probability that was published for it,
whatever happened before. Against it stand shifts of the log odds by θ. The likelihood ratio of a
shift that began on night k,

    Λ(k, θ) = ∏ exp(θ y) / (1 − p + p exp θ)    over outcomes y from night k on,

has the expectation 1 under the hypothesis, and so has every average of such ratios whose weights
were fixed beforehand. Here θ runs over both signs of `LOG_ODDS_SHIFTS` with equal weights and k
over all nights, now and to come, with the weights 1 / (k (k + 1)), which sum to 1. That average is
a test martingale, an e-process: by Ville's inequality (Ville 1939; Howard et al. 2021, Ann. Stat.
49, 1055; Ramdas et al. 2023, Stat. Sci. 38, 576) the chance that it *ever* reaches 1/α is at most
α. One may therefore look every night, and stop or go on as one likes. The average over k lets a
drift show that begins after many good nights (Shiryaev's mixture).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import EvaluationError
from xsaga.evaluation.intervals import Estimate, odds_factor

ALPHA = 0.01
"""Chance of ever raising a false alarm."""

LOG_ODDS_SHIFTS = tuple(math.log(2) * step for step in (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1, 3 / 2, 2, 3))
"""Sizes of the shifts that are looked for: factors of 1.09 to 8 on the odds."""

Floats = NDArray[np.float64]
Direction = Literal["fewer", "more"]


@dataclass(frozen=True)
class DriftNight:
    """Where the test stands after a night.

    Parameters
    ----------
    night : int
        YYYYMMDD; 0: not known.
    outcomes, positives : int
        Of that night.
    expected : float
        Sum of the probabilities of that night.
    e_value : float
        The test martingale: 1 at the start, `Drift.alarm_level` at an alarm.
    """

    night: int
    outcomes: int
    positives: int
    expected: float
    e_value: float


@dataclass(frozen=True)
class Drift:
    """What the test says.

    Parameters
    ----------
    alpha : float
        Chance of ever raising a false alarm.
    nights : tuple of DriftNight
        In order.
    alarm_night : int or None
        The first night at whose end the e-value had reached 1/alpha.
    direction : {'fewer', 'more'} or None
        Whether fewer or more positives were found than the probabilities say, at the alarm.
    since : int or None
        The night on which the drift most likely began, by all that is known now.
    odds_factor : Estimate
        Factor on the odds that agrees best with all outcomes.
    odds_factor_since : Estimate
        The same of the outcomes from `since` on; NaN without an alarm.
    """

    alpha: float
    nights: tuple[DriftNight, ...]
    alarm_night: int | None
    direction: Direction | None
    since: int | None
    odds_factor: Estimate
    odds_factor_since: Estimate

    @property
    def alarm_level(self) -> float:
        """E-value at which there is an alarm."""
        return 1 / self.alpha

    @property
    def p_value(self) -> float:
        """Probability of ever seeing such an e-value if the hypothesis holds; at most that."""
        highest = max((night.e_value for night in self.nights), default=1.0)
        return min(1.0, 1 / highest) if highest > 0 else 1.0


def drift(
    night: NDArray[np.int64],
    probability: Floats,
    positive: NDArray[np.bool_],
    alpha: float = ALPHA,
) -> Drift:
    """Test outcomes against their probabilities, night by night.

    The order within a night does not matter: the test is looked at when a night is complete.

    Parameters
    ----------
    night : ndarray of int, shape (N,)
        YYYYMMDD; 0 (not known) comes first.
    probability : ndarray of float64, shape (N,)
        As published before the outcome was known.
    positive : ndarray of bool, shape (N,)
        The outcomes.
    alpha : float
        Chance of ever raising a false alarm.

    Raises
    ------
    EvaluationError
        `alpha` or a probability is not what it should be.
    """
    if not 0 < alpha < 1:
        raise EvaluationError(f"a false-alarm rate of {alpha:g}: give one between 0 and 1")
    if not bool(((probability >= 0) & (probability <= 1)).all()):
        raise EvaluationError("p_lowz is not a number from 0 to 1 everywhere: rank the run again")
    nights, number = np.unique(night, return_inverse=True)
    increments = _log_ratios(number, len(nights), probability, positive)
    log_e = _log_e_values(increments)
    found = np.bincount(number, positive, len(nights))
    expected = np.bincount(number, probability, len(nights))
    counts = np.bincount(number, minlength=len(nights))
    values = np.exp(np.minimum(log_e, 700.0))
    alarmed = np.flatnonzero(log_e >= -math.log(alpha))
    alarm: int | None = None
    direction: Direction | None = None
    since: int | None = None
    factor_since = Estimate(float("nan"))
    if len(alarmed):
        alarm = int(nights[alarmed[0]])
        direction = _direction(increments[: alarmed[0] + 1])
        start = _likeliest_start(increments, direction)
        since = int(nights[start])
        after = number >= start
        factor_since = odds_factor(probability[after], positive[after])
    return Drift(
        alpha,
        tuple(
            DriftNight(int(n), int(count), int(y), float(e), float(value))
            for n, count, y, e, value in zip(nights, counts, found, expected, values, strict=True)
        ),
        alarm,
        direction,
        since,
        odds_factor(probability, positive),
        factor_since,
    )


def _shifts() -> Floats:
    """All shifts, those that mean fewer positives first."""
    sizes = np.array(LOG_ODDS_SHIFTS)
    return np.concatenate([-sizes[::-1], sizes])


def _log_ratios(
    number: NDArray[np.int64], nights: int, probability: Floats, positive: NDArray[np.bool_]
) -> Floats:
    """Log likelihood ratio of each night's outcomes and each shift, shape (nights, shifts)."""
    found = np.bincount(number, positive, nights)
    columns = [
        shift * found - np.bincount(number, np.log1p(probability * np.expm1(shift)), nights)
        for shift in _shifts()
    ]
    return np.stack(columns, axis=1)


def _log_e_values(increments: Floats) -> Floats:
    """Logarithm of the test martingale after each night, shape (nights,)."""
    values = np.empty(len(increments))
    begun = np.full(increments.shape[1], -np.inf)
    for index, increment in enumerate(increments):
        count = index + 1
        begun = increment + np.logaddexp(begun, -math.log(count * (count + 1)))
        to_come = -math.log(count + 1)  # the weights of the nights to come sum to that
        shifts = np.logaddexp.reduce(begun) - math.log(len(begun))
        values[index] = np.logaddexp(shifts, to_come)
    return values


def _direction(increments: Floats) -> Direction:
    """Tell which sign of shift the nights speak for."""
    begun = _from_each_start(increments)
    half = begun.shape[1] // 2
    starts = np.arange(1, len(begun) + 1)
    weighted = begun - np.log(starts * (starts + 1))[:, None]
    fewer, more = (np.logaddexp.reduce(weighted[:, part], axis=None) for part in _halves(half))
    return "fewer" if fewer > more else "more"


def _likeliest_start(increments: Floats, direction: Direction) -> int:
    """Give the night from which on the outcomes speak most for a shift of that direction."""
    begun = _from_each_start(increments)
    fewer, more = _halves(begun.shape[1] // 2)
    part = begun[:, fewer if direction == "fewer" else more]
    return int(np.argmax(np.logaddexp.reduce(part, axis=1)))


def _from_each_start(increments: Floats) -> Floats:
    """Log likelihood ratio of all nights from each one on, shape (nights, shifts)."""
    summed: Floats = np.cumsum(increments[::-1], axis=0)[::-1]
    return summed


def _halves(half: int) -> tuple[slice, slice]:
    return slice(None, half), slice(half, None)
