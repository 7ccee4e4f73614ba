"""Tiles read straight from the file are what astropy reads, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from tests.shared_data import shared
from xsaga.fits_structure import IncompleteFitsError
from xsaga.imaging.brick_cells import CELL, cells_in
from xsaga.imaging.coadd_tiles import find_tiles
from xsaga.imaging.fits_check import DAMAGE, check_complete


def read_all(path: Path, pieces: tuple[tuple[slice, slice], ...]) -> NDArray[np.float32] | None:
    """Pixels of some pieces, NaN elsewhere; None where the file is left to astropy."""
    with path.open("rb") as file:
        check_complete(file)
        tiles = find_tiles(path, file)
        if tiles is None:
            return None
        image = np.full(tiles.shape, np.nan, np.float32)

        def take(place: tuple[slice, slice], pixels: NDArray[np.float32]) -> None:
            image[place] = pixels

        tiles.read(file, cells_in(pieces), take)
        return image


def write(path: Path, image: NDArray[np.float32], **options: object) -> Path:
    settings = {"compression_type": "RICE_1", "tile_shape": (CELL, CELL), "dither_seed": 37}
    hdu = fits.CompImageHDU(image, **{**settings, **options})
    hdu.writeto(path)
    return path


def noise(shape: tuple[int, int]) -> NDArray[np.float32]:
    image = np.random.default_rng(3).normal(0, 0.01, shape).astype(np.float32)
    image[20:70, 30:250] = 0
    image[-2, -3] = 1e4
    return image


@pytest.mark.parametrize("shape", [(300, 400), (350, 420), (100, 99)])
@pytest.mark.parametrize(
    "options",
    [
        {"quantize_level": 16, "quantize_method": 2},
        {"quantize_level": 4, "quantize_method": 1},
        {"quantize_level": 16, "quantize_method": -1},
        {"quantize_level": 16, "quantize_method": 2, "dither_seed": 9999},
        {"compression_type": "GZIP_1", "quantize_level": 0},
        {"compression_type": "GZIP_2", "quantize_level": 0},
    ],
    ids=["dither 2", "dither 1", "no dither", "seed", "gzip 1", "gzip 2"],
)
def test_pixels_are_those_of_astropy(
    tmp_path: Path, shape: tuple[int, int], options: dict[str, object]
) -> None:
    path = write(tmp_path / "a.fits.fz", noise(shape), **options)
    whole = ((slice(0, shape[0]), slice(0, shape[1])),)
    expected = fits.getdata(path)
    got = read_all(path, whole)
    assert got is not None
    assert np.array_equal(got, expected)
    some = ((slice(0, 100), slice(0, 100)),)
    part = read_all(path, some)
    assert part is not None
    assert np.array_equal(part[:100, :100], expected[:100, :100])
    assert np.isnan(part[100:]).all()


def test_tiles_that_could_not_be_quantized_are_read_too(tmp_path: Path) -> None:
    image = noise((300, 300))
    image[100:200, 100:200] = np.nan  # astropy stores such a tile without loss
    image[200:, 200:] = 7.0
    path = write(tmp_path / "a.fits.fz", image, quantize_level=16, quantize_method=2)
    got = read_all(path, ((slice(0, 300), slice(0, 300)),))
    assert got is not None
    assert np.array_equal(got, fits.getdata(path), equal_nan=True)


@pytest.mark.parametrize(
    "options",
    [
        {"tile_shape": (1, 300)},
        {"compression_type": "GZIP_1", "quantize_level": 16},
    ],
)
def test_other_kinds_are_left_to_astropy(tmp_path: Path, options: dict[str, object]) -> None:
    path = write(tmp_path / "a.fits.fz", noise((300, 300)), **options)
    assert read_all(path, ((slice(0, 300), slice(0, 300)),)) is None
    plain = tmp_path / "b.fits"
    fits.PrimaryHDU(noise((300, 300))).writeto(plain)
    assert read_all(plain, ()) is None


def test_a_compression_that_no_coadd_has_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.fits.fz", noise((300, 300)), compression_type="HCOMPRESS_1", quantize_level=16
    )
    with pytest.raises(IncompleteFitsError, match="compressed by HCOMPRESS_1: known are RICE_1"):
        read_all(path, ())


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_an_error_or_pixels_but_nothing_else(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path / "a.fits.fz", noise((300, 300)), quantize_level=16, quantize_method=2)
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    for at in random.integers(2880, len(content), 40):
        content[at] = random.integers(256)
    path.write_bytes(content)
    try:
        got = read_all(path, ((slice(0, 300), slice(0, 300)),))
    except DAMAGE:
        return
    assert got is None or got.dtype == np.float32


@pytest.mark.parametrize("product", ["image", "invvar"])
def test_real_coadds_are_those_of_astropy(product: str) -> None:
    paths = sorted(shared("realsky").glob(f"south/coadd/*/*/*-{product}-r.fits.fz"))[:2]
    assert paths
    for path in paths:
        expected = fits.getdata(path)
        got = read_all(path, ((slice(0, expected.shape[0]), slice(0, expected.shape[1])),))
        assert got is not None
        assert np.array_equal(got, expected)
