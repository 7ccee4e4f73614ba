"""`xsaga evaluate` from the command line: a whole run, its page, and what goes wrong."""

from __future__ import annotations

import os
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.evaluated_runs import (
    BASE_RATE,
    SIDE,
    MadeSky,
    analytic_purity,
    content,
    error,
    evaluate,
    labels_of,
    make_catalog,
    put_scores,
    tile_run,
)
from tests.small_disks import disk, only_message, remount
from tests.small_runs import SmallSky, xsaga
from xsaga.evaluation import baselines
from xsaga.paths import RunPaths

FIGURES = {
    "purity-completeness.png",
    "ranked-lists.png",
    "thresholds.png",
    "reliability.png",
    "slices.png",
}


@pytest.fixture(scope="module")
def run(sky: MadeSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tile_run(sky, tmp_path_factory.mktemp("run") / "RUN_<b>")
    put_scores(folder, sky.truth)
    return folder


@pytest.fixture(scope="module")
def evaluated(
    run: Path, sky: MadeSky, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Folder of an evaluation without baselines, and what the command said."""
    folder = tmp_path_factory.mktemp("evaluated")
    labels = labels_of(sky.truth, folder / "labels.parquet")
    code, said = evaluate(run, labels, folder / "out", "--no-baselines")
    assert code == 0, said
    return folder / "out", said


def test_an_evaluation_says_what_is_known_to_be_true(
    evaluated: tuple[Path, str], sky: MadeSky
) -> None:
    out, said = evaluated
    assert said.startswith("SIMULATED sky\n")
    found = content(out)
    stars = (sky.truth["kind"] == "star").sum()
    population = found["populations"]["desi-lowz"]
    assert found["populations"]["all"]["sources"] == len(sky.truth)
    assert population["sources"] == pytest.approx(len(sky.truth) - stars, rel=0.02)
    assert found["settings"]["area_deg2"] == pytest.approx(SIDE**2, rel=1e-3)
    assert found["join"]["by_id"] == len(sky.truth)
    assert found["headline"] == "desi-lowz"
    model = population["scorers"]["model"]
    at = {entry["completeness"]: entry["purity"] for entry in model["purity_at_completeness"]}
    for level in (0.5, 0.8, 0.9):
        # the scores are right for all sources; stars, which the cuts take away, are among them
        truth = analytic_purity(level, BASE_RATE * len(sky.truth) / (len(sky.truth) - stars))
        assert at[level]["low"] < truth < at[level]["high"]
    assert population["cuts"]["desi-lowz"]["completeness"]["value"] == 1.0
    width, count = found["reliability"]
    assert width["binning"] == "equal width"
    assert width["expected_calibration_error"] < 0.02
    assert count["expected_calibration_error"] < 0.02
    seeing = found["slices"][-1]
    assert len(seeing["slices"]) == 4
    assert seeing["slices"][0]["low"] == pytest.approx(1.0)
    assert {aim["met"] for aim in found["aims"]} <= {True, False, None}
    error, agreeing = found["aims"][-2:]
    assert (error["bound"], error["aim"]) == ("at most", 0.01)
    assert error["reached"]["value"] == width["expected_calibration_error"]
    assert f"({width['agreeing']} of {width['judged']})" in agreeing["what"]


def test_the_page_and_its_figures_can_be_looked_at(evaluated: tuple[Path, str]) -> None:
    out, _ = evaluated
    page = (out / "evaluation.md").read_text("utf-8")
    assert "SIMULATED" in page
    assert r"RUN\_\<b\>" in page or r"RUN_\<b\>" in page
    assert "<b>" not in page
    assert "None" not in page
    assert "nan" not in page
    links = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page))
    assert links == FIGURES
    for name in links:
        with Image.open(out / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 400
            assert len(picture.convert("L").getcolors() or range(999)) > 20  # not blank
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for line, following in pairwise(rows):
        if following.startswith("| ---"):
            assert line.count("|") == following.count("|")


def test_the_same_inputs_give_the_same_bytes(
    evaluated: tuple[Path, str], run: Path, labels: Path, tmp_path: Path
) -> None:
    out, _ = evaluated
    leftover = tmp_path / "again" / "evaluation.tmp-0123456789ab.json"
    leftover.parent.mkdir()
    leftover.write_text("half")
    os.utime(leftover, (0, 0))
    assert evaluate(run, labels, tmp_path / "again", "--no-baselines")[0] == 0
    assert not leftover.exists()
    files = sorted(path.name for path in out.iterdir())
    assert set(files) == FIGURES | {"evaluation.json", "evaluation.md"}
    for name in files:
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_an_evaluation_that_finds_no_room(run: Path, labels: Path, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=12k") as place:
        code, said = evaluate(run, labels, place / "out", "--no-baselines")
        assert code == 1
        assert "No space left on device: " in only_message(said)
        assert not list(place.rglob("*.tmp-*"))
        remount(place, "size=50m")
        assert evaluate(run, labels, place / "out", "--no-baselines")[0] == 0


def test_baselines_stand_beside_the_model(
    run: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "TREES", 20)
    monkeypatch.setattr(baselines, "TUNING_TREES", 10)
    monkeypatch.setattr(baselines, "FOREST_CHOICES", baselines.FOREST_CHOICES[:1])
    monkeypatch.setattr(baselines, "BOOSTING_CHOICES", baselines.BOOSTING_CHOICES[:1])
    training = make_catalog(tmp_path / "training", seed=2, ra=40.0)
    code, said = evaluate(
        run,
        labels,
        tmp_path / "out",
        *("--baseline-training", training.catalog),
        *("--baseline-labels", labels_of(training.truth, tmp_path / "training.parquet")),
    )
    assert code == 0, said
    found = content(tmp_path / "out")
    assert found["baselines"]["trained_on"] == "a training sky"
    population = found["populations"]["desi-lowz"]
    assert set(population["scorers"]) == {"model", *baselines.BASELINES}
    for name in baselines.BASELINES:
        scorer = population["scorers"][name]
        assert scorer["scored"] == population["sources"]
        assert scorer["average_precision"]["value"] > 3 * population["base_rate"]["value"]
    ratio = population["scorers"]["model"]["purity_over_best_baseline"]
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert population["best_baseline"] in (tmp_path / "out" / "evaluation.md").read_text("utf-8")


def test_sources_without_a_label(run: Path, sky: MadeSky, tmp_path: Path) -> None:
    known = sky.truth[sky.truth["is_lowz"] | (np.arange(len(sky.truth)) % 2 == 0)]
    labels = labels_of(known, tmp_path / "labels.parquet", simulated=False)
    for choice, labelled in (("leave-out", len(known)), ("not-lowz", len(sky.truth))):
        out = tmp_path / choice
        code, said = evaluate(run, labels, out, "--no-baselines", "--unlabelled", choice)
        assert code == 0, said
        found = content(out)
        assert found["populations"]["all"]["labelled"] == labelled
        assert found["join"]["in_range_unlabelled"] == len(sky.truth) - len(known)
        assert any("have no label" in note for note in found["notes"])
        assert not found["simulated_labels"]
    purity = [
        content(tmp_path / choice)["populations"]["all"]["scorers"]["model"][
            "purity_at_completeness"
        ][2]["purity"]["value"]
        for choice in ("leave-out", "not-lowz")
    ]
    assert purity[0] > purity[1]  # half of the contaminants are not seen


def test_without_the_tree_there_is_no_psf_and_no_area(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    run = tile_run(sky, tmp_path / "RUN", "--bricks", "http://127.0.0.1:9/")
    put_scores(run, sky.truth)
    assert evaluate(run, labels, tmp_path / "out", "--no-baselines")[0] == 0
    found = content(tmp_path / "out")
    assert found["settings"]["area_deg2"] is None
    assert found["populations"]["all"]["scorers"]["model"]["ranked_lists"] == []
    assert "--bricks-table" in found["slices"][-1]["skipped"]
    page = (tmp_path / "out" / "evaluation.md").read_text("utf-8")
    assert "ranked-lists.png" not in page
    assert "give --area" in page
    table = next(sky.tree.glob("south/*.fits.gz"))
    code, _ = evaluate(
        run, labels, tmp_path / "given", "--no-baselines", "--area", 2, "--bricks-table", table
    )
    assert code == 0
    given = content(tmp_path / "given")
    assert given["settings"]["area_deg2"] == 2
    assert given["slices"][-1]["slices"]


def test_what_cannot_be_judged_is_one_line(
    run: Path, sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert error(tmp_path, labels, out) == (1, error(tmp_path, labels, out)[1])
    assert "no run folder" in error(tmp_path, labels, out)[1]
    assert "no such file" in error(run, tmp_path / "none.parquet", out)[1]
    elsewhere = labels_of(sky.truth.assign(ra=sky.truth["ra"] + 90), tmp_path / "far.parquet")
    code, line = error(run, elsewhere, out)
    assert code == 1
    assert "labels of another sky?" in line
    nothing = labels_of(sky.truth.assign(is_lowz=False), tmp_path / "nothing.parquet")
    assert "no labelled galaxy at z < 0.03" in error(run, nothing, out)[1]
    assert error(run, labels, out, "--r-min", 22)[0] == 2
    assert "no labelled galaxy" in error(run, labels, out, "--r-min", 14, "--r-max", 15)[1]
    code, line = error(run, labels, out, "--baseline-labels", labels)
    assert code == 2
    assert "go together" in line


@pytest.mark.parametrize("choice", [("--seed", -1), ("--seed", 2**32), ("--workers", 0)])
def test_numbers_out_of_range_are_refused(
    run: Path, labels: Path, tmp_path: Path, choice: tuple[str, int]
) -> None:
    code, said = evaluate(run, labels, tmp_path / "out", *choice)
    assert code == 2
    assert f"Invalid value for '{choice[0]}'" in said
    assert not (tmp_path / "out").exists()


def test_a_training_catalog_with_repeated_rows(
    run: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "TREES", 5)
    monkeypatch.setattr(baselines, "TUNING_TREES", 5)
    monkeypatch.setattr(baselines, "FOREST_CHOICES", baselines.FOREST_CHOICES[:1])
    monkeypatch.setattr(baselines, "BOOSTING_CHOICES", baselines.BOOSTING_CHOICES[:1])
    training = make_catalog(tmp_path / "training", seed=2, ra=40.0)
    again = shutil.copy(training.catalog, tmp_path / "again.fits")
    code, said = evaluate(
        run,
        labels,
        tmp_path / "out",
        *("--baseline-training", training.catalog, "--baseline-training", again),
        *("--baseline-labels", labels_of(training.truth, tmp_path / "training.parquet")),
    )
    assert code == 0, said
    assert content(tmp_path / "out")["baselines"]["training_sources"] == len(training.truth)
    page = (tmp_path / "out" / "evaluation.md").read_text("utf-8")
    assert f"{len(training.truth):,} with the identifier of an earlier row" in page


def test_a_run_that_is_not_scored_is_refused(sky: MadeSky, labels: Path, tmp_path: Path) -> None:
    run = tile_run(sky, tmp_path / "RUN")
    code, line = error(run, labels, tmp_path / "out")
    assert code == 1
    assert "not scored yet" in line
    assert "xsaga run" in line


@pytest.mark.parametrize(
    ("module", "package"), [("matplotlib", "matplotlib"), ("sklearn", "scikit-learn")]
)
def test_a_missing_extra_is_named_before_the_work(
    run: Path,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    code, said = evaluate(run, labels, tmp_path / "out")
    assert code == 1
    assert f"{package} is not installed: run `pip install 'xsaga[report]'`" in said
    assert not (tmp_path / "out").exists()


def test_a_real_small_run_from_pixels_to_page(small_sky: SmallSky, tmp_path: Path) -> None:
    """Scores of a network over simulated pixels; the truth is made up: the brightest tenth."""
    run = tmp_path / "RUN"
    assert xsaga("run", *small_sky.options, "--out", run).exit_code in (0, 3)
    tiles = sorted(RunPaths(run).tiles.rglob("sources.parquet"))
    sources = pd.concat([pd.read_parquet(path) for path in tiles], ignore_index=True)
    limit = sources["mag_r"].quantile(0.1)
    truth = sources[["source_id", "ra", "dec"]].assign(
        z=np.where(sources["mag_r"] < limit, 0.01, 0.2),
        is_lowz=sources["mag_r"] < limit,
        kind="galaxy",
    )
    labels = labels_of(truth, tmp_path / "labels.parquet")
    out = tmp_path / "out"
    code, said = evaluate(run, labels, out, "--no-baselines", "--r-min", 14, "--r-max", 23)
    assert code == 0, said
    found = content(out)
    assert found["run"]["sources"] == len(sources)
    assert found["simulated_weights"]
    assert found["populations"]["all"]["lowz"] > 0
    assert (out / "evaluation.md").is_file()
