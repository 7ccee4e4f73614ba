"""From scores to an order: which source is the better bet."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import TargetsError

_NAMED_IN_MESSAGES = 5


def rank_sources(scored: pd.DataFrame, last_flags: int = 0) -> pd.DataFrame:
    """Order scored sources by probability.

    The result does not depend on the order of the rows: equal probabilities are ordered by
    `source_id`.

    Parameters
    ----------
    scored : DataFrame
        At least `source_id` (int64, unique) and `p_lowz` (0 to 1), and `score_flags` (int) where
        some flags rank last.
    last_flags : int
        Bits of `score_flags` of which any one puts a source after all others: its score is not to
        be trusted, so it should cost no fiber that another could use.

    Returns
    -------
    DataFrame
        The rows of `scored`, best first, with `rank` (int64, 1 = best, no ties) added.

    Raises
    ------
    TargetsError
        When a column is missing, ids repeat, or a probability is not a number in [0, 1].
    """
    for column in ("source_id", "p_lowz", *(["score_flags"] if last_flags else [])):
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
    order = np.lexsort((source_id, -probability, is_last(scored, last_flags)))
    ranked_ids = np.sort(source_id)
    repeated = ranked_ids[1:][ranked_ids[1:] == ranked_ids[:-1]]
    if len(repeated):
        raise TargetsError(
            f"source_id occurs more than once: {_ids(np.unique(repeated))}; "
            "remove the duplicates from the catalog"
        )
    ranked = scored.iloc[order].reset_index(drop=True)
    ranked["rank"] = np.arange(1, len(ranked) + 1, dtype=np.int64)
    return ranked


def is_last(scored: pd.DataFrame, last_flags: int) -> NDArray[np.bool_]:
    """Tell which sources have one of the flags that rank after all others."""
    if not last_flags:
        return np.zeros(len(scored), dtype=bool)
    return np.asarray((scored["score_flags"].to_numpy() & last_flags) != 0)


def _ids(source_id: NDArray[np.int64]) -> str:
    named = ", ".join(str(value) for value in source_id[:_NAMED_IN_MESSAGES])
    more = len(source_id) - _NAMED_IN_MESSAGES
    return f"source_id {named}" + (f" and {more} more" if more > 0 else "")
