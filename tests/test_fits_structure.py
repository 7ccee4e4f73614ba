from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from benchmarks.fuzz_bombs import coadd
from tests.shared_data import SHARED, needs_shared
from xsaga import fits_structure
from xsaga.fits_structure import IncompleteFitsError, check_complete, checked_fits
from xsaga.reading import TooLargeError


def table_bytes(**columns: object) -> bytes:
    stream = io.BytesIO()
    Table(columns or {"ra": [1.0, 2.0], "name": ["a", "b"]}).write(stream, format="fits")
    return stream.getvalue()


def with_card(content: bytes, key: str, value: str) -> bytes:
    """Change the last card of that name."""
    at = content.rindex(f"{key:<8}=".encode())
    return content[:at] + f"{key:<8}= {value:>20}".ljust(80).encode() + content[at + 80 :]


def check(content: bytes) -> None:
    check_complete(io.BytesIO(content))


@needs_shared
def test_real_files_are_whole() -> None:
    for path in sorted(SHARED.rglob("*.fits*")):
        if "nexp" in path.name or path.parent.name == "bad":  # HCOMPRESS_1 is not read
            continue
        checked_fits(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("NAXIS1", "17", "rows of 17 bytes, but columns of 9"),
        ("NAXIS1", "1.5", "NAXIS1 is no whole number"),
        ("NAXIS2", "-1", "negative"),
        ("NAXIS2", "1000000000", "truncated FITS file"),
        ("BITPIX", "7", "BITPIX is 7"),
        ("TFIELDS", "1000", "1000 columns"),
        ("TFIELDS", "3", "TFORM3"),
        ("TFORM1", "'Y       '", "no known TFORM"),
        ("TFORM1", "'1000000000D'", "columns of 8000000001"),
        ("PCOUNT", "-5", "negative"),
    ],
)
def test_a_table_that_lies(key: str, value: str, words: str) -> None:
    whole = table_bytes()
    check(whole)
    with pytest.raises(IncompleteFitsError, match=words):
        check(with_card(whole, key, value))


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"ZNAXIS1": 100_000, "ZNAXIS2": 100_000}, "not read"),
        ({"ZTILE1": 10**9, "ZTILE2": 10**9}, "not read"),
        ({"ZNAXIS1": 400}, "4 compressed tiles, but 400 x 200 pixels"),
        ({"ZTILE1": 0}, "tiles 0 x 100"),
        ({"ZVAL1": 0}, "BLOCKSIZE 0"),
        ({"ZVAL2": 3}, "BYTEPIX 3"),
        ({"ZBITPIX": 5}, "ZBITPIX"),
        ({"ZCMPTYPE": "PLIO_1"}, "known are RICE_1"),
        ({"PCOUNT": 10**9}, "truncated"),
    ],
)
def test_a_compressed_image_that_lies(cards: dict[str, object], words: str) -> None:
    check(coadd())
    with pytest.raises(IncompleteFitsError, match=words):
        check(coadd(**cards))


@pytest.mark.parametrize("place", [0, 4])
def test_a_descriptor_that_leads_out_of_the_file(place: int) -> None:
    content = bytearray(coadd())
    with fits.open(io.BytesIO(content), disable_image_compression=True) as hdus:
        start = hdus[1].fileinfo()["datLoc"] + place
    content[start : start + 4] = (2**31 - 1).to_bytes(4, "big")
    with pytest.raises(IncompleteFitsError, match="tile 1 lies outside"):
        check(bytes(content))


def test_a_large_gzip_tile_that_unpacks_to_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_structure, "SMALL_GZIP_TILE", 100)
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).normal(0, 1, (60, 60)).astype(np.float32)
    hdu = fits.CompImageHDU(
        pixels, compression_type="GZIP_1", tile_shape=(60, 60), quantize_level=0
    )
    hdu.writeto(stream)
    check(stream.getvalue())
    smaller = with_card(with_card(stream.getvalue(), "ZTILE1", "20"), "ZNAXIS1", "20")
    smaller = with_card(with_card(smaller, "ZTILE2", "20"), "ZNAXIS2", "20")
    with pytest.raises(IncompleteFitsError, match="unpacks to more than its pixels"):
        check(smaller)


def test_headers_without_end_and_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = table_bytes()
    monkeypatch.setattr(fits_structure, "MAX_HEADER_BLOCKS", 3)
    with pytest.raises(IncompleteFitsError, match="more than 3 blocks"):
        check(whole[:80] + b" " * 2880 * 10)
    monkeypatch.setattr(fits_structure, "MAX_HDUS", 1)
    with pytest.raises(IncompleteFitsError, match="more than 1 parts"):
        check(whole)


@pytest.mark.parametrize("bad", [b"\x1b[31m", b"\xff\xfe\xff\xfe\xff"])
def test_headers_that_are_no_text(bad: bytes) -> None:
    whole = table_bytes()
    with pytest.raises(IncompleteFitsError) as refused:
        check(whole[:3000] + bad + whole[3005:])
    assert str(refused.value).isprintable()


def test_gzip_files_are_unpacked_within_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.fits.gz"
    path.write_bytes(gzip.compress(table_bytes()))
    found = checked_fits(path)
    assert isinstance(found, io.BytesIO)
    assert found.read(6) == b"SIMPLE"
    monkeypatch.setattr(fits_structure, "MAX_UNPACKED", 5000)
    with pytest.raises(TooLargeError, match="gunzip"):
        checked_fits(path)


def test_a_size_told_twice() -> None:
    whole = table_bytes()
    at = whole.rindex(b"EXTNAME") if b"EXTNAME" in whole else whole.rindex(b"TTYPE1")
    card = f"{'NAXIS2':<8}= {2:>20}".ljust(80).encode()
    with pytest.raises(IncompleteFitsError, match="NAXIS2 is there twice"):
        check(whole[:at] + card + whole[at + 80 :])
