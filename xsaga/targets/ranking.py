"""From scores to an order of observation: rank, tier and priority."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import ConfigError, TargetsError

_NAMED_IN_MESSAGES = 5


@dataclass(frozen=True)
class RankSettings:
    """How ranked targets are grouped for fiber assignment.

    Parameters
    ----------
    tier_thresholds : tuple of float
        Lowest `p_lowz` of tier 1, 2, …, strictly descending, each inside (0, 1); what is below the
        last one forms the last tier.
    priorities : tuple of int
        Priority of each tier, one more than there are thresholds, not ascending. The default is
        that of DESI's LOW_Z_TIER1 to LOW_Z_TIER3 (Darragh-Ford+23, desitarget's secondary bits).
    last_flags : int
        Bits of `score_flags` of which any one puts a source after all others, in the last tier:
        its score is not to be trusted, so it should cost no fiber that another could use.

    Raises
    ------
    ConfigError
        When thresholds or priorities are not as said above.
    """

    tier_thresholds: tuple[float, ...] = (0.5, 0.1)
    priorities: tuple[int, ...] = (80, 70, 60)
    last_flags: int = 0

    def __post_init__(self) -> None:
        thresholds, priorities = self.tier_thresholds, self.priorities
        if not all(0 < threshold < 1 for threshold in thresholds):
            raise ConfigError(f"tier_thresholds {list(thresholds)}: each must lie inside (0, 1)")
        if any(low >= high for high, low in pairwise(thresholds)):
            raise ConfigError(
                f"tier_thresholds {list(thresholds)}: give them strictly descending, tier 1 first"
            )
        if len(priorities) != len(thresholds) + 1:
            raise ConfigError(
                f"priorities {list(priorities)}: {len(thresholds)} tier_thresholds make "
                f"{len(thresholds) + 1} tiers, give one priority for each"
            )
        if not all(0 <= priority <= np.iinfo(np.int32).max for priority in priorities):
            raise ConfigError(f"priorities {list(priorities)}: each must be 0 or more")
        if any(low > high for high, low in pairwise(priorities)):
            raise ConfigError(
                f"priorities {list(priorities)}: a better tier cannot have the lower priority"
            )


def rank_targets(scored: pd.DataFrame, settings: RankSettings) -> pd.DataFrame:
    """Order scored sources by probability and give each a rank, a tier and a priority.

    Sources with one of the settings' `last_flags` come after all others.

    The result does not depend on the order of the rows: equal probabilities are ordered by
    `source_id`.

    Parameters
    ----------
    scored : DataFrame
        At least `source_id` (int64, unique) and `p_lowz` (0 to 1), and `score_flags` (int) where
        some flags rank last.
    settings : RankSettings
        Tiers and their priorities. A threshold is compared in the precision of `p_lowz`, so that
        a float32 probability of 0.7 is in a tier that begins at 0.7.

    Returns
    -------
    DataFrame
        The rows of `scored`, best first, with `rank` (int64, 1 = best, no ties), `tier` (int16,
        1 = best) and `priority` (int32) added.

    Raises
    ------
    TargetsError
        When a column is missing, ids repeat, or a probability is not a number in [0, 1].
    """
    for column in ("source_id", "p_lowz", *(["score_flags"] if settings.last_flags else [])):
        if column not in scored:
            raise TargetsError(f"scores have no column {column}: they cannot be ranked")
    if scored["source_id"].dtype != np.int64:
        raise TargetsError(
            f"column source_id is {scored['source_id'].dtype}, not int64: ids may have been rounded"
        )
    source_id = scored["source_id"].to_numpy()
    probability = scored["p_lowz"].to_numpy()
    if probability.dtype.kind != "f":
        raise TargetsError(f"column p_lowz is {probability.dtype}, not a floating-point number")
    impossible = ~((probability >= 0) & (probability <= 1))
    if impossible.any():
        raise TargetsError(
            f"p_lowz is not a number from 0 to 1 for {_ids(source_id[impossible])}: "
            "score these sources again"
        )

    last = np.zeros(len(scored), dtype=bool)
    if settings.last_flags:
        last = (scored["score_flags"].to_numpy() & settings.last_flags) != 0
    order = np.lexsort((source_id, -probability, last))
    ranked_ids = np.sort(source_id)
    repeated = ranked_ids[1:][ranked_ids[1:] == ranked_ids[:-1]]
    if len(repeated):
        raise TargetsError(
            f"source_id occurs more than once: {_ids(np.unique(repeated))}; "
            "remove the duplicates from the catalog"
        )

    ranked = scored.iloc[order].reset_index(drop=True)
    ascending = np.asarray(settings.tier_thresholds[::-1], dtype=probability.dtype)
    passed = np.searchsorted(ascending, probability[order], side="right")
    passed[last[order]] = 0
    tier = (1 + len(ascending) - passed).astype(np.int16)
    ranked["rank"] = np.arange(1, len(ranked) + 1, dtype=np.int64)
    ranked["tier"] = tier
    ranked["priority"] = np.asarray(settings.priorities, dtype=np.int32)[tier - 1]
    return ranked


def _ids(source_id: NDArray[np.int64]) -> str:
    named = ", ".join(str(value) for value in source_id[:_NAMED_IN_MESSAGES])
    more = len(source_id) - _NAMED_IN_MESSAGES
    return f"source_id {named}" + (f" and {more} more" if more > 0 else "")
