from __future__ import annotations

import os
from pathlib import Path

import pytest

from xsaga.paths import RunPaths, clear_leftovers, placed


def test_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with placed(path) as temporary:
        temporary.write_text("a\n")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
    assert path.read_text() == "a\n"
    assert [item.name for item in path.parent.iterdir()] == ["table.csv"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old\n")

    def write_half() -> None:
        with placed(path) as temporary:
            temporary.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old\n"
    assert [item.name for item in tmp_path.iterdir()] == ["table.csv"]


def test_tiles_lie_as_in_a_hats_catalog() -> None:
    paths = RunPaths(Path("RUN")).tile(6, 12345)
    assert paths.sources.as_posix() == "RUN/tiles/Norder=6/Dir=10000/Npix=12345/sources.parquet"


def test_an_error_of_a_write_names_the_file(tmp_path: Path) -> None:
    def fill() -> None:
        with placed(tmp_path / "table.csv"), Path("/dev/full").open("w") as full:
            full.write("a")

    with pytest.raises(OSError, match=r"No space left on device: .*table\.csv"):
        fill()


def test_only_what_killed_processes_left_is_cleared(tmp_path: Path) -> None:
    names = ("a.tmp-0123456789ab.parquet", "thesis.tmp-2024.doc", "a.parquet")
    for folder in (tmp_path, tmp_path / "below"):
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text("…")
    clear_leftovers(tmp_path, older_than=3600)
    assert len(list(tmp_path.rglob("*.*"))) == 6  # another process may be writing
    os.utime(tmp_path / names[0], (0, 0))
    clear_leftovers(tmp_path, older_than=3600)
    assert not (tmp_path / names[0]).exists()
    assert (tmp_path / "below" / names[0]).exists()
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == sorted(names[1:] * 2)
