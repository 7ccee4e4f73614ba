from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from mocpy import MOC

from tests.shared_data import shared
from tests.sky_positions import (
    DEG2_OF_SKY,
    decs,
    positions_around,
    positions_over_sky,
    ras,
    unhurried,
)
from xsaga.errors import FootprintError
from xsaga.sky.desi_tiles import DesiTiles
from xsaga.sky.footprint import Footprint, make_footprint
from xsaga.sky.pixel_regions import HealpixPixels
from xsaga.sky.polygon import Polygon
from xsaga.sky.region import Region, WholeCatalog
from xsaga.sky.shapes import Box, Circle
from xsaga.sky.tiles import Tile, pixel_centres, tile_pixels

HEMISPHERE = DEG2_OF_SKY / 2


@st.composite
def regions(draw: st.DrawFn) -> Region:
    ra, dec = draw(ras), draw(st.floats(-80.0, 80.0))
    size = draw(st.floats(0.05, 8.0))
    kind = draw(st.sampled_from(["circle", "box", "polygon", "desi", "healpix"]))
    if kind == "circle":
        return Circle(ra, draw(decs), size)
    if kind == "box":
        return Box(ra, (ra + size) % 360, dec, dec + size)
    if kind == "polygon":
        east = (ra + 2 * size) % 360
        return Polygon(((ra, dec), (east, dec), ((ra + size) % 360, dec + size)))
    if kind == "desi":
        return DesiTiles(np.array([1, 2]), np.array([ra, draw(ras)]), np.array([dec, draw(decs)]))
    return HealpixPixels(6, np.array([draw(st.integers(0, 49151))]))


footprints = st.lists(regions(), min_size=1, max_size=4).map(lambda some: Footprint(tuple(some)))


def positions_in(footprint: Footprint, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in and near a footprint: scattered around the centres of its tiles."""
    tiles = footprint.tiles(6)
    assert tiles is not None
    random = np.random.default_rng(seed)
    chosen = random.choice([tile.pixel for tile in tiles], 400)
    order_14 = chosen * 4**8 + random.integers(0, 4**8, 400)
    return pixel_centres(14, order_14)


@unhurried
@given(footprints, st.integers(0, 99))
def test_union(footprint: Footprint, seed: int) -> None:
    ra, dec = positions_in(footprint, seed)
    each = [region.contains(ra, dec) for region in footprint.regions]
    assert np.array_equal(footprint.contains(ra, dec), np.any(each, axis=0))


@unhurried
@given(footprints, st.integers(3, 8), st.integers(0, 99))
def test_no_tile_is_missed(footprint: Footprint, order: int, seed: int) -> None:
    ra, dec = positions_in(footprint, seed)
    inside = footprint.contains(ra, dec)
    tiles = footprint.tiles(order)
    assert tiles is not None
    assert tiles == sorted(set(tiles))
    assert {tile.order for tile in tiles} <= {order}
    pixels = [tile.pixel for tile in tiles]
    assert np.isin(tile_pixels(ra[inside], dec[inside], order), pixels).all()


@unhurried
@given(footprints, ras, st.floats(0.0, 90.0), decs, decs, st.integers(0, 99))
def test_a_box_with_an_inside_position_touches(
    footprint: Footprint, ra_min: float, width: float, dec_a: float, dec_b: float, seed: int
) -> None:
    ra, dec = positions_in(footprint, seed)
    inside = footprint.contains(ra, dec)
    ra, dec = ra[inside], dec[inside]
    ra_max, (dec_min, dec_max) = (ra_min + width) % 360, sorted((dec_a, dec_b))
    in_box = ((ra - ra_min) % 360 <= width) & (dec >= dec_min) & (dec <= dec_max)
    assert footprint.touches_box(ra_min, ra_max, dec_min, dec_max) or not in_box.any()
    for one_ra, one_dec in zip(ra[:2], dec[:2], strict=True):
        assert footprint.touches_box(one_ra, one_ra, one_dec, one_dec)
        assert footprint.touches_box(one_ra - 1e-9, one_ra, one_dec, 90.0)


def test_touching_sweep_files() -> None:
    footprint = make_footprint(circle=["359.5,0.7,1.0"])
    assert footprint.touches_box(350, 360, 0, 5)
    assert footprint.touches_box(0, 10, 0, 5)
    assert footprint.touches_box(350, 360, -5, 0)
    assert not footprint.touches_box(10, 20, 0, 5)
    assert not footprint.touches_box(340, 350, 0, 5)
    assert not footprint.touches_box(350, 360, 5, 10)
    assert not footprint.touches_box(0, 10, -10, -5)
    assert not footprint.touches_box(170, 180, 0, 5)


def test_touching_a_ring_from_within() -> None:
    ring = make_footprint(box=["0,360,50,60"])
    assert not ring.touches_box(0, 360, 62, 90)
    assert not ring.touches_box(10, 20, -90, 49)
    assert ring.touches_box(10, 20, -90, 90)
    assert make_footprint().touches_box(10, 20, 1, 2)


def test_the_real_sweep_names_that_touch() -> None:
    names = sorted(path.name for path in shared("sweeps").glob("sweep-*.fits"))
    footprint = make_footprint(circle=["325,-2,1"])
    touched = [
        name
        for name in names
        if footprint.touches_box(
            float(name[6:9]), float(name[14:17]), -float(name[10:13]), float(name[18:21])
        )
    ]
    assert touched == ["sweep-320m005-330p000.fits"]


def test_area_is_of_the_union() -> None:
    cap = HEMISPHERE * (1 - np.cos(np.radians(2.0)))
    assert make_footprint(circle=["0,0,2"]).area_deg2() == pytest.approx(cap, rel=1e-3)
    twice = make_footprint(circle=["0,0,2", "0,0,2", "0.5,0,1"])
    assert twice.area_deg2() == pytest.approx(cap, rel=1e-3)
    box = HEMISPHERE * 20 / 360 * (np.sin(np.radians(10)) - np.sin(np.radians(-10)))
    apart = make_footprint(circle=["90,50,2"], box=["350,10,-10,10"])
    assert apart.area_deg2() == pytest.approx(cap + box, rel=1e-3)
    tiny = make_footprint(circle=["0,89.99,0.0003"])
    assert tiny.area_deg2() == pytest.approx(np.pi * 0.0003**2, rel=0.01)
    assert make_footprint(healpix=["6/7"]).area_deg2() == pytest.approx(Tile(6, 7).area_deg2)
    assert make_footprint(circle=["0,0,180"]).area_deg2() == pytest.approx(DEG2_OF_SKY)
    assert make_footprint(polygon=["0,0 90,0 0,90"]).area_deg2() == pytest.approx(
        HEMISPHERE / 4, rel=1e-3
    )


def test_nothing_given_is_the_catalogs_own_coverage() -> None:
    footprint = make_footprint()
    assert footprint.regions == (WholeCatalog(),)
    assert not footprint.is_known
    assert footprint.tiles(6) is None
    assert footprint.area_deg2() is None
    ra, dec = np.array([0.0, 359.0, np.nan]), np.array([0.0, -90.0, 0.0])
    assert footprint.contains(ra, dec).tolist() == [True, True, False]
    with_circle = Footprint((Circle(0, 0, 1), WholeCatalog()))
    assert with_circle.tiles(6) is None
    assert with_circle.contains([90], [0]).tolist() == [True]


def test_every_kind_at_once(tmp_path: Path) -> None:
    cone = MOC.from_cone(200 * units.deg, 10 * units.deg, radius=1 * units.deg, max_depth=8)
    cone.save(tmp_path / "cone.fits")
    Table({"TILEID": [1, 2], "RA": [240.0, 250.0], "DEC": [0.0, 0.0]}).write(tmp_path / "t.ecsv")
    footprint = make_footprint(
        circle=["0,0,1"],
        box=[(40, 41, 0, 1)],
        polygon=["80,0 82,0 82,2 80,2"],
        moc=[tmp_path / "cone.fits"],
        desi_tiles=tmp_path / "t.ecsv",
        tile_ids=[2],
        tile_radius=1.0,
        healpix=["6/0", "5/100"],
    )
    ra = np.array([0.5, 40.5, 81.0, 200.0, 240.0, 250.9, 250.0, 300.0, np.nan])
    dec = np.array([0.5, 0.5, 1.0, 10.5, 0.0, 0.0, 1.1, 80.0, 0.0])
    expected = [True, True, True, True, False, True, False, False, False]
    assert footprint.contains(ra, dec).tolist() == expected
    tiles = footprint.tiles(6)
    assert tiles is not None
    assert {Tile(6, 0), Tile(6, 400), Tile(6, 403)} <= set(tiles)
    kinds = [region["kind"] for region in json.loads(json.dumps(footprint.describe()))["regions"]]
    assert kinds == ["circle", "box", "polygon", "moc", "desi-tiles", "healpix", "healpix"]
    again = pickle.loads(pickle.dumps(footprint))  # noqa: S301 - worker processes get it so
    assert again.contains(ra, dec).tolist() == expected


def test_a_long_list_of_positions_is_cut_into_blocks() -> None:
    ra, dec = positions_over_sky(1_100_000)
    ra[::7] = np.nan
    inside = make_footprint(box=["0,360,0,90"]).contains(ra, dec)
    assert np.array_equal(inside, (dec >= 0) & np.isfinite(ra))


@pytest.mark.parametrize("order", [2, 11, -1])
def test_orders_that_tiles_cannot_have(order: int) -> None:
    with pytest.raises(FootprintError, match=f"order {order}: give an order from 3 to 10"):
        make_footprint(circle=["0,0,1"]).tiles(order)


def test_finest_order() -> None:
    footprint = make_footprint(circle=["0,0,0.1"])
    ra, dec = positions_around(0, 0, 0.1, 200)
    tiles = footprint.tiles(10)
    assert tiles is not None
    assert set(tile_pixels(ra, dec, 10).tolist()) <= {tile.pixel for tile in tiles}
    assert len(tiles) < 25


def test_footprint_without_regions() -> None:
    with pytest.raises(FootprintError, match="no region"):
        Footprint(())


def test_tile_ids_need_a_table() -> None:
    with pytest.raises(FootprintError, match="give the table too"):
        make_footprint(tile_ids=[1])
