from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_runs import SmallSky, targets_of, xsaga
from tests.survey_server import survey_server
from xsaga.errors import ImagingError, RunError
from xsaga.paths import RunPaths
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


def test_a_run_chooses_says_why_and_stays_with_it(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    with survey_server(sky.tree, layer="xsaga-sim") as server:
        both = [*sky.options, "--service", server.cutout_url, "--layer", "xsaga-sim"]
        both += ["--r-max", "21", "--rate", "4", "--connections", "2"]
        result = xsaga("run", *both, "--out", run)
        assert result.exit_code == 0, result.output
        assert "imaging: bricks chosen for" in result.stderr
        assert "service would take" in result.stderr
        assert 0 < len(server.seen) <= 10  # a few requests, to know its pace
        asked = len(server.seen)
        resumed = xsaga("run", *both, "--out", run)
        assert resumed.exit_code == 0
        assert "chosen" not in resumed.stderr
        assert len(server.seen) == asked
    assert targets_of(run)["cutout_origin"].str.startswith("south/").all()
    assert read_choice(RunPaths(run).imaging_choice) == "bricks"
    plain = tmp_path / "PLAIN"
    assert xsaga("run", *sky.options, "--r-max", "21", "--out", plain).exit_code == 0
    assert targets_of(plain)["p_lowz"].tolist() == targets_of(run)["p_lowz"].tolist()


def test_the_service_takes_over_where_there_are_no_bricks(sky: SmallSky, tmp_path: Path) -> None:
    bare = tmp_path / "tree"
    with survey_server(sky.tree, layer="xsaga-sim") as server:
        options = [*sky.options, "--bricks", str(bare), "--service", server.cutout_url]
        options += ["--layer", "xsaga-sim", "--r-max", "20", "--rate", "1000"]
        result = xsaga("run", *options, "--out", tmp_path / "RUN")
        assert result.exit_code == 0, result.output
    assert "warning: --bricks cannot be used:" in result.stderr
    assert "imaging: service chosen for" in result.stderr
    assert set(targets_of(tmp_path / "RUN")["cutout_origin"]) == {"xsaga-sim"}


def test_who_cannot_choose_says_so(sky: SmallSky, tmp_path: Path) -> None:
    both = ["--bricks", sky.tree, "--service", "http://127.0.0.1:9/", "--out", tmp_path / "x"]
    cutout = xsaga("cutout", *both[:4], "--out", tmp_path / "x.fits", "--", 180, 0.25)
    assert cutout.exit_code == 2
    assert "give one of them" in cutout.stderr
    nightly = xsaga("nightly", "--catalog", sky.tree / "sweep", "--weights", sky.weights, *both)
    assert nightly.exit_code == 2
    assert "give one of them" in nightly.stderr
