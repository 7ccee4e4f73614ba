"""``xsaga export`` in the formats of surveys and tools beside DESI's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.table import Table

from tests.small_runs import xsaga
from tests.survey_lists import survey_list


def test_options_reach_the_files_and_their_record(tmp_path: Path) -> None:
    survey_list(tmp_path)
    done = xsaga(
        *("export", tmp_path, "--format", "4most", "--format", "pfs"),
        *("--4most-subsurvey", "lowz{tier}", "--4most-template", "t.fits"),
        *("--4most-ruleset", "r", "--pfs-exptime", "1800"),
    )
    assert done.exit_code == 0, done.output
    assert "4most: 6 targets, 3 files in" in done.stdout
    out = tmp_path / "exports"
    data = fits.getdata(out / "4most" / "4most-targets.fits")
    assert set(data["SUBSURVEY"]) == {"lowz1", "lowz2", "lowz3"}
    table = Table.read(out / "pfs" / "pfs-targets.ecsv")
    assert set(table["exptime"]) == {1800.0}
    record = json.loads((out / "pfs" / "export.json").read_text())
    assert record["settings"]["exptime"] == 1800.0


def test_targets_left_out_are_told(tmp_path: Path) -> None:
    survey_list(tmp_path, 3, flux_g=[0, 5, 5], flux_r=[0, 5, 5], flux_z=[0, 5, 5])
    done = xsaga("export", tmp_path, "--format", "pfs")
    assert done.exit_code == 0, done.output
    assert "pfs: 2 targets" in done.stdout
    assert "pfs: 1 target left out" in done.stdout
    assert "left-out.csv" in done.stdout
    record = json.loads((tmp_path / "exports" / "pfs" / "export.json").read_text())
    assert (record["rows"], record["left_out"]) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--format", "4most"], 2, "give --4most-subsurvey, --4most-template, --4most-ruleset"),
        (["--format", "moc"], 1, "rank the run again"),
        (["--format", "pfs", "--pfs-exptime", "-1"], 2, "--pfs-exptime -1 is out of range"),
        (["--format", "pfs", "--pfs-filters", "decam"], 2, "decam"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    survey_list(tmp_path)
    done = xsaga("export", tmp_path, *arguments)
    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output


def test_help_lists_the_options_by_survey() -> None:
    text = xsaga("export", "--help").stdout
    for words in ("4MOST", "PFS", "SDSS-V", "HATS", "--4most-subsurvey NAME", "--hats-max-rows"):
        assert words in text
