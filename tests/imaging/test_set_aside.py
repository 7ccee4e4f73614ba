from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xsaga.imaging.cutouts import CutoutBatch
from xsaga.imaging.set_aside import SetAside


def some_cutouts(count: int) -> CutoutBatch:
    return CutoutBatch(
        index=np.arange(count),
        images=np.arange(count * 12, dtype=np.float32).reshape(count, 3, 2, 2),
        coverage=np.full((count, 3), 0.5, np.float32),
        status=np.ones(count, np.int8),
        reason=[f"reason {number}" for number in range(count)],
        origin=[f"brick {number}" for number in range(count)],
    )


def test_each_cutout_is_given_out_once_to_whoever_asks_for_it(tmp_path: Path) -> None:
    kept = SetAside(tmp_path / "aside")
    batch = some_cutouts(4)
    kept.put("south/a", np.array([40, 10, 30, 20]), batch)
    assert kept.has("south/a", np.array([10, 11, 20])).tolist() == [True, False, True]
    assert not kept.has("south/b", np.array([10])).any()
    (given,) = kept.take("south/a", np.array([20, 99, 40]))
    assert given.index.tolist() == [2, 0]
    assert np.array_equal(given.images, batch.images[[0, 3]])
    assert given.reason == ["reason 0", "reason 3"]
    assert kept.has("south/a", np.array([10, 20, 30, 40])).tolist() == [True, False, True, False]
    assert kept.take("south/a", np.array([20])) == []
    assert len(list((tmp_path / "aside").iterdir())) == 1
    (rest,) = kept.take("south/a", np.array([10, 30]))
    assert rest.index.tolist() == [0, 1]
    assert list((tmp_path / "aside").iterdir()) == []


def test_what_does_not_fit_is_not_kept(tmp_path: Path) -> None:
    kept = SetAside(tmp_path / "aside", max_bytes=2 * 48 + 10)
    kept.put("a", np.array([1, 2]), some_cutouts(2))
    kept.put("a", np.array([3]), some_cutouts(1))
    assert kept.has("a", np.array([1, 2, 3])).tolist() == [True, True, False]
    kept.take("a", np.array([1, 2]))
    kept.put("a", np.array([3]), some_cutouts(1))
    assert kept.has("a", np.array([3])).all()


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "aside").write_text("in the way")
    kept = SetAside(tmp_path / "aside")
    kept.put("a", np.array([1]), some_cutouts(1))
    assert not kept.has("a", np.array([1])).any()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    kept = SetAside(tmp_path / "aside")
    kept.put("a", np.array([1]), some_cutouts(1))
    kept.close()
    kept.close()
    assert list(tmp_path.iterdir()) == []
    assert not kept.has("a", np.array([1])).any()


@pytest.mark.parametrize("brick", ["south/../../x", "/etc/passwd"])
def test_the_name_of_a_brick_is_no_path(tmp_path: Path, brick: str) -> None:
    kept = SetAside(tmp_path / "aside")
    kept.put(brick, np.array([1]), some_cutouts(1))
    (path,) = tmp_path.rglob("*.npy")
    assert path.parent == tmp_path / "aside"
