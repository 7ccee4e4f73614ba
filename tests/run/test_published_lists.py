from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xsaga.errors import ConfigError, RunError
from xsaga.run.published_lists import PublishedLists, night_number, night_text


def _lists(folder: Path, *names: str) -> PublishedLists:
    for name in names:
        place = folder / "lists" / name
        place.mkdir(parents=True)
        (place / "targets.parquet").touch()
    return PublishedLists.of(folder)


def test_lists_are_ordered_by_date_and_number(tmp_path: Path) -> None:
    names = ("2026-01-12", "2026-01-05.10", "2026-01-05", "2026-01-05.2", ".next", "notes")
    lists = _lists(tmp_path, *names)
    (tmp_path / "lists" / "latest").symlink_to("2026-01-12")
    lists = PublishedLists.of(tmp_path)
    expected = ["2026-01-05", "2026-01-05.2", "2026-01-05.10", "2026-01-12"]
    assert [each.name for each in lists.lists] == expected
    assert lists.out == tmp_path / "monitor"


def test_a_list_is_in_force_from_its_date_until_the_next(tmp_path: Path) -> None:
    lists = _lists(tmp_path, "2026-01-05", "2026-01-05.2", "2026-01-12")
    nights = np.array([20260104, 20260105, 20260111, 20260112, 20270101])
    assert lists.in_force(nights).tolist() == [-1, 1, 1, 2, 2]


def test_a_single_list_is_in_force_on_an_unknown_night(tmp_path: Path) -> None:
    one = _lists(tmp_path, "2026-01-05")
    assert one.in_force(np.array([0, 20260104, 20260105])).tolist() == [0, -1, 0]
    path = tmp_path / "lists" / "2026-01-05" / "targets.parquet"
    for where in (path, path.parent):
        lists = PublishedLists.of(where)
        assert lists.in_force(np.array([0, 20250101])).tolist() == [0, 0]
        assert lists.out == tmp_path.resolve() / "monitor-2026-01-05"  # not into the list


def test_targetids_are_found_beside_the_lists(tmp_path: Path) -> None:
    lists = _lists(tmp_path, "2026-01-05")
    assert lists.targetids is None
    (tmp_path / "targetids.parquet").touch()
    assert PublishedLists.of(tmp_path).targetids == tmp_path / "targetids.parquet"
    one = PublishedLists.of(tmp_path / "lists" / "2026-01-05")
    assert one.targetids == (tmp_path / "targetids.parquet").resolve()
    export = tmp_path / "target-ids.parquet"
    assert PublishedLists.of(tmp_path, export).targetids == export


def test_a_place_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"neither targets\.parquet nor lists"):
        PublishedLists.of(tmp_path)
    with pytest.raises(RunError, match="no such file"):
        PublishedLists.of(tmp_path / "absent")
    (tmp_path / "lists" / "2026-02-30").mkdir(parents=True)
    with pytest.raises(RunError, match="no date"):
        PublishedLists.of(tmp_path)


def test_nights_are_dates() -> None:
    assert night_number("2026-01-05") == 20260105
    assert night_text(20260105) == "2026-01-05"
    assert night_text(0) == "unknown"
    for wrong in ("20260231", "2026-02-31", "yesterday", ""):
        with pytest.raises(ConfigError, match="YYYY-MM-DD"):
            night_number(wrong)
