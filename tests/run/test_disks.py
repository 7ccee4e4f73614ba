"""Disks that are full, read-only, out of inodes, several, or gone while a command works on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.preloaded import Preloaded
from tests.small_disks import disk, only_message, remount, state
from tests.small_nights import Nights, SmallArchive
from tests.small_runs import SmallSky, status_of, xsaga
from xsaga.errors import ExitCode
from xsaga.paths import TEMPORARY_MARK, is_leftover

pytestmark = pytest.mark.trial

RESULTS = ("targets.parquet", "targets.fits", "cutflow.csv", "rejected.parquet", "run.toml")
FULL = "No space left"


def undisturbed(preloaded: Preloaded, sky: SmallSky, run: Path) -> dict[str, bytes]:
    """Results of a run in a folder, which is removed: its name is in some of them."""
    code, _, errors = preloaded.run("run", *sky.options, "--out", run)
    assert code == 0, errors
    results = results_of(run)
    shutil.rmtree(run)
    return results


def results_of(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in RESULTS}


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(f"*{TEMPORARY_MARK}*") if is_leftover(path)]


def until_there_is_room(
    attempt: Callable[[], tuple[int, str, str]],
    folder: Path,
    rooms: Sequence[Callable[[], object]],
    said: str = FULL,
) -> int:
    """Try with ever more room until it suffices; count the failures.

    Each failure is one line, leaves no temporary file, and what was finished as it was.
    """
    for failures, give in enumerate(rooms):
        give()
        before = state(folder, "scores.parquet")
        code, _, errors = attempt()
        now = state(folder, "scores.parquet")
        if code == ExitCode.OK:
            assert all(now.get(path, was) == was for path, was in before.items())
            return failures
        assert now.items() >= before.items()
        assert code == ExitCode.ERROR, errors
        message = only_message(errors)
        assert said in message or "Not enough space on disk" in message  # as astropy puts it
        assert ":;" not in message  # it names the file
        assert not leftovers(folder)
    raise AssertionError("it never had room enough")


def sizes(first: int, factor: float, count: int) -> list[int]:
    return [int(first * factor**number) for number in range(count)]


def test_a_disk_that_is_full_at_any_write(
    sky: SmallSky, tmp_path: Path, preloaded: Preloaded
) -> None:
    with disk(tmp_path / "disk", "size=16k") as place:
        run = place / "RUN"
        rooms = [lambda size=size: remount(place, f"size={size}k") for size in sizes(16, 3, 7)]
        command = ("run", *sky.options, "--out", run)
        assert until_there_is_room(lambda: preloaded.run(*command), place, rooms) >= 3
        assert status_of(run)["stage"] == "done"
        found = results_of(run)
        shutil.rmtree(run)
        remount(place, "size=50m")
        assert found == undisturbed(preloaded, sky, run)


def test_a_quota_on_the_size_of_files(sky: SmallSky, tmp_path: Path, preloaded: Preloaded) -> None:
    """The kernel refuses to let any file grow beyond so many bytes."""
    run = tmp_path / "RUN"
    limits = iter(sizes(200, 12, 5))

    def attempt() -> tuple[int, str, str]:
        return preloaded.run("run", *sky.options, "--out", run, file_limit=next(limits))

    assert until_there_is_room(attempt, run, [lambda: None] * 5, "File too large") >= 2
    found = results_of(run)
    shutil.rmtree(run)
    assert found == undisturbed(preloaded, sky, run)


def test_a_disk_without_inodes(sky: SmallSky, tmp_path: Path, preloaded: Preloaded) -> None:
    with disk(tmp_path / "disk", "size=50m,nr_inodes=4") as place:
        run = place / "RUN"
        rooms = [
            lambda count=count: remount(place, f"nr_inodes={count}") for count in sizes(4, 2.6, 6)
        ]
        command = ("run", *sky.options, "--out", run)
        assert until_there_is_room(lambda: preloaded.run(*command), place, rooms) >= 3
        assert status_of(run)["stage"] == "done"


def test_a_run_that_cannot_be_written_can_be_read(
    sky: SmallSky, tmp_path: Path, preloaded: Preloaded
) -> None:
    with disk(tmp_path / "disk") as place:
        run = place / "RUN"
        assert preloaded.run("run", *sky.options, "--out", run)[0] == 0
        before = state(run, "*")
        remount(place, "ro")
        for command in (["run", run], ["rank", run, "--tier", "all"], ["export", run]):
            code, _, errors = preloaded.run(*command)
            assert code == ExitCode.ERROR
            assert "Read-only file system" in only_message(errors), command
        assert status_of(run)["stage"] == "done"
        elsewhere = xsaga("export", run, "--format", "regions", "--out", tmp_path / "exports")
        assert elsewhere.exit_code == 0, elsewhere.output
        remount(place, "rw")
        assert state(run, "*") == before


def test_an_export_and_a_ranking_that_find_no_room(
    sky: SmallSky, tmp_path: Path, preloaded: Preloaded
) -> None:
    with disk(tmp_path / "disk", "size=50m") as place:
        run = place / "RUN"
        assert preloaded.run("run", *sky.options, "--out", run)[0] == 0
        filler = place / "filler"

        def leave(kilobytes: int) -> None:
            filler.unlink(missing_ok=True)
            free = shutil.disk_usage(place).free - 1024 * kilobytes
            filler.write_bytes(bytes(max(free, 0)))

        rooms = [lambda size=size: leave(size) for size in sizes(1, 8, 5)]
        for command in (
            ["export", run, "--format", "desi-targets"],
            ["rank", run, "--format", "votable", "--format", "parquet"],
        ):
            assert until_there_is_room(partial(preloaded.run, *command), run, rooms) >= 2
        assert (run / "exports" / "desi-targets").is_dir()
        assert (run / "targets.vot").is_file()
        assert status_of(run)["stage"] == "done"


def test_parts_of_a_run_on_other_file_systems(
    sky: SmallSky, tmp_path: Path, preloaded: Preloaded
) -> None:
    """No file is renamed from one folder into another."""
    run = tmp_path / "RUN"
    command = ("run", *sky.options, "--out", run)
    whole = undisturbed(preloaded, sky, run)
    code, _, errors = preloaded.run(*command, file_limit=150_000)  # stopped before its cutouts
    assert code == ExitCode.ERROR, errors
    (run / "tiles").rename(tmp_path / "tiles")
    with disk(run / "tiles"), disk(run / "exports"), disk(run / "report"):
        shutil.copytree(tmp_path / "tiles", run / "tiles", dirs_exist_ok=True)
        code, _, errors = preloaded.run(*command)
        assert code == 0, errors
        exported = xsaga("export", run, "--format", "regions")
        assert exported.exit_code == 0, exported.output
        assert results_of(run) == whole
        assert (run / "report" / "index.html").is_file()


def test_a_folder_that_goes_away(sky: SmallSky, tmp_path: Path, preloaded: Preloaded) -> None:
    run = tmp_path / "RUN"
    process = preloaded.begin("run", *sky.options, "--out", run)
    for line in process.errors:  # the first words come when the folder is held
        if "simulated images" in line:
            break
    run.rename(tmp_path / "elsewhere")
    code, _, errors = process.ended()
    assert code == ExitCode.ERROR
    assert str(run) in only_message(errors)
    shutil.rmtree(run, ignore_errors=True)
    (tmp_path / "elsewhere").rename(run)
    assert preloaded.run("run", *sky.options, "--out", run)[0] == 0
    assert status_of(run)["stage"] == "done"


def test_a_night_that_finds_no_room(
    archive: SmallArchive, tmp_path: Path, preloaded: Preloaded
) -> None:
    with disk(tmp_path / "disk", "size=50m"):
        nights = Nights.over(archive, tmp_path / "place", archive.rows[::2])
        nights = Nights(tmp_path / "disk" / "N", nights.catalog, nights.options)
        extra = ("--export", "regions")
        assert nights.run("2026-11-26", *extra).exit_code == ExitCode.OK
        nights.provide(archive.rows)
        used = shutil.disk_usage(tmp_path / "disk").used >> 10
        first = state(nights.folder / "lists", "*")
        rooms = [
            lambda more=more: remount(tmp_path / "disk", f"size={used + more}k")
            for more in sizes(8, 3, 8)
        ]

        def attempt() -> tuple[int, str, str]:
            code, said, errors = preloaded.run(*nights.arguments("2026-11-27", *extra))
            assert state(nights.folder / "lists" / "2026-11-26", "*").items() <= first.items()
            if code == ExitCode.ERROR:
                assert nights.names() == ["2026-11-26"]
                assert len(nights.targets()) == len(archive.rows[::2])
                assert "NO NEW LIST, lists/2026-11-26 stays the latest" in said
            return code, said, errors

        assert until_there_is_room(attempt, nights.folder, rooms) >= 3
        assert nights.names() == ["2026-11-26", "2026-11-27"]
        assert len(nights.targets()) == len(archive.rows)
        nights.assert_ledger_tells_the_lists()


def test_nights_whose_runs_and_lists_are_on_different_file_systems(
    archive: SmallArchive, tmp_path: Path
) -> None:
    nights = Nights.over(archive, tmp_path / "place", archive.rows[::2])
    with disk(nights.folder / "runs"), disk(nights.folder / "lists"):
        assert nights.run("2026-11-26").exit_code == ExitCode.OK
        nights.provide(archive.rows)
        assert nights.run("2026-11-27").exit_code == ExitCode.OK
        assert nights.summary()["tiles"]["kept"] >= 0
        assert len(nights.targets()) == len(archive.rows)
        nights.assert_ledger_tells_the_lists()
        assert not leftovers(nights.folder)
