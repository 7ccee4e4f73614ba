"""Runs that are killed, interrupted, crowded or short of disk."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.preloaded import Preloaded, TookLongerError
from tests.small_runs import SmallSky, status_of, xsaga
from xsaga.paths import TEMPORARY_MARK, RunPaths
from xsaga.run.folder import locked

KILLS = 4
"""Of benchmarks/crash.py's hundred, for every day."""

RESULTS = ("targets.parquet", "targets.fits", "cutflow.csv", "rejected.parquet", "run.toml")


@pytest.mark.trial
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    sky: SmallSky, tmp_path: Path, preloaded: Preloaded
) -> None:
    run = tmp_path / "RUN"
    command = ("run", *sky.options, "--out", run)
    begun = time.monotonic()
    code, _, errors = preloaded.run(*command)
    assert code == 0, errors
    duration = time.monotonic() - begun
    undisturbed = {name: (run / name).read_bytes() for name in RESULTS}
    run.rename(tmp_path / "undisturbed")

    chance = random.Random(20261122)
    kills = 0
    while kills < KILLS:
        process = preloaded.begin(*command)
        try:
            code, _, errors = process.ended(chance.uniform(0.1, 0.95) * duration)
        except TookLongerError:
            process.send(signal.SIGKILL)
            code, _, errors = process.ended()
        if code == -signal.SIGKILL:
            kills += 1
        else:  # it was faster than the kill: begin anew
            assert code == 0, errors
            shutil.rmtree(run)
    code, output, errors = preloaded.run(*command)
    assert code == 0, errors
    assert "all done" in output
    for name, content in undisturbed.items():
        assert (run / name).read_bytes() == content, name
    assert not list(run.rglob(f"*{TEMPORARY_MARK}*"))
    assert not (run / ".spool").exists()


def test_ctrl_c_ends_cleanly_and_the_run_goes_on(
    sky: SmallSky, tmp_path: Path, preloaded: Preloaded
) -> None:
    run = tmp_path / "RUN"
    process = preloaded.begin("run", *sky.options, "--out", run)
    for line in process.errors:  # the first words come when the folder is held
        if "simulated images" in line:
            break
    process.send(signal.SIGINT)
    code, _, errors = process.ended()
    assert code == 130
    assert "interrupted; finished work is kept" in errors
    assert "Traceback" not in errors
    assert not list(run.rglob(f"*{TEMPORARY_MARK}*"))
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    assert status_of(run)["stage"] == "done"


def test_a_second_process_on_the_run_folder_stops(
    sky: SmallSky, tmp_path: Path, preloaded: Preloaded
) -> None:
    run = tmp_path / "RUN"
    with locked(RunPaths(run)):
        code, _, errors = preloaded.run("run", *sky.options, "--out", run)
    assert code == 1
    assert f"{run} is in use by process" in errors
    assert "use another --out" in errors
    assert "Traceback" not in errors
