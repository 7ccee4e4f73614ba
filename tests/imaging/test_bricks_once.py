"""Bricks that several calls share, and the two ways to decode one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.brick_trees import TreeWriter, brick_grid, collect
from xsaga.imaging.brick_cells import CELL, DecodeRates, cells_of, pieces_of
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec, CutoutStatus
from xsaga.imaging.set_aside import Positions, SetAside

SIZE = 16


@dataclass(frozen=True)
class CountingTree(LocalTree):
    """Counts how often each file is asked for: once by each brick that is opened."""

    fetched: Counter[str] = field(default_factory=Counter)

    def fetch(self, path: str) -> Path | None:
        self.fetched[path] += 1
        return super().fetch(path)


@dataclass
class Waiting:
    """Sources of tiles that are still to come."""

    positions: Positions
    left: np.ndarray

    def near(self, ra: float, dec: float, radius: float) -> Positions:
        off = np.hypot((self.positions.ra - ra) * np.cos(np.radians(dec)), self.positions.dec - dec)
        rows = np.flatnonzero((off < radius) & self.left)
        return Positions(*(getattr(self.positions, n)[rows] for n in ("source_id", "ra", "dec")))


@pytest.fixture
def two_bricks(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """Two bricks full of data and 60 positions in them."""
    tree, rng = TreeWriter(tmp_path / "tree"), np.random.default_rng(5)
    grids = [brick_grid(10.0, 0.0, 300), brick_grid(10.0218, 0.0, 300)]
    for name, grid in zip("ab", grids, strict=True):
        tree.add("south", name, grid, rng.integers(1, 99, (300, 300)).astype(float))
    x, y = rng.uniform(20, 280, (2, 60))
    ra, dec = np.concatenate([grid.to_sky(x[:30], y[:30]) for grid in grids], axis=1)
    return tree.finish(), ra, dec


@pytest.mark.usefixtures("decoded_by_processes")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_brick_is_opened_once_whatever_the_order_of_the_calls(
    two_bricks: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path, workers: int
) -> None:
    root, ra, dec = two_bricks
    expected = collect(BrickSource(LocalTree(root), CutoutSpec(SIZE), workers=1), ra, dec)
    ids = 1000 + np.arange(60)
    waiting = Waiting(Positions(ids, ra, dec), np.ones(60, bool))
    tree = CountingTree(root)
    source = BrickSource(
        tree,
        CutoutSpec(SIZE),
        workers=workers,
        max_bytes=0 if workers == 1 else 1 << 30,
        waiting=waiting,
        set_aside=SetAside(tmp_path / "aside"),
    )
    for call in np.array_split(np.random.default_rng(1).permutation(60), 5):
        got = {}
        for batch in source.cutouts(ra[call], dec[call], ids[call]):
            for row, index in enumerate(batch.index):
                got[call[index]] = (batch.images[row], batch.origin[row], batch.status[row])
        assert sorted(got) == sorted(call)
        for place, (image, origin, status) in got.items():
            assert np.array_equal(image, expected.images[place])
            assert origin == expected.origin[place]
            assert status == expected.status[place]
        waiting.left[call] = False
    files = {path: number for path, number in tree.fetched.items() if "coadd" in path}
    assert len(files) == 12
    assert set(files.values()) == {1}
    assert list((tmp_path / "aside").iterdir()) == []
    source.close()
    assert not (tmp_path / "aside").exists()


def test_what_a_damaged_brick_cannot_give_is_not_set_aside(
    two_bricks: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    root, ra, dec = two_bricks
    ids = np.arange(60)
    for path in root.rglob("*-image-g*"):
        path.write_bytes(b"not FITS")
    waiting = Waiting(Positions(ids, ra, dec), np.ones(60, bool))
    source = BrickSource(
        LocalTree(root),
        CutoutSpec(SIZE),
        workers=1,
        waiting=waiting,
        set_aside=SetAside(tmp_path / "aside"),
    )
    batches = list(source.cutouts(ra[::2], dec[::2], ids[::2]))
    assert sum(len(batch) for batch in batches) == 30
    assert {int(status) for batch in batches for status in batch.status} == {CutoutStatus.CORRUPT}
    assert not (tmp_path / "aside").exists()


def test_positions_are_asked_for_brick_by_brick_and_outside_ones_last(
    two_bricks: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    root, ra, dec = two_bricks
    mixed = np.random.default_rng(2).permutation(61)
    ra, dec = np.append(ra, 50.0)[mixed], np.append(dec, 50.0)[mixed]
    source = BrickSource(LocalTree(root), CutoutSpec(SIZE), workers=1)
    order = source.order(ra, dec)
    assert sorted(order.tolist()) == list(range(61))
    assert ra[order][-1] == 50
    homes = [origin[:7] for origin in collect(source, ra[order], dec[order]).origin[:-1]]
    assert homes == sorted(homes)
    assert source.order(np.array([]), np.array([])).tolist() == []


def test_the_cheaper_way_to_decode_follows_what_was_measured() -> None:
    rates = DecodeRates()
    few, many = np.zeros((36, 36), bool), np.ones((36, 36), bool)
    few[:6, :6] = True
    assert not rates.prefer_whole(few)
    assert rates.prefer_whole(many)
    rates.count(1296, 9.0, whole=True)  # one way alone says nothing of the other
    assert not rates.prefer_whole(few)
    rates.count(36, 50.0, whole=False)  # pieces turn out to be very slow here
    assert rates.prefer_whole(few)


def test_memory_that_another_brick_had_leaves_no_trace(tmp_path: Path) -> None:
    """With memory for no brick but the last, the second brick gets what the first had."""
    tree, rng = TreeWriter(tmp_path), np.random.default_rng(8)
    grids = [brick_grid(10.0 + 0.5 * number, 0.0, 300) for number in range(4)]
    for name, grid in zip("abcd", grids, strict=True):
        tree.add("south", name, grid, rng.integers(1, 99, (300, 300)).astype(float))
    tree.path("south", "b", "image", "r").unlink()
    tree.path("south", "c", "invvar", "z").unlink()
    for path in tmp_path.glob("south/coadd/d/d/*"):
        path.unlink()
    x = np.array([2.0, 150.0, 298.0])  # some reach beyond the brick
    ra, dec = np.concatenate([grid.to_sky(x, x) for grid in grids], axis=1)
    root = tree.finish()
    frugal = collect(
        BrickSource(LocalTree(root), CutoutSpec(SIZE), workers=1, max_bytes=0), ra, dec
    )
    for at in range(12):
        alone = collect(BrickSource(LocalTree(root), CutoutSpec(SIZE), workers=1), ra[at], dec[at])
        assert np.array_equal(alone.images[0], frugal.images[at])
        assert np.array_equal(alone.coverage[0], frugal.coverage[at])
        assert alone.status[0] == frugal.status[at]


@given(
    x=st.lists(st.integers(-40, 640), min_size=1, max_size=12),
    y=st.lists(st.integers(-40, 640), min_size=1, max_size=12),
    size=st.integers(1, 150),
)
def test_pieces_are_the_cells_that_boxes_touch_each_once(
    x: list[int], y: list[int], size: int
) -> None:
    count = min(len(x), len(y))
    cells = cells_of(np.array(x[:count]), np.array(y[:count]), size, (600, 500))
    covered = np.zeros((600, 500), int)
    for piece in pieces_of(cells):
        covered[piece] += 1
    assert np.array_equal(covered > 0, np.kron(cells, np.ones((CELL, CELL), bool)))
    assert covered.max() <= 1
    for left, bottom in zip(x[:count], y[:count], strict=True):
        box = covered[max(bottom, 0) : max(bottom + size, 0), max(left, 0) : max(left + size, 0)]
        assert box.all()
