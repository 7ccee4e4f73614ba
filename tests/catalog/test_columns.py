from __future__ import annotations

from pathlib import Path

import pytest

from xsaga.catalog.columns import load_column_maps, match_columns, shipped_map_names
from xsaga.errors import CatalogError, ConfigError

SWEEP = ["RELEASE", "BRICKID", "OBJID", "TYPE", "RA", "DEC", "FLUX_R", "SHAPE_R", "EBV"]


def test_shipped_maps() -> None:
    assert shipped_map_names() == ("legacysurvey", "minimal", "saga-dr3", "sdss")
    assert len(load_column_maps("auto")) == 4


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (SWEEP, "legacysurvey"),
        ([c.lower() for c in SWEEP], "legacysurvey"),
        (["OBJID", "RAdeg", "DEdeg", "rmag", "e_rmag", "gr", "sb", "ba"], "saga-dr3"),
        (["ra", "dec", "z", "rmag", "e_rmag", "gr", "sb", "ba", "sersic"], "saga-dr3"),
        (["objID", "ra", "dec", "dered_g", "dered_r", "petroR50_r"], "sdss"),
        (["RAJ2000", "DEJ2000", "name"], "minimal"),
    ],
)
def test_auto_takes_the_map_that_fits_best(columns: list[str], expected: str) -> None:
    name, found = match_columns(load_column_maps(), columns, "x.csv")
    assert name == expected
    assert {"ra", "dec"} <= found.keys()


def test_first_candidate_wins_whatever_the_order_in_the_file() -> None:
    (column_map,) = load_column_maps("sdss")
    found = column_map.resolve(["g", "MODELMAG_G", "ra", "dec"])
    assert found["observed_mag_g"] == "MODELMAG_G"


def test_objid_alone_is_no_legacy_survey_identity() -> None:
    (column_map,) = load_column_maps("legacysurvey")
    assert "objid" not in column_map.resolve(["ra", "dec", "OBJID"])
    assert "objid" in column_map.resolve(["ra", "dec", "OBJID", "BRICKID", "RELEASE"])


def test_override_replaces_and_must_exist() -> None:
    maps = load_column_maps("minimal", {"ra": "alpha"})
    assert match_columns(maps, ["ra", "ALPHA", "dec"], "x.csv")[1]["ra"] == "ALPHA"
    with pytest.raises(CatalogError, match=r"x\.csv: column 'alpha', wanted for ra, is absent"):
        match_columns(maps, ["ra", "dec"], "x.csv")


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown name 'fluxr': did you mean 'flux_r'"):
        load_column_maps("auto", {"fluxr": "FLUX_R"})


def test_missing_position_says_what_there_is_and_what_to_do() -> None:
    with pytest.raises(CatalogError, match=r"t\.fits: no column for dec; .*RA, MAG.*--column dec="):
        match_columns(load_column_maps(), ["RA", "MAG"], "t.fits")


def test_own_map(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[columns]\nra = "alpha"\ndec = ["delta", "d"]\n')
    name, found = match_columns(load_column_maps(path), ["alpha", "d"], "x")
    assert (name, found) == ("mine", {"ra": "alpha", "dec": "d"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[columns]\nraa = 'x'\n", "unknown name 'raa': did you mean 'ra'"),
        ("columns = 3\n", "needs a table"),
        ("[columns]\nra = 3\n", "ra must be a column name or a list"),
        ("[columns\n", "not a TOML file"),
    ],
)
def test_bad_map_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises((CatalogError, ConfigError), match=message):
        load_column_maps(path)


def test_unknown_map() -> None:
    with pytest.raises(CatalogError, match="did you mean 'legacysurvey'"):
        load_column_maps("legacysurveys")
    with pytest.raises(CatalogError, match=r"absent\.toml: cannot read"):
        load_column_maps("absent.toml")
