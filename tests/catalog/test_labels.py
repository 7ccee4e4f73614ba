"""From rows with redshifts to one label per object."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import shared
from xsaga.catalog.identifiers import position_ids
from xsaga.catalog.label_file import LABEL_SCHEMA, conflicts_path, read_labels, write_labels
from xsaga.catalog.label_photometry import with_photometry
from xsaga.catalog.labels import CONFLICT_COLUMNS, Labels, LabelSettings, make_labels
from xsaga.catalog.readers import Catalog
from xsaga.catalog.redshift_catalogs import (
    RowCounts,
    is_simulated,
    read_redshifts,
    redshift_catalogs,
)
from xsaga.catalog.standard import ReadingNotes
from xsaga.errors import CatalogError, ConfigError

ARCSEC = 1 / 3600


def read(*tables: pd.DataFrame, folder: Path, min_quality: int = 3) -> pd.DataFrame:
    """Rows of catalogs written as CSV under the names a, b, c …"""
    rows = []
    for number, table in enumerate(tables):
        path = folder / f"{'abcdef'[number]}.csv"
        table.to_csv(path, index=False)
        (catalog,) = redshift_catalogs(path, "auto", {})
        rows.append(read_redshifts(catalog, number, min_quality, RowCounts(), ReadingNotes()))
    return pd.concat(rows, ignore_index=True)


def labels_of(*tables: pd.DataFrame, folder: Path, **settings: object) -> Labels:
    chosen = LabelSettings(**settings)  # type: ignore[arg-type]
    return make_labels(read(*tables, folder=folder, min_quality=chosen.min_quality), chosen)


def objects(**columns: object) -> pd.DataFrame:
    """Rows far apart from each other, with what is given."""
    frame = pd.DataFrame(columns)
    places = {"ra": 10.0 + 2 * np.arange(len(frame)), "dec": 0.0, "z_quality": 4}
    return frame.assign(**{k: v for k, v in places.items() if k not in frame})


@pytest.mark.parametrize(
    ("column", "value", "z", "quality"),
    [
        ("z", 0.02, 0.02, 4),
        ("REDSHIFT", 0.02, 0.02, 4),
        ("cz", 2997.92458, 0.01, 4),
        ("z", -0.0004, -0.0004, 4),
    ],
)
def test_where_the_redshift_comes_from(
    tmp_path: Path, column: str, value: float, z: float, quality: int
) -> None:
    rows = read(pd.DataFrame({"RA": [1.0], "DEC": [2.0], column: [value]}), folder=tmp_path)
    assert rows["z"].tolist() == pytest.approx([z])
    assert rows["z_quality"].tolist() == [quality]
    assert rows["source"].tolist() == ["a"]


def test_a_magnitude_named_z_gives_way_to_a_redshift(tmp_path: Path) -> None:
    table = pd.DataFrame({"ra": [1.0], "dec": [2.0], "r": [18.0], "z": [17.5], "redshift": [0.1]})
    assert read(table, folder=tmp_path)["z"].tolist() == [0.1]


@pytest.mark.parametrize("value", [-1, -9.99, -99, 99, np.nan])
def test_values_that_stand_for_no_redshift(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame({"ra": [1.0, 2], "dec": [2.0, 2], "z": [value, 0.1]}).to_csv(path, index=False)
    counts = RowCounts()
    rows = read_redshifts(*redshift_catalogs(path, "auto", {}), 0, 3, counts, ReadingNotes())
    assert rows["z"].tolist() == [0.1]
    assert counts == RowCounts(read=2, no_redshift=1)


def test_quality_decides_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    Table({"RA": [1.0, 2, 3, np.nan], "DEC": [0.0] * 4, "Z": [0.1] * 4, "NQ": [4, 3, 2, 4]}).write(
        path
    )
    counts = RowCounts()
    rows = read_redshifts(*redshift_catalogs(path, "auto", {}), 0, 3, counts, ReadingNotes())
    assert rows["z_quality"].tolist() == [4, 3]
    assert counts == RowCounts(read=4, no_position=1, low_quality=1)


def test_warning_flags_of_pipelines_become_a_quality(tmp_path: Path) -> None:
    table = objects(Z=[0.1, 0.2, 0.3], ZWARN=[0, 4, 0], SPECTYPE=["GALAXY", "STAR", "QSO"])
    rows = read(table.drop(columns="z_quality"), folder=tmp_path)
    assert rows["z"].tolist() == [0.1, 0.3]
    assert rows["z_quality"].tolist() == [4, 4]
    assert rows["kind"].tolist() == ["galaxy", "quasar"]


def test_a_catalog_without_quality_is_taken_as_good_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ra,dec,z\n1,2,0.1\n")
    notes = ReadingNotes()
    read_redshifts(*redshift_catalogs(path, "auto", {}), 0, 3, RowCounts(), notes)
    assert any("every redshift in it counts as good" in words for words in notes.warnings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ra,dec,mag\n1,2,3\n", r"a\.csv: no column for z; its columns are ra, dec, mag; name"),
        ("ra,z\n1,2\n", r"a\.csv: no column for dec"),
        ("ra,dec,z\n1,2,0.1\n1,2,near\n", r"a\.csv: row 1: z is 'near', not a number"),
        ("ra,dec,z,zq\n1,2,0.1,A\n", r"a\.csv: row 0: zq is 'A', not a whole number"),
        ("ra,dec,z\n", r"a\.csv: the catalog is empty"),
    ],
)
def test_bad_input_names_file_row_and_column(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    (catalog,) = redshift_catalogs(path, "auto", {})
    with pytest.raises(CatalogError, match=words):
        read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes())


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("alpha,delta,zz,flag\n1,2,0.1,3\n")
    wanted = {"ra": "alpha", "dec": "delta", "z": "zz", "z_quality": "flag"}
    (catalog,) = redshift_catalogs(path, "auto", wanted)
    rows = read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes())
    assert rows[["ra", "dec", "z", "z_quality"]].to_numpy().tolist() == [[1, 2, 0.1, 3]]
    with pytest.raises(ConfigError, match="unknown name 'z_qualty': did you mean 'z_quality'"):
        redshift_catalogs(path, "auto", {"z_qualty": "flag"})
    (catalog,) = redshift_catalogs(path, "minimal", {"ra": "alpha", "dec": "delta", "z": "zx"})
    with pytest.raises(CatalogError, match=r"a\.csv: column 'zx', wanted for z, is absent"):
        read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes())


def test_the_class(tmp_path: Path) -> None:
    table = objects(
        z=[0.0299, 0.03, 0.0005, 0.0005, 0.0005, -0.001, 0.02, 0.02, 0.02, 0.02],
        kind=["", "", "", "galaxy", "", "", "star", "QSO", "galaxy", "galaxy"],
        host=["", "", "", "", "NGC 1", "", "", "", "", ""],
        shred=[0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    )
    found = labels_of(table, folder=tmp_path)
    expected = [True, False, False, True, True, False, False, False, False, True]
    assert found.table["is_lowz"].tolist() == expected
    assert found.local == 2
    assert found.table["shred"].tolist() == [False] * 8 + [True, False]
    wider = labels_of(table, folder=tmp_path, z_limit=0.04, z_min=0.0001)
    assert wider.table["is_lowz"].sum() == sum(expected) + 2


def test_artefacts_are_labels_without_a_redshift(tmp_path: Path) -> None:
    table = objects(z=[np.nan, np.nan, 0.02], kind=["artefact", "", ""], z_quality=[0, 0, 4])
    found = labels_of(table, folder=tmp_path).table
    assert found["kind"].tolist() == ["artefact", ""]
    assert found["is_lowz"].tolist() == [False, True]


def test_duplicates_keep_the_better_quality_and_lend_what_it_lacks(tmp_path: Path) -> None:
    ra = np.array([180.0, 40.0])
    one = pd.DataFrame(
        {
            "OBJID": [11, 12],
            "RAdeg": ra,
            "DEdeg": 0.0,
            "z": 0.1,
            "z_quality": 3,
            "rmag": [18.0, 19.0],
            "e_rmag": 0.01,
            "gr": 0.5,
            "sb": 22.0,
            "ba": 0.5,
            "HOSTID": ["pgc1", ""],
        }
    )
    other = pd.DataFrame({"ra": ra, "dec": [0.5 * ARCSEC, 2 * ARCSEC], "z": 0.101, "z_quality": 4})
    found = labels_of(one, other, folder=tmp_path)
    table = found.table
    assert found.duplicates == 1
    assert found.conflicting == 0
    assert len(table) == 3
    first = table[table["ra"] == 180.0].iloc[0]
    assert first["z"] == 0.101
    assert first["source"] == "b"
    assert first["dec"] == pytest.approx(0.5 * ARCSEC)
    assert (first["label_id"], first["host"], first["n_matched"]) == (11, "pgc1", 2)
    assert first["mag_r"] == pytest.approx(18.0, abs=1e-4)
    assert table["n_matched"].tolist() == [1, 2, 1]


def test_conflicts_are_listed_with_what_was_kept(tmp_path: Path) -> None:
    one = pd.DataFrame({"ra": [10.0, 20, 30], "dec": 0.0, "z": [0.02, 0.1, 0.2], "z_quality": 3})
    two = one.assign(z=[0.05, 0.1029, 0.25], z_quality=[4, 4, 3])
    found = labels_of(one, two, folder=tmp_path)
    assert (found.conflicting, found.conflicting_class) == (2, 1)
    assert found.table["z"].tolist() == [0.2, 0.05, 0.1029]  # in the order of the rows kept
    assert found.table["conflict"].tolist() == [True, True, False]
    assert tuple(found.conflicts) == CONFLICT_COLUMNS
    listed = found.conflicts[["object", "kept", "z", "is_lowz", "input_file", "input_row"]]
    assert listed.to_numpy().tolist() == [
        [1, True, 0.2, False, 0, 2],
        [1, False, 0.25, False, 1, 2],
        [2, True, 0.05, False, 1, 0],
        [2, False, 0.02, True, 0, 0],
    ]
    assert labels_of(one, two, folder=tmp_path, max_dz=0.1).conflicting == 0
    assert labels_of(one, two, folder=tmp_path, max_dz=0.001).conflicting == 3


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_every_row_is_in_exactly_one_object(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    ra, dec = random.integers(0, 6, count) * 0.7 * ARCSEC, random.integers(0, 4, count) * 1.0
    rows = pd.DataFrame(
        {
            "label_id": random.integers(0, 20, count),
            "id_known": random.uniform(size=count) < 0.5,
            "ra": ra,
            "dec": dec,
            **{
                name: random.uniform(15, 22, count)
                for name in ("mag_g", "mag_r", "mag_z", "sb_r", "radius", "ba", "sersic")
            },
            "z": random.uniform(0, 0.1, count),
            "z_quality": random.integers(3, 5, count),
            "shred": random.uniform(size=count) < 0.2,
            "conflict": False,
            "kind": "",
            "host": "",
            "source": "x",
            "input_file": np.int16(0),
            "input_row": np.arange(count),
        }
    )
    found = make_labels(rows, LabelSettings(separation=0))
    table = found.table
    assert table["n_matched"].sum() == count == len(table) + found.duplicates
    assert table["label_id"].is_unique
    assert set(found.conflicts["object"]) == set(range(1, found.conflicting + 1))
    assert found.conflicts["kept"].sum() == found.conflicting
    chains = 0  # distinct places along RA are 0.7" apart, so gaps of two steps part objects
    for height in np.unique(dec):
        chains += 1 + int((np.diff(np.unique(ra[dec == height])) > 1.0 * ARCSEC).sum())
    assert len(table) == chains


def test_identifiers_that_two_catalogs_share_are_told_apart(tmp_path: Path) -> None:
    one = objects(id=[1, 2], z=0.1)
    two = objects(id=[1, 2], z=0.1).assign(dec=5.0)
    table = labels_of(one, two, folder=tmp_path).table
    assert table["label_id"].tolist()[:2] == [1, 2]
    assert table["label_id"].tolist()[2:] == position_ids([10.0, 12.0], [5.0, 5.0]).tolist()


def test_nothing_usable(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no row of the catalogs .*--min-quality 5"):
        labels_of(objects(z=[0.1]), folder=tmp_path, min_quality=5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"z_limit": 0.0}, "--z-limit 0"),
        ({"z_limit": np.nan}, "--z-limit nan"),
        ({"match_radius": -1.0}, "--match-radius -1"),
        ({"max_dz": -0.1}, "--max-dz"),
        ({"group_order": 13}, "--group-order 13"),
        ({"separation": 1e4}, "--separation 10000"),
    ],
)
def test_senseless_settings(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LabelSettings(**settings)  # type: ignore[arg-type]


def sweep(path: Path) -> Catalog:
    Table(
        {
            "RELEASE": np.full(3, 9010, np.int16),
            "BRICKID": np.full(3, 330368, np.int32),
            "OBJID": np.array([1, 2, 3], np.int32),
            "RA": [10.0, 10.0 + 0.8 * ARCSEC, 12.0],
            "DEC": [0.0, 0.0, 3 * ARCSEC],
            "FLUX_G": np.float32([5.0, 50.0, 5.0]),
            "FLUX_R": np.float32([10.0, 100.0, 10.0]),
            "FLUX_Z": np.float32([20.0, 200.0, 20.0]),
            "SHAPE_R": np.float32([1.0, 2.0, 3.0]),
            "SHAPE_E1": np.float32([0.0, 0.2, 0.0]),
            "SHAPE_E2": np.float32([0.0, 0.0, 0.0]),
            "SERSIC": np.float32([1.0, 4.0, 1.0]),
            "EBV": np.float32([0.1, 0.1, 0.1]),
        }
    ).write(path)
    return Catalog.of([path])


def test_photometry_of_the_nearest_source(tmp_path: Path) -> None:
    table = objects(z=[0.1, 0.2]).assign(ra=[10.0 + 0.6 * ARCSEC, 12.0])
    rows, matched = with_photometry(
        read(table, folder=tmp_path), sweep(tmp_path / "sweep.fits"), 1.0, ReadingNotes()
    )
    assert matched == 1
    first, second = rows.iloc[0], rows.iloc[1]
    assert first["ra"] == 10.0 + 0.8 * ARCSEC
    assert first["mag_r"] == pytest.approx(22.5 - 2.5 * 2 - 0.1 * 2.165, abs=1e-4)
    assert first["mag_z"] == pytest.approx(22.5 - 2.5 * np.log10(200) - 0.1 * 1.211, abs=1e-4)
    assert first["ba"] == pytest.approx(0.8 / 1.2)
    assert first["id_known"]
    assert np.isnan(second["mag_r"])
    assert second["label_id"] == position_ids(12.0, 0.0)


def test_photometry_of_the_same_source_rather_than_the_nearest(tmp_path: Path) -> None:
    catalog = sweep(tmp_path / "sweep.fits")
    (batch,) = catalog.batches()
    ids = batch.sources["source_id"].to_pylist()
    table = objects(source_id=[ids[0], 77], z=0.1).assign(ra=10.0 + 0.6 * ARCSEC)
    rows, matched = with_photometry(read(table, folder=tmp_path), catalog, 1.0, ReadingNotes())
    assert matched == 2
    assert rows["label_id"].tolist() == ids[:2]


def test_file_of_labels_and_back(tmp_path: Path) -> None:
    labels = labels_of(objects(z=[0.01, 0.1], host=["NGC 1", ""]), folder=tmp_path)
    path = tmp_path / "labels.parquet"
    write_labels(path, labels.table, labels.conflicts, {"z_limit": 0.03, "simulated": True})
    back = read_labels(path)
    assert back.record == {"z_limit": 0.03, "simulated": True}
    pd.testing.assert_frame_equal(
        back.table, labels.table[LABEL_SCHEMA.names], check_dtype=False, check_categorical=False
    )
    schema = pq.read_schema(path)
    assert schema.remove_metadata().equals(LABEL_SCHEMA)
    described = Table.read(path)
    assert str(described["radius"].unit) == "arcsec"
    assert described["host"].tolist() == ["NGC 1", ""]
    assert pd.read_csv(conflicts_path(path)).empty
    first = path.read_bytes()
    write_labels(path, labels.table, labels.conflicts, {"z_limit": 0.03, "simulated": True})
    assert path.read_bytes() == first
    assert is_simulated(path)
    # a file of labels is itself a catalog with redshifts
    (catalog,) = redshift_catalogs(path, "auto", {})
    rows = read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes())
    again = make_labels(rows, LabelSettings()).table
    pd.testing.assert_frame_equal(again[LABEL_SCHEMA.names], back.table, check_dtype=False)


def test_a_conflict_stays_one_when_labels_are_joined_with_others(tmp_path: Path) -> None:
    labels = labels_of(objects(z=[0.01, 0.1]), objects(z=[0.2]), folder=tmp_path)
    assert labels.table.sort_values("ra")["conflict"].tolist() == [True, False]
    path = tmp_path / "labels.parquet"
    write_labels(path, labels.table, labels.conflicts, {"z_limit": 0.03})
    (catalog,) = redshift_catalogs(path, "auto", {})
    rows = read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes())
    again = make_labels(rows, LabelSettings())
    assert again.table.sort_values("ra")["conflict"].tolist() == [True, False]
    assert again.conflicting == 1
    assert len(again.conflicts) == 1


def test_morphology_is_kept_and_is_that_of_the_row_that_is_kept(tmp_path: Path) -> None:
    one = objects(z=[0.01, 0.1], z_quality=[3, 4], morphology_arms=[0.25, np.nan])
    two = objects(z=[0.01], z_quality=[4], morphology_arms=[0.75], morphology_bar=[1])
    path = tmp_path / "labels.parquet"
    labels = labels_of(one, two, folder=tmp_path)
    write_labels(path, labels.table, labels.conflicts, {"z_limit": 0.03})
    back = read_labels(path).table.sort_values("ra", ignore_index=True)
    np.testing.assert_array_equal(back["morphology_arms"], np.float32([0.75, np.nan]))
    np.testing.assert_array_equal(back["morphology_bar"], np.float32([1, np.nan]))
    (catalog,) = redshift_catalogs(path, "auto", {})
    again = read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes()).sort_values("ra")
    np.testing.assert_array_equal(again["morphology_arms"], back["morphology_arms"])


def test_what_is_no_file_of_labels(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no such file; make it with `xsaga labels`"):
        read_labels(tmp_path / "none.parquet")
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"ra": [1.0]}), path)
    with pytest.raises(CatalogError, match="not a file of labels"):
        read_labels(path)
    pq.write_table(pa.table({"ra": [1.0]}).replace_schema_metadata({"xsaga.labels": "{}"}), path)
    with pytest.raises(CatalogError, match="columns are missing: ba, conflict"):
        read_labels(path)
    path.write_text("not parquet")
    with pytest.raises(CatalogError, match=r"cannot be read .*Parquet"):
        read_labels(path)


def test_catalogs_that_say_they_are_simulated(tmp_path: Path) -> None:
    table = Table({"ra": [1.0], "dec": [2.0], "z": [0.1]})
    for name, header in (("yes", {"SIMULAT": True}), ("no", {})):
        hdu = fits.table_to_hdu(table)
        hdu.header.update(header)
        hdu.writeto(tmp_path / f"{name}.fits")
    arrow = pa.table({"ra": [1.0]})
    pq.write_table(
        arrow.replace_schema_metadata({"xsaga.simulation": json.dumps({"seed": 1})}),
        tmp_path / "yes.parquet",
    )
    pq.write_table(arrow, tmp_path / "no.parquet")
    (tmp_path / "no.csv").write_text("ra,dec,z\n")
    for path in tmp_path.iterdir():
        assert is_simulated(path) == (path.stem == "yes")


def test_a_union_of_public_catalogs() -> None:
    (catalog,) = redshift_catalogs(shared("redshifts", "zcompile.fits"), "auto", {})
    counts = RowCounts()
    rows = read_redshifts(catalog, 0, 3, counts, ReadingNotes())
    found = make_labels(rows, LabelSettings())
    assert counts == RowCounts(read=206_594)
    assert len(found.table) + found.crowded + found.duplicates == 206_594
    assert found.duplicates == 16_207
    assert found.conflicting == 120
    assert found.crowded < 0.001 * len(found.table)
    assert rows["source"].nunique() == 11
