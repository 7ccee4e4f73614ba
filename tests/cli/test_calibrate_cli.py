"""`xsaga calibrate` from the command line: a model calibrated on a run, and what goes wrong."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.evaluated_runs import (
    MadeSky,
    calibrated_scores,
    labels_of,
    put_scores,
    tile_run,
)
from tests.small_runs import SmallSky, targets_of, xsaga
from xsaga.config import CutsConfig
from xsaga.model.card import CALIBRATED_FILE, LEARNT_FILE, ModelCard, read_card, write_card
from xsaga.model.weights import load_model
from xsaga.paths import RunPaths
from xsaga.run.base_rates import known_list_rate
from xsaga.run.training_area import ORDER, read_area, write_area
from xsaga.sky.tiles import tile_pixels

STEEPNESS, EXCESS = 1.5, 3.0


@pytest.fixture(scope="module")
def run(sky: MadeSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that is badly calibrated."""
    folder = tile_run(sky, tmp_path_factory.mktemp("run") / "RUN")
    put_scores(folder, sky.truth, steepness=STEEPNESS, excess=EXCESS)
    return folder


@pytest.fixture
def calibrated(run: Path, labels: Path, tmp_path: Path) -> tuple[Path, str]:
    """Folder of the new model, and what the command said."""
    code, said = calibrate(run, labels, tmp_path / "anew")
    assert code == 0, said
    return tmp_path / "anew", said


def calibrate(run: Path, labels: Path, out: Path, *options: object) -> tuple[int, str]:
    result = xsaga("calibrate", run, "--labels", labels, "--out", out, *options)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def scores_of(run: Path) -> pd.DataFrame:
    """Scores of all tiles, by source."""
    parts = [pd.read_parquet(path) for path in RunPaths(run).tiles.rglob("scores.parquet")]
    return pd.concat(parts).sort_values("source_id", ignore_index=True)


def card_of(folder: Path) -> ModelCard:
    return read_card(folder / "card.json")


def test_the_new_model_says_what_is_true(
    calibrated: tuple[Path, str], run: Path, sky: MadeSky
) -> None:
    model = load_model(calibrated[0])
    scores = scores_of(run)
    truth = pd.Series(calibrated_scores(sky.truth["is_lowz"].to_numpy(), 5))
    truth.index = pd.Index(sky.truth["source_id"])
    right = truth.reindex(scores["source_id"]).to_numpy()
    p = model.card.calibration.probability(scores["logit"])
    assert np.abs(p - right).mean() < 0.2 * np.abs(scores["p_lowz"] - right).mean()
    order = np.argsort(scores["logit"], kind="stable")
    assert (np.diff(p[order]) >= 0).all()
    assert model.card.calibration.target_rate == sky.truth["is_lowz"].mean()


def test_the_card_tells_what_it_was_calibrated_on(
    calibrated: tuple[Path, str], run: Path, sky: MadeSky, labels: Path
) -> None:
    out, _ = calibrated
    before, after = card_of(run.parent / "toy"), card_of(out)
    near, count = int(sky.truth["is_lowz"].sum()), len(sky.truth)
    told = after.training_set.description
    assert told.startswith(before.training_set.description)
    assert f"{count} SIMULATED sources ({near} at z < 0.03) of the run RUN" in told
    assert hashlib.sha256(labels.read_bytes()).hexdigest() in told
    assert after.training_set.numbers["calibration_sources"] == count
    assert after.training_set.numbers["calibration_low_redshift"] == near
    assert after.metrics["sources_in_sample"] == count
    assert after.metrics["auc_in_sample"] > 0.95
    kept = {name for name in after.metrics if not name.endswith("_in_sample")}
    assert kept == {"auc", "calibration_error_before"}
    assert after.metrics["auc"] == before.metrics["auc"]
    rate = known_list_rate(after, CutsConfig(name="none"))
    listed = after.calibration.probability(scores_of(run)["logit"]).mean()
    assert rate == pytest.approx(listed, rel=1e-9)
    assert known_list_rate(after, CutsConfig(name="desi-lowz")) is None
    assert after.metrics["calibration_error_in_sample"] < after.metrics["calibration_error_before"]
    assert after.name == "anew"
    assert after.kind == "random weights, recalibrated"
    weights = (out / after.weights_file).read_bytes()
    assert weights == (run.parent / "toy" / before.weights_file).read_bytes()
    assert after.sha256 == hashlib.sha256(weights).hexdigest()
    unchanged = ("architecture", "novelty", "stretch", "image_release", "simulated", "members")
    assert all(getattr(before, name) == getattr(after, name) for name in unchanged)


def test_the_command_tells_how_much_it_helped(calibrated: tuple[Path, str]) -> None:
    out, said = calibrated
    lines = said.splitlines()
    assert lines[0].startswith("SIMULATED sky: calibrated on 4,000 scored sources, ")
    words = lines[1].split()
    before, after = float(words[words.index("error") + 1]), float(words[words.index("after,") - 1])
    assert 3 * after < before
    assert "the same sources that it was fitted on" in lines[1]
    table = [line.split() for line in lines[3:-1]]
    assert sum(int(row[-1].replace(",", "")) for row in table) == 4000
    inside = [float(row[5]) <= float(row[3]) <= float(row[7]) for row in table]
    assert sum(inside) >= len(table) - 2
    assert lines[-1] == f"wrote {out}"


def test_the_same_inputs_give_the_same_bytes(
    calibrated: tuple[Path, str], run: Path, labels: Path, tmp_path: Path
) -> None:
    assert calibrate(run, labels, tmp_path / "again", "--name", "anew")[0] == 0
    files = sorted(path.name for path in calibrated[0].iterdir())
    assert files == ["calibrated-on.moc.fits", "card.json", "weights.safetensors"]
    for name in files:
        assert (calibrated[0] / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_scores_without_logits_give_the_same_calibration(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    run = tile_run(sky, tmp_path / "RUN")
    # less bold: in single precision no probability is 1
    put_scores(run, sky.truth, steepness=0.7, excess=EXCESS)
    assert calibrate(run, labels, tmp_path / "with")[0] == 0
    without_logits(run)
    assert calibrate(run, labels, tmp_path / "without")[0] == 0
    stored, recovered = (card_of(tmp_path / name).calibration for name in ("with", "without"))
    assert dataclasses.astuple(recovered) == pytest.approx(dataclasses.astuple(stored), rel=1e-3)
    put_scores(run, sky.truth, steepness=3.0, excess=9.0)
    without_logits(run)
    code, line = error(run, labels, tmp_path / "lost")
    assert code == 1
    assert "too near 0 or 1 to tell their logit" in line


def without_logits(run: Path) -> None:
    """Make scores those of an earlier xsaga."""
    for path in RunPaths(run).tiles.rglob("scores.parquet"):
        pq.write_table(pq.read_table(path).drop_columns("logit"), path)


def error(run: Path, labels: Path, out: Path, *options: object) -> tuple[int, str]:
    """Run to its one-line error; nothing is written."""
    before = sorted(out.rglob("*"))
    code, said = calibrate(run, labels, out, *options)
    lines = [line for line in said.splitlines() if line.startswith("xsaga: ")]
    assert len(lines) == 1, said
    assert sorted(out.rglob("*")) == before
    return code, lines[0]


def test_labels_that_cannot_be_used_are_one_line(run: Path, sky: MadeSky, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def said(truth: pd.DataFrame, **given: float) -> str:
        path = labels_of(truth, tmp_path / "given.parquet", **given)
        code, line = error(run, path, out)
        assert code == 1
        return line

    truth = sky.truth
    assert "labels of another sky?" in said(truth.assign(ra=truth["ra"] + 90))
    far = truth[~truth["is_lowz"]]
    assert ": 7 sources" in said(pd.concat([far, truth[truth["is_lowz"]].head(7)]))
    assert "20 of each needed" in said(truth.assign(conflict=True))
    assert "20 of each needed" in said(truth.assign(training=True))
    assert "real labels for model toy of simulated images" in said(truth, simulated=False)
    reverse = truth.assign(is_lowz=calibrated_scores(truth["is_lowz"].to_numpy(), 5) < 1e-5)
    assert "higher scores are not more likely" in said(reverse)
    assert "no such file" in error(run, tmp_path / "none.parquet", out)[1]


def test_labels_of_where_the_model_learnt_are_refused(sky: MadeSky, tmp_path: Path) -> None:
    run = tile_run(sky, tmp_path / "RUN")
    put_scores(run, sky.truth)
    weights, truth = tmp_path / "toy", sky.truth
    write_area(weights / LEARNT_FILE, truth.head(1))
    here = tile_pixels(truth["ra"], truth["dec"], ORDER)
    seen = here == here[0]
    assert 0 < seen.sum() < 100
    everywhere = labels_of(truth, tmp_path / "all.parquet")
    code, line = error(run, everywhere, tmp_path / "out")
    assert code == 1
    assert f": {seen.sum()} of the labelled sources lie where the model learnt" in line
    assert "give labels of other fields" in line
    elsewhere = labels_of(truth[~seen].reset_index(drop=True), tmp_path / "elsewhere.parquet")
    code, said = calibrate(run, elsewhere, tmp_path / "anew")
    assert code == 0, said
    # The new model has learnt where the old one has.
    area = read_area(tmp_path / "anew" / LEARNT_FILE)
    assert area is not None
    np.testing.assert_array_equal(area.contains(truth["ra"], truth["dec"]), seen)
    calibrated_on = read_area(tmp_path / "anew" / CALIBRATED_FILE)
    assert calibrated_on is not None
    np.testing.assert_array_equal(calibrated_on.contains(truth["ra"], truth["dec"]), ~seen)
    (weights / LEARNT_FILE).write_bytes(b"no map")
    assert "MOC" in error(run, elsewhere, tmp_path / "out")[1]


def test_a_folder_or_name_that_cannot_be_used_is_one_line(
    run: Path, labels: Path, calibrated: tuple[Path, str], tmp_path: Path
) -> None:
    code, line = error(run, labels, calibrated[0])
    assert code == 2
    assert "exists and is not an empty folder" in line
    code, line = error(run, labels, tmp_path / "out", "--name", "my model")
    assert code == 2
    assert "--name" in line
    code, line = error(tmp_path, labels, tmp_path / "out")
    assert code == 1
    assert "no run folder" in line


def test_a_run_that_is_not_scored_or_whose_model_changed_is_refused(
    sky: MadeSky, labels: Path, tmp_path: Path
) -> None:
    run = tile_run(sky, tmp_path / "RUN")
    assert "not scored yet" in error(run, labels, tmp_path / "out")[1]
    put_scores(run, sky.truth)
    card = card_of(tmp_path / "toy")
    write_card(tmp_path / "toy" / "card.json", dataclasses.replace(card, version="2"))
    code, line = error(run, labels, tmp_path / "out")
    assert code == 1
    assert "not the model that" in line


def test_labels_of_another_class_are_refused(sky: MadeSky, tmp_path: Path) -> None:
    run = tile_run(sky, tmp_path / "RUN")
    put_scores(run, sky.truth)
    made = tmp_path / "made"
    assert calibrate(run, labels_of(sky.truth, tmp_path / "a.parquet"), made)[0] == 0
    card = card_of(made)
    numbers = card.training_set.numbers | {"z_limit": 0.03}
    kept = dataclasses.replace(card.training_set, numbers=numbers)
    write_card(made / "card.json", dataclasses.replace(card, training_set=kept))
    second = tile_run(sky, tmp_path / "RUN2", "--weights", made)
    put_scores(second, sky.truth)
    wider = labels_of(sky.truth, tmp_path / "b.parquet", z_limit=0.05)
    code, line = error(second, wider, tmp_path / "out")
    assert code == 1
    assert "--z-limit 0.03" in line
    # Of a model that was recalibrated before, the card tells the last time only.
    assert calibrate(second, tmp_path / "a.parquet", tmp_path / "twice")[0] == 0
    told = card_of(tmp_path / "twice").training_set.description
    assert told.count("recalibrated since") == 1
    assert "RUN2" in told


def test_a_run_with_the_new_model_has_its_probabilities(
    small_sky: SmallSky, tmp_path: Path
) -> None:
    """Scores of a network over simulated pixels; the truth is made up: it follows the scores."""
    run = tmp_path / "RUN"
    assert xsaga("run", *small_sky.options, "--out", run).exit_code in (0, 3)
    scores, targets = scores_of(run), targets_of(run).sort_values("source_id")
    card = card_of(small_sky.weights)
    said = card.calibration.probability(scores["logit"])
    np.testing.assert_allclose(scores["p_lowz"], said, atol=1e-6)
    assert "logit" not in targets
    noise = np.random.default_rng(1).normal(0, scores["logit"].std(), len(scores))
    near = (scores["logit"] + noise) > np.quantile(scores["logit"] + noise, 0.7)
    assert near.sum() >= 20
    truth = pd.DataFrame(
        {
            **{name: targets[name].to_numpy() for name in ("source_id", "ra", "dec")},
            "z": np.where(near, 0.01, 0.2),
            "is_lowz": near,
            "kind": "galaxy",
        }
    )
    labels = labels_of(truth, tmp_path / "labels.parquet")
    code, words = calibrate(run, labels, tmp_path / "anew")
    assert code == 0, words
    again = tmp_path / "RUN2"
    options = [*small_sky.options, "--weights", tmp_path / "anew", "--out", again]
    assert xsaga("run", *options).exit_code in (0, 3)
    new = scores_of(again)
    np.testing.assert_array_equal(new["logit"], scores["logit"])
    wanted = card_of(tmp_path / "anew").calibration.probability(scores["logit"])
    np.testing.assert_allclose(new["p_lowz"], wanted, atol=1e-6)
    assert abs(new["p_lowz"].mean() - near.mean()) < 0.01
    np.testing.assert_array_equal(targets_of(again)["source_id"], targets_of(run)["source_id"])
