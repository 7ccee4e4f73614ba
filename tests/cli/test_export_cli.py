"""``xsaga export`` as its users type it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.desi_lists import contents, desi_targets, listed, positioned
from tests.small_runs import xsaga
from xsaga.targets.exports.registry import EXPORTS


@pytest.fixture
def run(tmp_path: Path) -> Path:
    listed(tmp_path / "RUN", positioned(desi_targets(20, shift=0.3)))
    return tmp_path / "RUN"


def test_formats_go_to_folders_beside_the_list(run: Path) -> None:
    done = xsaga("export", run, "--format", "desi-targets", "--format", "desi-secondary")
    assert done.exit_code == 0, done.output
    place = run / "exports"
    said = [line for line in done.stdout.splitlines() if "of secondary targets, see" not in line]
    assert len(said) == len(done.stdout.splitlines()) - 1
    assert said == [
        f"{name}: 20 targets, {len(contents(place / name))} files in {place / name}"
        for name in ("desi-targets", "desi-secondary")
    ]


@pytest.mark.parametrize("where", ["RUN", "RUN/targets.parquet", "nights"])
def test_where_is_a_run_a_list_or_a_folder_of_nights(run: Path, where: str) -> None:
    shutil.copytree(run, run.parent / "nights" / "latest")
    out = run.parent / "out"
    done = xsaga("export", run.parent / where, "--format", "desi-secondary-classic", "--out", out)
    assert done.exit_code == 0, done.output
    assert "indata/LOW_Z_TIER1.fits" in contents(out / "desi-secondary-classic")
    assert not (run / "exports").exists()


def test_options_reach_the_files(run: Path) -> None:
    first = xsaga("export", run, "--format", "desi-targets", "--survey", "main3")
    assert first.exit_code == 0, first.output
    ids = run / "exports" / "desi-targets" / "target-ids.parquet"
    assert "hpx/main3targets-dark-secondary-hp-" in "".join(contents(ids.parent))
    kept = run.parent / "ids.parquet"
    shutil.copy(ids, kept)
    # survey main would give other ids, were these not known
    again = xsaga("export", run, "--format", "desi-targets", "--known-ids", kept)
    assert again.exit_code == 0, again.output
    assert ids.read_bytes() == kept.read_bytes()


def test_one_format_that_is_refused_stops_no_other(run: Path) -> None:
    formats = ("desi-too", "desi-secondary", "desi-tertiary")
    done = xsaga("export", run, *(part for name in formats for part in ("--format", name)))
    assert done.exit_code == 2
    assert done.stdout.startswith("desi-secondary: 20 targets")
    lines = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["xsaga", "desi-too"],
        ["xsaga", "desi-tertiary"],
    ]
    assert "--program NUMBER" in lines[1]


def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ((tmp_path / "absent", "--format", "desi-too"), "no targets.parquet here"),
        ((run, "--format", "desi-targets", "--numobs", "0"), "numobs 0: it must be 1 or more"),
        ((run, "--format", "desi-targets", "--known-ids", tmp_path / "none"), "cannot be read"),
    ):
        done = xsaga("export", *arguments)
        assert done.exit_code != 0
        (line,) = done.stderr.splitlines()
        assert line.startswith("xsaga: ")
        assert words in line
    done = xsaga("export", run, "--format", "desi")
    assert done.exit_code == 2
    assert "'desi' is not one of 'desi-targets'" in done.stderr
    assert not (run / "exports").exists()


def test_the_help_lists_every_format_with_its_summary() -> None:
    done = xsaga("export", "--help")
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    for each in EXPORTS.values():
        assert f"{each.name} {each.summary}" in words
    assert "Options of DESI formats" in done.stdout
