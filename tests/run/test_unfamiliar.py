"""A run with a model that knows nothing like the sky it is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_runs import SIZE, SmallSky, status_of, targets_of, xsaga
from tests.toy_cutouts import toy_cutouts
from tests.toy_model import TINY, toy_card, toy_model
from xsaga.model.novelty import fit_feature_space
from xsaga.model.scoring import ScoreFlag
from xsaga.model.weights import save_model


@pytest.fixture(scope="module")
def run(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unfamiliar")
    model = toy_model(TINY, SIZE)
    rows = np.arange(400)
    novelty = fit_feature_space(
        model.networks[0],
        model.card.stretch,
        toy_cutouts(400, SIZE, seed=1)[0],
        reference=rows[:200],
        held_out=rows[200:],
        device=torch.device("cpu"),
    )
    card = dataclasses.replace(toy_card(TINY, SIZE), image_release=("xsaga-sim",))
    save_model(folder / "toy", card, model.networks, novelty)
    result = xsaga("run", *sky.options, "--weights", folder / "toy", "--out", folder / "RUN")
    assert result.exit_code == 0, result.output
    assert "cannot tell cutouts unlike" not in result.output
    return folder / "RUN"


def test_unfamiliar_sources_are_flagged_counted_and_kept(run: Path) -> None:
    targets = targets_of(run)
    flagged = (targets["score_flags"].to_numpy() & ScoreFlag.UNFAMILIAR) != 0
    assert flagged.mean() > 0.5  # the toys are blobs in white noise
    counts = status_of(run)["counts"]
    assert counts["unfamiliar"] == flagged.sum()
    assert counts["scored"] == len(targets)


def test_unfamiliar_sources_rank_last_unless_asked_otherwise(run: Path) -> None:
    targets = targets_of(run)
    flagged = (targets["score_flags"].to_numpy() & ScoreFlag.UNFAMILIAR) != 0
    assert (np.diff(flagged.astype(int)) >= 0).all()
    assert (targets["tier"][flagged] == 3).all()
    assert (targets["priority"][flagged] == 60).all()

    result = xsaga("rank", run, "--unfamiliar-by-p")
    assert f"{flagged.sum():,} of them unlike the training cutouts" in result.output
    by_p = targets_of(run)
    assert (np.diff(by_p["p_lowz"]) <= 0).all()
    assert xsaga("rank", run, "--unfamiliar-last").exit_code == 0
    pd.testing.assert_frame_equal(targets_of(run), targets)


def test_a_model_without_a_feature_space_says_so(sky: SmallSky, tmp_path: Path) -> None:
    result = xsaga("run", *sky.options, "--out", tmp_path / "RUN")
    assert "model toy cannot tell cutouts unlike those it was trained on" in result.output
    assert status_of(tmp_path / "RUN")["counts"]["unfamiliar"] == 0
