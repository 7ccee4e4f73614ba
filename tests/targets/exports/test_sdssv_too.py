from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.survey_lists import SETTINGS, survey_list
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.sdssv_too import check_sdssv_too
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import SdssvSettings
from xsaga.targets.target_list import TargetList

# the table of github.com/sdss/too, README.md, and `program` of release 1.1.1
MODEL = {
    "too_id": "int64",
    "program": "string",
    "fiber_type": "string",
    "catalogid": "int64",
    "sdss_id": "int64",
    "gaia_dr3_source_id": "int64",
    "twomass_pts_key": "int32",
    "sky_brightness_mode": "string",
    "ra": "double",
    "dec": "double",
    "pmra": "float",
    "pmdec": "float",
    "epoch": "float",
    "parallax": "float",
    "lambda_eff": "float",
    "u_mag": "float",
    "g_mag": "float",
    "r_mag": "float",
    "i_mag": "float",
    "z_mag": "float",
    "optical_prov": "string",
    "gaia_bp_mag": "float",
    "gaia_rp_mag": "float",
    "gaia_g_mag": "float",
    "h_mag": "float",
    "delta_ra": "float",
    "delta_dec": "float",
    "can_offset": "bool",
    "inertial": "bool",
    "n_exposures": "int16",
    "priority": "int16",
    "active": "bool",
    "observe_from_mjd": "int32",
    "observe_until_mjd": "int32",
    "observed": "bool",
    "added_on": "date32[day]",
}


def written(folder: Path, listed: TargetList, settings: ExportSettings = SETTINGS) -> pa.Table:
    export(listed, "sdssv-too", folder / "out", settings)
    return pq.read_table(folder / "out" / "sdssv-too.parquet")


def test_columns_are_those_of_the_data_model(tmp_path: Path) -> None:
    table = written(tmp_path, survey_list(tmp_path))
    assert {field.name: str(field.type) for field in table.schema} == MODEL
    assert list(pd.read_csv(tmp_path / "out" / "sdssv-too.csv")) == list(MODEL)


def test_required_values_are_there(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    table = written(tmp_path, listed)
    assert table["too_id"].to_pylist() == listed.targets["source_id"].tolist()
    assert table["priority"].to_pylist() == (11 - listed.targets["tier"]).tolist()
    for name, value in {
        "fiber_type": "BOSS",
        "sky_brightness_mode": "dark",
        "epoch": 2015.5,
        "n_exposures": 1,
        "active": True,
        "observed": False,
        "can_offset": False,
        "added_on": dt.date(2024, 5, 6),
    }.items():
        assert set(table[name].to_pylist()) == {value}
    for name in ("catalogid", "u_mag", "i_mag", "program", "observe_from_mjd"):
        assert table[name].null_count == 6


def test_magnitudes_are_as_observed_and_missing_ones_are_null(tmp_path: Path) -> None:
    listed = survey_list(tmp_path, flux_g=[0, 5, 5, 5, 5, 5], mw_transmission_r=[0.5] * 6)
    table = written(tmp_path, listed)
    expected = 22.5 - 2.5 * np.log10(listed.targets["flux_r"].astype(float))
    np.testing.assert_allclose(table["r_mag"].to_numpy(), expected, rtol=1e-6)
    assert table["g_mag"].to_pylist()[0] is None
    text = (tmp_path / "out" / "sdssv-too.csv").read_text()
    assert "nan" not in text.lower()


def test_no_magnitude_and_the_poles_are_left_out(tmp_path: Path) -> None:
    listed = survey_list(
        tmp_path,
        3,
        dec=[0.0, 90.0, 1.0],
        flux_g=[0, 5, 5],
        flux_r=[np.nan, 5, 5],
        flux_z=[-1, 5, 5],
    )
    table = written(tmp_path, listed)
    assert table["too_id"].to_pylist() == [listed.targets["source_id"][2]]
    out = pd.read_csv(tmp_path / "out" / "left-out.csv")
    assert [reason.partition(":")[0] for reason in out["reason"]] == ["magnitudes", "dec"]


def test_more_than_ten_tiers_are_refused(tmp_path: Path) -> None:
    assert written(tmp_path, survey_list(tmp_path, 1, tier=[10]))["priority"].to_pylist() == [1]
    with pytest.raises(TargetsError, match="11 tiers"):
        written(tmp_path, survey_list(tmp_path, 1, tier=[11]))


def test_settings_are_written(tmp_path: Path) -> None:
    chosen = SdssvSettings(
        program="lowz", sky="bright", exposures=3, observe_from=61000, added_on="2026-11-26"
    )
    table = written(tmp_path, survey_list(tmp_path), ExportSettings(sdssv=chosen))
    assert set(table["program"].to_pylist()) == {"lowz"}
    assert set(table["sky_brightness_mode"].to_pylist()) == {"bright"}
    assert set(table["n_exposures"].to_pylist()) == {3}
    assert set(table["observe_from_mjd"].to_pylist()) == {61000}
    assert set(table["added_on"].to_pylist()) == {dt.date(2026, 11, 26)}


def test_the_day_is_asked_for_where_the_list_does_not_tell_it(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match="--sdssv-added-on"):
        written(tmp_path, survey_list(tmp_path, created=""))
    with pytest.raises(ConfigError, match="--sdssv-added-on 'tomorrow'"):
        SdssvSettings(added_on="tomorrow")


def test_a_file_that_reads_back_otherwise_is_refused(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    written(tmp_path, listed)
    path = tmp_path / "out" / "sdssv-too.csv"
    text = path.read_text()
    path.write_text(text.replace("2015.5", "2016.5", 1))
    with pytest.raises(TargetsError, match="epoch does not read back"):
        check_sdssv_too(listed, path.parent, SETTINGS)
    path.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(TargetsError, match="of 6 targets 5 read back"):
        check_sdssv_too(listed, path.parent, SETTINGS)
