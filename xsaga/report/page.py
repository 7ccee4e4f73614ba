"""The page of a run: one file that needs no network, no script and no other file."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from xsaga.errors import MissingExtraError, RunError
from xsaga.model.scoring import ScoreFlag
from xsaga.paths import placed
from xsaga.report.facts import REQUIRED, ReportFacts
from xsaga.report.histogram import probability_histogram
from xsaga.report.sky_map import sky_map

if TYPE_CHECKING:
    from jinja2 import Template

_VIEWER = "https://www.legacysurvey.org/viewer"
_MOST_POINTS = 2000
_MOST_FAILURES = 50
_NO_VALUE = "–"


@dataclass(frozen=True)
class _Target:
    """One target as the page prints it."""

    rank: str
    source_id: str
    ra: str
    dec: str
    probability: str
    spread: str
    tier: int
    type: str
    mag_g: str
    mag_r: str
    mag_z: str
    colour: str
    coverage: str
    flags: str
    unfamiliar: bool
    viewer: str
    picture: str


@dataclass(frozen=True)
class _PlainTable:
    """A table printed as it is; numbers stand to the right."""

    names: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def write_report(facts: ReportFacts, path: Path) -> Path:
    """Write the page of a run.

    Pictures are inside the file as data URIs; the page loads nothing and runs no script. All text
    from catalogs and configuration is escaped.

    Parameters
    ----------
    facts : ReportFacts
        What to show.
    path : Path
        HTML file to write; its folder is made.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    MissingExtraError
        When jinja2 is not installed.
    RunError
        When the targets lack columns or the file cannot be written.
    """
    missing = [name for name in REQUIRED if name not in facts.targets]
    if missing:
        raise RunError(f"report: the target list lacks {', '.join(missing)}; rank the run again")
    html = _render(_template(), facts)
    try:
        with placed(path) as temporary:
            temporary.write_text(html, encoding="utf-8", newline="\n")
    except OSError as error:
        raise RunError(
            f"{path}: the report cannot be written ({error.strerror or error}); "
            "free some space or choose another place"
        ) from error
    return path


def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("jinja2", "report") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = files("xsaga.report").joinpath("index.html").read_text(encoding="utf-8")
    return environment.from_string(text)


def _render(template: Template, facts: ReportFacts) -> str:
    targets = facts.targets
    shown = targets.head(_MOST_POINTS)
    tiers = dict(enumerate(facts.provenance.tiers, start=1))
    tier_counts = [(tier, int((targets["tier"] == tier).sum())) for tier in tiers]
    return template.render(
        facts=facts,
        provenance=facts.provenance,
        z_limit=f"{facts.provenance.weights.z_limit:g}",
        counts=facts.counts,
        rejected_total=sum(facts.counts.rejected.values()),
        failed_total=sum(facts.counts.failed.values()),
        imbalances=facts.counts.imbalances(),
        tier_counts=tier_counts,
        tier_names=tiers,
        not_targets_total=sum(facts.counts.not_targets.values()),
        total=len(targets),
        best=_best(facts),
        histogram=probability_histogram(targets["p_lowz"].to_numpy(dtype=np.float64)),
        sky=sky_map(
            shown["ra"].to_numpy(dtype=np.float64),
            shown["dec"].to_numpy(dtype=np.float64),
            shown["tier"].to_numpy(dtype=np.int16),
        ),
        cutflow=_plain_table(facts.cutflow),
        failures=_plain_table(facts.failures.head(_MOST_FAILURES)),
        failures_total=len(facts.failures),
    )


def _best(facts: ReportFacts) -> list[_Target]:
    """Prepare the first targets; a loop over as many rows as the page shows, not over sources."""
    best = facts.targets.head(facts.top)
    return [
        _Target(
            rank=f"{row['rank']:,}",
            source_id=str(row["source_id"]),
            ra=f"{row['ra']:.6f}",
            dec=f"{row['dec']:+.6f}",
            probability=_number(row["p_lowz"], 3),
            spread=_number(row["p_lowz_std"], 3),
            tier=int(row["tier"]),
            type=str(row["type"]) if pd.notna(row["type"]) else "",
            mag_g=_number(row["mag_g"], 2),
            mag_r=_number(row["mag_r"], 2),
            mag_z=_number(row["mag_z"], 2),
            colour=_number(row["mag_g"] - row["mag_r"], 2),
            coverage=_percent(min(row["coverage_g"], row["coverage_r"], row["coverage_z"])),
            flags=", ".join(str(flag.name) for flag in ScoreFlag(int(row["score_flags"]))),
            unfamiliar=bool(row["score_flags"] & ScoreFlag.UNFAMILIAR),
            viewer=_viewer_link(row["ra"], row["dec"], facts.viewer_layer),
            picture=_data_uri(facts.pictures.get(int(row["source_id"]))),
        )
        for row in best.to_dict("records")
    ]


def _number(value: float, digits: int) -> str:
    if not np.isfinite(value):
        return _NO_VALUE
    # a true minus sign: a hyphen is hard to see in a column of figures; z: no negative zero
    return f"{value:z.{digits}f}".replace("-", "−")


def _percent(fraction: float) -> str:
    """Percentage rounded down, so that 100 % means complete."""
    return f"{int(fraction * 100)} %" if np.isfinite(fraction) else _NO_VALUE


def _viewer_link(ra: float, dec: float, layer: str) -> str:
    query = {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}", "layer": layer, "zoom": "16"}
    return f"{_VIEWER}?{urlencode(query)}"


def _data_uri(png: bytes | None) -> str:
    return f"data:image/png;base64,{b64encode(png).decode('ascii')}" if png else ""


def _plain_table(frame: pd.DataFrame) -> _PlainTable:
    numeric = tuple(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes)
    columns = [_texts(str(name), frame[name]) for name in frame.columns]
    return _PlainTable(
        names=tuple(str(name).replace("_", " ") for name in frame.columns),
        numeric=numeric,
        rows=tuple(zip(*columns, strict=True)),
    )


def _texts(name: str, values: pd.Series) -> list[str]:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return ["" if pd.isna(value) else str(value) for value in values]
    if pd.api.types.is_integer_dtype(values):
        plain = name.endswith("id")  # identifiers are to be copied, so without separators
        return [str(value) if plain else f"{value:,}" for value in values]
    digits = 8 if name in {"ra", "dec"} else 4
    return [_NO_VALUE if pd.isna(value) else f"{value:.{digits}g}" for value in values]
