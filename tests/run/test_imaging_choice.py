from __future__ import annotations

from pathlib import Path

import pytest

from xsaga.errors import ImagingError, RunError
from xsaga.run.imaging_choice import Cost, choose, read_choice, write_choice
from xsaga.run.survey_time import Survey


def by_number(survey: Survey) -> Cost:
    return Cost(survey.sources / 8, "8.0 cutouts/s")


def by_bricks(survey: Survey) -> Cost:
    return Cost(survey.bricks * 5.0, "5.0 s a brick")


def unreachable(_: Survey) -> Cost:
    raise ImagingError("nobody answers there")


def test_few_sources_in_many_bricks_are_asked_for_one_by_one() -> None:
    told: list[str] = []
    few, many = Survey(100, 90), Survey(100_000, 90)
    measures = {"bricks": by_bricks, "service": by_number}
    assert choose(few, measures, told.append) == "service"  # type: ignore[arg-type]
    assert choose(many, measures, told.append) == "bricks"  # type: ignore[arg-type]
    first, second = told
    assert first == (
        "imaging: service chosen for 100 cutouts in 90 bricks: bricks would take 7 min 30 s "
        "(5.0 s a brick); service would take 12 s (8.0 cutouts/s)"
    )
    assert second == (
        "imaging: bricks chosen for 100,000 cutouts in 90 bricks: bricks would take 7 min 30 s "
        "(5.0 s a brick); service would take 3 h 28 min (8.0 cutouts/s)"
    )


def test_a_place_that_cannot_be_reached_is_passed_over_and_told() -> None:
    told: list[str] = []
    measures = {"bricks": unreachable, "service": by_number}
    assert choose(Survey(10**6, 1), measures, told.append) == "service"  # type: ignore[arg-type]
    assert told[0] == "warning: --bricks cannot be used: nobody answers there"
    with pytest.raises(ImagingError, match="nobody answers"):
        choose(Survey(1, 1), {"service": unreachable}, told.append)


def test_the_choice_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "imaging.json"
    assert read_choice(path) is None
    write_choice(path, "service")
    assert read_choice(path) == "service"
    for damaged in ("{", '{"imaging": "files"}', "[]"):
        path.write_text(damaged)
        with pytest.raises(RunError, match="begin anew with --restart"):
            read_choice(path)
