"""Clocks that are set back between runs and between nights."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.small_disks import state
from tests.small_nights import Nights, SmallArchive
from tests.small_runs import SmallSky, status_of, xsaga
from xsaga.errors import ExitCode

pytestmark = pytest.mark.trial

time_machine = pytest.importorskip("time_machine", reason="needs time-machine, of the extra [dev]")
NOW = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)


def without_night(nights: Nights, *extra: object) -> list[object]:
    """Arguments of a night that is named after the clock."""
    arguments = nights.arguments("")
    at = arguments.index("--night")
    return [*arguments[:at], *arguments[at + 2 :], *extra]


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=1), timedelta(days=400)])
def test_no_list_is_replaced_when_the_clock_goes_back(
    archive: SmallArchive, tmp_path: Path, back: timedelta
) -> None:
    nights = Nights.over(archive, tmp_path / "place", archive.rows[::2])
    with time_machine.travel(NOW, tick=True):
        assert xsaga(*without_night(nights)).exit_code == ExitCode.OK
    first = state(nights.folder / "lists", "*")
    (first_name,) = nights.names()
    nights.provide(archive.rows)
    with time_machine.travel(NOW - back, tick=True):
        result = xsaga(*without_night(nights))
        assert result.exit_code == ExitCode.OK, result.output
        assert xsaga(*without_night(nights)).exit_code == ExitCode.NOTHING_NEW
    assert state(nights.folder / "lists" / first_name, "*").items() <= first.items()
    assert nights.names() == [first_name, f"{first_name}.2"]
    assert (nights.folder / "latest").readlink() == Path("lists") / f"{first_name}.2"
    assert len(nights.targets()) == len(archive.rows)
    nights.assert_ledger_tells_the_lists()
    assert nights.summary()["seconds"] >= 0


def test_a_run_goes_on_among_files_of_the_future(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    with time_machine.travel(NOW + timedelta(days=30), tick=True):
        assert xsaga("tile", *sky.options, "--out", run).exit_code == 0
        assert xsaga("fetch", run).exit_code == 0
    later = (NOW + timedelta(days=30)).timestamp()
    for path in run.rglob("*"):
        os.utime(path, (later, later))
    leftover = run / "tiles" / "scores.tmp-0123456789ab.parquet"
    leftover.write_bytes(b"half")
    os.utime(leftover, (later, later))
    before = state(run, "cutouts.npy") | state(run, "sources.parquet")
    with time_machine.travel(NOW, tick=True):
        result = xsaga("run", run)
    assert result.exit_code == 0, result.output
    assert status_of(run)["stage"] == "done"
    assert not leftover.exists()
    assert state(run, "cutouts.npy") | state(run, "sources.parquet") == before
    times = [
        json.loads(line)["time"]
        for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert times != sorted(times)  # told as they were, none is lost
    shutil.rmtree(run)
