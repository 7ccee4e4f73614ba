"""Exports as a whole: what is put in place, and what stays when something fails."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from astropy.io import fits
from filelock import FileLock

from tests.desi_lists import WHOLE, contents, desi_targets, listed, positioned
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.placing import LOCK_FILE, placed_folder
from xsaga.targets.exports.registry import EXPORTS
from xsaga.targets.exports.settings import ExportSettings

DESI = ("desi-targets", "desi-secondary", "desi-secondary-classic", "desi-tertiary", "desi-too")


def few_files(count: int) -> pd.DataFrame:
    return desi_targets(count, shift=0.3)


def written(folder: Path, name: str, targets: pd.DataFrame) -> Path:
    export(listed(folder / "list", targets), name, folder / name, WHOLE)
    return folder / name


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOCK_FILE, "list"}


@pytest.mark.parametrize("name", DESI)
def test_the_same_list_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    targets = positioned(few_files(30))
    first = contents(written(tmp_path / "a", name, targets))
    assert first == contents(written(tmp_path / "b", name, targets))
    assert len(first) >= 3


@pytest.mark.parametrize("name", DESI)
def test_the_record_tells_files_settings_and_provenance(tmp_path: Path, name: str) -> None:
    place = written(tmp_path, name, few_files(12))
    files = contents(place)
    record = json.loads(files.pop("export.json"))
    assert {path: each["sha256"] for path, each in record["files"].items()} == {
        path: hashlib.sha256(data).hexdigest() for path, data in files.items()
    }
    assert (record["format"], record["rows"]) == (name, 12)
    assert record["settings"]["checker"] == "JW"
    assert record["provenance"]["weights"]["name"] == "provisional"
    given = (tmp_path / "list" / "targets.parquet").read_bytes()
    assert record["target_list_sha256"] == hashlib.sha256(given).hexdigest()
    assert b"secret" not in b"".join([*files.values(), json.dumps(record).encode()])


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_weights_are_marked(tmp_path: Path, simulated: bool) -> None:
    targets = listed(tmp_path, few_files(3), simulated=simulated)
    export(targets, "desi-tertiary", tmp_path / "out", WHOLE)
    files = contents(tmp_path / "out")
    assert json.loads(files["export.json"])["simulated_weights"] is simulated
    assert ("SIMULATED-WEIGHTS.txt" in files) is simulated
    for name, data in files.items():
        if name.startswith("tertiary"):
            assert (b"SIMULATED WEIGHTS" in data) is simulated, name


def test_the_new_export_takes_the_place_of_the_older_as_a_whole(tmp_path: Path) -> None:
    place = written(tmp_path, "desi-targets", desi_targets(40))
    assert len(list((place / "hpx").iterdir())) > 1
    few = desi_targets(40).iloc[:1]
    paths = export(listed(tmp_path / "list", few), "desi-targets", place, WHOLE)
    assert len(list((place / "hpx").iterdir())) == 1
    assert {path.relative_to(place).as_posix() for path in paths} == set(contents(place))
    assert paths == sorted(paths)
    assert left_in(tmp_path) == {"desi-targets"}


def test_an_unknown_format_is_refused_with_one_like_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'desi-targets'"):
        export(listed(tmp_path, few_files(1)), "desi-target", tmp_path / "x", WHOLE)


# ------------------------------------------------------------------------------------- failures


def test_files_that_do_not_read_back_are_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = written(tmp_path, "desi-targets", few_files(5))
    before = contents(place)
    whole = EXPORTS["desi-targets"]

    def write_and_lose(targets, folder, settings):  # type: ignore[no-untyped-def]
        whole.write(targets, folder, settings)
        path = folder / "targets-dark-secondary.fits"
        with fits.open(path) as hdus:
            where = hdus[1].fileinfo()["datLoc"] + 100
        data = bytearray(path.read_bytes())
        data[where] ^= 1
        path.write_bytes(data)

    monkeypatch.setitem(EXPORTS, "desi-targets", replace(whole, write=write_and_lose))  # type: ignore[arg-type]
    with pytest.raises(TargetsError, match=r"desi-targets: targets-dark-secondary.fits: "):
        written(tmp_path, "desi-targets", few_files(30))
    assert contents(place) == before
    assert left_in(tmp_path) == {"desi-targets"}


@pytest.mark.parametrize("name", DESI)
def test_a_truncated_file_is_one_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EXPORTS[name]

    def write_half(targets, folder, settings):  # type: ignore[no-untyped-def]
        whole.write(targets, folder, settings)
        largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        os.truncate(largest, largest.stat().st_size // 3)

    monkeypatch.setitem(EXPORTS, name, replace(whole, write=write_half))  # type: ignore[arg-type]
    with pytest.raises(TargetsError, match=f"^{name}: ") as info:
        written(tmp_path, name, few_files(300))
    assert "\n" not in str(info.value)
    assert left_in(tmp_path) == set()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "desi-too"
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    with pytest.raises(TargetsError, match=r"desi-too: .* holds notes.txt, which no export wrote"):
        written(tmp_path, "desi-too", few_files(3))
    assert contents(place) == {"notes.txt": b"mine"}


def test_files_put_into_an_export_stop_the_next(tmp_path: Path) -> None:
    place = written(tmp_path, "desi-secondary-classic", few_files(9))
    (place / "outdata" / "LOW_Z_TIER1.fits").write_text("of desitarget")
    before = contents(place)
    with pytest.raises(TargetsError, match=r"holds outdata/LOW_Z_TIER1\.fits"):
        written(tmp_path, "desi-secondary-classic", few_files(9))
    assert contents(place) == before


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "desi-too").mkdir()
    assert "ToO-input.ecsv" in contents(written(tmp_path, "desi-too", few_files(3)))


@pytest.mark.parametrize("at", ["desi-too", "above"])
def test_a_file_in_the_way_is_one_line(tmp_path: Path, at: str) -> None:
    (tmp_path / at).write_text("in the way")
    folder = tmp_path / "desi-too" if at == "desi-too" else tmp_path / "above" / "desi-too"
    with pytest.raises(TargetsError, match=r"desi-too: .*choose another --out"):
        export(listed(tmp_path / "list", few_files(2)), "desi-too", folder, WHOLE)
    assert (tmp_path / at).read_text() == "in the way"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_folder_keeps_the_older_export(tmp_path: Path) -> None:
    place = written(tmp_path, "desi-too", few_files(2))
    before = contents(place)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TargetsError, match="cannot be written"):
            export(listed(tmp_path / "list", few_files(3)), "desi-too", place, WHOLE)
    finally:
        tmp_path.chmod(0o700)
    assert contents(place) == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("name", DESI)
def test_when_space_runs_out_the_older_export_stays(tmp_path: Path, name: str) -> None:
    import resource

    place = written(tmp_path, name, few_files(6))
    before = contents(place)
    many = listed(tmp_path / "list", few_files(3000))
    # a limit of file size fails in write(), as a full disk does
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
        with pytest.raises(TargetsError, match=rf"^{name}: .*cannot be written") as info:
            export(many, name, place, WHOLE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(info.value)
    assert contents(place) == before
    assert left_in(tmp_path) == {name}


def test_leftovers_of_a_killed_export_are_cleared(tmp_path: Path) -> None:
    half = tmp_path / "desi-too.tmp-0123456789ab"
    half.mkdir()
    (half / "ToO-input.ecsv").write_text("half")
    other = tmp_path / "desi-targets.tmp-0123456789ab"
    other.mkdir()
    written(tmp_path, "desi-too", few_files(2))
    assert left_in(tmp_path) == {"desi-too", other.name}


def test_an_export_killed_in_the_swap_comes_back(tmp_path: Path) -> None:
    place = written(tmp_path, "desi-too", few_files(2))
    before = contents(place)
    place.rename(tmp_path / "desi-too.previous-0123456789ab")
    with pytest.raises(ConfigError, match="give --mjd-begin"):
        export(listed(tmp_path / "list", few_files(3)), "desi-too", place, ExportSettings())
    assert contents(place) == before
    assert left_in(tmp_path) == {"desi-too"}


def test_ctrl_c_in_the_swap_brings_the_older_export_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = written(tmp_path, "desi-too", few_files(2))
    before = contents(place)
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if ".tmp-" in path.name:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, "desi-too", few_files(3))
    monkeypatch.undo()
    assert contents(place) == before
    assert left_in(tmp_path) == {"desi-too"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_while_writing_leaves_the_older_export(tmp_path: Path) -> None:
    place = written(tmp_path, "desi-too", few_files(2))
    before = contents(place)
    program = (
        "import os, signal, sys, pathlib\n"
        "from xsaga.targets.exports.placing import placed_folder\n"
        "with placed_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(place)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(place) == before
    assert len(left_in(tmp_path)) == 2
    written(tmp_path, "desi-too", few_files(2))
    assert contents(place) == before
    assert left_in(tmp_path) == {"desi-too"}


def test_two_exports_do_not_meet(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / LOCK_FILE),
        pytest.raises(TargetsError, match="another export writes here"),
    ):
        written(tmp_path, "desi-too", few_files(2))
    with placed_folder(tmp_path / "free") as folder:
        (folder / "file").write_text("x")
    assert (tmp_path / "free" / "file").read_text() == "x"
