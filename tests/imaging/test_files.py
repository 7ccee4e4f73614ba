from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import shared
from xsaga.errors import ImagingError
from xsaga.imaging.cutout_fits import CutoutEmpty, CutoutUnusable, nonzero_coverage, read_cutout
from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec, CutoutStatus
from xsaga.imaging.files import FileSource

SPEC = CutoutSpec(size=16)


def image_of(height: int = 16, width: int = 16, bands: int = 3) -> np.ndarray:
    return np.arange(1.0, bands * height * width + 1, dtype=np.float32).reshape(
        bands, height, width
    )


def fits_bytes(path: Path, image: np.ndarray | None = None, **keywords: object) -> bytes:
    header = fits.Header(keywords)
    fits.PrimaryHDU(image_of() if image is None else image, header).writeto(path, overwrite=True)
    return path.read_bytes()


def wcs(scale: float = 0.262, **changes: float) -> dict[str, object]:
    degrees = scale / 3600
    return {"CD1_1": -degrees, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": degrees, **changes}


@pytest.mark.parametrize("keywords", [{}, {"BANDS": "grz"}, wcs(), {"PIXSCALE": 0.262}])
def test_sound_cutout_is_read_as_it_is(tmp_path: Path, keywords: dict[str, object]) -> None:
    content = fits_bytes(tmp_path / "a.fits", **keywords)
    for data in (content, tmp_path / "a.fits", gzip.compress(content)):
        image = read_cutout(data, SPEC, exact_size=True)
        assert image.dtype == np.dtype("float32")
        assert np.array_equal(image, image_of())


def test_compressed_image_in_an_extension_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.fits.fz"
    fits.CompImageHDU(image_of(), compression_type="GZIP_1", quantize_level=0).writeto(path)
    assert np.array_equal(read_cutout(path, SPEC, exact_size=True), image_of())


def test_bands_are_found_by_name(tmp_path: Path) -> None:
    content = fits_bytes(
        tmp_path / "a.fits", image_of(bands=4), BANDS="zrig", BAND0="z", BAND1="r", BAND2="i",
        BAND3="g",
    )  # fmt: skip
    assert np.array_equal(read_cutout(content, SPEC, exact_size=True), image_of(bands=4)[[3, 1, 0]])


@given(st.integers(16, 40), st.integers(16, 40), st.integers(1, 16))
def test_larger_cutouts_are_cropped_around_their_middle(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, size: int
) -> None:
    image = np.zeros((3, height, width), np.float32)
    image[:, height // 2, width // 2] = 1
    content = fits_bytes(tmp_path_factory.getbasetemp() / "crop.fits", image)
    cropped = read_cutout(content, CutoutSpec(size=size), exact_size=False)
    assert np.argwhere(cropped[0]).tolist() == [[size // 2, size // 2]]


@pytest.mark.parametrize(
    ("image", "keywords", "told"),
    [
        (image_of(15, 16), {}, "16 x 15 pixels, wanted 16 x 16"),
        (image_of(17, 17), {}, "17 x 17 pixels, wanted 16 x 16"),
        (image_of(bands=2), {}, "2 bands, wanted grz"),
        (image_of()[0], {}, "1 bands, wanted grz"),
        (np.ones(9, np.float32), {}, "no image"),
        (np.ones((1, 3, 16, 16), np.float32), {}, "wanted (band, y, x)"),
        (image_of(), {"BANDS": "gri"}, "bands gri, wanted grz"),
        (image_of(), {"BAND0": "g", "BAND1": "r"}, "3 planes, but the header names bands gr"),
        (image_of(), wcs(0.4), "pixel scale 0.4 arcsec, wanted 0.262"),
        (image_of(), {"PIXSCALE": 0.1}, "pixel scale 0.1 arcsec"),
        (image_of(), wcs(CD1_1=0.262 / 3600), "not north up and east left"),
        (image_of(), wcs(CD1_1=0.0), "unusable WCS"),
        (np.full((3, 16, 16), np.nan, np.float32), {}, "not finite"),
        (np.full((3, 16, 16), np.inf, np.float32), {}, "not finite"),
        (np.zeros((3, 16, 16), np.float32), {}, "all pixels are zero"),
    ],
)
def test_unusable_cutout_is_refused_with_the_reason(
    tmp_path: Path, image: np.ndarray, keywords: dict[str, object], told: str
) -> None:
    content = fits_bytes(tmp_path / "a.fits", image, **keywords)
    with pytest.raises(CutoutUnusable) as refusal:
        read_cutout(content, SPEC, exact_size=True)
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda _: b"", "empty file"),
        (lambda _: b"no such layer", "not a FITS file"),
        (lambda _: b"<html>502 Bad Gateway</html>", "not a FITS file"),
        (lambda content: content[:1000], "header"),
        (lambda content: content[:-2880], "truncated FITS file"),
        (lambda content: gzip.compress(content)[:-100], "gzip"),
        (lambda content: b"\x1f\x8b" + content, "gzip"),
        (lambda content: content.replace(b"NAXIS1  =", b"NAXIS9  ="), "header"),
    ],
)
def test_what_is_no_fits_file_is_told(
    tmp_path: Path, spoil: Callable[[bytes], bytes], told: str
) -> None:
    content = spoil(fits_bytes(tmp_path / "a.fits"))
    with pytest.raises(CutoutUnusable, match=told):
        read_cutout(content, SPEC, exact_size=True)


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@given(st.integers(0, 2880 * 3), st.binary(min_size=1, max_size=80))
def test_any_damage_is_an_answer_or_an_image(
    tmp_path_factory: pytest.TempPathFactory, place: int, noise: bytes
) -> None:
    content = bytearray(fits_bytes(tmp_path_factory.getbasetemp() / "damage.fits"))
    content[place : place + len(noise)] = noise
    with contextlib.suppress(CutoutUnusable):
        image = read_cutout(bytes(content), SPEC, exact_size=True)
        assert image.shape == (3, 16, 16)
        assert np.isfinite(image).all()


def test_nan_can_mean_that_there_is_no_data(tmp_path: Path) -> None:
    image = image_of()
    image[1, :4] = np.nan
    content = fits_bytes(tmp_path / "a.fits", image)
    read = read_cutout(content, SPEC, exact_size=True, nan_is_no_data=True)
    assert nonzero_coverage(read).tolist() == [1.0, 0.75, 1.0]
    nothing = fits_bytes(tmp_path / "b.fits", np.full((3, 16, 16), np.nan, np.float32))
    with pytest.raises(CutoutEmpty):
        read_cutout(nothing, SPEC, exact_size=True, nan_is_no_data=True)


def test_real_cutouts() -> None:
    with pytest.raises(CutoutUnusable, match="truncated FITS file: 1389044 of 2162880 bytes"):
        read_cutout(shared("realsky", "bad", "truncated.fits"), CutoutSpec(), exact_size=False)
    oversampled = shared("realsky", "bad", "missing-band-area.fits")
    with pytest.raises(CutoutUnusable, match=r"pixel scale 0\.1302"):
        read_cutout(oversampled, CutoutSpec(), exact_size=False)
    image = read_cutout(oversampled, CutoutSpec(424, 0.13025), exact_size=True)
    assert nonzero_coverage(image) == pytest.approx([0.2429, 0.2724, 1.0], abs=1e-3)
    field = read_cutout(
        shared("realsky", "cutouts", "field-a.fits"), CutoutSpec(), exact_size=False
    )
    assert (nonzero_coverage(field) == 1).all()


def ask(source: FileSource, *source_id: int) -> CutoutBatch:
    numbers = np.array(source_id, dtype=np.int64)
    (batch,) = source.cutouts(np.zeros(len(numbers)), np.zeros(len(numbers)), numbers)
    assert batch.index.tolist() == list(range(len(numbers)))
    return batch


def test_files_are_found_by_identifier_and_each_has_its_outcome(tmp_path: Path) -> None:
    content = fits_bytes(tmp_path / "1.fits")
    (tmp_path / "2.fits.gz").write_bytes(gzip.compress(content))
    compressed = fits.CompImageHDU(image_of(), compression_type="GZIP_1", quantize_level=0)
    compressed.writeto(tmp_path / "3.fits.fz")
    partly = image_of(20, 20)
    partly[2, :10] = 0
    fits_bytes(tmp_path / "4.fits", partly)
    (tmp_path / "5.fits").write_bytes(content[:-2880])
    fits_bytes(tmp_path / "6.fits", np.zeros((3, 16, 16), np.float32))
    (tmp_path / "7.fits").mkdir()
    fits_bytes(tmp_path / "-8.fits", image_of(8, 8))
    batch = ask(FileSource(tmp_path, SPEC), 1, 2, 3, 4, 5, 6, 7, -8, 9)
    ok, partial, outside = CutoutStatus.OK, CutoutStatus.PARTIAL, CutoutStatus.OUTSIDE
    corrupt, failed = CutoutStatus.CORRUPT, CutoutStatus.FAILED
    assert batch.status.tolist() == [
        ok, ok, ok, partial, corrupt, outside, failed, corrupt, failed,
    ]  # fmt: skip
    assert batch.origin == [
        "1.fits", "2.fits.gz", "3.fits.fz", "4.fits", "5.fits", "6.fits", "7.fits", "-8.fits", "",
    ]  # fmt: skip
    assert np.array_equal(batch.images[:3], np.stack([image_of()] * 3))
    assert not batch.images[4:].any()
    assert batch.coverage[3].tolist() == [1, 1, 0.5]
    assert (batch.coverage[4:] == 0).all()
    assert [bool(reason) for reason in batch.reason] == [False] * 3 + [True] * 6
    assert "truncated" in batch.reason[4]
    assert "8 x 8 pixels, wanted 16 x 16" in batch.reason[7]
    assert f"no file for source 9 in {tmp_path}" in batch.reason[8]


def test_many_files_come_in_batches(tmp_path: Path) -> None:
    fits_bytes(tmp_path / "0.fits")
    numbers = np.arange(300)
    batches = list(FileSource(tmp_path, SPEC).cutouts(numbers * 0.0, numbers * 0.0, numbers))
    assert [len(batch) for batch in batches] == [256, 44]
    assert np.concatenate([batch.index for batch in batches]).tolist() == numbers.tolist()


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "parquet", "fits"])
def test_files_listed_in_a_table(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    fits_bytes(folder / "deep" / "one.fits")
    fits_bytes(folder / "7.fits")
    listed = {"source_id": [2**60 + 1, 3], "path": ["deep/one.fits", "gone.fits"]}
    table = tmp_path / f"list.{suffix}"
    if suffix in {"csv", "parquet"}:
        frame = pd.DataFrame(listed)
        frame.to_csv(table, index=False) if suffix == "csv" else frame.to_parquet(table)
    else:
        Table(listed).write(table)
    batch = ask(FileSource(folder, SPEC, table=table, release="ls-dr9"), 3, 2**60 + 1, 7)
    failed = CutoutStatus.FAILED
    assert batch.status.tolist() == [failed, CutoutStatus.OK, failed]
    assert batch.origin == ["gone.fits", "deep/one.fits", ""]
    assert "No such file" in batch.reason[0]
    assert "no file for source 7" in batch.reason[2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("source_id,path\n1,a.fits\n2,../secret.fits\n", "row 2: '../secret.fits' is not below"),
        ("source_id,path\n1,/etc/passwd\n", "row 1: '/etc/passwd' is not below"),
        ("source_id,path\n1,x/../../files2/a.fits\n", "row 1: .* is not below"),
        ("source_id,file\n1,a.fits\n", "no column path"),
        ("source_id,path\none,a.fits\n", "other things than integers"),
        ("source_id,path\n1,a.fits\n1,b.fits\n", "source_id 1 is listed twice"),
        ("source_id,path\n1,a.fits\n2,\n", "row 2 has no path"),
        ("", "not a readable table"),
    ],
)
def test_unusable_list_is_refused(tmp_path: Path, content: str, told: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    table = tmp_path / "list.csv"
    table.write_text(content)
    with pytest.raises(ImagingError, match=told):
        FileSource(folder, SPEC, table=table)


def test_missing_folder_and_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImagingError, match="no such folder"):
        FileSource(tmp_path / "nowhere", SPEC)
    with pytest.raises(ImagingError, match="cannot tell the format"):
        FileSource(tmp_path, SPEC, table=tmp_path / "list.xlsx")
    with pytest.raises(ImagingError, match="not a readable table"):
        FileSource(tmp_path, SPEC, table=tmp_path / "gone.parquet")
