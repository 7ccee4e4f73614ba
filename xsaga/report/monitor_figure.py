"""The figure of the monitor, from the content of its ``monitor.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsaga.report.evaluation_figures import require_matplotlib
from xsaga.report.figure_files import write_png
from xsaga.report.monitor_text import interval, near_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_NAME = "monitor.png"

# Okabe & Ito's palette, as in xsaga.report.evaluation_figures.
_TIERS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#E69F00", "v"))
_PUBLISHED, _ALARM = "0.35", "#D55E00"
_LEAST_SHARE = 1e-3
_DPI = 130

Content = Mapping[str, Any]


def write_monitor_figure(content: Content, folder: Path) -> Path:
    """Draw shares by night, calibration and drift into one PNG.

    Parameters
    ----------
    content : mapping
        Of ``monitor.json``.
    folder : Path
        Where the file goes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    require_matplotlib()
    path = folder / FIGURE_NAME
    write_png(_drawn(content), path, _DPI)
    return path


def _drawn(content: Content) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 8.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[1.15, 1])
    panels = [figure.add_subplot(part) for part in (grid[0, :], grid[1, 0], grid[1, 1])]
    for axes, draw in zip(panels, (_shares, _reliability, _drift), strict=True):
        axes.grid(color="0.92", lw=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        draw(axes, content)
    every = content["all"]
    mark = "SIMULATED redshifts · " if content["simulated"] else ""
    figure.suptitle(
        f"{mark}{every['observed']:,} targets observed, {every['good']:,} with a good redshift, "
        f"{every['lowz']:,} at {near_words(content)}",
        fontsize=11,
        color="0.25",
    )
    return figure


def _shares(axes: Axes, content: Content) -> None:
    nights = list(dict.fromkeys(row["night"] for row in content["nights"]))
    place = _places(axes, nights, 8)
    for entry, (colour, marker) in zip(content["tiers"], _TIERS, strict=False):
        rows = [
            row
            for row in content["nights"]
            if row["tier"] == entry["tier"] and row["total_share"] is not None
        ]
        if not rows:
            continue
        apart = 0.06 * (entry["tier"] - 2) if len(nights) == 1 else 0.0
        x = [place[row["night"]] + apart for row in rows]
        shares = [row["total_share"] or float("nan") for row in rows]  # a log axis has no 0
        low = [max(row["total_share_low"], _LEAST_SHARE) for row in rows]
        high = [row["total_share_high"] for row in rows]
        words = f" ({entry['words']})" if entry["words"] else ""
        name = f"tier {entry['tier']}{words}: {entry['lowz']:,} of {entry['good']:,}"
        axes.plot(x, shares, marker=marker, ms=4, color=colour, lw=1.8, label=name, zorder=3)
        if len(rows) == 1:
            axes.vlines(x, low, high, color=colour, lw=1.2)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    for published in content["published"]:
        axes.axhline(published["share"], color=_PUBLISHED, lw=1, ls="--", zorder=2)
        axes.annotate(
            f"{published['share'] * 100:.1f} %\n{published['by']}",
            (1.0, published["share"]),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=_PUBLISHED,
        )
    axes.set_yscale("log")
    ticks = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    axes.set_yticks(ticks, [f"{tick * 100:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.set(
        ylim=(_LEAST_SHARE, 1.0),
        ylabel=f"share at {near_words(content)}, all nights so far",
        title="Share of good redshifts that are near, with 95 % Wilson bands",
    )
    axes.title.set_fontsize(10)
    if not axes.get_legend_handles_labels()[0]:
        _say(axes, "no good redshift yet")
    axes.plot([], [], color=_PUBLISHED, lw=1, ls="--", label="DESI LOW-Z as published, z < 0.03")
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9, ncols=2)


def _reliability(axes: Axes, content: Content) -> None:
    axes.set_title("p_lowz against what was found", fontsize=10)
    calibration = content["calibration"]
    if calibration is None or not calibration["reliability"]:
        _say(axes, "not known" if calibration is None else "no good redshift yet")
        return
    bins = calibration["reliability"][-1]["bins"]
    least = min(entry["mean_probability"] for entry in bins if entry["mean_probability"] > 0) / 3
    for entry in bins:
        said, found = max(entry["mean_probability"], least), entry["observed"]
        if entry["lowz"]:
            ends = [[found["value"] - max(found["low"], least)], [found["high"] - found["value"]]]
            axes.errorbar(said, found["value"], yerr=ends, fmt="o", color="#0072B2", capsize=3)
        else:
            axes.plot(said, found["high"], marker="v", color="#0072B2", mfc="none", ls="none")
            axes.plot([said, said], [least, found["high"]], color="#0072B2", lw=1, alpha=0.5)
    axes.plot([least, 1], [least, 1], color="0.6", lw=1, label="what it says is what is found")
    ratio = interval(calibration["found_over_expected"], 3)
    axes.plot([], [], "o", color="#0072B2", label=f"found; in all {ratio} times what it says")
    if not all(entry["lowz"] for entry in bins):
        axes.plot([], [], "v", color="#0072B2", mfc="none", label="none found: 95 % limit")
    axes.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1.5))
    size = max(entry["sources"] for entry in bins)
    axes.set(
        xlabel=f"mean p_lowz (of {size:,} redshifts each)", ylabel=f"share at {near_words(content)}"
    )
    axes.legend(loc="upper left", fontsize=8)


def _drift(axes: Axes, content: Content) -> None:
    drift = content["drift"]
    axes.set_title("Does p_lowz still hold? Evidence against it", fontsize=10)
    if drift is None or not drift["nights"]:
        _say(axes, "not known" if drift is None else "no good redshift yet")
        return
    nights = [entry["night"] for entry in drift["nights"]]
    place = _places(axes, nights, 4)
    x = [place[night] for night in nights]
    values = [max(entry["e_value"], 1e-300) for entry in drift["nights"]]
    level = drift["alarm_level"]
    axes.axhline(
        level, color=_ALARM, ls="--", lw=1.2, label=f"alarm (false at most {drift['alpha']:.2g})"
    )
    axes.plot(x, values, marker="o", ms=4, color="#0072B2", lw=1.8, label="e-value")
    if drift["alarm_night"] is not None:
        at = place[drift["alarm_night"]]
        early = at < (x[0] + x[-1]) / 2
        axes.axvline(at, color=_ALARM, lw=1)
        axes.annotate(
            f"{drift['alarm_night']}: {drift['direction']} found",
            (at, 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(4 if early else -4, 0),
            textcoords="offset points",
            ha="left" if early else "right",
            fontsize=8,
            color=_ALARM,
        )
    axes.set(yscale="log", ylabel="e-value", ylim=(min(0.1, *values) / 2, max(level, *values) * 4))
    axes.legend(loc="upper left", fontsize=8, framealpha=0.9)


def _places(axes: Axes, nights: Sequence[str], ticks: int) -> dict[str, float]:
    """Where nights stand on the axis of x, which is prepared for them."""
    if not nights or "unknown" in nights:
        place = {night: float(index) for index, night in enumerate(nights)}
    else:
        place = {night: float(date.fromisoformat(night).toordinal()) for night in nights}
    x = list(place.values())
    step = -(-len(nights) // ticks) or 1
    axes.set_xticks(x[::step], [f"night {n}" if n == "unknown" else n for n in nights[::step]])
    axes.tick_params(axis="x", labelsize=8)
    if x:
        margin = max(0.5, 0.02 * (x[-1] - x[0]))
        axes.set_xlim(x[0] - margin, x[-1] + margin)
    return place


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="0.4")
