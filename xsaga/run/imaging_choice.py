"""Service or bricks, where a run may use both: whichever will have the cutouts sooner.

A service gives so many cutouts a second, wherever they lie; a brick costs the same however few
cutouts are wanted of it. So it is the number of sources in a brick that decides, and what a brick
and a request take here, which is measured on a few of those that the run needs. The choice is kept
with the run: its cutouts all come from one place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from xsaga.config import ImagingConfig
from xsaga.errors import RunError, XsagaError
from xsaga.paths import placed
from xsaga.run.survey_time import Survey, duration

Place = Literal["bricks", "service"]
PLACES: tuple[Place, ...] = ("bricks", "service")


@dataclass(frozen=True)
class Cost:
    """What fetching from one place takes.

    Parameters
    ----------
    seconds : float
        For all cutouts of the run.
    basis : str
        What was measured, in words.
    """

    seconds: float
    basis: str


def is_open(config: ImagingConfig) -> bool:
    """Whether a configuration leaves the choice between bricks and service."""
    return bool(config.bricks and config.service)


def only(config: ImagingConfig, place: Place) -> ImagingConfig:
    """Give the configuration with one of the two places alone."""
    return replace(config, service="") if place == "bricks" else replace(config, bricks="")


def choose(
    survey: Survey,
    measures: Mapping[Place, Callable[[Survey], Cost]],
    tell: Callable[[str], None],
) -> Place:
    """Choose the place that will have the cutouts sooner; one that cannot be used is passed over.

    Parameters
    ----------
    survey : Survey
        Cutouts to fetch, and the bricks that they lie in.
    measures : mapping
        For each place, what measures its cost.
    tell : callable
        Told the choice and why, and what is wrong with a place.

    Raises
    ------
    XsagaError
        Neither can be used; the error is that of the last.
    """
    costs: dict[Place, Cost] = {}
    trouble: XsagaError | None = None
    for place, measure in measures.items():
        try:
            costs[place] = measure(survey)
        except XsagaError as error:
            trouble = error
            tell(f"warning: --{place} cannot be used: {error}")
    if not costs:
        raise trouble or RunError("no imaging to choose from")
    best = min(costs, key=lambda place: costs[place].seconds)
    what = f"{survey.sources:,} cutouts in {survey.bricks:,} bricks"
    words = [
        f"{place} would take {duration(cost.seconds)} ({cost.basis})"
        for place, cost in costs.items()
    ]
    tell(f"imaging: {best} chosen for {what}: {'; '.join(words)}")
    return best


def read_choice(path: Path) -> Place | None:
    """Read what was chosen before; None if nothing was.

    Raises
    ------
    RunError
        The file is damaged.
    """
    if not path.is_file():
        return None
    try:
        chosen = json.loads(path.read_text(encoding="utf-8"))["imaging"]
    except (OSError, ValueError, KeyError, TypeError):
        chosen = None
    for place in PLACES:
        if chosen == place:
            return place
    raise RunError(f"cannot read {path}: begin anew with --restart") from None


def write_choice(path: Path, place: Place) -> None:
    """Keep the choice."""
    with placed(path) as temporary:
        temporary.write_text(json.dumps({"imaging": place}) + "\n", encoding="utf-8")
