"""`xsaga bench` as a person would use it; the figures are whatever this machine does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_runs import SmallSky, xsaga
from tests.survey_server import survey_server


@pytest.fixture(scope="module")
def sky(small_sky: SmallSky) -> SmallSky:
    return small_sky


@pytest.fixture(scope="module")
def tiled(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("tiled") / "RUN"
    assert xsaga("tile", *sky.options, "--out", run).exit_code == 0
    return run


def test_the_candidates_of_a_run_are_what_is_counted(sky: SmallSky, tiled: Path) -> None:
    before = sorted(path for path in tiled.rglob("*"))
    result = xsaga("bench", tiled, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    status = json.loads(xsaga("status", tiled, "--json").stdout)
    assert report["survey"] == {"sources": status["counts"]["candidates"], "bricks": 4}
    assert report["imaging"] == f"those of {sky.tree}"
    speeds = report["speeds"]
    assert min(speeds["scored"], speeds["stored"], *speeds["bricks"]["seconds"]) > 0
    assert report["time"]["total"] >= max(report["time"]["parts"].values()) > 0
    assert report["bottleneck"] in report["time"]["parts"]
    assert sorted(path for path in tiled.rglob("*")) == before


def test_a_survey_in_numbers_is_told_in_words(sky: SmallSky) -> None:
    options = ["--bricks", sky.tree, "--weights", sky.weights, "--size", "48", "--batch-size", "16"]
    result = xsaga("bench", "--sources", "123456", "--area", "100", *options)
    assert result.exit_code == 0, result.output
    assert "123,456 cutouts in 1,600 bricks would take" in result.stdout
    assert "What takes longest is" in result.stdout
    assert "2,000 sources in a brick" in result.stdout
    assert "toy, 2 networks on" in result.stdout


def test_the_service_of_a_run_is_timed_at_its_sources(sky: SmallSky, tmp_path: Path) -> None:
    options = [*sky.options, "--layer", "xsaga-sim", "--rate", "500", "--connections", "2"]
    at = options.index("--bricks")
    with survey_server(sky.tree, layer="xsaga-sim") as server:
        options[at : at + 2] = ["--service", server.cutout_url]
        run = tmp_path / "RUN"
        assert xsaga("tile", *options, "--out", run).exit_code == 0
        asked = len(server.seen)
        result = xsaga("bench", run, "--json")
        assert result.exit_code == 0, result.output
        assert len(server.seen) - asked == 8
        report = json.loads(result.stdout)
        assert 0 < report["speeds"]["served"] <= 500
        assert report["speeds"]["bricks"] is None
        assert report["time"]["parts"]["waiting for the service"] > 0
        alone = xsaga("bench", "--service", server.cutout_url, "--weights", sky.weights)
    assert alone.exit_code == 2
    assert "give a RUN that is tiled" in alone.stderr


def test_a_brick_of_a_run_is_downloaded_where_bricks_are_elsewhere(
    sky: SmallSky, tmp_path: Path
) -> None:
    options = [*sky.options, "--cache", tmp_path / "cache", "--rate", "500"]
    at = options.index("--bricks")
    with survey_server(sky.tree) as server:
        options[at + 1] = f"{server.url}/"
        run = tmp_path / "RUN"
        assert xsaga("tile", *options, "--out", run).exit_code == 0
        result = xsaga("bench", run, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["speeds"]["downloaded"] > 0
    assert report["time"]["parts"]["downloading bricks"] > 0


def test_what_cannot_be_measured_is_said_in_one_line(sky: SmallSky, tmp_path: Path) -> None:
    result = xsaga("bench", "--bricks", tmp_path, "--weights", sky.weights)
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr
    assert len(result.stderr.splitlines()) == 1
