"""A ranked list in a few lines of text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xsaga.model.scoring import ScoreFlag

SHOWN = 10


def format_targets(targets: pd.DataFrame) -> str:
    """Give the best targets and the number in each tier as plain text."""
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
    tiers = targets["tier"].value_counts().sort_index()
    unfamiliar = np.count_nonzero(targets["score_flags"].to_numpy() & ScoreFlag.UNFAMILIAR)
    counts = ", ".join(f"{count:,} in tier {tier}" for tier, count in tiers.items())
    lines = [f"{len(targets):,} targets: {counts or 'none'}"]
    if unfamiliar:
        lines.append(
            f"{unfamiliar:,} of them unlike the training cutouts: do not trust their score"
        )
    return "\n".join([*lines, text] if len(targets) else lines)
