from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.brick_trees import TreeWriter, brick_grid
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.imaging.files import FileSource

CENTRES = {"0100p010": (10.0, 1.0), "0102p010": (10.25, 1.0), "0200p010": (20.0, 1.0)}


def files_of(source: BrickSource, ra: float) -> set[str]:
    found = source.files(np.array([ra]), np.array([1.0]), np.array([1]))
    return set(found.paths)


def test_bricks_that_a_cutout_reaches_are_named(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path)
    for name, (ra, dec) in CENTRES.items():
        tree.add("south", name, brick_grid(ra, dec, 50), np.ones((50, 50)))
    source = BrickSource(LocalTree(tree.finish()), CutoutSpec(size=48), workers=0)
    table = {"south/survey-bricks-test-south.fits.gz"}
    inside = files_of(source, 10.0)
    assert table < inside
    coadds = {path.split("/")[3] for path in inside - table}
    assert coadds == {"0100p010"}  # the other is 0.13 degrees from the cutout's edge
    assert len(inside - table) == 6  # image and invvar in three bands
    between = {path.split("/")[3] for path in files_of(source, 10.125) - table}
    assert between == {"0100p010", "0102p010"}
    assert files_of(source, 100.0) == table  # no brick is there
    source.close()


def test_cutout_files_are_named_also_where_there_are_none_yet(tmp_path: Path) -> None:
    (tmp_path / "7.fits.fz").write_bytes(b"")
    found = FileSource(tmp_path, CutoutSpec()).files(
        np.zeros(2), np.zeros(2), np.array([7, 8], np.int64)
    )
    assert found.root == str(tmp_path)
    assert found.paths == ("7.fits.fz", "8.fits", "8.fits.fz", "8.fits.gz")
    assert not found.cached
