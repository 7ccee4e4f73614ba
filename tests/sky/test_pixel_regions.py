from __future__ import annotations

from pathlib import Path

import healpy
import numpy as np
import pytest
from astropy import units
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from mocpy import MOC

from tests.sky_positions import positions_around, positions_over_sky, unhurried
from xsaga.errors import FootprintError
from xsaga.sky.pixel_regions import HealpixPixels, MocRegion
from xsaga.sky.tiles import pixel_centres, tile_pixels


@pytest.fixture
def cone() -> MOC:
    return MOC.from_cone(359.0 * units.deg, 88.0 * units.deg, radius=5 * units.deg, max_depth=9)


@pytest.mark.parametrize("file_format", ["fits", "json"])
def test_moc_through_a_file(tmp_path: Path, cone: MOC, file_format: str) -> None:
    path = tmp_path / f"cone.{file_format}"
    cone.save(path, format=file_format)
    region = MocRegion.from_file(path)
    ra, dec = positions_around(359.0, 88.0, 8.0, 5000)
    expected = cone.contains_lonlat(ra * units.deg, dec * units.deg)
    assert 1000 < expected.sum() < 4000
    assert np.array_equal(region.contains(ra, dec), expected)


def test_moc_tiles_are_those_of_mocpy(cone: MOC) -> None:
    region = MocRegion("cone", cone.to_depth29_ranges.astype(np.int64))
    assert region.tiles(5).tolist() == cone.degrade_to_order(5).flatten().tolist()
    deeper = cone.degrade_to_order(4).to_order(10)
    region = MocRegion("coarse", deeper.to_depth29_ranges.astype(np.int64))
    assert region.tiles(6).tolist() == sorted(deeper.degrade_to_order(6).flatten().tolist())


def test_moc_description_tells_contents_apart(cone: MOC) -> None:
    ranges = cone.to_depth29_ranges.astype(np.int64)
    assert MocRegion("a", ranges).describe() == MocRegion("a", ranges.copy()).describe()
    assert MocRegion("a", ranges).describe() != MocRegion("a", ranges[1:]).describe()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.json", "hello", "cannot be read"),
        ("no.fits", "hello", "cannot be read"),
        ("list.json", "[1, 2]", "not an object"),
        ("order.json", '{"33": [1]}', "is not an order"),
        ("word.json", '{"3": "all"}', "with a list of pixels"),
        ("pixel.json", '{"3": [768]}', "order 3 has no pixel 768"),
        ("float.json", '{"3": [1.5]}', "order 3 has no pixel 1.5"),
        ("empty.json", "{}", "it is empty"),
    ],
)
def test_bad_moc(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FootprintError, match=message) as caught:
        MocRegion.from_file(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_moc(tmp_path: Path) -> None:
    with pytest.raises(FootprintError, match=r"nowhere\.fits: cannot be read .*no such file"):
        MocRegion.from_file(tmp_path / "nowhere.fits")


def test_empty_and_foreign_fits(tmp_path: Path) -> None:
    MOC.new_empty(6).save(tmp_path / "empty.fits")
    Table({"A": [1]}).write(tmp_path / "table.fits")
    with pytest.raises(FootprintError, match="it is empty"):
        MocRegion.from_file(tmp_path / "empty.fits")
    with pytest.raises(FootprintError, match="cannot be read"):
        MocRegion.from_file(tmp_path / "table.fits")


@pytest.mark.parametrize("length", [0, 3000, 5760, 6000, 8000])
def test_truncated_moc(tmp_path: Path, cone: MOC, length: int) -> None:
    cone.save(tmp_path / "whole.fits")
    (tmp_path / "part.fits").write_bytes((tmp_path / "whole.fits").read_bytes()[:length])
    with pytest.raises(FootprintError, match="cannot be read"):
        MocRegion.from_file(tmp_path / "part.fits")


@unhurried
@given(
    st.integers(0, 12).flatmap(
        lambda order: st.tuples(
            st.just(order), st.sets(st.integers(0, 12 * 4**order - 1), min_size=1, max_size=20)
        )
    ),
    st.integers(3, 10),
)
def test_healpix_pixels_hold_their_own_positions(
    listed: tuple[int, set[int]], tile_order: int
) -> None:
    order, pixels = listed
    region = HealpixPixels(order, np.array(list(pixels)))
    tile_order = min(tile_order, order + 3)
    ra, dec = pixel_centres(order, region.pixels)
    assert region.contains(ra, dec).all()
    assert np.isin(tile_pixels(ra, dec, tile_order), region.tiles(tile_order)).all()
    ra, dec = positions_over_sky(500)
    inside = region.contains(ra, dec)
    assert np.array_equal(inside, np.isin(tile_pixels(ra, dec, order), list(pixels)))
    assert np.isin(tile_pixels(ra[inside], dec[inside], tile_order), region.tiles(tile_order)).all()


def test_healpix_tiles_of_the_same_order_are_the_pixels() -> None:
    assert HealpixPixels(6, np.array([9, 2, 9])).tiles(6).tolist() == [2, 9]
    assert HealpixPixels(6, np.array([9])).tiles(7).tolist() == [36, 37, 38, 39]
    assert HealpixPixels(6, np.array([9])).tiles(5).tolist() == [2]


def test_ring_numbers() -> None:
    nested = HealpixPixels(4, healpy.ring2nest(16, np.array([0, 700, 3071])))
    ring = HealpixPixels(4, np.array([3071, 0, 700]), nested=False)
    assert ring.describe() == nested.describe()
    assert ring.pixels.tolist() == nested.pixels.tolist()


@pytest.mark.parametrize(
    ("order", "pixels", "message"),
    [
        (6, [49152], "pixel 49152 does not exist: give numbers from 0 to 49151"),
        (6, [-1], "pixel -1 does not exist"),
        (6, [10**30], "does not exist"),
        (30, [1], "give an order from 0 to 29"),
        (6, [], "the list is empty"),
    ],
)
def test_bad_pixels(order: int, pixels: list[int], message: str) -> None:
    with pytest.raises(FootprintError, match=message):
        HealpixPixels(order, np.array(pixels))
