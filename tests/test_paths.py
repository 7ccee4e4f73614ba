from __future__ import annotations

from pathlib import Path

import pytest

from xsaga.paths import RunPaths, placed


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
