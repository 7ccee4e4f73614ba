"""A ranked list in a few lines of text."""

from __future__ import annotations

import pandas as pd

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
    counts = ", ".join(f"{count:,} in tier {tier}" for tier, count in tiers.items())
    return f"{len(targets):,} targets: {counts or 'none'}\n{text if len(targets) else ''}".rstrip()
