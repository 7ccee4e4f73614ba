from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from tests.survey_lists import SETTINGS, survey_list
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.fourmost import check_fourmost
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import FourmostSettings
from xsaga.targets.target_list import TargetList

# the manual's table as TiDES shows it: type, unit
MANUAL = {
    "NAME": ("A", ""),
    "RA": ("D", "deg"),
    "DEC": ("D", "deg"),
    "PMRA": ("E", "mas/yr"),
    "PMDEC": ("E", "mas/yr"),
    "EPOCH": ("E", "yr"),
    "RESOLUTION": ("I", ""),
    "SUBSURVEY": ("A", ""),
    "CADENCE": ("K", ""),
    "TEMPLATE": ("A", ""),
    "RULESET": ("A", ""),
    "REDSHIFT_ESTIMATE": ("E", ""),
    "REDSHIFT_ERROR": ("E", ""),
    "EXTENT_FLAG": ("I", ""),
    "EXTENT_PARAMETER": ("E", "arcsec"),
    "EXTENT_INDEX": ("E", ""),
    "MAG": ("E", "mag"),
    "MAG_ERR": ("E", "mag"),
    "MAG_TYPE": ("A", ""),
    "REDDENING": ("E", "mag"),
    "TEMPLATE_REDSHIFT": ("E", ""),
    "DATE_EARLIEST": ("D", "d"),
    "DATE_LATEST": ("D", "d"),
    "CAL_MAG_BLUE": ("E", "mag"),
    "CAL_MAG_ERR_BLUE": ("E", "mag"),
    "CAL_MAG_ID_BLUE": ("A", ""),
    "CAL_MAG_GREEN": ("E", "mag"),
    "CAL_MAG_ERR_GREEN": ("E", "mag"),
    "CAL_MAG_ID_GREEN": ("A", ""),
    "CAL_MAG_RED": ("E", "mag"),
    "CAL_MAG_ERR_RED": ("E", "mag"),
    "CAL_MAG_ID_RED": ("A", ""),
    "CLASSIFICATION": ("A", ""),
    "COMPLETENESS": ("E", ""),
    "PARALLAX": ("E", "mas"),
}


def written(folder: Path, listed: TargetList, settings: ExportSettings = SETTINGS) -> fits.FITS_rec:
    export(listed, "4most", folder / "out", settings)
    with fits.open(folder / "out" / "4most-targets.fits", memmap=False) as hdus:
        return hdus["TARGETS"].data.copy()


def left_out(folder: Path) -> dict[int, str]:
    frame = pd.read_csv(folder / "out" / "left-out.csv")
    return dict(zip(frame["source_id"].tolist(), frame["reason"].tolist(), strict=True))


def test_columns_types_and_units_are_the_manuals(tmp_path: Path) -> None:
    written(tmp_path, survey_list(tmp_path))
    with fits.open(tmp_path / "out" / "4most-targets.fits") as hdus:
        hdus.verify("exception")
        columns = hdus["TARGETS"].columns
        header = hdus["TARGETS"].header
        found = {each.name: (each.format.lstrip("0123456789"), each.unit or "") for each in columns}
    assert list(found.items()) == list(MANUAL.items())
    assert header["FMTVERS"] == "2.5"
    assert header["NLEFTOUT"] == 0


def test_magnitudes_are_as_observed_and_reddening_is_told(tmp_path: Path) -> None:
    listed = survey_list(tmp_path, mw_transmission_r=[0.5] * 6)
    data = written(tmp_path, listed)
    flux = listed.targets["flux_r"].to_numpy(float)
    np.testing.assert_allclose(data["MAG"], 22.5 - 2.5 * np.log10(flux), rtol=1e-6)
    error = 1.0857362 / (flux * np.sqrt(listed.targets["flux_ivar_r"].to_numpy(float)))
    np.testing.assert_allclose(data["MAG_ERR"], error, rtol=1e-5)
    assert data["REDDENING"].tolist() == listed.targets["ebv"].tolist()
    assert set(data["MAG_TYPE"]) == {"DECam_r_AB"}


def test_profiles_come_from_the_morphology(tmp_path: Path) -> None:
    listed = survey_list(
        tmp_path,
        type=["PSF", "REX", "DEV", "SER", "EXP", ""],
        radius=[np.nan, 0.05, 2.0, 3.0, 0.1, 4.0],
        sersic=[0.0, 1.0, 0.0, 2.5, 1.0, np.nan],
    )
    data = written(tmp_path, listed)
    assert data["EXTENT_FLAG"].tolist() == [0, 0, 2, 2, 2, 2]
    np.testing.assert_allclose(data["EXTENT_PARAMETER"], [0, 0, 2, 3, 0.1, 4], rtol=1e-6)
    assert data["EXTENT_INDEX"].tolist() == [0, 0, 4, 2.5, 1, 1]


def test_what_4most_cannot_hold_is_left_out_and_listed(tmp_path: Path) -> None:
    listed = survey_list(
        tmp_path,
        dec=[40.0, 40.001, 0.0, 0.0, 0.0, 0.0],
        flux_r=[5, 5, -1, 5, 5, 5],
        radius=[2, 2, 2, 100.5, np.nan, 2],
        sersic=[1, 1, 1, 1, 1, 11],
        type=["SER"] * 6,
    )
    ids = listed.targets["source_id"].tolist()
    data = written(tmp_path, listed)
    assert data["NAME"].tolist() == [str(ids[0])]
    why = left_out(tmp_path)
    assert list(why) == ids[1:]
    assert [reason.partition(":")[0] for reason in why.values()] == [
        "DEC",
        "MAG",
        "EXTENT_PARAMETER",
        "EXTENT_PARAMETER",
        "EXTENT_INDEX",
    ]


def test_unknown_motions_epochs_and_errors_have_the_values_4most_asks_for(tmp_path: Path) -> None:
    listed = survey_list(
        tmp_path,
        3,
        pmra=[np.nan, 5.0, 0.0],
        ref_epoch=[0.0, 2016.0, 1900.0],
        flux_ivar_r=[0.0, 4.0, 4.0],
    )
    data = written(tmp_path, listed)
    assert data["PMRA"].tolist() == [0.0, 5.0]
    assert data["EPOCH"].tolist() == [2015.5, 2016.0]
    assert data["MAG_ERR"][0] == 0.0
    assert data["PARALLAX"].tolist() == [0.0, 0.0]
    assert [reason.partition(":")[0] for reason in left_out(tmp_path).values()] == ["EPOCH"]


def test_a_list_without_reddening_says_nan(tmp_path: Path) -> None:
    assert np.isnan(written(tmp_path, survey_list(tmp_path, ebv=None))["REDDENING"]).all()


def test_names_and_constants_are_the_settings(tmp_path: Path) -> None:
    settings = ExportSettings(
        fourmost=FourmostSettings(
            subsurvey="lowz_{tier}",
            template="t{tier}.fits",
            ruleset="r",
            band="z",
            redshift=0.02,
            completeness=0.5,
            cadence=1048576,
            format_version="2.6",
        )
    )
    listed = survey_list(tmp_path)
    data = written(tmp_path, listed, settings)
    tiers = listed.targets["tier"].tolist()
    assert data["SUBSURVEY"].tolist() == [f"lowz_{tier}" for tier in tiers]
    assert data["TEMPLATE"].tolist() == [f"t{tier}.fits" for tier in tiers]
    assert set(data["MAG_TYPE"]) == {"DECam_z_AB"}
    assert set(data["CADENCE"]) == {1048576}
    np.testing.assert_allclose(data["REDSHIFT_ESTIMATE"], 0.02, rtol=1e-6)
    # the sample's model looks for z < 0.02
    np.testing.assert_allclose(data["REDSHIFT_ERROR"], 0.01, rtol=1e-6)


def test_names_that_the_survey_must_agree_are_asked_for(tmp_path: Path) -> None:
    settings = ExportSettings(fourmost=FourmostSettings(template="t.fits"))
    with pytest.raises(ConfigError, match="--4most-subsurvey, --4most-ruleset"):
        export(survey_list(tmp_path), "4most", tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_list_without_fluxes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match="flux_r"):
        export(survey_list(tmp_path, flux_r=None), "4most", tmp_path / "out", SETTINGS)


@pytest.mark.parametrize(
    ("column", "value"), [("MAG", 60.0), ("MAG", 19.0), ("RA", 12.0), ("NAME", "123")]
)
def test_a_file_that_reads_back_otherwise_is_refused(
    tmp_path: Path, column: str, value: object
) -> None:
    listed = survey_list(tmp_path)
    written(tmp_path, listed)
    path = tmp_path / "out" / "4most-targets.fits"
    with fits.open(path, mode="update") as hdus:
        hdus["TARGETS"].data[column][2] = value
    with pytest.raises(TargetsError, match=r"source|targets"):
        check_fourmost(listed, tmp_path / "out", SETTINGS)
