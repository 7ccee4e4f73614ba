"""Runs that are killed, interrupted, crowded or short of disk."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.small_runs import COMMAND, SmallSky, reproducible, status_of, xsaga
from xsaga.paths import TEMPORARY_MARK, RunPaths
from xsaga.run.folder import locked

KILLS = 6
RESULTS = ("targets.parquet", "targets.fits", "cutflow.csv", "rejected.parquet", "run.toml")


def begin(sky: SmallSky, run: Path, **how: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [*COMMAND, "run", *sky.options, "--out", str(run)],
        env=reproducible(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    sky: SmallSky, tmp_path: Path
) -> None:
    run = tmp_path / "RUN"
    begun = time.monotonic()
    process = begin(sky, run)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    duration = time.monotonic() - begun
    undisturbed = {name: (run / name).read_bytes() for name in RESULTS}
    run.rename(tmp_path / "undisturbed")

    chance = random.Random(20261122)
    kills = 0
    while kills < KILLS:
        process = begin(sky, run)
        try:
            process.communicate(timeout=chance.uniform(0.2, 0.95) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if process.returncode == -signal.SIGKILL:
            kills += 1
        else:  # it was faster than the kill: begin anew
            assert process.returncode == 0
            shutil.rmtree(run)
    process = begin(sky, run)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "all done" in output
    for name, content in undisturbed.items():
        assert (run / name).read_bytes() == content, name
    assert not list(run.rglob(f"*{TEMPORARY_MARK}*"))
    assert not (run / ".spool").exists()


def test_ctrl_c_ends_cleanly_and_the_run_goes_on(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    # A shell in the background has its children ignore Ctrl-C: these tests, and so the run.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = begin(sky, run, preexec_fn=heed)
    assert process.stderr is not None
    for line in process.stderr:  # the first words come when the folder is held
        if "simulated images" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; finished work is kept" in errors
    assert "Traceback" not in errors
    assert not list(run.rglob(f"*{TEMPORARY_MARK}*"))
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    assert status_of(run)["stage"] == "done"


def test_a_second_process_on_the_run_folder_stops(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    with locked(RunPaths(run)):
        process = begin(sky, run)
        _, errors = process.communicate()
    assert process.returncode == 1
    assert f"{run} is in use by process" in errors
    assert "use another --out" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("limit", [200, 20_000])
def test_a_quota_that_is_reached_is_one_line_and_leaves_finished_work(
    sky: SmallSky, tmp_path: Path, limit: int
) -> None:
    """The kernel refuses to let any file grow beyond `limit` bytes."""
    run = tmp_path / "RUN"
    process = begin(
        sky,
        run,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "File too large" in only_message(errors)
    assert not list(run.rglob(f"*{TEMPORARY_MARK}*"))
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    assert status_of(run)["stage"] == "done"


@pytest.mark.parametrize("size", ["24k", "400k", "900k"])
def test_a_full_disk_is_one_line_and_goes_on_once_there_is_room(
    sky: SmallSky, tmp_path: Path, size: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        run = disk / "RUN"
        process = begin(sky, run)
        _, errors = process.communicate()
        assert process.returncode == 1
        assert "No space left" in only_message(errors)
        assert not list(run.rglob(f"*{TEMPORARY_MARK}*"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        assert xsaga("run", *sky.options, "--out", run).exit_code == 0
        assert status_of(run)["stage"] == "done"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def only_message(errors: str) -> str:
    """Return the one line an error is told in."""
    assert "Traceback" not in errors
    (message,) = [line for line in errors.splitlines() if line.startswith("xsaga: ")]
    return message
