from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from tests.survey_lists import SETTINGS, survey_list
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.pfs import check_pfs
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import PfsSettings
from xsaga.targets.target_list import TargetList

REGISTERED = {
    *("g_hsc", "g_ps1", "g_sdss", "r2_hsc", "r_ps1", "r_sdss", "z_hsc", "z_ps1", "z_sdss"),
}


def uploaded(folder: Path, listed: TargetList, settings: ExportSettings = SETTINGS) -> pd.DataFrame:
    """Read an export the way PFS's uploader does: by ECSV, then by CSV as text."""
    export(listed, "pfs", folder / "out", settings)
    table = Table.read(folder / "out" / "pfs-targets.ecsv", format="ascii.ecsv").to_pandas()
    text = StringIO(table.to_csv(index=False))
    return pd.read_csv(text, comment="#", converters={"obj_id": int, "priority": int})


def test_the_uploader_finds_what_it_requires(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    frame = uploaded(tmp_path, listed)
    required = ["ob_code", "obj_id", "ra", "dec", "exptime", "priority", "resolution"]
    assert set(required) | {"reference_arm"} <= set(frame.columns)
    assert frame["obj_id"].tolist() == listed.targets["source_id"].tolist()
    assert frame["ob_code"].is_unique
    assert frame["ob_code"].str.fullmatch(r"[A-Za-z0-9_+\-.]+").all()
    assert frame["priority"].tolist() == (listed.targets["tier"] - 1).tolist()
    assert set(frame["resolution"]) == {"L"}
    assert set(frame["reference_arm"]) == {"r"}
    np.testing.assert_array_equal(frame["ra"], listed.targets["ra"])


def test_fluxes_are_nanojanskys_of_registered_filters(tmp_path: Path) -> None:
    listed = survey_list(tmp_path, flux_g=[10, 10, 10, 10, 10, np.nan])
    frame = uploaded(tmp_path, listed)
    fluxes = [name for name in frame if name.split("_")[0] in {"g", "r", "z", "r2"}]
    assert {name.removesuffix("_error") for name in fluxes} <= REGISTERED
    assert frame["g_ps1"][0] == pytest.approx(36310.0)
    # AB magnitudes of nanojanskys: 31.4 − 2.5 log10
    magnitude = 31.4 - 2.5 * np.log10(frame["r_ps1"])
    expected = 22.5 - 2.5 * np.log10(listed.targets["flux_r"].astype(float))
    np.testing.assert_allclose(magnitude, expected, atol=1e-4)
    ivar = listed.targets["flux_ivar_r"].astype(float)
    np.testing.assert_allclose(frame["r_ps1_error"], 3631 / np.sqrt(ivar), rtol=1e-6)
    assert np.isnan(frame["g_ps1"][5])
    assert np.isnan(frame["g_ps1_error"][5])


def test_positions_are_moved_to_2000(tmp_path: Path) -> None:
    frame = uploaded(tmp_path, survey_list(tmp_path, 2, dec=[10.0, 10.0], pmdec=[1000.0, 0.0]))
    assert frame["dec"][0] == pytest.approx(10.0 - 15.5 / 3600, abs=1e-9)
    assert frame["dec"][1] == 10.0
    assert frame["pmdec"].tolist() == [1000.0, 0.0]


def test_targets_without_flux_or_too_bright_are_left_out(tmp_path: Path) -> None:
    listed = survey_list(
        tmp_path, 3, flux_g=[-1, 5, 5], flux_r=[0, 5, 5], flux_z=[np.nan, 400, 390]
    )
    frame = uploaded(tmp_path, listed)
    ids = listed.targets["source_id"].tolist()
    assert frame["obj_id"].tolist() == [ids[2]]
    out = pd.read_csv(tmp_path / "out" / "left-out.csv")
    assert out["source_id"].tolist() == ids[:2]
    assert out["reason"].tolist() == [
        "flux: no band has one above 0",
        "flux: brighter than 16 in a band",
    ]


def test_more_than_ten_tiers_are_refused(tmp_path: Path) -> None:
    uploaded(tmp_path, survey_list(tmp_path, 2, tier=[1, 10]))
    with pytest.raises(TargetsError, match=r"11 tiers.*10 tiers or fewer"):
        uploaded(tmp_path, survey_list(tmp_path, 2, tier=[1, 11]))


def test_settings_are_written(tmp_path: Path) -> None:
    chosen = PfsSettings(exptime=3600, resolution="M", filters="hsc")
    frame = uploaded(tmp_path, survey_list(tmp_path), ExportSettings(pfs=chosen))
    assert set(frame["exptime"]) == {3600.0}
    assert set(frame["reference_arm"]) == {"m"}
    assert {"g_hsc", "r2_hsc", "z_hsc"} <= set(frame.columns)


def test_an_arm_of_the_other_resolution_is_refused() -> None:
    with pytest.raises(ConfigError, match="--pfs-reference-arm r does not go"):
        PfsSettings(resolution="M", reference_arm="r")


def test_a_file_that_reads_back_otherwise_is_refused(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    uploaded(tmp_path, listed)
    path = tmp_path / "out" / "pfs-targets.ecsv"
    text = path.read_text()
    for old, new in ((",900.0,", ",901.0,"), (",L,", ",M,"), ("nJy", "Jy")):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(TargetsError, match="does not read back"):
            check_pfs(listed, path.parent, SETTINGS)
    path.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(TargetsError, match="of 6 targets 5 read back"):
        check_pfs(listed, path.parent, SETTINGS)
