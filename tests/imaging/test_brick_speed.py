from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.brick_trees import TreeWriter, brick_grid
from xsaga.errors import ImagingError
from xsaga.imaging.brick_speed import BrickSpeed, bricks_here, measure_bricks
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec


@pytest.fixture
def tree(tmp_path: Path) -> LocalTree:
    writer = TreeWriter(tmp_path)
    for number in range(3):
        grid = brick_grid(10 + 0.05 * number, 0.0, 200)
        writer.add("south", f"{number:04d}p000", grid, np.ones((200, 200)))
    writer.listed["south"].append(("9999p000", 11.0, 0.0))  # its files are not here
    return LocalTree(writer.finish())


def test_bricks_on_this_machine_are_timed_one_after_the_other(tree: LocalTree) -> None:
    ticks = iter([0.0, 4.0, 10.0, 18.0])
    speed = measure_bricks(
        tree,
        CutoutSpec(16),
        workers=1,
        max_bytes=0,
        densities=(5, 50),
        clock=lambda: next(ticks),
    )
    assert speed.seconds == (2.0, 4.0)  # two bricks after the first
    assert speed.rates() == (2.5, 12.5)
    assert len(bricks_here(tree, 9)) == 3


def test_seconds_between_densities_are_those_between_the_measured_ones() -> None:
    speed = BrickSpeed((20, 200), (0.2, 0.5), 2)
    assert speed.brick_seconds(20) == pytest.approx(0.2)
    assert speed.brick_seconds(110) == pytest.approx(0.35)
    assert 0 < speed.brick_seconds(5) < 0.2
    assert speed.brick_seconds(400) == pytest.approx(1.0)


def test_a_tree_without_bricks_here_cannot_be_timed(tree: LocalTree, tmp_path: Path) -> None:
    for path in tmp_path.rglob("*.fz"):
        path.unlink()
    with pytest.raises(ImagingError, match="none of its bricks is on this machine"):
        measure_bricks(tree, CutoutSpec(16), workers=1, max_bytes=0)


def test_bricks_of_positions_are_counted(tree: LocalTree) -> None:
    source = BrickSource(tree, CutoutSpec(16), workers=1)
    ra = np.array([10.0, 10.001, 10.05, 40.0])
    assert source.count_bricks(ra, np.zeros(4)) == 2
