"""SAGA DR3 tables as files: complete, and read as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.saga_files import table_c2_of, write_saga_like_tables
from tests.shared_data import shared
from xsaga.catalog.redshift_catalogs import RowCounts, read_redshifts, redshift_catalogs
from xsaga.catalog.saga_tables import SAGA_TABLES, saga_catalogs, table_fault
from xsaga.catalog.standard import ReadingNotes
from xsaga.errors import CatalogError

C1, C2, C3 = SAGA_TABLES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saga")
    write_saga_like_tables(path)
    return path


def rows_of(path: Path) -> pd.DataFrame:
    (catalog,) = redshift_catalogs(path, "auto", {})
    return read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes())


def test_published_tables_are_complete() -> None:
    assert table_fault(shared("saga", C1.name), C1) == ""
    assert table_fault(shared("saga", C3.name), C3) == ""
    assert "describes no column HRV" in table_fault(shared("saga", C3.name), C1)
    assert "describes no column" in table_fault(shared("saga", C1.name), C3)
    assert "378 of 75,704 rows" in table_fault(shared("saga", C3.name), C2)


def test_hosts_have_the_redshift_of_their_velocity() -> None:
    hosts = rows_of(shared("saga", C1.name))
    assert len(hosts) == 101
    ngc157 = hosts[hosts["host"] == "nsa127226"].iloc[0]
    assert ngc157["z"] == pytest.approx(1655.1 / 299792.458)
    assert ngc157["mag_r"] == pytest.approx(10.251, abs=1e-4)
    assert hosts["z"].between(0.004, 0.013).all()


def test_satellites_carry_identifier_host_and_photometry() -> None:
    satellites = rows_of(shared("saga", C3.name))
    assert satellites["label_id"][0] == 900315730000006229
    assert satellites["id_known"].all()
    assert satellites["host"].nunique() > 80
    assert satellites["z"].between(0.003, 0.015).all()
    assert satellites[["mag_g", "mag_r", "sb_r", "radius", "ba"]].notna().all(axis=None)
    assert satellites["mag_z"].isna().all()
    assert set(satellites["source"]) == {"saga-dr3-tableC3"}


def test_table_c2_in_its_own_format_reads_like_the_sample(tmp_path: Path) -> None:
    sample = shared("saga", "saga-dr3-tableC2-sample.csv")
    path = tmp_path / C2.name
    path.write_text(table_c2_of(pd.read_csv(sample)))
    assert table_fault(path, C2) == "incomplete: 1,331 of 75,704 rows"
    table, csv = rows_of(path), rows_of(sample)
    assert len(table) == len(csv) == 1331
    for name in ("ra", "dec", "z", "mag_r", "mag_g", "sb_r", "radius", "ba", "sersic"):
        np.testing.assert_allclose(table[name], csv[name], rtol=1e-6, err_msg=name)
    assert table["host"].tolist() == csv["host"].tolist()
    assert table["id_known"].all()
    assert not csv["id_known"].any()  # the extract has no identifiers


def test_full_tables_from_a_folder(folder: Path) -> None:
    counts, notes = RowCounts(), ReadingNotes()
    rows = [
        read_redshifts(catalog, number, 3, counts, notes)
        for number, catalog in enumerate(saga_catalogs(folder))
    ]
    assert [len(part) for part in rows] == [101, 75_704 - 75, 378]
    assert counts == RowCounts(read=76_183, no_redshift=75)
    assert notes.warnings == []
    assert (pd.concat(rows)["z_quality"] == 4).all()


def damaged(folder: Path, kind: str) -> bytes:
    good = (folder / C3.name).read_bytes()
    return {
        "html": b"<html><body>Down for maintenance</body></html>",
        "binary": b"\x1f\x8b\xff\xfe" + good,
        "empty": b"",
        "no rows": good[: good.index(b"\n9023")],
        "cut in a row": good[: len(good) // 2],
        "cut in the last row": good[:-60],
        "a row short": good[: good.rindex(b"\n", 0, len(good) - 1) + 1],
        "other table": (folder / C1.name).read_bytes(),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("html", "it begins with '<html><body>Down for maintenance</body>"),
        ("binary", "not a table of the SAGA survey"),
        ("empty", "not a table of the SAGA survey"),
        ("no rows", "incomplete: 0 of 378 rows"),
        ("cut in a row", "of 378 rows"),
        ("cut in the last row", "its last row ends after"),
        ("a row short", "incomplete: 377 of 378 rows"),
        ("other table", "describes no column"),
    ],
)
def test_what_is_wrong_with_a_file(folder: Path, tmp_path: Path, kind: str, words: str) -> None:
    path = tmp_path / C3.name
    path.write_bytes(damaged(folder, kind))
    assert words in table_fault(path, C3)
    for table in (C1, C2):
        (tmp_path / table.name).symlink_to(folder / table.name)
    with pytest.raises(CatalogError, match=r"C3\.txt: .*; fetch it from https://sagasurvey"):
        saga_catalogs(tmp_path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"C1\.txt: no such file \(hosts of SAGA DR3\)"):
        saga_catalogs(tmp_path)
