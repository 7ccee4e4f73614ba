from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

from tests.published_nights import (
    FIRST_ID,
    Survey,
    made_survey,
    made_targets,
    publish,
    truth_of,
    write_redshifts,
)
from tests.small_runs import xsaga
from xsaga.report.evaluation_figures import require_matplotlib

require_matplotlib()

FILES = {
    "monitor.json",
    "monitor.csv",
    "monitor.png",
    "confident-misses.parquet",
    "confident-misses.csv",
}


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return made_survey(tmp_path_factory.mktemp("survey"))


def _refused(result: Result, out: Path, *words: str, code: int = 1) -> None:
    """One line that says it, and nothing written."""
    assert result.exit_code == code
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in lines[0]
    assert not out.exists()


@pytest.fixture(scope="module")
def written(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the command prints, and the folder that it fills."""
    out = tmp_path_factory.mktemp("monitor")
    result = xsaga("monitor", survey.folder, "--redshifts", survey.redshifts, "--out", out)
    assert result.exit_code == 0, result.output
    return result.stdout, out


def test_tables_say_the_same_as_the_json(written: tuple[str, Path]) -> None:
    out = written[1]
    assert {path.name for path in out.iterdir()} == FILES
    content = json.loads((out / "monitor.json").read_text(encoding="utf-8"))
    table = pd.read_csv(out / "monitor.csv")
    assert len(table) == 30
    assert table.groupby("tier")["lowz"].sum().tolist() == [e["lowz"] for e in content["tiers"]]
    assert table["list"].unique().tolist() == ["2026-01-05", "2026-01-12"]
    assert (table.loc[table["night"] < "2026-01-12", "list"] == "2026-01-05").all()
    misses = pd.read_parquet(out / "confident-misses.parquet")
    far, near = (misses[misses["surprise"] == kind] for kind in ("far", "near"))
    assert (far["z"] >= 0.03).all()
    assert far["p_lowz"].is_monotonic_decreasing
    assert (near["z"] < 0.03).all()
    assert (near["tier"] > 1).all()
    assert near["p_lowz"].is_monotonic_increasing
    assert misses["simulated"].all()
    assert (misses["viewer"] == "").all()  # there is no such sky to look at
    as_text = pd.read_csv(out / "confident-misses.csv")
    assert as_text["source_id"].between(FIRST_ID, FIRST_ID + 299).all()  # all digits are kept
    assert as_text["source_id"].tolist() == misses["source_id"].tolist()


def test_json_is_printed_and_the_same_input_gives_the_same_bytes(
    survey: Survey, written: tuple[str, Path], tmp_path: Path
) -> None:
    given = ("--redshifts", survey.redshifts, "--out", tmp_path, "--json")
    result = xsaga("monitor", survey.folder, *given)
    assert result.stdout == (tmp_path / "monitor.json").read_text(encoding="utf-8")
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (written[1] / name).read_bytes()


def test_the_text_names_what_is_simulated_and_what_was_published(
    written: tuple[str, Path],
) -> None:
    text = written[0]
    assert text.startswith("SIMULATED redshifts: z < 0.03 among the targets of")
    for words in ("CNN 20.1 %", "photometric 1.5 %", "tier 1 finds", "no alarm: e-value"):
        assert words in text


def test_real_redshifts_of_real_targets_have_links(tmp_path: Path) -> None:
    targets = made_targets(60)
    publish(tmp_path / "targets.parquet", targets, simulated=False)
    redshifts = write_redshifts(tmp_path / "z.fits", truth_of(targets), simulated=False)
    result = xsaga("monitor", tmp_path, "--redshifts", redshifts)
    assert "SIMULATED" not in result.stdout
    misses = pd.read_csv(tmp_path / "monitor" / "confident-misses.csv")
    assert misses["viewer"].str.startswith("https://www.legacysurvey.org/viewer?ra=15").all()


def test_no_good_redshift_yet_is_said_and_is_no_error(survey: Survey, tmp_path: Path) -> None:
    redshifts = write_redshifts(tmp_path / "z.fits", survey.truth.assign(ZWARN=4))
    result = xsaga("monitor", survey.folder, "--redshifts", redshifts, "--out", tmp_path / "o")
    assert result.exit_code == 0
    assert "note: No target has a good redshift yet." in result.stdout
    assert {path.name for path in (tmp_path / "o").iterdir()} == FILES
    content = json.loads((tmp_path / "o" / "monitor.json").read_text())
    assert content["all"]["share"]["value"] is None
    assert pd.read_parquet(tmp_path / "o" / "confident-misses.parquet").empty


def test_a_list_without_targets_is_said_and_is_no_error(tmp_path: Path) -> None:
    publish(tmp_path / "targets.parquet", made_targets(40).iloc[:0])
    redshifts = write_redshifts(tmp_path / "z.fits", truth_of(made_targets(40)))
    result = xsaga("monitor", tmp_path, "--redshifts", redshifts)
    assert result.exit_code == 0
    assert "note: The lists hold no targets." in result.stdout
    assert {path.name for path in (tmp_path / "monitor").iterdir()} == FILES


def test_other_column_names_are_asked_for_by_option(survey: Survey, tmp_path: Path) -> None:
    redshifts = write_redshifts(tmp_path / "z.fits", survey.truth.rename(columns={"Z": "RED"}))
    arguments = ("monitor", survey.folder, "--redshifts", redshifts, "--out", tmp_path / "o")
    _refused(xsaga(*arguments), tmp_path / "o", "z.fits", "--column z=COLUMN")
    assert xsaga(*arguments, "--column", "z=RED").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--column", "redshift=Z"), "unknown name 'redshift'"),
        (("--column", "z"), "write NAME=COLUMN"),
        (("--night", "20260231x"), "write YYYY-MM-DD"),
    ],
)
def test_wrong_options_are_refused(
    survey: Survey, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    out = tmp_path / "o"
    given = ("--redshifts", survey.redshifts, "--out", out)
    _refused(xsaga("monitor", survey.folder, *given, *arguments), out, words, code=2)


@pytest.mark.parametrize("name", ["bad.fits", "bad.parquet"])
def test_one_damaged_file_among_several_stops_before_anything_is_written(
    survey: Survey, tmp_path: Path, name: str
) -> None:
    bad = write_redshifts(tmp_path / name, survey.truth)
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    out = tmp_path / "o"
    given = ("--redshifts", survey.redshifts, "--redshifts", bad, "--out", out)
    _refused(xsaga("monitor", survey.folder, *given), out, name)


def test_an_absent_file_is_named(survey: Survey, tmp_path: Path) -> None:
    given = ("--redshifts", tmp_path / "none.fits", "--out", tmp_path / "o")
    _refused(xsaga("monitor", survey.folder, *given), tmp_path / "o", "none.fits", "no such file")


def test_redshifts_of_another_sky_are_refused(survey: Survey, tmp_path: Path) -> None:
    away = survey.truth.assign(TARGET_DEC=-50.0)
    redshifts, out = write_redshifts(tmp_path / "z.fits", away), tmp_path / "o"
    result = xsaga("monitor", survey.folder, "--redshifts", redshifts, "--out", out)
    _refused(result, out, "none of 300 spectra is of a target", "300 have the TARGETID")


def test_redshifts_all_from_before_the_first_list_are_refused(
    survey: Survey, tmp_path: Path
) -> None:
    redshifts = write_redshifts(tmp_path / "z.fits", survey.truth.assign(NIGHT=20250101))
    result = xsaga("monitor", survey.folder, "--redshifts", redshifts, "--out", tmp_path / "o")
    _refused(result, tmp_path / "o", "before the first list", "2026-01-05")


def test_simulated_and_real_do_not_mix(survey: Survey, tmp_path: Path) -> None:
    real, out = write_redshifts(tmp_path / "z.fits", survey.truth, simulated=False), tmp_path / "o"
    result = xsaga("monitor", survey.folder, "--redshifts", real, "--out", out)
    _refused(result, out, "simulated images", "redshifts are real")
    both = ("--redshifts", real, "--redshifts", survey.redshifts)
    _refused(xsaga("monitor", survey.folder, *both, "--out", out), out, "give them apart")


def test_a_later_failure_leaves_earlier_results(
    survey: Survey, written: tuple[str, Path], tmp_path: Path
) -> None:
    out = written[1]
    before = {name: (out / name).read_bytes() for name in FILES}
    given = ("--redshifts", tmp_path / "none.fits", "--out", out)
    assert xsaga("monitor", survey.folder, *given).exit_code == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
