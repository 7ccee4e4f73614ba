from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from tests.sky_positions import angles, decs, positions_over_sky, ras, unhurried
from xsaga.errors import FootprintError
from xsaga.sky.desi_tiles import DesiTiles
from xsaga.sky.tiles import tile_pixels

TILES = Table(
    {
        "TILEID": np.array([1000, 1001, 2500], dtype=np.int32),
        "PASS": [0, 0, 1],
        "RA": [0.5, 180.0, 75.0],
        "DEC": [0.0, 45.0, 89.5],
    }
)


@pytest.fixture(params=["tiles.fits", "tiles.fits.gz", "tiles.ecsv"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    TILES.write(path)
    return path


def test_all_tiles_of_a_table(table: Path) -> None:
    region = DesiTiles.from_file(table)
    assert region.tile_ids.tolist() == [1000, 1001, 2500]
    ra = np.array([359.0, 358.8, 180.0, 255.0, 75.0])
    dec = np.array([0.0, 0.0, 46.599, 89.0, 87.5])
    assert region.contains(ra, dec).tolist() == [True, False, True, True, False]


def test_tiles_chosen_by_id_and_radius(table: Path) -> None:
    region = DesiTiles.from_file(table, ids=[1001], radius=0.5)
    assert region.contains([0.5, 180, 180], [0, 45.4, 45.6]).tolist() == [False, True, False]


def test_unknown_ids_are_named(table: Path) -> None:
    with pytest.raises(FootprintError, match=r"it has no tile 7, 4242: check the tile ids"):
        DesiTiles.from_file(table, ids=[4242, 1000, 7])
    with pytest.raises(FootprintError, match=r"no tile 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"):
        DesiTiles.from_file(table, ids=range(1, 13))


def test_description_is_of_the_tiles_not_of_the_file(tmp_path: Path) -> None:
    TILES.write(tmp_path / "a.fits")
    TILES[::-1].write(tmp_path / "b.ecsv")
    described = [DesiTiles.from_file(tmp_path / name).describe() for name in ("a.fits", "b.ecsv")]
    assert described[0] == described[1]
    assert DesiTiles.from_file(tmp_path / "a.fits", ids=[1000]).describe() != described[0]
    assert DesiTiles.from_file(tmp_path / "a.fits", radius=1.5).describe() != described[0]


@unhurried
@given(
    st.lists(st.tuples(ras, decs), min_size=1, max_size=6),
    st.floats(0.1, 30.0),
    st.integers(0, 99),
)
def test_tiles_are_a_union_of_circles(
    centres: list[tuple[float, float]], radius: float, seed: int
) -> None:
    tile_ra, tile_dec = np.array(centres).T
    region = DesiTiles(np.arange(len(centres)), tile_ra, tile_dec, radius)
    ra, dec = positions_over_sky(500, seed)
    distance = np.min([angles(ra, dec, centre) for centre in centres], axis=0)
    inside = region.contains(ra, dec)
    clear = np.abs(distance - radius) > 1e-9
    assert np.array_equal(inside[clear], (distance <= radius)[clear])
    assert np.isin(tile_pixels(ra[inside], dec[inside], 4), region.tiles(4)).all()


def test_column_names_in_any_case_and_a_second_table(tmp_path: Path) -> None:
    lower = Table({"tileid": [5], "ra": [10], "dec": [20]})  # whole numbers as positions
    lower.write(tmp_path / "lower.fits")
    Table({"A": [1]}).write(tmp_path / "lower.fits", append=True)
    assert DesiTiles.from_file(tmp_path / "lower.fits").contains([10], [21.5]).tolist() == [True]


@pytest.mark.parametrize("name", ["bad.fits", "bad.ecsv"])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"TILEID": [1], "RA": [1.0]}, "column DEC is missing"),
        ({"RA": [1.0], "DEC": [1.0]}, "column TILEID is missing .it has RA, DEC."),
        ({"TILEID": [1], "RA": ["a"], "DEC": [1.0]}, "column RA does not hold numbers"),
        ({"TILEID": [1.5], "RA": [1.0], "DEC": [1.0]}, "column TILEID does not hold integers"),
        ({"TILEID": [1, 7], "RA": [1.0, 1.0], "DEC": [1.0, 99.0]}, "DESI tile 7: RA 1, Dec 99"),
        (
            {"TILEID": [3], "RA": [float("nan")], "DEC": [1.0]},
            "DESI tile 3: RA nan|column RA, row 1 is empty",
        ),
    ],
)
def test_bad_tables(
    tmp_path: Path, name: str, columns: dict[str, list[float]], message: str
) -> None:
    Table(columns).write(tmp_path / name)
    with pytest.raises(FootprintError, match=message):
        DesiTiles.from_file(tmp_path / name)


def test_empty_table(tmp_path: Path) -> None:
    TILES[:0].write(tmp_path / "empty.fits")
    with pytest.raises(FootprintError, match="the table is empty"):
        DesiTiles.from_file(tmp_path / "empty.fits")


def test_masked_value(tmp_path: Path) -> None:
    masked = Table(TILES, masked=True)
    masked["RA"].mask = [False, True, False]
    masked.write(tmp_path / "masked.ecsv")
    with pytest.raises(FootprintError, match="column RA, row 2 is empty"):
        DesiTiles.from_file(tmp_path / "masked.ecsv")


@pytest.mark.parametrize("name", ["junk.fits", "junk.ecsv", "nothing.fits", "nothing.ecsv"])
def test_unreadable_table(tmp_path: Path, name: str) -> None:
    if name.startswith("junk"):
        (tmp_path / name).write_bytes(b"\x00\x01 not a table\n" * 50)
    with pytest.raises(FootprintError, match=f"{name}: cannot be read") as caught:
        DesiTiles.from_file(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_truncated_table(tmp_path: Path) -> None:
    path = tmp_path / "cut.fits"
    many = Table({"TILEID": np.arange(2000), "RA": np.ones(2000), "DEC": np.ones(2000)})
    many.write(path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(FootprintError, match=r"cut\.fits: cannot be read"):
        DesiTiles.from_file(path)


@pytest.mark.parametrize("radius", [0.0, -1.0, 181.0, float("nan")])
def test_bad_radius(table: Path, radius: float) -> None:
    with pytest.raises(FootprintError, match="DESI tiles: radius"):
        DesiTiles.from_file(table, radius=radius)
