"""A calibration fitted on scored sources: which are taken, and what it gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from tests.evaluated_runs import labels_of
from xsaga.errors import EvaluationError
from xsaga.evaluation.exclusions import CONFLICT, TRAINING, UNKNOWN
from xsaga.evaluation.recalibration import (
    FEWEST,
    UNFAMILIAR,
    UNLABELLED,
    CalibrationSample,
    calibration_sample,
    recalibrate,
)
from xsaga.evaluation.truth import Labels


def made(count: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scored sources whose probabilities are too high and too bold, and their truth."""
    rng = np.random.default_rng(seed)
    lowz = rng.random(count) < 0.05
    right = rng.normal(np.where(lowz, 3.0, -3.0), np.sqrt(6)) + np.log(0.05 / 0.95)
    place = {
        "source_id": np.arange(count),
        "ra": 10 + 0.01 * (np.arange(count) % 400),
        "dec": 0.01 * (np.arange(count) // 400),
    }
    scored = pd.DataFrame(place).assign(
        logit=0.5 * right + 1, p_lowz=expit(1.6 * right + 1), score_flags=np.int32(0)
    )
    truth = pd.DataFrame(place).assign(
        z=np.where(lowz, 0.02, 0.2), is_lowz=lowz, kind="galaxy", right=right
    )
    return scored, truth


def labels(truth: pd.DataFrame, folder: Path, **given: bool) -> Labels:
    return Labels.read(labels_of(truth, folder / "labels.parquet", **given))


def test_only_scored_sources_of_known_class_are_taken(tmp_path: Path) -> None:
    scored, truth = made(4000, 1)
    truth["training"] = truth["source_id"] == 10
    truth["conflict"] = truth["source_id"].isin([10, 11, 12])  # the first reason counts
    truth.loc[truth["source_id"].isin([20, 21]), "z"] = np.nan
    truth.loc[truth["source_id"] == 21, "kind"] = "artefact"  # of known class without redshift
    scored.loc[scored["source_id"].isin([30, 31, 32, 33]), "score_flags"] = 32 | 1
    scored.loc[scored["source_id"] == 34, "score_flags"] = 1
    known = labels(truth[truth["source_id"] != 0], tmp_path)
    sample = calibration_sample(scored, known, "RUN")
    assert sample.left_out == {UNLABELLED: 1, UNKNOWN: 1, CONFLICT: 3, TRAINING: 0, UNFAMILIAR: 4}
    left = {0, 10, 11, 12, 20, 30, 31, 32, 33}
    taken = ~scored["source_id"].isin(left).to_numpy()
    np.testing.assert_array_equal(sample.logit, scored["logit"][taken])
    np.testing.assert_array_equal(sample.p_lowz, scored["p_lowz"][taken])
    np.testing.assert_array_equal(sample.positive, truth["is_lowz"][taken])


def test_labels_added_for_training_are_left_out(tmp_path: Path) -> None:
    scored, truth = made(2000, 2)
    truth["training"] = truth["source_id"] < 100
    sample = calibration_sample(scored, labels(truth, tmp_path), "RUN")
    assert sample.left_out[TRAINING] == 100
    assert len(sample.logit) == 1900


def test_the_new_probabilities_are_nearer_the_truth_in_the_same_order(tmp_path: Path) -> None:
    scored, truth = made(20_000, 3)
    result = recalibrate(calibration_sample(scored, labels(truth, tmp_path), "RUN"))
    p = result.calibration.probability(scored["logit"])
    right = expit(truth["right"].to_numpy())
    said = scored["p_lowz"].to_numpy()
    assert np.abs(p - right).mean() < 0.15 * np.abs(said - right).mean()
    np.testing.assert_array_equal(np.argsort(p), np.argsort(scored["logit"]))
    assert result.before.expected_calibration_error > 0.01
    assert result.after.expected_calibration_error < 0.004
    assert result.calibration.train_rate == truth["is_lowz"].mean()
    assert result.calibration.target_rate == result.calibration.train_rate
    # on sources that it was not fitted on, too
    others, their_truth = made(20_000, 4)
    again = result.calibration.probability(others["logit"])
    theirs = expit(their_truth["right"].to_numpy())
    assert np.abs(again - theirs).mean() < 0.15 * np.abs(others["p_lowz"] - theirs).mean()


def test_too_few_of_a_class_are_refused(tmp_path: Path) -> None:
    scored, truth = made(4000, 5)
    near = truth[truth["is_lowz"]]
    few = pd.concat([near.head(FEWEST - 1), truth[~truth["is_lowz"]]])
    with pytest.raises(EvaluationError, match=r"19 sources of RUN .* 20 of each needed"):
        calibration_sample(scored, labels(few, tmp_path), "RUN")
    with pytest.raises(EvaluationError, match="and 0 beyond"):
        calibration_sample(scored, labels(near, tmp_path), "RUN")
    enough = pd.concat([near.head(FEWEST), truth[~truth["is_lowz"]]])
    assert calibration_sample(scored, labels(enough, tmp_path), "RUN").positive.sum() == FEWEST


def test_labels_of_another_sky_are_refused(tmp_path: Path) -> None:
    scored, truth = made(4000, 6)
    with pytest.raises(EvaluationError, match="labels of another sky"):
        calibration_sample(scored, labels(truth.assign(ra=200.0), tmp_path), "RUN")


def test_scores_that_mean_the_reverse_are_refused() -> None:
    scored, truth = made(4000, 7)
    sample = CalibrationSample(
        -scored["logit"].to_numpy(),
        scored["p_lowz"].to_numpy(),
        truth["is_lowz"].to_numpy(),
        scored[["ra", "dec"]],
        {},
    )
    with pytest.raises(EvaluationError, match="higher scores are not more likely"):
        recalibrate(sample)
