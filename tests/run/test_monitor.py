from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.published_nights import (
    Survey,
    made_survey,
    made_targets,
    publish,
    truth_of,
    write_redshifts,
)
from xsaga.catalog.spectra import QualityRules
from xsaga.errors import ConfigError
from xsaga.report.monitor_text import monitor_text
from xsaga.run.monitor import MonitorSettings, is_photometric, monitor
from xsaga.run.published_lists import PublishedLists
from xsaga.run.read_spectra import SpectraSettings


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return made_survey(tmp_path_factory.mktemp("survey"))


def _content(
    where: Path, redshifts: Path, settings: MonitorSettings | None = None
) -> dict[str, Any]:
    found = monitor(PublishedLists.of(where), [redshifts], settings or MonitorSettings())
    assert monitor_text(found.content)
    return found.content


def _rules(**rules: Any) -> MonitorSettings:
    return MonitorSettings(SpectraSettings(QualityRules(**rules)))


def test_the_counts_are_those_of_the_truth(survey: Survey) -> None:
    content = _content(survey.folder, survey.redshifts)
    targets, truth = made_targets(), survey.truth
    near = (truth["Z"] < 0.03).to_numpy()
    for entry in content["tiers"]:
        inside = (targets["tier"] == entry["tier"]).to_numpy()
        assert entry["targets"] == entry["observed"] == entry["good"] == inside.sum()
        assert entry["lowz"] == near[inside].sum()
        assert entry["share"]["value"] == pytest.approx(near[inside].mean(), rel=1e-5)
        assert entry["expected"] == pytest.approx(targets["p_lowz"][inside].sum(), rel=1e-4)
    assert [each["words"] for each in content["tiers"]] == ["20/deg2", "saga2", "desi-lowz"]
    assert content["reference"] == {"tiers": [2, 3], "photometric": True}
    assert [each["over"] for each in content["gains"]] == [[2], [3], [2, 3]]
    assert content["spectra"]["by_targetid"] == len(truth)
    assert content["calibration"]["lowz"] == near.sum()
    assert content["drift"]["alarm_night"] is None
    assert len(content["drift"]["nights"]) == 10
    assert [each["name"] for each in content["lists"]] == ["2026-01-05", "2026-01-12"]


def test_targets_observed_again_count_once(survey: Survey, tmp_path: Path) -> None:
    truth = survey.truth
    failed = truth.assign(ZWARN=4, NIGHT=20260105)
    again = truth.assign(NIGHT=20260120, Z=0.5)
    redshifts = write_redshifts(tmp_path / "z.parquet", pd.concat([again, truth, failed]))
    content = _content(survey.folder, redshifts)
    once = _content(survey.folder, survey.redshifts)
    assert [e["lowz"] for e in content["tiers"]] == [e["lowz"] for e in once["tiers"]]
    assert content["all"]["observed"] == len(truth)
    fates = content["spectra"]
    assert (fates["first_good"], fates["repeats"], fates["not_good"]) == (300, 300, 300)
    assert fates["of_targets"] == 900


def test_spectra_of_nothing_and_of_earlier_nights_are_counted(
    survey: Survey, tmp_path: Path
) -> None:
    truth = survey.truth
    early = truth.head(20).assign(NIGHT=20250101)
    others = truth.head(30).assign(TARGETID=5, TARGET_DEC=-40.0)
    redshifts = write_redshifts(tmp_path / "z.parquet", pd.concat([truth, early, others]))
    fates = _content(survey.folder, redshifts)["spectra"]
    assert fates["rows"] == 350
    assert (fates["before_first_list"], fates["of_no_target"]) == (20, 30)
    assert fates["of_targets"] == fates["first_good"] == 300


def test_failures_are_told_by_reason(survey: Survey, tmp_path: Path) -> None:
    truth = survey.truth.copy()
    truth.loc[:9, "ZWARN"] = 4
    truth.loc[10:14, "Z"] = np.nan
    truth.loc[15:21, "DELTACHI2"] = 3.0
    truth.loc[22:24, "Z"] = -9.0
    redshifts = write_redshifts(tmp_path / "z.fits", truth)
    content = _content(survey.folder, redshifts, _rules(min_delta_chi2=9.0))
    assert content["all"]["not_good"] == {"DELTACHI2": 7, "ZWARN": 10, "no redshift": 8}
    assert content["all"]["good"] == 275
    assert content["tiers"][0]["success"]["value"] == pytest.approx(50 / 75, rel=1e-5)
    anyhow = _content(survey.folder, redshifts, _rules(zwarn=False))
    assert "ZWARN" not in anyhow["all"]["not_good"]


def test_stars_are_good_redshifts_that_are_not_near(survey: Survey, tmp_path: Path) -> None:
    truth = survey.truth.copy()
    truth.loc[:9, ["Z", "SPECTYPE"]] = (0.0001, "STAR")
    one = write_redshifts(tmp_path / "class.fits", truth)
    other = write_redshifts(tmp_path / "none.fits", truth.drop(columns="SPECTYPE"))
    for redshifts in (one, other):
        content = _content(survey.folder, redshifts)
        assert content["all"]["good"] == 300
        assert content["all"]["other_class"] == 10
        assert content["all"]["lowz"] == (truth["Z"][10:] < 0.03).sum()


def test_old_lists_without_words_compare_with_their_last_tier(tmp_path: Path) -> None:
    publish(tmp_path / "targets.parquet", made_targets(), tiers=())
    redshifts = write_redshifts(tmp_path / "z.fits", truth_of(made_targets()))
    content = _content(tmp_path, redshifts)
    assert content["reference"] == {"tiers": [3], "photometric": False}
    assert {each["tier"] for each in content["gains"]} == {1, 2}


def test_another_limit_judges_shares_only(survey: Survey) -> None:
    content = _content(survey.folder, survey.redshifts, MonitorSettings(z_limit=0.01))
    assert content["all"]["lowz"] == (survey.truth["Z"] < 0.01).sum()
    assert content["calibration"] is None
    assert content["drift"] is None
    assert {each["expected"] for each in content["tiers"]} == {None}
    assert any("p_lowz is not for z < 0.01" in note for note in content["notes"])


def test_a_file_without_nights_needs_one_where_there_are_several_lists(
    survey: Survey, tmp_path: Path
) -> None:
    redshifts = write_redshifts(tmp_path / "z.fits", survey.truth.drop(columns="NIGHT"))
    with pytest.raises(ConfigError, match=r"z\.fits: 300 of 300 rows tell no night.*--night"):
        _content(survey.folder, redshifts)
    told = MonitorSettings(SpectraSettings(night=20260106))
    assert _content(survey.folder, redshifts, told)["nights"][0]["night"] == "2026-01-06"
    one = survey.folder / "lists" / "2026-01-05"
    content = _content(one, redshifts)
    assert [each["night"] for each in content["drift"]["nights"]] == ["unknown"]


def test_lists_of_different_limits_need_one(tmp_path: Path) -> None:
    for date, limit in (("2026-01-05", 0.03), ("2026-01-12", 0.02)):
        path = tmp_path / "lists" / date / "targets.parquet"
        publish(path, made_targets(), z_limit=limit)
    redshifts = write_redshifts(tmp_path / "z.fits", truth_of(made_targets()))
    with pytest.raises(ConfigError, match=r"z < 0\.02, 0\.03: give --z-limit"):
        _content(tmp_path, redshifts)
    assert _content(tmp_path, redshifts, MonitorSettings(z_limit=0.03))["drift"] is None


def test_a_sky_that_differs_from_p_lowz_raises_an_alarm(tmp_path: Path) -> None:
    survey = made_survey(tmp_path / "survey", 2000)
    far = survey.truth.assign(Z=survey.truth["Z"].clip(lower=0.05))
    far.loc[far["NIGHT"] < 20260108, "Z"] = survey.truth["Z"]
    redshifts = write_redshifts(tmp_path / "z.fits", far)
    content = _content(survey.folder, redshifts)
    drift = content["drift"]
    assert drift["direction"] == "fewer"
    assert "2026-01-07" <= drift["since"] <= "2026-01-09"
    assert "2026-01-08" <= drift["alarm_night"] <= "2026-01-12"
    assert f"drift: ALARM on {drift['alarm_night']}: fewer found" in monitor_text(content)


@pytest.mark.parametrize(
    ("words", "photometric"),
    [
        ("saga2", True),
        ("saga2, r<=20.5", True),
        ("desi-lowz", True),
        ("20/deg2", False),
        ("20/deg2, saga2", False),
        ("p>=0.5, saga2", False),
        ("0.5", False),
        ("none", False),
        ("all", False),
        ("", False),
    ],
)
def test_photometric_tiers_are_known_by_their_words(words: str, photometric: bool) -> None:
    assert is_photometric(words) is photometric
