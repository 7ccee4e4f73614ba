"""Picture of how a training went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from xsaga.errors import MissingExtraError
from xsaga.report.figure_files import write_png

PANELS = (
    (("loss", "held_out_loss"), "loss (nats; solid: held out, dashed: training)"),
    (("held_out_purity_at_90",), "purity at 90 % completeness, held out"),
    (("held_out_average_precision",), "average precision, held out"),
)
"""Columns of the history and the title of each panel."""


def write_training_curves(path: Path, history: pd.DataFrame, *, simulated: bool) -> None:
    """Draw loss and metrics against the epoch, one colour a member.

    Parameters
    ----------
    path : Path
        PNG file.
    history : DataFrame
        Columns ``member``, ``epoch`` and those of `PANELS`.
    simulated : bool
        Whether the objects are simulated; the picture says so.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise MissingExtraError("matplotlib", "report") from None
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (columns, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for member, rows in history.groupby("member"):
            for column in columns:
                axes.plot(
                    rows["epoch"].to_numpy(np.int64) + 1,
                    rows[column],
                    linestyle="--" if column == "loss" else "-",
                    color=f"C{int(str(member)) % 10}",
                    marker="o",
                    markersize=3,
                    label=None if column == "loss" else f"member {member}",
                )
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=7)
    if simulated:
        figure.suptitle("SIMULATED", fontsize=10, color="firebrick")
    write_png(figure, path, 110)
