"""Footprints that were damaged in any way are a region, or one line that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from tests.damaged_files import read_damaged
from tests.footprint_files import write_footprints
from xsaga.errors import FootprintError
from xsaga.sky.desi_tiles import DesiTiles
from xsaga.sky.parse import parse_healpix
from xsaga.sky.pixel_regions import MocRegion

READERS = {
    "nuniq.moc.fits": MocRegion.from_file,
    "range.moc.fits": MocRegion.from_file,
    "a.moc.json": MocRegion.from_file,
    "tiles.fits": DesiTiles.from_file,
    "tiles.ecsv": DesiTiles.from_file,
    "pixels.txt": parse_healpix,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_footprints(folder)
    return folder


def test_all_forms_of_a_moc_are_the_same_region(whole: Path) -> None:
    nuniq, ranges, text = (
        MocRegion.from_file(whole / name)
        for name in ("nuniq.moc.fits", "range.moc.fits", "a.moc.json")
    )
    np.testing.assert_array_equal(nuniq.ranges, ranges.ranges)
    np.testing.assert_array_equal(nuniq.ranges, text.ranges)


@given(st.lists(st.integers(0, 12 * 4**29 - 1), min_size=1, max_size=20), st.integers(0, 29))
@settings(max_examples=20, derandomize=True)
def test_nuniq_of_any_order(
    tmp_path_factory: pytest.TempPathFactory, pixels: list[int], order: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.moc.fits"
    cells = np.unique(np.array(pixels, np.uint64) >> np.uint64(2 * (29 - order)))
    moc = MOC.from_healpix_cells(cells, np.full(len(cells), order, np.uint8), order)
    moc.save(path, format="fits", overwrite=True, v1_compatible=True)
    np.testing.assert_array_equal(
        MocRegion.from_file(path).ranges, np.asarray(moc.to_depth29_ranges, np.int64)
    )


@pytest.mark.parametrize("name", READERS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, derandomize=True)
def test_damaged_footprints(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    read_damaged(whole / name, seed, folder, READERS[name])


@pytest.mark.parametrize(
    ("column", "values", "header", "words"),
    [
        ("UNIQ", [3], {}, "no NUNIQ number"),
        ("UNIQ", [-5], {}, "no NUNIQ number"),
        ("UNIQ", [2**63 - 1], {}, "no NUNIQ number"),
        ("RANGE", [5, 2], {"ORDERING": "RANGE"}, "not on the sky"),
        ("RANGE", [0, 12 * 4**29 + 1], {"ORDERING": "RANGE"}, "not on the sky"),
        ("RANGE", [1, 2, 3], {"ORDERING": "RANGE"}, "of 3 numbers"),
        ("UNIQ", [4.5], {}, "whole numbers"),
        ("T", [4], {"MOCDIM": "TIME"}, "not of the sky"),
    ],
)
def test_mocs_of_no_sky(
    tmp_path: Path, column: str, values: list[int], header: dict[str, str], words: str
) -> None:
    table = Table({column: np.array(values)}, meta=header)
    table.write(tmp_path / "a.fits")
    with pytest.raises(FootprintError, match=words):
        MocRegion.from_file(tmp_path / "a.fits")
