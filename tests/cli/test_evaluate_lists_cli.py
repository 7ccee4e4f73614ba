"""`xsaga evaluate` judges the list that the run delivers, and says what it rests on."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.evaluated_runs import (
    MadeSky,
    content,
    error,
    evaluate,
    labels_of,
    put_scores,
    tile_run,
)
from tests.small_runs import xsaga
from tests.toy_model import TINY, toy_model
from xsaga.config import CutsConfig
from xsaga.model.card import CALIBRATED_FILE, LEARNT_FILE, TrainingSet
from xsaga.model.novelty import STATISTICS, Cloud, FeatureSpace, Novelty
from xsaga.model.weights import save_model
from xsaga.paths import RunPaths
from xsaga.run.base_rates import list_rate
from xsaga.run.training_area import write_area


@pytest.fixture(scope="module")
def run(sky: MadeSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tile_run(sky, tmp_path_factory.mktemp("run") / "RUN")
    put_scores(folder, sky.truth)
    return folder


def strangers(truth: pd.DataFrame) -> set[int]:
    """Every third contaminant: what a model that knows its limits would flag."""
    return set(truth.loc[~truth["is_lowz"], "source_id"].iloc[::3])


@pytest.mark.parametrize("order", ["--unfamiliar-last", "--unfamiliar-by-p"])
def test_the_list_that_is_judged_is_the_one_that_is_delivered(
    sky: MadeSky, labels: Path, tmp_path: Path, order: str
) -> None:
    run = tile_run(sky, tmp_path / "RUN", "--base-rate", "0.2", order)
    flagged = strangers(sky.truth)
    put_scores(run, sky.truth, unfamiliar=flagged)
    everyone = ("--tier", "all", "--exclude-maskbit", "31", "--shred-radii", "0")
    assert xsaga("rank", run, *everyone).exit_code == 0
    targets = pd.read_parquet(RunPaths(run).targets("parquet"))
    targets = targets.sort_values("rank").merge(sky.truth, on="source_id")
    out = tmp_path / "out"
    code, said = evaluate(run, labels, out, "--no-baselines")
    assert code == 0, said
    found = content(out)
    model = found["populations"]["all"]["scorers"]["model"]
    for entry in model["ranked_lists"]:
        best = targets.head(entry["targets"])
        assert entry["purity"]["value"] == pytest.approx(best["is_lowz"].mean(), rel=1e-6)
    # The purest list that holds 90 %, of those that end with a source at low redshift.
    positives = targets["is_lowz"].cumsum()
    purity = positives / targets["rank"]
    best = purity[positives >= 0.9 * positives.iloc[-1]].max()
    at = next(e for e in model["purity_at_completeness"] if e["completeness"] == 0.9)
    assert at["purity"]["value"] == pytest.approx(best, rel=1e-6)
    # Probabilities at the base rate of the list, not at that of the scores.
    bins = [b for b in found["reliability"][0]["bins"] if b["sources"]]
    galaxies = [b["mean_probability"] * b["sources"] for b in bins]
    headline = found["populations"]["desi-lowz"]["sources"]
    assert sum(galaxies) / headline > 0.15
    assert found["run"]["base_rate"].startswith("0.2 (given")
    assert found["run"]["unfamiliar"] == found["join"]["in_range_unfamiliar"] == len(flagged)
    page = (out / "evaluation.md").read_text("utf-8")
    last = order == "--unfamiliar-last"
    assert (f"{len(flagged):,} UNFAMILIAR sources are ranked last" in page) == last
    assert found["run"]["unfamiliar_last"] == last


def test_a_list_that_goes_on_into_the_unfamiliar_says_so(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    run = tile_run(sky, tmp_path / "RUN")
    half = sky.truth.loc[sky.truth["is_lowz"], "source_id"].iloc[::2]
    put_scores(run, sky.truth, unfamiliar=set(half))
    code, said = evaluate(run, labels, tmp_path / "out", "--no-baselines")
    assert code == 0, said
    found = content(tmp_path / "out")
    assert -2 <= found["slice_threshold"] < 0
    assert found["thresholds"][0]["completeness"]["value"] < 0.6
    for sliced in found["slices"]:
        filled = [entry for entry in sliced["slices"] if entry["lowz"]]
        chosen = sum(entry["completeness"]["value"] * entry["lowz"] for entry in filled)
        population = found["populations"]["desi-lowz"]
        assert chosen >= 0.9 * population["lowz"] * (1 - 1e-6)
    assert "all, and UNFAMILIAR ≥" in (tmp_path / "out" / "evaluation.md").read_text("utf-8")


def test_an_estimate_needs_the_model_that_the_run_was_scored_with(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    model_with(tmp_path / "toy", list_rate(CutsConfig(name="none"), 0.02))
    run = tile_run(sky, tmp_path / "RUN", "--base-rate", "estimate")
    put_scores(run, sky.truth)
    assert evaluate(run, labels, tmp_path / "out", "--no-baselines")[0] == 0
    (tmp_path / "toy").rename(tmp_path / "elsewhere")
    code, line = error(run, labels, tmp_path / "again")
    assert code == 1
    assert "cannot be estimated again" in line


def test_labels_that_nothing_can_be_judged_by_are_left_out(
    run: Path, sky: MadeSky, tmp_path: Path
) -> None:
    number = np.arange(len(sky.truth))
    truth = sky.truth.assign(conflict=number < 40, training=number >= len(number) - 100)
    out = tmp_path / "out"
    labels = labels_of(truth, tmp_path / "labels.parquet")
    code, said = evaluate(run, labels, out, "--no-baselines", "--unlabelled", "not-lowz")
    assert code == 0, said
    found = content(out)
    assert found["join"]["left_out"] == {
        "without a redshift": 0,
        "with redshifts that disagree": 40,
        "added to a simulated sky for training": 100,
    }
    population = found["populations"]["all"]
    assert population["sources"] == population["labelled"] == len(truth) - 140
    assert population["lowz"] == truth["is_lowz"][40:-100].sum()
    page = (out / "evaluation.md").read_text("utf-8")
    assert "40 labelled sources in the range are left out: with redshifts that disagree" in page
    assert "100 labelled sources in the range are left out: added to a simulated sky" in page


def model_with(folder: Path, numbers: dict[str, float], *, novelty: bool = False) -> None:
    """Write the model that `tile_run` takes, with more on its card."""
    toy = toy_model(TINY, 48)
    card = dataclasses.replace(
        toy.card, image_release=("dr9",), training_set=TrainingSet("none", numbers)
    )
    width = toy.networks[0].head.in_features
    clouds = [Cloud(torch.zeros(n), torch.eye(n)) for n in (width, STATISTICS * 3)]
    told = Novelty({"complete": 0.0012}, {"blank": 0.987}, 500)
    save_model(folder, card, toy.networks, (FeatureSpace(*clouds), told) if novelty else None)


def test_another_limit_of_redshift_is_said_everywhere(
    run: Path, sky: MadeSky, tmp_path: Path
) -> None:
    truth = sky.truth.assign(z=sky.truth["z"] / 2)
    labels = labels_of(truth, tmp_path / "labels.parquet", z_limit=0.015)
    out = tmp_path / "out"
    code, said = evaluate(run, labels, out, "--no-baselines")
    assert code == 0, said
    assert "at z < 0.015" in said
    assert "0.03" not in said
    found = content(out)
    assert found["labels"]["near_z"] == 0.015
    assert "completeness at z < 0.015" in found["aims"][2]["what"]
    page = (out / "evaluation.md").read_text("utf-8")
    told = [line for line in page.splitlines() if re.search(r"z < 0\.0[23]\b", line)]
    assert all("published lists" in line for line in told)
    assert "their purities do not compare" in page


def test_labels_of_another_limit_than_the_models_are_refused(sky: MadeSky, tmp_path: Path) -> None:
    model_with(tmp_path / "toy", {"z_limit": 0.03})
    run = tile_run(sky, tmp_path / "RUN")
    put_scores(run, sky.truth)
    other = labels_of(sky.truth, tmp_path / "other.parquet", z_limit=0.05)
    code, line = error(run, other, tmp_path / "out")
    assert code == 1
    assert "labels of z < 0.05 for model toy of z < 0.03" in line
    assert "xsaga labels --z-limit 0.03" in line
    same = labels_of(sky.truth, tmp_path / "same.parquet")
    assert evaluate(run, same, tmp_path / "out", "--no-baselines")[0] == 0


def test_labels_of_where_the_model_learnt_are_refused(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    model_with(tmp_path / "toy", {})
    run = tile_run(sky, tmp_path / "RUN")
    put_scores(run, sky.truth)
    assert evaluate(run, labels, tmp_path / "before", "--no-baselines")[0] == 0
    write_area(tmp_path / "toy" / LEARNT_FILE, sky.truth.head(1))
    code, line = error(run, labels, tmp_path / "out")
    assert code == 1
    assert "of the labelled sources lie where the model learnt" in line
    assert not (tmp_path / "out").exists()
    # What was learnt on a simulated sky says nothing of the same place on the real one.
    real = labels_of(sky.truth, tmp_path / "real.parquet", simulated=False)
    assert evaluate(run, real, tmp_path / "out", "--no-baselines")[0] == 0


def test_reliability_where_the_model_was_calibrated_is_no_aim(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    model_with(tmp_path / "toy", {})
    run = tile_run(sky, tmp_path / "RUN")
    put_scores(run, sky.truth)

    def judged(out: Path) -> tuple[set[str], str]:
        assert evaluate(run, labels, out, "--no-baselines")[0] == 0
        found = content(out)
        return {aim["what"].split()[0] for aim in found["aims"]}, " ".join(found["notes"])

    aims, notes = judged(tmp_path / "before")
    assert {"expected", "share"} < aims
    assert "calibrated" not in notes
    write_area(tmp_path / "toy" / CALIBRATED_FILE, sky.truth)
    aims, notes = judged(tmp_path / "after")
    assert not aims & {"expected", "share"}
    assert f"{len(sky.truth):,} labelled sources lie where the model was calibrated" in notes


def test_the_page_tells_how_well_unfamiliar_cutouts_are_known(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    model_with(tmp_path / "toy", {}, novelty=True)
    run = tile_run(sky, tmp_path / "RUN")
    put_scores(run, sky.truth, unfamiliar=set(sky.truth["source_id"].iloc[:40]))
    assert evaluate(run, labels, tmp_path / "out", "--no-baselines")[0] == 0
    page = (tmp_path / "out" / "evaluation.md").read_text("utf-8")
    assert "| good, complete (false alarms) | 0.12 % |" in page
    assert "| blank | 98.7 % |" in page
    assert "| this run | 1.00 % (40 of 4,000) |" in page
    assert content(tmp_path / "out")["novelty"]["images"] == 500


def test_a_run_whose_model_is_gone_is_judged_with_a_note(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    run = tile_run(sky, tmp_path / "RUN")
    put_scores(run, sky.truth)
    (tmp_path / "toy").rename(tmp_path / "elsewhere")
    assert evaluate(run, labels, tmp_path / "out", "--no-baselines")[0] == 0
    notes = content(tmp_path / "out")["notes"]
    assert any("Not checked against the model's card" in note for note in notes)
