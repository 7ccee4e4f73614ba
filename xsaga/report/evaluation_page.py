"""The page of an evaluation: Markdown and figures, from a finished ``evaluation.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from xsaga.errors import EvaluationError, MissingExtraError
from xsaga.evaluation.curves import RANKED_LAST
from xsaga.evaluation.evaluation import JSON_NAME
from xsaga.paths import placed
from xsaga.report.evaluation_figures import write_figures

PAGE_NAME = "evaluation.md"

_NO_VALUE = "–"
_SPECIAL = re.compile(r"([\\`*\[\]<>#|~$]|(?<!\w)_|_(?!\w))")

Content = Mapping[str, Any]


def write_evaluation_page(folder: Path) -> Path:
    """Draw the figures and write ``evaluation.md`` beside ``evaluation.json``.

    Parameters
    ----------
    folder : Path
        Holds ``evaluation.json``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    EvaluationError
        There is no such file, or it is damaged.
    MissingExtraError
        matplotlib or jinja2 is not installed.
    """
    source = folder / JSON_NAME
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EvaluationError(f"{source}: no such file; `xsaga evaluate` writes it") from None
    except ValueError as error:
        raise EvaluationError(f"{source}: not JSON ({error}); evaluate again") from None
    text = markdown(content, write_figures(content, folder))
    page = folder / PAGE_NAME
    with placed(page) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return page


def markdown(content: Content, figures: Mapping[str, str]) -> str:
    """Write the page as Markdown text.

    Parameters
    ----------
    content : mapping
        Of ``evaluation.json``.
    figures : mapping of str to str
        From file names beside the page to what they show.

    Raises
    ------
    MissingExtraError
        jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "report") from None
    # Markdown, not HTML: names and texts are escaped one by one, with `text`.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    environment.filters |= {
        "text": escaped,
        "count": "{:,}".format,
        "number": _number,
        "estimate": estimate_text,
        "capitalised": lambda words: words[:1].upper() + words[1:],
        "at": _at,
        "found_by": _found_by,
        "lowest": _lowest,
        "reached": _reached,
        "wanted": _wanted,
    }
    source = files("xsaga.report").joinpath("evaluation.md").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        **content, population=content["populations"][content["headline"]], figures=figures
    )


def headline(content: Content) -> str:
    """Say in a few lines of plain text what came out."""
    population = content["populations"][content["headline"]]
    at_90 = _at(population["scorers"]["model"], 0.9)
    lines = ["SIMULATED sky"] if content["simulated_labels"] else []
    lines.append(
        f"{population['meaning']}: {population['labelled']:,} labelled, "
        f"{population['lowz']:,} at z < {content['labels']['z_limit']:g}"
    )
    lines.append(f"purity at 90 % completeness: {estimate_text(at_90['purity'], 3)}")
    for aim in content["aims"]:
        met = {True: "met", False: "NOT met", None: "not measured"}[aim["met"]]
        lines.append(f"{aim['what']}: {_reached(aim)} (aim: {_wanted(aim)}; {met})")
    return "\n".join(lines)


def estimate_text(estimate: Mapping[str, float | None], digits: int = 2) -> str:
    """Write an estimate with its interval: ``0.12 (0.10 … 0.15)``."""
    value = _number(estimate["value"], digits)
    ends = [_number(estimate[key], digits) for key in ("low", "high")]
    return value if ends == [_NO_VALUE] * 2 else f"{value} ({ends[0]} … {ends[1]})"


def escaped(value: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def _number(value: float | None, digits: int) -> str:
    return _NO_VALUE if value is None else f"{value:.{digits}f}"


def _lowest(threshold: float | None, digits: int = 4) -> str:
    """Say down to which probability a list goes."""
    if threshold is None or threshold >= 0:
        return _number(threshold, digits)
    return f"all, and UNFAMILIAR ≥ {threshold + RANKED_LAST:.{digits}f}"


def _reached(aim: Content) -> str:
    return estimate_text(aim["reached"], 4 if abs(aim["aim"]) < 0.1 else 2)


def _wanted(aim: Content) -> str:
    return f"{aim['bound']} {aim['aim']:g}"


def _at(scorer: Content, completeness: float) -> Content:
    levels: list[Content] = scorer["purity_at_completeness"]
    return next(at for at in levels if at["completeness"] == completeness)


def _found_by(scorer: Content, per_deg2: float) -> Content:
    found = [
        entry["completeness"] for entry in scorer["ranked_lists"] if entry["per_deg2"] == per_deg2
    ]
    return found[0] if found else {"value": None, "low": None, "high": None}
