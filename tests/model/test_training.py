from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import TINY
from xsaga.errors import ModelError
from xsaga.model.architecture import Architecture
from xsaga.model.card import TrainingSet
from xsaga.model.device import PrecisionChoice
from xsaga.model.fit_settings import FitSettings
from xsaga.model.folds import assign_folds
from xsaga.model.inference import BatchedNetworks
from xsaga.model.scoring import Scorer
from xsaga.model.training import EpochRecord, fit
from xsaga.model.weights import load_model, save_model

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

FOVEAL = Architecture(
    stem_channels=6, stage_channels=(8, 12), stage_blocks=(1, 1), surround_channels=(6, 8)
)
QUICK = FitSettings(members=2, folds=2, epochs=3, batch_size=16, learning_rate=1e-2, seed=3)


def test_a_separable_problem_is_learnt_saved_and_scored(tmp_path: Path) -> None:
    images, wide = toy_cutouts(160, 32, seed=11)
    np.save(tmp_path / "images.npy", images)
    seen: list[EpochRecord] = []
    result = fit(
        np.load(tmp_path / "images.npy", mmap_mode="r"),
        wide,
        architecture=TINY,
        settings=QUICK,
        device="cpu",
        progress=seen.append,
    )
    assert result.metrics["auc"] > 0.9
    assert tuple(seen) == result.history
    assert [(record.member, record.epoch) for record in seen] == [
        (member, epoch) for member in range(2) for epoch in range(3)
    ]
    assert seen[2].loss < 0.6 * seen[0].loss
    assert np.isfinite(result.held_out_logit).all()
    assert result.calibration.train_rate == pytest.approx(wide.mean())

    card = result.card(
        name="blobs",
        version="1",
        kind="toy",
        simulated=True,
        bands=("g", "r", "z"),
        pixel_scale=0.262,
        size=32,
        image_release=("simulated",),
        training_set=TrainingSet("toy blobs", {"images": 160.0}),
        created="2026-01-01",
    )
    save_model(tmp_path / "blobs", card, result.networks)
    fresh, fresh_wide = toy_cutouts(60, 32, seed=12)
    scores = Scorer(load_model(tmp_path / "blobs"), device="cpu").score(fresh)
    assert scores.p_lowz[fresh_wide].mean() > 3 * scores.p_lowz[~fresh_wide].mean()


def test_bf16_learns_too() -> None:
    images, wide = toy_cutouts(160, 32, seed=11)
    result = fit(images, wide, architecture=TINY, settings=QUICK, device="cpu", precision="bf16")
    assert np.isfinite(result.held_out_logit).all()
    assert all(np.isfinite(record.loss) for record in result.history)
    assert all(
        tensor.dtype != torch.bfloat16 for tensor in result.networks[0].state_dict().values()
    )
    assert result.metrics["auc"] > 0.9
    exact = fit(images, wide, architecture=TINY, settings=QUICK, device="cpu", precision="float32")
    assert (exact.held_out_logit != result.held_out_logit).any()


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_training_twice_on_a_gpu_gives_the_same_bytes(precision: PrecisionChoice) -> None:
    images, wide = toy_cutouts(160, 32, seed=11)
    one, two = (
        fit(images, wide, architecture=small, settings=QUICK, device="cuda", precision=precision)
        for small in (FOVEAL, FOVEAL)
    )
    assert one.metrics["auc"] > 0.9
    for first, second in zip(one.networks, two.networks, strict=True):
        states = (first.state_dict(), second.state_dict())
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    np.testing.assert_array_equal(one.held_out_logit, two.held_out_logit)


def test_the_seed_decides_everything() -> None:
    images, wide = toy_cutouts(80, 32, seed=13)
    one = FitSettings(members=1, folds=2, epochs=1, batch_size=16, seed=1)
    other = FitSettings(members=1, folds=2, epochs=1, batch_size=16, seed=2)
    first, second, third = (
        fit(images, wide, architecture=TINY, settings=settings, device="cpu", precision="float32")
        for settings in (one, one, other)
    )
    states = [run.networks[0].state_dict() for run in (first, second, third)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])
    np.testing.assert_array_equal(first.held_out_logit, second.held_out_logit)
    assert first.history == second.history


def test_training_leaves_torchs_own_generator_alone() -> None:
    images, wide = toy_cutouts(64, 32, seed=14)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    settings = FitSettings(members=1, folds=2, epochs=1, batch_size=16)
    fit(images, wide, architecture=TINY, settings=settings, device="cpu")
    assert torch.equal(torch.rand(3), wanted)


def test_a_training_image_that_is_not_finite_is_named() -> None:
    images, wide = toy_cutouts(64, 32, seed=15)
    images[17, 1, 3, 4] = np.nan
    for folds in (2, 3):
        settings = FitSettings(members=1, folds=folds, epochs=1, batch_size=16)
        with pytest.raises(ModelError, match="image 17"):
            fit(images, wide, architecture=TINY, settings=settings, device="cpu")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((8, 3, 32, 32)), np.zeros(7), "labels of shape"),
        (np.zeros((8, 2, 32, 32)), np.zeros(8), "images of shape"),
        (np.zeros((8, 3, 32, 32)), np.zeros(8), "only one class"),
        (np.zeros((1, 3, 32, 32)), np.zeros(1), "1 groups cannot make"),
    ],
)
def test_data_that_cannot_be_learnt_from_are_refused(
    images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        fit(images, labels, architecture=TINY, settings=QUICK, device="cpu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": 4},
        {"members": 1, "folds": 1},
        {"epochs": 0},
        {"batch_size": 1},
        {"target_rate": 0.0},
        {"learning_rate": -1.0},
        {"loss": "hinge"},
        {"sampling": "clever"},
        {"optimizer": "sgd"},
        {"focal_gamma": -1.0},
        {"positive_weight": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="training"):
        FitSettings(**wrong)  # type: ignore[arg-type]


@given(
    groups=st.lists(st.integers(0, 30), min_size=40, max_size=200),
    folds=st.integers(2, 4),
    seed=st.integers(0, 9),
)
def test_folds_keep_groups_together(groups: list[int], folds: int, seed: int) -> None:
    if len(set(groups)) < folds:
        with pytest.raises(ModelError, match="cannot make"):
            assign_folds(len(groups), groups, folds, seed)
        return
    fold = assign_folds(len(groups), groups, folds, seed)
    assert set(fold) <= set(range(folds))
    assert len(set(zip(groups, fold, strict=True))) == len(set(groups))


def test_folds_of_single_images_are_of_equal_size() -> None:
    assert np.bincount(assign_folds(1000, None, 4, seed=1)).tolist() == [250] * 4


def test_what_is_called_strange_is_unfamiliar_although_it_is_learnt_from() -> None:
    images, wide = toy_cutouts(600, 32, seed=41)
    strange = np.arange(600) % 10 == 0
    images[strange] *= -20
    flagged = []
    for told in (strange, None):
        result = fit(
            images,
            wide,
            strange=told,
            architecture=TINY,
            settings=dataclasses.replace(QUICK, members=1, epochs=1),
            device="cpu",
        )
        assert result.novelty is not None
        space, _ = result.novelty
        networks = BatchedNetworks(
            result.networks,
            result.stretch,
            device=torch.device("cpu"),
            precision="float32",
            feature_space=space,
        )
        distance = networks.logits_and_distances(images)[1]
        flagged.append((distance > 1)[strange].mean())
    assert flagged[0] > 0.9
    assert flagged[1] < 0.2
