"""Which sources nothing can be judged, calibrated or trained by, though they have a label."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

UNKNOWN, CONFLICT, TRAINING = (
    "without a redshift",
    "with redshifts that disagree",
    "added to a simulated sky for training",
)
"""Why a labelled source is left out; the first that holds."""


def why_left_out(joined: pd.DataFrame) -> NDArray[np.str_]:
    """Tell why a labelled source is left out.

    Parameters
    ----------
    joined : DataFrame
        Sources with their truth (`xsaga.evaluation.truth.join_labels`).

    Returns
    -------
    ndarray of str, shape (N,)
        Empty for sources that are taken, and for those without a label.
    """
    labelled = joined["labelled"].to_numpy(bool)
    reasons = {
        UNKNOWN: (joined["z_true"].isna() & (joined["kind"] != "artefact")).to_numpy(bool),
        CONFLICT: joined["conflict"].to_numpy(bool),
        TRAINING: joined["training"].to_numpy(bool),
    }
    reason = np.select([labelled & holds for holds in reasons.values()], list(reasons), default="")
    return np.asarray(reason, np.str_)


def left_out_counts(why: NDArray[np.str_]) -> dict[str, int]:
    """Count the reasons of `why_left_out`."""
    return {reason: int((why == reason).sum()) for reason in (UNKNOWN, CONFLICT, TRAINING)}
