"""Figures of an evaluation, from the content of its ``evaluation.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsaga.errors import MissingExtraError
from xsaga.report.figure_files import write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart by people with any of the common colour blindnesses.
_MODEL, _PUBLISHED = "#0072B2", "#000000"
_BASELINES = (("#E69F00", "--"), ("#009E73", "-."), ("#CC79A7", ":"))
_CUTS = (("#D55E00", "s"), ("#56B4E9", "D"))
_PURITY, _COMPLETENESS = "#0072B2", "#D55E00"
_SIMULATED = "SIMULATED sky"
_DPI = 130

Content = Mapping[str, Any]
Estimates = Sequence[Mapping[str, float | None]]


def require_matplotlib() -> None:
    """Refuse to go on without matplotlib.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "report") from None


def write_figures(content: Content, folder: Path) -> dict[str, str]:
    """Draw all figures that the content has the numbers for.

    Parameters
    ----------
    content : mapping
        Of ``evaluation.json``.
    folder : Path
        Where the PNG files go.

    Returns
    -------
    dict of str to str
        From file name to what the figure shows, for those who do not see it.
    """
    require_matplotlib()
    written = {}
    for name, (draw, alt) in _FIGURES.items():
        figure = draw(content)
        if figure is None:
            continue
        write_png(figure, folder / name, _DPI)
        written[name] = alt
    return written


def _purity_completeness(content: Content) -> Figure | None:
    population = content["populations"][content["headline"]]
    figure, (axes,) = _figure(content, 1, (7.2, 5.2))
    for name, scorer, colour, style, width in _scorers(population):
        curve = scorer["curve"]
        if not curve:
            continue
        x, y = _values(curve, "completeness"), _values(curve, "purity")
        axes.plot(x, y, style, color=colour, lw=width, label=name, zorder=3)
        if name == "model":
            _band(axes, x, [point["purity"] for point in curve], colour)
    for (name, cut), (colour, marker) in zip(population["cuts"].items(), _CUTS, strict=False):
        purity, completeness = cut["purity"], cut["completeness"]
        if None not in (purity["value"], completeness["value"]):
            axes.errorbar(
                completeness["value"],
                purity["value"],
                xerr=_bars([completeness]),
                yerr=_bars([purity]),
                fmt=marker,
                color=colour,
                label=f"cuts {name}",
                zorder=4,
                clip_on=False,
            )
    axes.axvline(0.9, color="0.6", lw=0.8, zorder=1)
    axes.text(0.895, 1.01, "90 %", color="0.4", ha="right", va="bottom", fontsize=8)
    axes.set(
        xlabel=f"completeness ({_lowz(content)} found / all in the population)",
        ylabel=f"purity ({_lowz(content)} / labelled in the list)",
        xlim=(0, 1.01),
        ylim=(0, 1.0),
    )
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
    return figure


def _thresholds(content: Content) -> Figure | None:
    points = content["thresholds"]
    figure, (axes,) = _figure(content, 1, (7.2, 4.4))
    x = [point["threshold"] for point in points]
    for key, colour, style in (("purity", _PURITY, "-"), ("completeness", _COMPLETENESS, "--")):
        axes.plot(x, _values(points, key), style, color=colour, lw=2, label=key)
        _band(axes, x, [point[key] for point in points], colour)
    axes.set(xlabel="lowest p_lowz in the list", ylabel="share", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(loc="lower center", fontsize=9)
    return figure


def _ranked_lists(content: Content) -> Figure | None:
    population = content["populations"][content["headline"]]
    if not population["scorers"]["model"]["ranked_lists"]:
        return None
    figure, panels = _figure(content, 2, (10.4, 4.8))
    titles = {
        "completeness": f"completeness at z < {content['labels']['near_z']:g}",
        "purity": f"purity at {_lowz(content)}",
    }
    published, below = content["published"], content["published_z"]
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        for name, scorer, colour, style, width in _scorers(population):
            lists = scorer["ranked_lists"]
            x = [entry["per_deg2"] for entry in lists]
            axes.plot(x, _values(lists, key), style, marker=".", color=colour, lw=width, label=name)
            if name == "model":
                _band(axes, x, [entry[key] for entry in lists], colour)
        axes.plot(
            [entry["per_deg2"] for entry in published],
            [entry[key] for entry in published],
            "*",
            color=_PUBLISHED,
            ms=11,
            label="published (DESI LOW-Z: "
            f"z < {below['completeness']:g}, purity z < {below['purity']:g})",
            zorder=5,
        )
        axes.set_xscale("log")
        axes.set_xticks([entry["per_deg2"] for entry in published])
        axes.set_xticklabels([f"{entry['per_deg2']:g}" for entry in published])
        axes.minorticks_off()
        axes.set(xlabel="targets per deg²", ylabel=title, ylim=(0, 1.02))
    handles, names = panels[1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def _reliability(content: Content) -> Figure | None:
    diagrams = content["reliability"]
    if not diagrams:
        return None
    figure, panels = _figure(content, len(diagrams), (5.2 * len(diagrams), 4.9))
    for axes, diagram in zip(panels, diagrams, strict=True):
        bins = diagram["bins"]
        said = [entry["mean_probability"] for entry in bins]
        observed = [entry["observed"] for entry in bins]
        axes.plot([0, 1], [0, 1], color="0.6", lw=1, label="what it says is what is found")
        axes.errorbar(
            said,
            [o["value"] for o in observed],
            yerr=_bars(observed),
            fmt="o",
            color=_MODEL,
            capsize=3,
            label="found, with binomial interval",
        )
        for x, entry in zip(said, bins, strict=True):
            axes.annotate(
                f"{entry['sources']:,}",
                (x, entry["observed"]["high"]),
                textcoords="offset points",
                xytext=(0, 3),
                ha="left" if x < 0.05 and diagram["binning"] == "equal width" else "center",
                fontsize=7,
                color="0.35",
            )
        if diagram["binning"] == "equal count":  # nearly all of them are near zero
            axes.set_xscale("symlog", linthresh=1e-3)
            axes.set_yscale("symlog", linthresh=1e-3)
            axes.set(xlim=(0, 1.2), ylim=(0, 1.5))
        else:
            axes.set(xlim=(0, 1), ylim=(0, 1.06))
        error = diagram["expected_calibration_error"]
        axes.set_title(f"bins of {diagram['binning']}: ECE {error:.4f}", fontsize=10)
        axes.set(xlabel="mean p_lowz", ylabel=f"share at {_lowz(content)}")
        axes.legend(loc="upper left", fontsize=8)
    return figure


def _slices(content: Content) -> Figure | None:
    filled = [sliced for sliced in content["slices"] if sliced["slices"]]
    if not filled:
        return None
    figure, panels = _figure(content, len(filled), (3.6 * len(filled), 4.2))
    for axes, sliced in zip(panels, filled, strict=True):
        entries = sliced["slices"]
        for key, colour, marker, shift in (
            ("purity", _PURITY, "o", -0.06),
            ("completeness", _COMPLETENESS, "s", 0.06),
        ):
            shown = [
                (i, entry[key])
                for i, entry in enumerate(entries)
                if entry[key]["value"] is not None
            ]
            axes.errorbar(
                [i + shift for i, _ in shown],
                [value["value"] for _, value in shown],
                yerr=_bars([value for _, value in shown]),
                fmt=marker,
                color=colour,
                capsize=3,
                label=key,
            )
        axes.set_xticks(range(len(entries)))
        axes.set_xticklabels(
            [f"{e['label']}\n{e['lowz']:,} low-z" for e in entries],
            fontsize=7,
            rotation=35,
            ha="right",
        )
        axes.set(
            xlabel=f"{sliced['quantity']} [{sliced['unit']}]",
            ylim=(0, 1.04),
            xlim=(-0.5, len(entries) - 0.5),
        )
    panels[0].set_ylabel("share")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


_FIGURES: Mapping[str, tuple[Callable[[Content], Figure | None], str]] = {
    "purity-completeness.png": (
        _purity_completeness,
        "Purity against completeness of the model, the baselines and the cuts",
    ),
    "ranked-lists.png": (
        _ranked_lists,
        "Completeness and purity of ranked lists against targets per square degree",
    ),
    "thresholds.png": (_thresholds, "Purity and completeness against the lowest p_lowz"),
    "reliability.png": (_reliability, "Observed share of low-redshift galaxies against p_lowz"),
    "slices.png": (
        _slices,
        "Purity and completeness by magnitude, surface brightness, colour and PSF",
    ),
}


def _figure(content: Content, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Start a figure, without the state of pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False)[0].tolist()
    for axes in panels:
        axes.grid(color="0.92", lw=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    population = content["populations"][content["headline"]]
    counts = f"{population['labelled']:,} labelled, {population['lowz']:,} at {_lowz(content)}"
    mark = f"{_SIMULATED} · " if content["simulated_labels"] else ""
    figure.suptitle(f"{mark}{population['meaning']}: {counts}", fontsize=9, color="0.25")
    return figure, panels


def _lowz(content: Content) -> str:
    """Say what low redshift is, by the labels."""
    return f"z < {content['labels']['z_limit']:g}"


def _scorers(
    population: Content,
) -> list[tuple[str, Mapping[str, Any], str, str, float]]:
    """List name, numbers, colour, line style and width: baselines below the model."""
    scorers = dict(population["scorers"])
    model = scorers.pop("model")
    drawn = [
        (name, scorer, colour, style, 1.5)
        for (name, scorer), (colour, style) in zip(scorers.items(), _BASELINES, strict=False)
    ]
    return [("model", model, _MODEL, "-", 2.4), *drawn]


def _values(points: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [_number(point[key]["value"]) for point in points]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _band(axes: Axes, x: Sequence[float], estimates: Estimates, colour: str) -> None:
    low, high = ([_number(e[key]) for e in estimates] for key in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0, zorder=2)


def _bars(estimates: Estimates) -> list[list[float]]:
    """Lengths of error bars below and above."""
    below = [_number(e["value"]) - _number(e["low"]) for e in estimates]
    above = [_number(e["high"]) - _number(e["value"]) for e in estimates]
    return [below, above]
