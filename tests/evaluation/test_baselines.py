from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table, vstack

from tests.evaluated_runs import MadeSky, labels_of, make_catalog
from xsaga.catalog.readers import Catalog
from xsaga.catalog.sources import complete_sources
from xsaga.errors import EvaluationError
from xsaga.evaluation import baselines
from xsaga.evaluation.baselines import (
    BASELINES,
    FEWEST_POSITIVES,
    TrainingSet,
    score_held_out,
    score_in_folds,
)
from xsaga.evaluation.exclusions import CONFLICT
from xsaga.evaluation.training_sky import REPEATED, TrainingSky, read_training_set
from xsaga.evaluation.truth import Labels, join_labels
from xsaga.model.metrics import area_under_curve

COUNT = 1000


@pytest.fixture(autouse=True)
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees and choices: what is tested does not need more."""
    monkeypatch.setattr(baselines, "TREES", 15)
    monkeypatch.setattr(baselines, "TUNING_TREES", 8)
    monkeypatch.setattr(baselines, "JUDGED_COPIES", 3)
    monkeypatch.setattr(baselines, "FOREST_CHOICES", baselines.FOREST_CHOICES[:2])
    monkeypatch.setattr(baselines, "BOOSTING_CHOICES", baselines.BOOSTING_CHOICES[:1])


def made(folder: Path, seed: int, ra: float) -> MadeSky:
    return make_catalog(folder, seed=seed, ra=ra, count=COUNT)


def joined(sky: MadeSky, folder: Path) -> pd.DataFrame:
    (batch,) = Catalog.of([sky.catalog]).batches()
    labels = Labels.read(labels_of(sky.truth, folder / "labels.parquet"))
    return join_labels(complete_sources(batch.sources), labels)[0]


def test_baselines_learn_on_another_sky(tmp_path: Path) -> None:
    training_sky, evaluated_sky = made(tmp_path / "a", 1, 10.0), made(tmp_path / "b", 2, 20.0)
    evaluated = joined(evaluated_sky, tmp_path)
    labels = Labels.read(labels_of(training_sky.truth, tmp_path / "training.parquet"))
    sky = TrainingSky((str(training_sky.catalog),), labels)
    training = read_training_set(sky, (19.0, 21.0), evaluated, labels)
    result = score_held_out(training, evaluated, seed=1, workers=1)
    assert set(result.scores) == set(BASELINES)
    for score in result.scores.values():
        assert score.shape == (COUNT,)
        assert area_under_curve(score, evaluated["lowz"]) > 0.8
    assert result.facts["training_sources"] == COUNT
    assert result.facts["training_lowz"] == training_sky.truth["is_lowz"].sum()
    again = score_held_out(training, evaluated, seed=1, workers=1)
    for name, score in result.scores.items():
        np.testing.assert_allclose(again.scores[name], score)


@pytest.mark.trial
def test_scores_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forests with two threads, twice, and with one: not even the last bit differs."""
    monkeypatch.setattr(baselines, "TREES", 40)  # enough that threads do get out of step
    table = joined(made(tmp_path / "a", 1, 10.0), tmp_path)
    training = TrainingSet.of(table)
    first, second, alone = (
        score_held_out(training, table, seed=1, workers=workers).scores for workers in (2, 2, 1)
    )
    for name, score in first.items():
        np.testing.assert_array_equal(score, second[name])
        np.testing.assert_array_equal(score, alone[name])


def test_a_row_that_occurs_again_is_trained_on_once(tmp_path: Path) -> None:
    sky, other = made(tmp_path / "a", 1, 10.0), made(tmp_path / "b", 2, 20.0)
    truth = sky.truth.assign(conflict=np.arange(COUNT) < 7, training=np.arange(COUNT) >= COUNT // 2)
    labels = Labels.read(labels_of(truth, tmp_path / "training.parquet"))
    rows = Table.read(sky.catalog)
    again = tmp_path / "again.fits"
    vstack([rows, rows[100:130]]).write(again)
    evaluated = joined(other, tmp_path)
    training = read_training_set(
        TrainingSky((str(again),), labels), (19.0, 21.0), evaluated, labels
    )
    assert len(training.sources) == training.sources["source_id"].nunique() == COUNT - 7
    assert training.left_out == {REPEATED: 30, CONFLICT: 7}
    facts = score_held_out(training, evaluated, seed=1, workers=1).facts
    assert facts["training_left_out"] == {REPEATED: 30, CONFLICT: 7}


def test_in_folds_no_source_is_judged_by_what_saw_it(tmp_path: Path) -> None:
    """Random labels cannot be learned, so a good score would be a leak."""
    table = joined(made(tmp_path / "a", 1, 10.0), tmp_path)
    rng = np.random.default_rng(3)
    table["lowz"] = rng.permutation(table["lowz"].to_numpy())
    result = score_in_folds(table, seed=1, workers=1)
    for score in result.scores.values():
        assert np.isfinite(score).all()
        assert 0.35 < area_under_curve(score, table["lowz"]) < 0.65


def test_in_folds_sources_without_a_label_are_judged_too(tmp_path: Path) -> None:
    table = joined(made(tmp_path / "a", 1, 10.0), tmp_path)
    unknown = np.arange(len(table)) % 3 == 0
    truth = table["lowz"].to_numpy(copy=True)
    table.loc[unknown, ["labelled", "lowz"]] = False
    result = score_in_folds(table, seed=1, workers=1)
    assert result.facts["training_sources"] == int((~unknown).sum())
    for score in result.scores.values():
        assert area_under_curve(score[unknown], truth[unknown]) > 0.8


def test_no_more_than_the_most_training_sources_with_all_positives(tmp_path: Path) -> None:
    table = joined(made(tmp_path / "a", 1, 10.0), tmp_path)
    training = TrainingSet.of(table)
    part = training.at_most(400, np.random.default_rng(1))
    assert len(part.positive) == 400
    assert part.positive.sum() == training.positive.sum()
    assert len(part.sources) == len(part.group) == 400


def test_too_few_positives_are_refused(tmp_path: Path) -> None:
    table = joined(made(tmp_path / "a", 1, 10.0), tmp_path)
    table.loc[table["lowz"].cumsum() >= FEWEST_POSITIVES, "lowz"] = False
    with pytest.raises(EvaluationError, match="--no-baselines"):
        TrainingSet.of(table)


def test_too_few_patches_are_refused(tmp_path: Path) -> None:
    table = joined(made(tmp_path / "a", 1, 10.0), tmp_path).assign(ra=10.0, dec=0.0)
    with pytest.raises(EvaluationError, match="1 patches of sky"):
        score_in_folds(table, seed=1, workers=1)


def test_the_training_sky_must_lie_elsewhere(tmp_path: Path) -> None:
    sky = made(tmp_path / "a", 1, 10.0)
    evaluated = joined(sky, tmp_path)
    labels = Labels.read(labels_of(sky.truth, tmp_path / "training.parquet"))
    with pytest.raises(EvaluationError, match="trained elsewhere"):
        read_training_set(TrainingSky((str(sky.catalog),), labels), (19.0, 21.0), evaluated, labels)


def test_labels_of_another_sky_are_refused(tmp_path: Path) -> None:
    sky, other = made(tmp_path / "a", 1, 10.0), made(tmp_path / "b", 2, 20.0)
    labels = Labels.read(labels_of(other.truth, tmp_path / "other.parquet"))
    with pytest.raises(EvaluationError, match="give the labels of that sky"):
        read_training_set(
            TrainingSky((str(sky.catalog),), labels), (19.0, 21.0), joined(other, tmp_path), labels
        )


@pytest.mark.parametrize("other", [{"z_limit": 0.05}, {"simulated": False}])
def test_baselines_trained_for_something_else_are_refused(
    tmp_path: Path, other: dict[str, object]
) -> None:
    sky, judged = made(tmp_path / "a", 1, 10.0), made(tmp_path / "b", 2, 20.0)
    training = Labels.read(labels_of(sky.truth, tmp_path / "training.parquet", **other))  # type: ignore[arg-type]
    by = Labels.read(labels_of(judged.truth, tmp_path / "by.parquet"))
    with pytest.raises(EvaluationError, match="trained for what they are judged by"):
        read_training_set(
            TrainingSky((str(sky.catalog),), training), (19.0, 21.0), joined(judged, tmp_path), by
        )
