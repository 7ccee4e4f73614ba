from __future__ import annotations

from pathlib import Path

import pytest

from xsaga.errors import FootprintError
from xsaga.sky.parse import parse_box, parse_circle, parse_healpix, parse_polygon
from xsaga.sky.polygon import Polygon
from xsaga.sky.shapes import Box, Circle


@pytest.mark.parametrize("words", ["10.5,-20,0.5", " 10.5, -20 , 5e-1", (10.5, -20, 0.5)])
def test_circle(words: str | tuple[float, ...]) -> None:
    assert parse_circle(words) == Circle(10.5, -20.0, 0.5)


@pytest.mark.parametrize("words", ["350,10,-5,5", [350, 10, -5, 5]])
def test_box(words: str | list[float]) -> None:
    assert parse_box(words) == Box(350.0, 10.0, -5.0, 5.0)


@pytest.mark.parametrize(
    "words",
    [
        "350,0 10,0 0,10",
        "350,0;10,0;0,10",
        " 350, 0 ;  10,0;\n0 ,10; ",
        ["350,0", "10,0", "0,10"],
        [(350, 0), (10, 0), (0, 10)],
    ],
)
def test_polygon(words: str | list[str]) -> None:
    assert parse_polygon(words) == Polygon(((350.0, 0.0), (10.0, 0.0), (0.0, 10.0)))


@pytest.mark.parametrize("words", ["6/7,5,5", "6/7 5", "6/7 6/5", " 6/5, 7,"])
def test_healpix(words: str) -> None:
    (region,) = parse_healpix(words)
    assert (region.order, region.pixels.tolist()) == (6, [5, 7])


@pytest.mark.parametrize("as_text", [True, False])
def test_healpix_file(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "pixels.txt"
    path.write_text("# chosen by hand\n6/5\n6/7  # and one more\n\n4/1,2\n")
    regions = parse_healpix(str(path) if as_text else path)
    assert [(one.order, one.pixels.tolist()) for one in regions] == [(6, [5, 7]), (4, [1, 2])]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("10,20", "circle '10,20': it has 2 numbers: give RA,DEC,RADIUS in degrees"),
        ("10,20,1,2", "circle '10,20,1,2': it has 4 numbers"),
        ("10,twenty,1", "circle '10,twenty,1': could not convert string to float: 'twenty'"),
        ("", "circle '': could not convert"),
        ("10,91,1", "circle 10,91,1: Dec 91 is out of range: give degrees from -90 to 90"),
        ("10,-90.5,1", "Dec -90.5 is out of range"),
        ("361,0,1", "RA 361 is out of range"),
        ("nan,0,1", "RA nan is out of range"),
        ("0,0,0", "radius 0 is out of range"),
        ("0,0,-1", "radius -1 is out of range"),
        ("0,0,180.5", "radius 180.5 is out of range"),
        ("0,0,nan", "radius nan is out of range"),
    ],
)
def test_bad_circle(words: str, message: str) -> None:
    with pytest.raises(FootprintError, match=message) as caught:
        parse_circle(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("1,2,3", "box '1,2,3': it has 3 numbers: give RA_MIN,RA_MAX,DEC_MIN,DEC_MAX"),
        ("1,2,3,x", "could not convert string to float: 'x'"),
        ("1,2,5,5", "box 1,2,5,5: it is empty: give DEC_MIN below DEC_MAX"),
        ("1,2,6,5", "give DEC_MIN below DEC_MAX"),
        ("1,2,-91,5", "Dec -91 is out of range"),
        ("1,2,nan,5", "Dec nan is out of range"),
        ("1,2000,0,5", "RA 2000 is out of range"),
        ("7,7,0,5", "it is empty: give RA_MIN and RA_MAX that differ"),
        ("360,0,0,5", "it is empty: give RA_MIN and RA_MAX that differ"),
    ],
)
def test_bad_box(words: str, message: str) -> None:
    with pytest.raises(FootprintError, match=message):
        parse_box(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("1,2 3,4", "polygon: give three or more different vertices"),
        ("", "polygon: give three or more different vertices"),
        ("1,2 3 4,5", "polygon vertex '3': it has 1 numbers: give RA,DEC in degrees"),
        ("1,2 3,4,5 6,7", "polygon vertex '3,4,5': it has 3 numbers"),
        ("1,2 a,4 6,7", "polygon vertex 'a,4': could not convert"),
    ],
)
def test_bad_polygon(words: str, message: str) -> None:
    with pytest.raises(FootprintError, match=message):
        parse_polygon(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("6/", r"'6/': '6/' is not understood: give ORDER/PIXEL,PIXEL"),
        ("6/1,/2", r"'/2' is not understood"),
        ("6/49152", r"pixel 49152 does not exist"),
        ("99/1", r"give an order from 0 to 29"),
        ("6/99999999999999999999999", r"is not understood"),
        ("nowhere.txt", r"nowhere\.txt: cannot be read \(No such file or directory\)"),
    ],
)
def test_bad_healpix(words: str, message: str) -> None:
    with pytest.raises(FootprintError, match=message):
        parse_healpix(words)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"12 13", "'12' is not understood"),
        (b"6/1-5", "'6/1-5' is not understood"),
        (b"# nothing\n", "the list is empty"),
        (b"\xff\xfe", "not a text file"),
    ],
)
def test_bad_healpix_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "pixels.txt").write_bytes(content)
    with pytest.raises(FootprintError, match=message):
        parse_healpix(tmp_path / "pixels.txt")
