from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared_data import shared
from tests.sky_positions import unhurried
from xsaga.catalog.redshift_catalogs import BAD, GOOD
from xsaga.catalog.spectra import QualityRules, best_per_object, read_spectra
from xsaga.catalog.standard import ReadingNotes
from xsaga.errors import CatalogError, ConfigError

ID = 39627845599499901
"""A TARGETID whose last digits a double would lose."""


def zcatalog() -> Table:
    """Rows as in a DESI zcatalog, one for each thing that can be wrong with a redshift."""
    return Table(
        {
            "TARGETID": np.array([ID, ID + 1, ID + 2, ID + 3, ID + 4, -158, ID], np.int64),
            "Z": [0.012, np.nan, -1.0, 0.2, 0.021, 1.4, 0.013],
            "ZWARN": np.array([0, 0, 0, 4, 0, 0, 0], np.int64),
            "SPECTYPE": np.array(["GALAXY", "GALAXY", "STAR", "GALAXY", "STAR", "QSO", "GALAXY"]),
            "DELTACHI2": [900.0, 5.0, 30.0, 10.0, 50.0, 8.0, 1200.0],
            "COEFF": np.zeros((7, 10)),
            "TARGET_RA": [359.99, 0.0, 10.0, 11.0, 12.0, 13.0, 359.99],
            "TARGET_DEC": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0],
            "LASTNIGHT": np.array([20210514, 20210514, 20210515, 0, 20210516, 1, 20210517]),
            "MEAN_MJD": [59349.3, 59349.3, 59350.3, 59350.8, np.nan, 0.0, 59352.1],
        }
    )


def read(path: Path, rules: QualityRules | None = None, **options: object) -> pd.DataFrame:
    """All pieces of a file."""
    return pd.concat(read_spectra(path, rules, **options), ignore_index=True)  # type: ignore[arg-type]


@pytest.fixture(params=["zcat.fits", "zcat.fits.gz", "zcat.parquet", "zcat.ecsv", "zcat.csv"])
def desi(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    table = zcatalog()
    if ".fits" in path.name:
        hdus = [fits.PrimaryHDU(), fits.BinTableHDU(table, name="ZCATALOG")]
        hdus.append(fits.BinTableHDU(table[:1], name="EXP_FIBERMAP"))
        fits.HDUList(hdus).writeto(path)
        return path
    table.remove_column("COEFF")
    if path.suffix == ".ecsv":
        table.write(path)
    elif path.suffix == ".csv":
        table.to_pandas().to_csv(path, index=False)
    else:
        table.to_pandas().to_parquet(path)
    return path


def test_every_row_of_a_desi_zcatalog_is_kept_and_says_why_it_is_not_good(desi: Path) -> None:
    spectra = read(desi)
    assert spectra["why_not"].tolist() == ["", "no redshift", "no redshift", "ZWARN", "", "", ""]
    assert spectra["good"].tolist() == [True, False, False, False, True, True, True]
    assert spectra["targetid"].tolist() == [ID, ID + 1, ID + 2, ID + 3, ID + 4, -1, ID]
    np.testing.assert_array_equal(spectra["z"], [0.012, np.nan, np.nan, 0.2, 0.021, 1.4, 0.013])
    assert spectra["ra"].tolist() == [359.99, 0.0, 10.0, 11.0, 12.0, 13.0, 359.99]
    assert spectra["dec"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0]
    assert spectra["input_row"].tolist() == list(range(7))
    assert spectra["z_quality"].tolist() == [GOOD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD]


def test_night_is_that_of_the_evening(desi: Path) -> None:
    # row 3: 19:12 UT is after noon in Arizona, so the night that begins on 16 May
    nights = [20210514, 20210514, 20210515, 20210516, 20210516, 0, 20210517]
    assert read(desi)["night"].tolist() == nights


@pytest.mark.parametrize(
    ("mjd", "night"),
    [(59349.3, 20210514), (59349.79, 20210514), (59349.80, 20210515), (51544.1, 19991231)],
)
def test_night_of_an_mjd(tmp_path: Path, mjd: float, night: int) -> None:
    # MJD 59349 is 2021-05-15, 51544 is 2000-01-01
    path = tmp_path / "a.csv"
    path.write_text(f"ra,dec,z,mjd\n1,2,0.1,{mjd}\n")
    assert read(path)["night"].tolist() == [night]


def test_rules_are_applied_in_order(desi: Path) -> None:
    rules = QualityRules(min_delta_chi2=25, spectypes=("galaxy",))
    reasons = ["", "no redshift", "no redshift", "ZWARN", "SPECTYPE", "DELTACHI2", ""]
    assert read(desi, rules)["why_not"].tolist() == reasons
    reasons[3] = "DELTACHI2"
    unwarned = QualityRules(zwarn=False, min_delta_chi2=25, spectypes=("galaxy",))
    assert read(desi, unwarned)["why_not"].tolist() == reasons


def test_pieces_together_are_the_whole(desi: Path) -> None:
    pieces = list(read_spectra(desi, rows=2))
    if desi.suffix != ".csv":  # which is read in blocks of bytes
        assert [len(piece) for piece in pieces] == [2, 2, 2, 1]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), read(desi))


def test_saga_quality(tmp_path: Path) -> None:
    path = tmp_path / "saga.csv"
    path.write_text(
        "OBJID,RA,DEC,SPEC_Z,ZQUALITY\n1,-0.5,10,0.02,4\n2,360,10,0.02,3\n3,3,10,0.02,2\n"
        "4,4,10,-1,4\n5,5,10,,-1\n6,6,10,0.3,\n"
    )
    notes = ReadingNotes()
    spectra = read(path, notes=notes)
    assert spectra["why_not"].tolist() == [
        "",
        "",
        "quality",
        "no redshift",
        "no redshift",
        "quality",
    ]
    assert spectra["ra"].tolist() == [359.5, 0.0, 3.0, 4.0, 5.0, 6.0]
    assert (spectra["targetid"] == -1).all()
    assert (spectra["night"] == 0).all()
    assert notes.warnings == []
    assert read(path, QualityRules(min_quality=2))["good"].sum() == 3
    assert read(path, QualityRules(z_min=0.02, z_max=1))["good"].sum() == 0


def test_sdss_names_and_velocities(tmp_path: Path) -> None:
    sdss, alfalfa = tmp_path / "specobj.csv", tmp_path / "alfalfa.csv"
    sdss.write_text(
        "PLUG_RA,PLUG_DEC,Z,ZWARNING,CLASS,MJD\n1,2,0.1,0,GALAXY,52000\n1,3,0,16,STAR,0\n"
    )
    spectra = read(sdss, QualityRules(spectypes=("GALAXY",)))
    assert spectra["why_not"].tolist() == ["", "ZWARN"]
    assert spectra["night"].tolist() == [20010331, 0]
    alfalfa.write_text("RAJ2000,DEJ2000,cz\n1,2,2997.92458\n")
    assert read(alfalfa)["z"].tolist() == pytest.approx([0.01])


def test_a_row_without_position_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("targetid,ra,dec,z\n7,,10,0.02\n8,10,95,0.02\n9,10,5,0.02\n")
    spectra = read(path)
    assert np.isnan(spectra[["ra", "dec"]].to_numpy()).all(axis=1).tolist() == [True, True, False]
    assert spectra["targetid"].tolist() == [7, 8, 9]
    assert spectra["good"].all()


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = tmp_path / "night.csv"
    path.write_text("lon,lat,velocity,flag,id\n1,2,2997.92458,0,5\n3,4,2997.92458,1,6\n")
    with pytest.raises(
        CatalogError, match=r"no column for ra or dec; its columns are lon, lat.*ra="
    ):
        read_spectra(path)
    place = {"ra": "LON", "dec": "lat"}
    with pytest.raises(CatalogError, match=r"no column for z; its columns are lon.*--column z=COL"):
        read_spectra(path, overrides=place)
    rest = {"cz": "velocity", "zwarn": "flag", "targetid": "id"}
    spectra = read(path, overrides={**place, **rest})
    assert spectra["z"].tolist() == pytest.approx([0.01, 0.01])
    assert spectra["why_not"].tolist() == ["", "ZWARN"]
    assert spectra["targetid"].tolist() == [5, 6]
    with pytest.raises(CatalogError, match=r"column 'zz', wanted for z, is absent"):
        read_spectra(path, overrides={**place, "z": "zz"})
    with pytest.raises(ConfigError, match=r"--column: unknown name 'zwarm': did you mean 'zwarn'"):
        read_spectra(path, overrides={"zwarm": "flag"})


def test_a_zwarn_column_named_as_quality_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ra,dec,z,ZWARN\n1,2,0.1,0\n1,2,0.1,4\n")
    named = read(path, overrides={"z_quality": "ZWARN"})
    assert named["why_not"].tolist() == ["", "ZWARN"]


def test_nights_of_another_kind_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ra,dec,z,zwarn,night,mjd\n1,2,0.1,0,14 May,59349.3\n")
    notes = ReadingNotes()
    assert read(path, notes=notes)["night"].tolist() == [20210514]
    assert len(notes.warnings) == 1
    assert "some nights are not known" in notes.warnings[0]


def test_a_position_that_stands_for_not_known_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = pd.DataFrame({"ra": 0.0, "dec": 0.0, "z": 0.1, "zwarn": np.arange(40_000) % 3})
    rows.to_csv(path, index=False)
    best = best_per_object(read(path))
    assert best["n_spectra"].tolist() == [40_000]


def test_a_rule_that_no_column_serves_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ra,dec,z\n1,2,0.1\n")
    with pytest.raises(CatalogError, match=r"no column for delta_chi2, but a least DELTACHI2 is"):
        read_spectra(path, QualityRules(min_delta_chi2=25))
    with pytest.raises(CatalogError, match=r"no column for spectype.*--column spectype=COLUMN"):
        read_spectra(path, QualityRules(spectypes=("GALAXY",)))
    notes = ReadingNotes()
    assert read(path, notes=notes)["good"].all()
    assert len(notes.warnings) == 1
    assert "every redshift in it counts as good" in notes.warnings[0]


def test_bad_rules_are_refused() -> None:
    with pytest.raises(ConfigError, match="redshift limits 1 to 0"):
        QualityRules(z_min=1, z_max=0)
    with pytest.raises(ConfigError, match="least DELTACHI2 -1: give 0 or more"):
        QualityRules(min_delta_chi2=-1)


def test_a_file_without_rows_gives_no_rows(tmp_path: Path) -> None:
    zcatalog()[:0].write(tmp_path / "none.fits")
    pd.testing.assert_series_equal(
        read(tmp_path / "none.fits").dtypes,
        _dtypes_with_rows(tmp_path),
    )
    assert len(best_per_object(read(tmp_path / "none.fits"))) == 0


def _dtypes_with_rows(folder: Path) -> pd.Series:
    zcatalog().write(folder / "some.fits")
    return read(folder / "some.fits").dtypes


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz", "a.parquet"])
def test_a_truncated_file_is_one_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = zcatalog()
    table.remove_column("COEFF")
    if name.endswith(".parquet"):
        table.to_pandas().to_parquet(path)
        content = path.read_bytes()
    else:
        big = Table({column: np.tile(table[column], 900) for column in table.colnames})
        big["TARGET_RA"] = np.random.default_rng(1).uniform(0, 360, len(big))
        big.write(tmp_path / "whole.fits")
        content = (tmp_path / "whole.fits").read_bytes()
        content = gzip.compress(content) if name.endswith(".gz") else content
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        CatalogError, match=rf"{name}: (truncated|cannot be read|no binary table)"
    ) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_missing_or_foreign_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"absent\.fits: no such file"):
        read_spectra(tmp_path / "absent.fits")
    (tmp_path / "a.fits").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(CatalogError, match=r"a\.fits: cannot be read as FITS"):
        read_spectra(tmp_path / "a.fits")
    (tmp_path / "a.doc").write_bytes(b"")
    with pytest.raises(CatalogError, match=r"unknown kind of table"):
        read_spectra(tmp_path / "a.doc")


def test_ids_that_lost_their_digits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    table = zcatalog()
    table["TARGETID"] = table["TARGETID"].astype(np.float64)
    table.write(path)
    with pytest.raises(CatalogError, match=r"row 0: TARGETID is a floating-point number"):
        read(path)


def test_best_of_each_object(desi: Path) -> None:
    spectra = read(desi)
    best = best_per_object(spectra)
    assert best.index.tolist() == [1, 2, 3, 4, 5, 6]  # of ID the one of higher DELTACHI2
    assert best["n_spectra"].tolist() == [1, 1, 1, 1, 1, 2]
    assert best["z"].tolist()[-1] == 0.013


def test_a_good_spectrum_goes_before_a_certain_one_and_quality_decides_where_there_is_no_chi2() -> (
    None
):
    rows = pd.DataFrame(
        {
            "ra": [0.0, 360 - 1e-4, 1e-4, 50.0, 50.0, 50.0, np.nan, np.nan],
            "dec": [0.0, 0.0, 0.0, 90.0, 90.0, 90.0, np.nan, np.nan],
            "targetid": [-1, -1, 7, -1, -1, -1, -1, -1],
            "z": 0.1,
            "good": [True, False, False, True, True, True, True, True],
            "delta_chi2": [np.nan, 50.0, 90.0, np.nan, np.nan, np.nan, np.nan, np.nan],
            "z_quality": [3, 1, 1, 3, 4, 4, 4, 4],
        }
    )
    best = best_per_object(rows)
    # rows 0 to 2 lie within 1" of the target with id 7; 3 to 5 are one place; 6 and 7 are nowhere
    assert best.index.tolist() == [0, 4, 6, 7]
    assert best["n_spectra"].tolist() == [3, 3, 1, 1]


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 3), st.booleans()), max_size=20))
@settings(unhurried, max_examples=50)
def test_no_spectrum_is_lost_and_no_object_has_a_better_one(
    rows: list[tuple[int, int, bool]],
) -> None:
    ids, chi2, good = (np.array([row[i] for row in rows]) for i in range(3))
    spectra = pd.DataFrame(
        {
            "ra": np.arange(len(rows)) * 0.01,  # 36" apart
            "dec": 0.0,
            "targetid": ids.astype(np.int64),
            "good": good.astype(bool),
            "delta_chi2": chi2.astype(np.float64),
            "z_quality": np.full(len(rows), GOOD),
        }
    )
    best = best_per_object(spectra)
    assert best["n_spectra"].sum() == len(rows)
    known = [row[0] for row in rows if row[0] >= 0]
    assert len(best) == len(set(known)) + len(rows) - len(known)
    for row in best.itertuples():
        others = [(-r[2], -r[1], i) for i, r in enumerate(rows) if r[0] == row.targetid]
        if row.targetid >= 0:
            assert row.Index == min(others)[2]


def test_a_compilation_of_catalogs() -> None:
    path = shared("redshifts", "zcompile.fits")
    spectra = read(path, rows=50_000)
    assert len(spectra) == 206_594
    assert spectra["good"].all()
    assert (spectra["z"] < 0.03).sum() == (Table.read(path)["z"] < 0.03).sum()
    best = best_per_object(spectra)
    assert best["n_spectra"].sum() == len(spectra)
    assert 0.9 < len(best) / len(spectra) < 1


@pytest.mark.parametrize("name", ["saga-dr3-tableC3.txt", "saga-dr3-tableC2-sample.csv"])
def test_tables_of_saga(name: str) -> None:
    spectra = read(shared("saga", name))
    assert spectra["good"].all()
    assert 0.001 < spectra["z"].median() < 0.3
    if "C3" in name:
        assert len(spectra) == 378
        assert spectra["z"].max() < 0.03
