"""Nights that are killed, and nights that meet another."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.small_nights import Nights, SmallArchive
from tests.small_runs import reproducible
from xsaga.errors import BusyError, ExitCode
from xsaga.paths import TEMPORARY_MARK, NightlyPaths
from xsaga.run.folder import held

pytestmark = pytest.mark.trial

POINTS = {
    "while scoring": ("*/scores.parquet", 2, True),
    "before it is published": ("*/lists/2026-11-27", 1, False),
    "before the ledger": ("*/lists/2026-11-27", 1, True),
    "entering it in the ledger": ("*/ledger/2026-11-27.parquet", 1, False),
    "before latest": ("*/latest", 1, False),
}
"""Where a night is killed: at a rename, the how manieth, and whether before or after it."""

POINTS_AFTER = {"while scoring": 2}
"""So many tiles were done when the night was killed."""


@pytest.fixture(scope="module")
def place(archive: SmallArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night with half of the catalog is done; now all of it is there."""
    place = tmp_path_factory.mktemp("killed") / "begun"
    nights = Nights.over(archive, place, archive.rows[::2])
    assert nights.run("2026-11-26").exit_code == ExitCode.OK
    nights.provide(archive.rows)
    return place


@pytest.fixture(scope="module")
def killed(place: Path) -> dict[str, Nights]:
    """Folders in which the second night was killed, by point."""
    folders = {point: moved(place, number) for number, point in enumerate(POINTS)}
    asked = [[folders[point].arguments("2026-11-27"), *where] for point, where in POINTS.items()]
    script = Path(__file__).parents[1] / "killed_nights.py"
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(asked)],
        env={**reproducible(), "PYTHONPATH": str(script.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [int(line) for line in done.stdout.split()] == [-signal.SIGKILL] * len(POINTS)
    return folders


def moved(place: Path, number: int) -> Nights:
    """Copy lists and runs, leave the catalog where it is: its path is a setting."""
    copy = place.with_name(f"{number}")
    shutil.copytree(place / "N", copy / "N", symlinks=True)
    return nights_of(place, copy / "N")


def nights_of(place: Path, folder: Path) -> Nights:
    record = json.loads((place / "N" / "latest" / "summary.json").read_text(encoding="utf-8"))
    config = place / "N" / "runs" / record["run"] / "run.toml"
    return Nights(folder, place / "catalog.fits", [str(config)])


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> pd.DataFrame:
    nights = moved(place, 99)
    assert nights.run("2026-11-27").exit_code == ExitCode.OK
    return nights.targets().set_index("source_id")["p_lowz"]


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_night_is_gone_on_with(
    killed: dict[str, Nights], undisturbed: pd.Series, archive: SmallArchive, point: str
) -> None:
    nights = killed[point]
    published = point in ("before the ledger", "entering it in the ledger", "before latest")
    assert nights.names() == ["2026-11-26", "2026-11-27"][: 1 + published]
    assert len(nights.targets()) == len(archive.rows[::2])  # latest is a whole list all the time
    n_scored = len(nights.events("tile scored"))
    result = nights.run("2026-11-28")
    assert result.exit_code == (ExitCode.NOTHING_NEW if published else ExitCode.OK), result.output
    assert nights.names()[-1] == ("2026-11-27" if published else "2026-11-28")
    targets = nights.targets().set_index("source_id")["p_lowz"]
    np.testing.assert_allclose(targets, undisturbed[targets.index], atol=1e-5)
    assert len(targets) == len(undisturbed)
    nights.assert_ledger_tells_the_lists()
    assert not list(nights.folder.rglob(f"*{TEMPORARY_MARK}*"))
    n_again = len(nights.events("tile scored")) - n_scored
    if point in POINTS_AFTER:
        assert n_again == len(np.unique(archive.tiles)) - POINTS_AFTER[point]


def test_two_at_once(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "N", tmp_path / "N", symlinks=True)
    nights = nights_of(place, tmp_path / "N")
    paths = NightlyPaths(nights.folder)
    with held(paths.lock, paths.lock_owner, BusyError):
        result = nights.run("2026-11-27")
        assert result.exit_code == ExitCode.BUSY
        assert f"is in use by process {os.getpid()} on " in result.stderr
        assert " s ago): nothing was started" in result.stderr
        as_json = json.loads(nights.run("2026-11-27", "--json").stdout)
        assert as_json["status"] == "busy"
        assert as_json["latest"] == "2026-11-26"
    # an owner that died let go of the lock, whatever the file about it says
    paths.lock_owner.write_text("process 1 on elsewhere since 2001-01-01T00:00:00+00:00")
    assert nights.run("2026-11-27").exit_code == ExitCode.OK
    assert not paths.lock_owner.exists()


def test_a_ledger_that_was_lost_is_made_again(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "N", tmp_path / "N", symlinks=True)
    nights = nights_of(place, tmp_path / "N")
    before = nights.ledger()
    shutil.rmtree(nights.folder / "ledger")
    (nights.folder / "latest").unlink()
    shutil.rmtree(nights.folder / "runs")  # then all is scored anew, as it must
    result = nights.run("2026-11-27")
    assert result.exit_code == ExitCode.OK, result.output
    after = nights.ledger()
    pd.testing.assert_frame_equal(after[after["list"] == "2026-11-26"], before)
    assert set(nights.summary()["added"]) == {"not known"}
    nights.assert_ledger_tells_the_lists()
