"""The base rate that the probabilities of a target list are for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from xsaga.config import CutsConfig
from xsaga.errors import ConfigError
from xsaga.model.base_rate import estimate_base_rate, shift_to_rate, with_shifted_odds
from xsaga.model.calibration import log_odds_shift
from xsaga.model.card import ModelCard
from xsaga.model.scoring import ScoreFlag

CARD, ESTIMATE = "card", "estimate"

_LIST_RATE = "rate within cuts "
"""How the key of a card's number begins that is the rate within some cuts."""


def list_rate(cuts: CutsConfig, rate: float) -> dict[str, float]:
    """Give the number of a card that tells the rate of z < 0.03 within some cuts.

    Parameters
    ----------
    cuts : CutsConfig
        Cuts that sources of the calibration's population have passed.
    rate : float
        Mean calibrated probability of these sources.
    """
    return {_LIST_RATE + _words(cuts): rate}


def without_list_rates(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave the rates out of a card's numbers that another calibration makes wrong."""
    return {key: value for key, value in numbers.items() if not key.startswith(_LIST_RATE)}


def known_list_rate(card: ModelCard, cuts: CutsConfig) -> float | None:
    """Tell the rate of the card's population within some cuts.

    Parameters
    ----------
    card : ModelCard
        Of the model that scores.
    cuts : CutsConfig
        Cuts by which the scored sources were chosen.

    Returns
    -------
    float or None
        None where the card does not tell it: labels that a model was trained on are no fair sample
        of what passes any cuts, so only `xsaga calibrate` knows a rate.
    """
    return card.training_set.numbers.get(_LIST_RATE + _words(cuts))


def _words(cuts: CutsConfig) -> str:
    words = [cuts.name]
    if cuts.r_min is not None:
        words.append(f"r >= {cuts.r_min:g}")
    if cuts.r_max is not None:
        words.append(f"r <= {cuts.r_max:g}")
    if cuts.coefficients:
        words.append(json.dumps(cuts.coefficients, sort_keys=True))
    return ", ".join(words)


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


def refuse_estimate(choice: str, card: ModelCard, cuts: CutsConfig) -> None:
    """Refuse an estimate where nothing tells what it would have to differ from.

    The probabilities of a list alone agree with any rate: to each there is a change of all odds
    after which they are right if that is the rate.

    Raises
    ------
    ConfigError
        An estimate is asked for, and `known_list_rate` knows none.
    """
    if choice == ESTIMATE and known_list_rate(card, cuts) is None:
        raise ConfigError(
            f"rank.base_rate {ESTIMATE!r}: model {card.name} does not tell its rate within the "
            f"cuts {_words(cuts)}: give {CARD} (right where nothing but the cuts differs), a "
            "number, or a model that `xsaga calibrate` made on a run with these cuts"
        )


def with_base_rate(
    scored: pd.DataFrame, choice: str, known_rate: float | None
) -> tuple[pd.DataFrame, str]:
    """Give all sources of a run the probabilities of one base rate.

    The base rate of probabilities as they are is their mean over the sources, whatever the rate of
    the sample that the model was calibrated on: see `xsaga.model.base_rate`.

    Parameters
    ----------
    scored : DataFrame
        With `p_lowz`, `p_lowz_std` and `score_flags`, as the model's card gives them.
    choice : str
        The key ``rank.base_rate``. Sources flagged UNFAMILIAR count for no rate: their scores say
        nothing.
    known_rate : float or None
        Of `known_list_rate`, for the estimate.

    Returns
    -------
    scored : DataFrame
        With `p_lowz` and `p_lowz_std` (float32) at the chosen rate; `scored` itself for the
        card's.
    words : str
        The rate and where it comes from, in one line of ASCII (FITS headers hold no other); empty
        where there are no scores.

    Raises
    ------
    ConfigError
        `choice` is none, or an estimate without a known rate.
    ModelError
        The scores can have no such rate.
    """
    rate = check_base_rate(choice)
    familiar = (scored["score_flags"].to_numpy() & ScoreFlag.UNFAMILIAR) == 0
    known = scored["p_lowz"].to_numpy()[familiar]
    if not len(known):
        return scored, ""
    mean = float(known.mean(dtype=np.float64))
    if rate is not None:
        shift = shift_to_rate(known, rate)
        words = f"{rate:.4g} (given; card {mean:.4g})"
    elif choice == CARD:
        return scored, f"{mean:.4g} (card)"
    elif known_rate is None:
        raise ConfigError(f"rank.base_rate {ESTIMATE!r}: the rate within these cuts is not known")
    else:
        found = estimate_base_rate(known, known_rate)
        shift = log_odds_shift(known_rate, found.rate)
        words = (
            f"{found.rate:.4g} +/- {found.error:.2g} (estimated from {found.count:,} scores; "
            f"card {mean:.4g})"
        )
    columns = with_shifted_odds(scored["p_lowz"], scored["p_lowz_std"], shift)
    named = zip(("p_lowz", "p_lowz_std"), columns, strict=True)
    return scored.assign(**{name: values.astype(np.float32) for name, values in named}), words
