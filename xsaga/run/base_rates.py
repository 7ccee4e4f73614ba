"""The base rate that the probabilities of a target list are for."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from xsaga.errors import ConfigError
from xsaga.model.base_rate import at_base_rate, estimate_base_rate
from xsaga.model.scoring import ScoreFlag

CARD, ESTIMATE = "card", "estimate"


def check_base_rate(choice: str) -> float | None:
    """Read the key ``rank.base_rate``.

    Parameters
    ----------
    choice : str
        ``card``, ``estimate`` or a number.

    Returns
    -------
    float or None
        The number; None for a word.

    Raises
    ------
    ConfigError
        It is neither.
    """
    if choice in (CARD, ESTIMATE):
        return None
    try:
        rate = float(choice)
    except ValueError:
        rate = math.nan
    if not 0 < rate < 1:
        raise ConfigError(
            f"rank.base_rate {choice!r}: give {CARD}, {ESTIMATE} or a number between 0 and 1"
        )
    return rate


def with_base_rate(scored: pd.DataFrame, choice: str, card_rate: float) -> tuple[pd.DataFrame, str]:
    """Give all sources of a run the probabilities of one base rate.

    Parameters
    ----------
    scored : DataFrame
        With `p_lowz`, `p_lowz_std` and `score_flags`, at the rate of the model's card.
    choice : str
        The key ``rank.base_rate``. An estimate leaves sources out that are flagged UNFAMILIAR:
        their scores say nothing.
    card_rate : float
        Rate of the model's card.

    Returns
    -------
    scored : DataFrame
        With `p_lowz` and `p_lowz_std` (float32) at the chosen rate; `scored` itself for the
        card's.
    words : str
        The rate and where it comes from, in one line of ASCII (FITS headers hold no other).

    Raises
    ------
    ConfigError
        `choice` is none.
    """
    rate = check_base_rate(choice)
    if rate is not None:
        words = f"{rate:.4g} (given; card {card_rate:.4g})"
    else:
        familiar = (scored["score_flags"].to_numpy() & ScoreFlag.UNFAMILIAR) == 0
        known = scored["p_lowz"].to_numpy()[familiar]
        if choice == CARD or not len(known):
            return scored, f"{card_rate:.4g} (card)"
        found = estimate_base_rate(known, card_rate)
        rate = found.rate
        words = (
            f"{rate:.4g} +/- {found.error:.2g} (estimated from {found.count:,} scores; "
            f"card {card_rate:.4g})"
        )
    columns = at_base_rate(scored["p_lowz"], scored["p_lowz_std"], card_rate, rate)
    named = zip(("p_lowz", "p_lowz_std"), columns, strict=True)
    return scored.assign(**{name: values.astype(np.float32) for name, values in named}), words
