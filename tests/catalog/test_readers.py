from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from tests.shared_data import shared
from xsaga.catalog.identifiers import encode_targetid
from xsaga.catalog.readers import Catalog
from xsaga.catalog.sources import complete_sources
from xsaga.catalog.standard import ReadingNotes
from xsaga.errors import CatalogError
from xsaga.sky.footprint import make_footprint

FORMATS = ("fits", "fits.gz", "parquet", "csv", "csv.gz", "ecsv", "vot")


def sweep_like() -> Table:
    return Table(
        {
            "RELEASE": np.array([9010, 9010, 9010], np.int16),
            "BRICKID": np.array([330368, 330368, 330369], np.int32),
            "OBJID": np.array([1, 2, 4_000_000], np.int32),
            "RA": [359.5, 10.25, 0.0],
            "DEC": [-45.0, 0.0, 89.0],
            "TYPE": ["PSF", "EXP", "DEV"],
            "FLUX_R": np.array([10.0, -1.0, 5.0], np.float32),
            "FLUX_IVAR_R": np.array([4.0, 0.0, 1.0], np.float32),
            "SHAPE_R": np.array([0.0, 1.5, 2.5], np.float32),
            "SHAPE_R_IVAR": np.array([0.0, 100.0, 25.0], np.float32),
            "EBV": np.array([0.0, 0.1, 0.2], np.float32),
            "MASKBITS": np.array([0, 2, 4096], np.int16),
            "OTHER": [1, 2, 3],
        }
    )


def write(table: Table, folder: Path, suffix: str) -> Path:
    path = folder / f"catalog.{suffix}"
    if suffix == "parquet":
        table.to_pandas().to_parquet(path)
    elif suffix == "csv":
        table.write(path, format="ascii.csv")
    elif suffix == "csv.gz":
        table.write(folder / "plain.csv", format="ascii.csv")
        path.write_bytes(gzip.compress((folder / "plain.csv").read_bytes()))
    elif suffix == "ecsv":
        table.write(path, format="ascii.ecsv")
    elif suffix == "vot":
        table.write(path, format="votable")
    else:
        table.write(path, format="fits")
    return path


def read(path: Path | str, rows: int = 1000, **options: object) -> pd.DataFrame:
    catalog = Catalog.of([path], **options)  # type: ignore[arg-type]
    tables = [batch.sources for batch in catalog.batches(rows=rows)]
    return complete_sources(pa.concat_tables(tables).unify_dictionaries().combine_chunks())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rows", [2, 1000])
def test_all_formats_give_the_same_sources(tmp_path: Path, suffix: str, rows: int) -> None:
    sources = read(write(sweep_like(), tmp_path, suffix), rows)
    expected = encode_targetid([9010] * 3, [330368, 330368, 330369], [1, 2, 4_000_000])
    assert sources["source_id"].tolist() == expected.tolist()
    assert sources["id_kind"].tolist() == ["targetid"] * 3
    assert sources["ra"].tolist() == [359.5, 10.25, 0.0]
    assert sources["dec"].tolist() == [-45.0, 0.0, 89.0]
    assert sources["type"].tolist() == ["PSF", "EXP", "DEV"]
    assert sources["flux_r"].tolist() == [10.0, -1.0, 5.0]
    assert sources["maskbits"].tolist() == [0, 2, 4096]
    assert sources["input_row"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(sources["mag_r"], [20.0, np.nan, 20.7526 - 0.433], atol=1e-4)
    np.testing.assert_allclose(sources["radius_err"], [np.nan, 0.1, 0.2], rtol=1e-6)
    assert np.isnan(sources["flux_g"]).all()
    assert sources["ref_cat"].tolist() == [""] * 3


def test_large_ids_stay_exact(tmp_path: Path) -> None:
    big = 2**62 + 1
    for suffix in FORMATS:
        table = Table({"id": [big, big + 2], "ra": [1.0, 2.0], "dec": [3.0, 4.0]})
        sources = read(write(table, tmp_path, suffix))
        assert sources["source_id"].tolist() == [big, big + 2], suffix
        assert set(sources["id_kind"]) == {"catalog"}


def test_rows_without_identity_fall_back(tmp_path: Path) -> None:
    table = sweep_like()
    table["RELEASE"] = [9010, 0, 9010]
    table["TARGETID"] = [5, 6, 7]
    sources = read(write(table, tmp_path, "fits"))
    assert sources["id_kind"].tolist() == ["targetid", "catalog", "targetid"]
    assert sources["source_id"][1] == 6


def test_text_identifiers_give_position_ids_and_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,ra,dec\nNGC1,1,2\nNGC2,3,4\n")
    notes = ReadingNotes()
    batches = list(Catalog.of([tmp_path / "a.csv"]).batches(notes=notes))
    assert batches[0].sources["id_kind"].to_pylist() == ["position"] * 2
    assert any("from positions" in w and "NGC1" in w for w in notes.warnings)


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "vot"])
def test_masked_values_are_missing(tmp_path: Path, suffix: str) -> None:
    table = Table(
        {
            "ra": [1.0, 2.0],
            "dec": [1.0, 2.0],
            "flux_r": MaskedColumn(np.array([5.0, 6.0], np.float32), mask=[False, True]),
            "maskbits": MaskedColumn(np.array([3, 4], np.int32), mask=[True, False]),
        }
    )
    sources = read(write(table, tmp_path, suffix))
    assert sources["flux_r"][0] == 5.0
    assert math.isnan(sources["flux_r"][1])
    assert sources["maskbits"].tolist() == [0, 4]


def test_magnitudes_in_place_of_fluxes(tmp_path: Path) -> None:
    (tmp_path / "sdss.csv").write_text(
        "objid,ra,dec,modelMag_r,modelMagErr_r,extinction_r,petroR50_r\n"
        "1237648720693755918,150,2,20.3,0.02,0.3,2.0\n"
        "1237648720693755919,150,2.1,,,0.3,2.0\n"
    )
    sources = read(tmp_path / "sdss.csv", columns="sdss")
    assert sources["source_id"][0] == 1237648720693755918
    np.testing.assert_allclose(sources["mag_r"], [20.0, np.nan], atol=1e-5)
    np.testing.assert_allclose(sources["mag_r_err"][0], 0.02, rtol=1e-4)
    np.testing.assert_allclose(sources["mw_transmission_r"][0], 10 ** (-0.12), rtol=1e-6)


def test_i_band_is_read_when_asked_for(tmp_path: Path) -> None:
    table = sweep_like()
    table["FLUX_I"] = np.float32(20)
    path = write(table, tmp_path, "fits")
    (plain,) = Catalog.of([path]).batches()
    assert "flux_i" not in plain.sources.column_names
    (batch,) = Catalog.of([path]).batches(i_band=True)
    assert complete_sources(batch.sources)["mag_i"][0] == pytest.approx(19.2474, abs=1e-3)


def test_ra_is_wrapped_and_bad_positions_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "ra,dec\n360,0\n-10,0\nnan,0\n5,91\n5,-90.5\n400,0\n12,\ninf,1\n7,90\n"
    )
    (batch,) = Catalog.of([tmp_path / "a.csv"]).batches()
    assert batch.sources["ra"].to_pylist() == [0.0, 350.0, 7.0]
    assert batch.sources["input_row"].to_pylist() == [0, 1, 8]
    assert batch.rejected["input_row"].to_pylist() == [2, 3, 4, 5, 6, 7]
    assert batch.rejected["reason"].to_pylist() == [
        "position is not a number",
        "Dec outside -90 to 90",
        "Dec outside -90 to 90",
        "RA outside -180 to 360",
        "position is not a number",
        "position is not a number",
    ]
    assert batch.n_read == 9


def test_tiny_negative_ra_does_not_become_360(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ra,dec\n-1e-15,0\n")
    assert read(tmp_path / "a.csv")["ra"].tolist() == [0.0]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "fits", "ecsv"])
def test_text_in_ra_names_row_and_value(tmp_path: Path, suffix: str) -> None:
    table = Table({"ra": ["10.5", "11.5", "12:30:00"], "dec": [1.0, 2.0, 3.0]})
    path = write(table, tmp_path, suffix)
    with pytest.raises(CatalogError, match=r"row 2: ra is '12:30:00', not a number; sexagesimal"):
        read(path)


def test_numbers_as_text_are_numbers(tmp_path: Path) -> None:
    path = write(Table({"ra": [" 10.5", "11.5"], "dec": ["1", "-2"]}), tmp_path, "fits")
    assert read(path)["ra"].tolist() == [10.5, 11.5]


def test_wrong_types_are_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ra": [[1.0], [2.0]], "dec": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        CatalogError, match=r"a\.parquet: cannot be read as Parquet: column ra holds lists"
    ):
        read(tmp_path / "a.parquet")
    table = sweep_like()
    table["BRICKID"] = [1.5, 2, 3]
    with pytest.raises(CatalogError, match=r"BRICKID .*whole numbers expected"):
        read(write(table, tmp_path, "fits"))
    table["BRICKID"] = [1, 2**21, 3]
    with pytest.raises(CatalogError, match="row 1: BRICKID 2097152 does not fit"):
        read(write(table, tmp_path, "ecsv"))
    table["RA"] = np.ones((3, 2))
    with pytest.raises(CatalogError, match=r"column RA holds \(2,\) values a row"):
        read(write(table["RA", "DEC"], tmp_path, "fits.gz"))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "fits", "ecsv", "vot"])
def test_empty_catalog(tmp_path: Path, suffix: str) -> None:
    path = write(sweep_like()[:0], tmp_path, suffix)
    with pytest.raises(CatalogError, match="the catalog is empty"):
        read(path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.fits", "a.parquet", "a.ecsv", "a.vot"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01 nonsense"])
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogError, match=name.replace(".", r"\.")):
        read(tmp_path / name)


def test_truncated_files(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random(5000)
    table = Table({"ra": noise * 360, "dec": noise, "flux_r": noise})
    for suffix, message in (
        ("fits", "cannot be read as FITS: truncated"),
        ("parquet", "cannot be read as Parquet"),
    ):
        path = write(table, tmp_path, suffix)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CatalogError, match=rf"catalog\.{suffix}: {message}"):
            read(path)
    for suffix in ("fits.gz", "csv.gz"):
        message = f"cannot be read as {suffix.split('.')[0].upper()}: Compressed file ended"
        path = write(table, tmp_path, suffix)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CatalogError, match=rf"catalog\.{suffix}: {message}"):
            read(path)


def test_image_is_no_catalog(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    with pytest.raises(CatalogError, match=r"image\.fits: no binary table"):
        read(tmp_path / "image.fits")


def test_real_truncated_fits() -> None:
    with pytest.raises(CatalogError, match=r"truncated\.fits"):
        read(shared("realsky", "bad", "truncated.fits"))


@pytest.mark.parametrize(("ra", "warned"), [([1.0, 12.0, 23.5], True), ([1.0, 12.0, 24.5], False)])
def test_hours_are_suspected(tmp_path: Path, ra: list[float], warned: bool) -> None:
    pd.DataFrame({"ra": ra, "dec": 0.0}).to_csv(tmp_path / "a.csv", index=False)
    notes = ReadingNotes()
    list(Catalog.of([tmp_path / "a.csv"]).batches(notes=notes))
    assert any("hours" in warning for warning in notes.warnings) == warned


def test_csv_with_comment_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("#Table1\n# by CasJobs\nra,dec\n1,2\n")
    assert read(tmp_path / "a.csv")["dec"].tolist() == [2.0]


def test_inputs_are_expanded_sorted_and_taken_once(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "sub/c.csv", ".hidden.csv", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("ra,dec\n1,2\n")
    files = Catalog.of([tmp_path, f"{tmp_path}/*.csv", tmp_path / "b.csv"]).files
    assert [str(f.relative_to(tmp_path)) for f in files] == ["a.csv", "b.csv", "sub/c.csv"]
    for wrong, message in (
        (tmp_path / "absent.csv", "no such file or folder"),
        (f"{tmp_path}/*.fits", "no table matches"),
        (tmp_path / "README.md", "unknown kind of table"),
    ):
        with pytest.raises(CatalogError, match=message):
            read(wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="no table in this folder"):
        Catalog.of([tmp_path / "empty"])


@pytest.mark.parametrize("layout", ["Norder=1/Dir=0/Npix={}.parquet", "Norder=1/Npix={}/p.parquet"])
def test_hats(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "hats"
    for pixel in (16, 17):
        path = root / "dataset" / layout.format(pixel)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [pixel], "ra": [45.0], "dec": [pixel / 2]}), path)
    (root / "hats.properties").write_text("hats_nrows=2\n")
    (root / "partition_info.csv").write_text("Norder,Npix\n1,16\n1,17\n")
    pq.write_table(pa.table({"ra": [0.0]}), root / "dataset" / "_metadata")
    assert read(root)["source_id"].tolist() == [16, 17]
    assert read(f"{root}/dataset/**/*.parquet")["source_id"].tolist() == [16, 17]


def test_only_the_partitions_of_a_hats_catalog_are_rows(tmp_path: Path) -> None:
    catalog = tmp_path / "collection" / "objects"
    parts = catalog / "dataset" / "Norder=1" / "Dir=0"
    parts.mkdir(parents=True)
    for pixel in (16, 17):
        pq.write_table(
            pa.table({"ra": [45.0], "dec": [pixel - 16.0]}), parts / f"Npix={pixel}.parquet"
        )
    pq.write_table(
        pa.table({"ra": [45.0], "dec": [0.0]}), catalog / "dataset" / "data_thumbnail.parquet"
    )
    assert len(read(catalog)) == 2
    margin = tmp_path / "collection" / "margin" / "dataset" / "Norder=1" / "Dir=0"
    margin.mkdir(parents=True)
    pq.write_table(pa.table({"ra": [45.0], "dec": [1.0]}), margin / "Npix=16.parquet")
    properties = tmp_path / "collection" / "collection.properties"
    properties.write_text("obs_collection = test\nhats_primary_table_url = objects\n")
    assert len(read(tmp_path / "collection")) == 2
    properties.write_text("obs_collection = test\n")
    with pytest.raises(CatalogError, match="names no primary table"):
        read(tmp_path / "collection")


def test_sweeps_away_from_the_footprint_are_not_opened(tmp_path: Path) -> None:
    names = ("sweep-000m005-005p000.fits", "sweep-350m005-360p000-pz.fits")
    write(sweep_like(), tmp_path, "fits").rename(tmp_path / names[0])
    (tmp_path / names[1]).write_bytes(b"not opened")
    catalog = Catalog.of([tmp_path])
    near = catalog.within(make_footprint(circle=["2,-2,1"]))
    assert sum(batch.n_read for batch in near.batches()) == 3
    assert [path.name for path in near.left_out] == [names[1]]
    with pytest.raises(CatalogError, match=names[1]):
        list(catalog.within(make_footprint(circle=["359.9,-2,1"])).batches())


def test_real_sweeps() -> None:
    notes = ReadingNotes()
    folder = shared("sweeps")
    footprint = make_footprint(circle=["315,-3,2"])
    catalog = Catalog.of([folder]).within(footprint)
    batches = list(catalog.batches(notes))
    assert len(catalog.left_out) == 2
    assert sum(batch.n_read for batch in batches) == 18
    first = complete_sources(batches[0].sources)
    raw = fits.getdata(folder / "sweep-310m005-320p000.fits", 1)
    np.testing.assert_array_equal(first["ra"], raw["RA"].astype(float))
    flux = raw["FLUX_R"].astype(float) / raw["MW_TRANSMISSION_R"]
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(first["mag_r"], 22.5 - 2.5 * np.log10(flux), rtol=1e-6)
    assert first["source_id"][0] == (8000 << 42) + (int(raw["BRICKID"][0]) << 22)
    assert first["type"].tolist() == [t.strip() for t in raw["TYPE"]]
    assert any("no radius" in warning for warning in notes.warnings)  # DR8 has two radii


def test_real_sky_sweep() -> None:
    sources = read(shared("realsky", "sweep", "sweep-realsky.fits"))
    assert len(sources) == 122
    assert sources["source_id"].is_unique
    assert (sources["mag_r"] < 21).sum() == 36
    assert sources["sb_r"].notna().sum() > 100
