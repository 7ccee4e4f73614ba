"""What a run folder may be, and that nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_runs import SmallSky, status_of, targets_of, xsaga


@pytest.mark.parametrize("restart", [[], ["--restart"]])
def test_a_folder_with_other_things_is_left_alone(
    sky: SmallSky, tmp_path: Path, restart: list[str]
) -> None:
    other = tmp_path / "home"
    (other / "sub").mkdir(parents=True)
    (other / ".spool").mkdir()
    precious = [other / "sub" / "thesis.tmp-2024.doc", other / ".spool" / "mail"]
    for path in precious:
        path.write_text("…")
    result = xsaga("tile", *sky.options, *restart, "--out", other)
    assert result.exit_code == 1
    assert "is no run folder and holds" in result.stderr
    assert all(path.exists() for path in precious)


def test_restart_of_a_folder_that_is_not_there_begins(sky: SmallSky, tmp_path: Path) -> None:
    assert xsaga("tile", *sky.options, "--restart", "--out", tmp_path / "RUN").exit_code == 0


def test_files_of_an_interrupted_write_are_cleared(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    assert xsaga("tile", *sky.options, "--out", run).exit_code == 0
    leftover = run / "tiles" / "scores.tmp-0123456789ab.parquet"
    leftover.write_bytes(b"half")
    assert xsaga("tile", *sky.options, "--out", run).exit_code == 0
    assert not leftover.exists()


def test_another_ranking_replaces_lists_and_leaves_no_stale_ones(
    sky: SmallSky, tmp_path: Path
) -> None:
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    before = targets_of(run)
    limit = float(before["p_lowz"].median())
    options = ["--tier", f"{limit:.6f}", "--priority", "90", "--priority", "10"]
    result = xsaga("rank", run, *options, "--format", "parquet", "--format", "csv")
    assert result.exit_code == 0, result.output
    after = targets_of(run)
    assert set(after["tier"]) == {1, 2}
    assert set(after["priority"]) == {90, 10}
    assert after["source_id"].tolist() == before["source_id"].tolist()
    assert not (run / "targets.fits").exists()
    assert (run / "targets.csv").exists()
    assert status_of(run)["stage"] == "done"
    # a run that is resumed keeps the ranking it was given last
    assert xsaga("run", run).exit_code == 0
    assert set(targets_of(run)["tier"]) == {1, 2}


def test_a_run_without_its_latest_ranking_is_not_called_done(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    (run / "ranked.json").unlink()  # as a ranking does before it changes a list
    assert status_of(run)["stage"] == "rank"
    assert "all done" not in xsaga("status", run).output


def test_credentials_in_an_address_are_refused(sky: SmallSky, tmp_path: Path) -> None:
    options = [*sky.options, "--bricks", "https://me:secret@example.org/dr9/"]
    result = xsaga("tile", *options, "--out", tmp_path / "RUN")
    assert result.exit_code == 2
    assert "~/.netrc" in result.stderr
    assert "secret" not in result.output
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "option",
    [
        ("--size", "0"),
        ("--pixel-scale", "nan"),
        ("--min-coverage", "nan"),
        ("--min-coverage", "20"),
        ("--timeout", "0"),
        ("--rate", "-1"),
        ("--connections", "0"),
        ("--retries", "-1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    sky: SmallSky, tmp_path: Path, option: tuple[str, str]
) -> None:
    result = xsaga("tile", *sky.options, *option, "--out", tmp_path / "RUN")
    assert result.exit_code == 2
    assert f"xsaga: {option[0]}" in result.stderr
