"""The engine of a run: chosen once, recorded, kept on a resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.small_runs import SmallSky, targets_of, xsaga

ANY_ENGINE = ("--engine", "auto")


@pytest.fixture(scope="module")
def converted(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("openvino")
    run = tmp_path_factory.mktemp("engine") / "RUN"
    result = xsaga("run", *sky.options, "--engine", "openvino", "--out", run)
    assert result.exit_code in (0, 3), result.stderr
    return run


def settings_of(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "run.json").read_text())["settings"])


def test_a_run_records_its_engine_and_gives_the_scores_of_torch(
    sky: SmallSky, converted: Path, tmp_path: Path
) -> None:
    assert settings_of(converted)["engine"] == "openvino"
    assert settings_of(converted)["precision"] == "float32"
    eager = tmp_path / "EAGER"
    assert xsaga("run", *sky.options, "--out", eager).exit_code in (0, 3)
    assert settings_of(eager)["engine"] == "eager"
    one, other = (targets_of(run).set_index("source_id").sort_index() for run in (eager, converted))
    assert one.index.equals(other.index)
    np.testing.assert_allclose(one["p_lowz"], other["p_lowz"], atol=1e-4)


@pytest.mark.parametrize("recorded", ["openvino", "eager"])
def test_a_resume_keeps_the_engine_that_is_left_open(
    sky: SmallSky, converted: Path, tmp_path: Path, recorded: str
) -> None:
    run = tmp_path / "RUN"
    if recorded == "openvino":
        shutil.copytree(converted, run)
    else:
        assert xsaga("run", *sky.options, "--out", run).exit_code in (0, 3)
    for scores in sorted(run.rglob("scores.parquet"))[:1]:
        scores.unlink()
    result = xsaga("run", run, *ANY_ENGINE)
    assert result.exit_code in (0, 3), result.stderr
    assert settings_of(run)["engine"] == recorded


def test_another_engine_is_refused_on_a_resume(converted: Path) -> None:
    result = xsaga("run", converted, "--engine", "eager")
    assert result.exit_code == 1
    assert "engine: was 'openvino', now 'eager'" in result.stderr


def test_a_recorded_engine_that_is_gone_is_one_clear_line(
    converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xsaga.model.openvino_engine.find_spec", lambda _: None)
    result = xsaga("run", converted, *ANY_ENGINE)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line]
    assert "scored with openvino" in line
    assert "pip install 'xsaga[openvino]'" in line
