from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import Table

from tests.target_samples import CONFIG, NEAR_LIMIT, provenance, ranked_targets
from xsaga.errors import TargetsError
from xsaga.paths import RunPaths
from xsaga.targets.columns import BY_NAME, COLUMNS, columns_of, conform
from xsaga.targets.formats import FORMATS, write_targets

DESCRIBED = columns_of(pd.DataFrame(columns=[column.name for column in COLUMNS]), 0.02)
"""The columns as targets of `provenance` describe them."""

CLEAN_CONFIG = CONFIG.replace("user:secret@", "")


def written(
    folder: Path, file_format: str, targets: pd.DataFrame, *, simulated: bool = True
) -> Path:
    path = RunPaths(folder).targets(file_format)
    write_targets(targets, path, file_format, provenance(simulated=simulated))
    return path


def read_frame(path: Path, file_format: str) -> pd.DataFrame:
    """Read a target file with the tool that its users would take, lower-case names."""
    if file_format == "parquet":
        return pd.read_parquet(path)
    if file_format == "csv":
        return pd.read_csv(
            path,
            keep_default_na=False,
            na_values={n: [""] for n in _floats()},
        )
    if file_format in {"ecsv", "votable"}:
        table = Table.read(path, format={"ecsv": "ascii.ecsv"}.get(file_format, file_format))
        # astropy masks NaN and empty strings on reading
        blank = {"f": np.nan, "U": "", "i": 0}
        return pd.DataFrame(
            {
                name: np.asarray(np.ma.filled(table[name], blank[table[name].dtype.kind]))
                for name in table.colnames
            }
        )
    with fits.open(path) as hdus:
        rows = hdus["TARGETS"].data
        native = {
            name: np.asarray(rows[name]).astype(rows[name].dtype.newbyteorder("="))
            for name in rows.names
        }
    back = {column.fits_name: column.name for column in COLUMNS} | {"TARGETID": "source_id"}
    return pd.DataFrame(native).rename(columns=back)


def _floats() -> list[str]:
    return [column.name for column in COLUMNS if column.dtype.startswith("f")]


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_value_survives(tmp_path: Path, file_format: str) -> None:
    targets = ranked_targets(40)
    found = read_frame(written(tmp_path, file_format, targets), file_format)
    expected = conform(targets)
    assert list(found.columns) == list(expected.columns)
    assert expected["source_id"].max() == NEAR_LIMIT - 1
    for name in expected:
        if BY_NAME[str(name)].is_text:
            assert found[name].tolist() == expected[name].tolist()
        else:
            np.testing.assert_array_equal(
                found[name].to_numpy(dtype=expected[name].dtype), expected[name].to_numpy()
            )
    assert np.isnan(found["mag_g"].to_numpy(dtype=float)).sum() == 1


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_list_gives_the_same_bytes(tmp_path: Path, file_format: str) -> None:
    targets = ranked_targets(10)
    first = written(tmp_path / "a", file_format, targets)
    second = written(tmp_path / "b", file_format, targets)
    names = sorted(path.name for path in first.parent.iterdir())
    assert names == sorted(path.name for path in second.parent.iterdir())
    for name in names:
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_empty_list_is_a_valid_file(tmp_path: Path, file_format: str) -> None:
    found = read_frame(written(tmp_path, file_format, ranked_targets(0)), file_format)
    assert len(found) == 0
    assert list(found.columns) == [column.name for column in COLUMNS]


@pytest.mark.parametrize("file_format", [name for name in FORMATS if name != "csv"])
def test_no_secret_is_written(tmp_path: Path, file_format: str) -> None:
    assert b"secret" not in written(tmp_path, file_format, ranked_targets(2)).read_bytes()


# ---------------------------------------------------------------------------------------- FITS


def test_fits_is_big_endian_and_in_the_style_of_desi(tmp_path: Path) -> None:
    path = written(tmp_path, "fits", ranked_targets(3))
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "TARGETS", "INPUTS", "CONFIG"]
        table = hdus["TARGETS"]
        assert table.columns.names[0] == "TARGETID"
        assert {"MORPHTYPE", "BRICK_OBJID", "P_LOWZ", "FLUX_IVAR_Z"} <= set(table.columns.names)
        assert all(
            table.data.dtype[name].byteorder == ">"
            for name in table.columns.names
            if table.data.dtype[name].kind in "if"
        )


def test_fits_has_units_comments_and_ucds(tmp_path: Path) -> None:
    path = written(tmp_path, "fits", ranked_targets(3))
    header = fits.getheader(path, "TARGETS")
    by_name = {header[f"TTYPE{n}"]: n for n in range(1, header["TFIELDS"] + 1)}
    for column in DESCRIBED:
        number = by_name["TARGETID" if column.name == "source_id" else column.fits_name]
        assert header[f"TCOMM{number}"] == column.description
        assert header[f"TUCD{number}"] == column.ucd
        assert header.get(f"TUNIT{number}", "") == column.unit
    assert header[f"TUNIT{by_name['FLUX_G']}"] == "nanomaggy"


def test_fits_carries_its_provenance(tmp_path: Path) -> None:
    path = written(tmp_path, "fits", ranked_targets(3))
    with fits.open(path) as hdus:
        header = hdus["TARGETS"].header
        assert header["XSAGAVER"] == "0.1.0"
        assert header["DATE"] == "2024-05-06T07:08:09Z"
        assert header["WGTSHA"] == "ab" * 32
        assert header["COMMAND"].startswith("xsaga run --bricks https://example.org/dr9")
        packages = {header[f"DEPNAM{n:02d}"]: header[f"DEPVER{n:02d}"] for n in range(3)}
        assert packages == {"xsaga": "0.1.0", "python": "3.11.2", "numpy": "2.1.0"}
        inputs = hdus["INPUTS"].data
        assert inputs["PATH"].tolist()[0] == "sweep/sweep-000m010-010m005.fits"
        assert inputs["SIZE"].tolist() == [12345, 5]
        assert inputs["SHA256"].tolist() == ["cd" * 32, "ef" * 32]
        lines = hdus["CONFIG"].data["LINE"].tolist()
    # other letters become the escapes of TOML, so the text is still the same configuration
    assert "\n".join(lines).encode().decode("unicode_escape") == CLEAN_CONFIG.rstrip()


@pytest.mark.parametrize("simulated", [True, False])
def test_fits_says_whether_weights_are_simulated(tmp_path: Path, simulated: bool) -> None:
    path = written(tmp_path, "fits", ranked_targets(1), simulated=simulated)
    for hdu in (0, "TARGETS"):
        header = fits.getheader(path, hdu)
        assert header["SIMULATD"] is simulated
        assert ("SIMULATED WEIGHTS" in str(header.get("COMMENT", ""))) is simulated


@pytest.mark.parametrize("kind", ["catalog", "position"])
def test_ids_are_called_targetid_only_where_all_are(tmp_path: Path, kind: str) -> None:
    targets = ranked_targets(3)
    targets.loc[2, "id_kind"] = kind
    path = written(tmp_path, "fits", targets)
    with fits.open(path) as hdus:
        assert hdus["TARGETS"].columns.names[0] == "SOURCE_ID"
        assert "TARGETID" not in hdus["TARGETS"].columns.names


def test_letters_that_fits_cannot_hold_are_escaped(tmp_path: Path) -> None:
    targets = ranked_targets(2)
    targets["cutout_origin"] = ["données/𝛼.fits", "plain"]
    path = written(tmp_path, "fits", targets)
    with fits.open(path) as hdus:
        origins = hdus["TARGETS"].data["CUTOUT_ORIGIN"].tolist()
    assert origins == ["donn\\u00e9es/\\U0001d6fc.fits", "plain"]


# ------------------------------------------------------------------------- Parquet, VOTable, text


@pytest.mark.parametrize("file_format", ["parquet", "ecsv"])
def test_astropy_reads_units_descriptions_and_provenance(tmp_path: Path, file_format: str) -> None:
    table = Table.read(written(tmp_path, file_format, ranked_targets(4)))
    assert table["flux_g"].unit.to(units.mgy) == pytest.approx(1e-9)
    assert table["sb_r"].unit == units.mag / units.arcsec**2
    for column in DESCRIBED:
        assert table[column.name].description == column.description
        assert table[column.name].meta["ucd"] == column.ucd
        assert (table[column.name].unit is not None) == bool(column.unit)
    assert table.meta["weights"]["simulated"] is True
    assert table.meta["config_toml"] == CLEAN_CONFIG
    assert table.meta["inputs"][0]["sha256"] == "cd" * 32


def test_parquet_is_compressed_with_its_types_intact(tmp_path: Path) -> None:
    file = pq.ParquetFile(written(tmp_path, "parquet", ranked_targets(4)))
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.schema_arrow.field("source_id").type == pa.int64()
    assert file.schema_arrow.field("tier").type == pa.int16()
    assert file.schema_arrow.field("type").type == pa.string()
    record = json.loads(file.schema_arrow.metadata[b"xsaga.provenance"])
    assert record == provenance().to_dict()


# astropy calls the unit nmgy in one place and, as VOUnit asks, 'nanomaggy' in the other
@pytest.mark.filterwarnings("ignore:In merged column")
def test_parquet_follows_the_voparquet_convention(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet", ranked_targets(4))
    metadata = pq.read_schema(path).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    assert b"<DATA" not in metadata[b"IVOA.VOTable-Parquet.content"]
    if "parquet.votable" not in _astropy_formats():
        pytest.skip("this astropy cannot read VOParquet")
    table = Table.read(path, format="parquet.votable")
    assert table["source_id"].tolist() == ranked_targets(4)["source_id"].tolist()
    assert table["ra"].unit == units.deg
    assert table["p_lowz"].description == "Calibrated probability of redshift < 0.02"


def _astropy_formats() -> list[str]:
    from astropy.io.registry import get_formats

    return list(get_formats(Table, readwrite="Read")["Format"])


@pytest.mark.parametrize("count", [0, 4])
def test_votable_has_units_descriptions_and_provenance(tmp_path: Path, count: int) -> None:
    from astropy.io.votable import parse

    document = parse(written(tmp_path, "votable", ranked_targets(count)), verify="exception")
    fields = {field.name: field for field in document.get_first_table().fields}
    for column in DESCRIBED:
        assert fields[column.name].description == column.description
        assert fields[column.name].ucd == column.ucd
        assert (fields[column.name].unit is not None) == bool(column.unit)
    facts = [(info.name, info.content or info.value) for info in document.resources[0].infos]
    assert facts == [(name, value.rstrip()) for name, value in provenance().items()]
    assert ("weights_simulated", "true") in facts


@pytest.mark.skipif(shutil.which("stilts") is None, reason="needs STILTS, which is not installed")
@pytest.mark.parametrize("count", [0, 3])
def test_stilts_finds_no_fault_in_the_votable(tmp_path: Path, count: int) -> None:
    path = written(tmp_path, "votable", ranked_targets(count))
    done = subprocess.run(
        ["stilts", "votlint", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


def test_csv_is_plain_and_described_beside_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", ranked_targets(3))
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith('"source_id","id_kind","name","ra","dec","rank",')
    beside = json.loads((tmp_path / "targets.csv-metadata.json").read_text())
    assert beside["url"] == "targets.csv"
    assert beside["dc:provenance"] == provenance().to_dict()
    described = {column["name"]: column for column in beside["tableSchema"]["columns"]}
    assert described["flux_g"]["schema:unitText"] == "nanomaggy"
    assert described["source_id"]["datatype"] == "long"
    assert list(described) == pd.read_csv(path).columns.tolist()


# ------------------------------------------------------------------------------------- failures


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match="parquet, fits, csv, ecsv, votable"):
        write_targets(ranked_targets(1), tmp_path / "t.xls", "xls", provenance())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("file_format", FORMATS)
def test_when_space_runs_out_the_old_file_stays(tmp_path: Path, file_format: str) -> None:
    import resource
    import signal

    path = written(tmp_path, file_format, ranked_targets(2))
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    # a limit of file size fails in write(), as a full disk does
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
        with pytest.raises(TargetsError, match="cannot be written") as info:
            write_targets(ranked_targets(3000), path, file_format, provenance())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(path) in str(info.value)
    assert "\n" not in str(info.value)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_place_that_cannot_be_a_folder_is_one_line(tmp_path: Path, file_format: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TargetsError, match="cannot be written"):
        write_targets(ranked_targets(1), tmp_path / "file" / "targets", file_format, provenance())
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_folder_keeps_the_old_file(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet", ranked_targets(2))
    before = path.read_bytes()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TargetsError, match="cannot be written"):
            write_targets(ranked_targets(3), path, "parquet", provenance())
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == before


def test_a_file_that_reads_back_differently_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    path = written(tmp_path, "parquet", ranked_targets(2))
    before = path.read_bytes()
    lossy = replace(
        FORMATS["parquet"], read_ids=lambda path: pd.read_parquet(path)["source_id"].to_numpy()[1:]
    )
    monkeypatch.setitem(FORMATS, "parquet", lossy)
    with pytest.raises(TargetsError, match="read back 2 rows"):
        write_targets(ranked_targets(3), path, "parquet", provenance())
    assert path.read_bytes() == before
