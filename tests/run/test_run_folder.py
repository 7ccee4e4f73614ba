"""What a run folder may be, and that nothing else is touched."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from astropy.io import fits

from tests.small_runs import COMMAND, SmallSky, status_of, targets_of, xsaga


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
    options = ["--tier", f"{limit:.6f}", "--tier", "all", "--priority", "90", "--priority", "10"]
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


def test_a_changed_footprint_file_is_noticed(sky: SmallSky, tmp_path: Path) -> None:
    moc = tmp_path / "area.json"
    moc.write_text('{"6": [0, 1]}')
    options = [*sky.options, "--moc", str(moc), "--out", tmp_path / "RUN"]
    assert xsaga("tile", *options).exit_code == 0
    moc.write_text('{"6": [2, 3]}')
    result = xsaga("tile", *options)
    assert result.exit_code == 1
    assert f"input {moc}: was" in result.stderr
    record = json.loads((tmp_path / "RUN" / "run.json").read_text())
    assert str(moc) in [item["path"] for item in record["inputs"]]


def test_a_changed_card_is_noticed(sky: SmallSky, tmp_path: Path) -> None:
    weights = tmp_path / "toy"
    shutil.copytree(sky.weights, weights)
    options = [*sky.options, "--weights", str(weights), "--out", tmp_path / "RUN"]
    assert xsaga("tile", *options).exit_code == 0
    card = json.loads((weights / "card.json").read_text())
    card["calibration"]["slope"] = 3.5
    (weights / "card.json").write_text(json.dumps(card))
    result = xsaga("tile", *options)
    assert result.exit_code == 1
    assert "card.json: was" in result.stderr


def test_settings_may_change_until_there_are_tiles(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    wrong = xsaga("run", *sky.options, "--release", "ls-dr10", "--out", run)
    assert wrong.exit_code == 1
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0


def test_sources_of_a_mended_brick_are_scored_when_tried_again(
    sky: SmallSky, tmp_path: Path
) -> None:
    tree, run = tmp_path / "tree", tmp_path / "RUN"
    shutil.copytree(sky.tree, tree)
    broken = next((tree / "south" / "coadd").rglob("*-image-r.fits.fz"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[:5000])
    options = [*sky.options, "--bricks", str(tree), "--out", run]
    assert xsaga("run", *options).exit_code == 3
    broken.write_bytes(whole)
    assert xsaga("run", *options).exit_code == 3
    assert xsaga("run", *options, "--retry-failed").exit_code == 0
    counts = status_of(run)["counts"]
    assert counts["scored"] == counts["candidates"]


def test_cutouts_of_a_scored_run_are_discarded_on_request(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    assert list(run.rglob("cutouts.npy"))
    assert xsaga("run", run, "--no-keep-cutouts").exit_code == 0
    assert not list(run.rglob("cutouts.*"))
    assert status_of(run)["stage"] == "done"


def test_the_command_reads_back_whole(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    script = [*COMMAND, "run", *sky.options, "--out", str(run)]
    pattern = str(sky.tree / "sweep" / "*" / "*.fits")
    script[script.index(str(sky.tree / "sweep"))] = pattern
    subprocess.run(script, check=True, capture_output=True)
    header = fits.getheader(run / "targets.fits", "TARGETS")
    assert pattern in header["COMMAND"]
    assert header["COMMAND"].endswith(str(run))
