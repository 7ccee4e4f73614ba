"""A ranked list in a few lines of text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xsaga.model.scoring import ScoreFlag

SHOWN = 10


def format_targets(targets: pd.DataFrame) -> str:
    """Give the number of targets and the first of them as plain text."""
    columns = ["rank", "source_id", "ra", "dec", "mag_r", "p_lowz", "p_lowz_std", "tier"]
    best = targets[columns].head(SHOWN)
    text = best.to_string(
        index=False,
        formatters={
            "ra": "{:.5f}".format,
            "dec": "{:+.5f}".format,
            "mag_r": "{:.2f}".format,
            "p_lowz": "{:.3f}".format,
            "p_lowz_std": "{:.3f}".format,
        },
    )
    unfamiliar = np.count_nonzero(targets["score_flags"].to_numpy() & ScoreFlag.UNFAMILIAR)
    lines = [f"{len(targets):,} targets"]
    if unfamiliar:
        lines.append(
            f"{unfamiliar:,} of them unlike the training cutouts: do not trust their score"
        )
    return "\n".join([*lines, text] if len(targets) else lines)
