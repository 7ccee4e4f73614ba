from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import toy_model
from xsaga.errors import ModelError
from xsaga.model.broken_cutouts import FAULTS, uncovered
from xsaga.model.card import read_card, write_card
from xsaga.model.novelty import FeatureSpace, Novelty, fit_feature_space, image_statistics
from xsaga.model.preprocess import Stretch
from xsaga.model.scoring import ScoreFlag, Scorer
from xsaga.model.weights import Model, load_model, save_model

SIZE = 48
SOFTENING = torch.tensor(Stretch().softening)[:, None, None]
CPU = torch.device("cpu")
Fitted = tuple[FeatureSpace, Novelty]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return toy_cutouts(1600, SIZE, seed=11)[0]


@pytest.fixture(scope="module")
def fitted(images: np.ndarray) -> Fitted:
    rows = np.arange(1600)
    model = toy_model()
    return fit_feature_space(
        model.networks[0],
        model.card.stretch,
        images,
        reference=rows[:800],
        held_out=rows[800:],
        device=CPU,
    )


@pytest.fixture(scope="module")
def model(fitted: Fitted) -> Model:
    toy = toy_model()
    card = dataclasses.replace(toy.card, novelty=fitted[1])
    return Model(card, toy.networks, fitted[0])


@pytest.fixture(scope="module")
def others() -> torch.Tensor:
    """Good cutouts that the feature space has never met."""
    return torch.from_numpy(toy_cutouts(300, SIZE, seed=12, dtype=np.float32)[0])


def _flagged(model: Model, images: torch.Tensor) -> float:
    scores = Scorer(model, device="cpu", precision="float32").score(images.numpy())
    return float((scores.flags & ScoreFlag.UNFAMILIAR > 0).mean())


def test_good_cutouts_are_familiar(model: Model, others: torch.Tensor) -> None:
    assert _flagged(model, others) <= 0.02
    # 200 uncovered images to learn from are few: on simulated skies it is below 0.01.
    assert _flagged(model, uncovered(others, torch.Generator().manual_seed(1))) <= 0.1


@pytest.mark.parametrize("name", FAULTS)
def test_broken_cutouts_are_not(model: Model, others: torch.Tensor, name: str) -> None:
    broken = FAULTS[name](others, SOFTENING, torch.Generator().manual_seed(2))
    assert broken.shape == others.shape
    assert _flagged(model, broken) >= 0.95


def test_the_card_states_what_is_measured(model: Model, others: torch.Tensor) -> None:
    novelty = model.card.novelty
    assert novelty is not None
    assert novelty.images == 400
    assert novelty.catches.keys() == FAULTS.keys()
    assert min(novelty.catches.values()) >= 0.95
    assert novelty.false_alarms["complete"] == pytest.approx(_flagged(model, others), abs=0.02)


def test_distances_do_not_depend_on_what_else_is_scored(model: Model, others: torch.Tensor) -> None:
    scorer = Scorer(model, device="cpu", precision="float32", batch_size=32)
    mixed = torch.cat([others[:40], torch.zeros(3, 3, SIZE, SIZE)]).numpy()
    together = scorer.score(mixed)
    apart = scorer.score(mixed, rows=np.array([42, 3, 17]))
    np.testing.assert_allclose(apart.distance, together.distance[[42, 3, 17]], rtol=1e-4)
    assert together.distance[40:].min() > 1
    assert np.isnan(together.p_lowz[40:]).all()  # nothing to score
    assert np.isfinite(together.p_lowz[:40]).all()


def test_a_feature_space_does_not_change_the_scores(model: Model, others: torch.Tensor) -> None:
    without = Scorer(toy_model(), device="cpu", precision="float32").score(others.numpy())
    with_space = Scorer(model, device="cpu", precision="float32").score(others.numpy())
    np.testing.assert_array_equal(without.p_lowz, with_space.p_lowz)
    np.testing.assert_array_equal(without.p_lowz_std, with_space.p_lowz_std)


def test_an_image_without_a_score_is_not_called_unfamiliar(
    model: Model, others: torch.Tensor
) -> None:
    image = others[:1].clone()
    image[0, 0, 5, 5] = torch.nan
    scores = Scorer(model, device="cpu", precision="float32").score(image.numpy())
    assert scores.flags.tolist() == [ScoreFlag.NOT_FINITE]
    assert np.isnan(scores.distance[0])


def test_a_model_keeps_its_feature_space(
    model: Model, fitted: Fitted, others: torch.Tensor, tmp_path: Path
) -> None:
    save_model(tmp_path / "toy", toy_model().card, model.networks, fitted)
    loaded = load_model(tmp_path / "toy")
    assert loaded.card.novelty == fitted[1]
    before, after = (
        Scorer(each, device="cpu", precision="float32").score(others.numpy())
        for each in (model, loaded)
    )
    np.testing.assert_array_equal(before.distance, after.distance)
    save_model(tmp_path / "plain", loaded.card, loaded.networks)
    assert load_model(tmp_path / "plain").feature_space is None


@pytest.mark.parametrize(
    ("key", "tensor", "message"),
    [
        ("features.mean", None, "is missing"),
        ("features.whitening", torch.zeros(24, 23), r"needs torch.float32 \(24, 24\)"),
        ("statistics.mean", torch.zeros(9, dtype=torch.float64), "torch.float64"),
        ("statistics.whitening", torch.full((9, 9), torch.nan), "not finite"),
        ("shadow", torch.zeros(1), "not part of"),
    ],
)
def test_a_feature_space_that_is_not_the_cards_is_refused(
    fitted: Fitted, tmp_path: Path, key: str, tensor: torch.Tensor | None, message: str
) -> None:
    toy = toy_model()
    save_model(tmp_path, toy.card, toy.networks, fitted)
    path = tmp_path / "weights.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors.pop(f"novelty.{key}", None)
    if tensor is not None:
        tensors[f"novelty.{key}"] = tensor
    safetensors.torch.save_file(tensors, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    card = read_card(tmp_path / "card.json")
    write_card(tmp_path / "card.json", dataclasses.replace(card, sha256=sha256))
    with pytest.raises(ModelError, match=rf"tensor '?novelty\.{key}'? .*{message}"):
        load_model(tmp_path)


def test_fitting_twice_gives_the_same(images: np.ndarray, fitted: Fitted) -> None:
    toy, rows = toy_model(), np.arange(1600)
    space, novelty = fit_feature_space(
        toy.networks[0],
        toy.card.stretch,
        images,
        reference=rows[:800],
        held_out=rows[800:],
        device=CPU,
    )
    assert novelty == fitted[1]
    assert torch.equal(space.features.whitening, fitted[0].features.whitening)


def test_images_that_cannot_be_learnt_from_are_refused(images: np.ndarray) -> None:
    toy, rows = toy_model(), np.arange(1600)
    options = {"device": CPU, "reference": rows[:800]}
    with pytest.raises(ModelError, match="99 held-out images are too few"):
        fit_feature_space(toy.networks[0], toy.card.stretch, images, held_out=rows[-99:], **options)
    spoilt = images.copy()
    spoilt[7, 0, 0, 0] = np.inf
    with pytest.raises(ModelError, match="image 7 is not finite"):
        fit_feature_space(toy.networks[0], toy.card.stretch, spoilt, held_out=rows[800:], **options)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ModelError, match="blank"):
        Novelty({"complete": 0.0}, {"blank": share}, 10)


@settings(max_examples=20, deadline=None)
@given(factor=st.sampled_from([0.25, 0.5, 2.0, 4.0]), seed=st.integers(0, 99))
def test_statistics_follow_units_and_softening_together(factor: float, seed: int) -> None:
    images = torch.from_numpy(toy_cutouts(4, SIZE, seed=seed, dtype=np.float32)[0])
    one = image_statistics(images, SOFTENING)
    other = image_statistics(images * factor, SOFTENING * factor)
    torch.testing.assert_close(one, other)


def test_statistics_pass_over_pixels_without_data() -> None:
    images = torch.randn(50, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    images = (images + 2) * SOFTENING
    covered, half = images.clone(), images.clone()
    half[..., : SIZE // 3] = 0
    one, other = image_statistics(covered, SOFTENING), image_statistics(half, SOFTENING)
    assert float((one - other).abs().mean()) < 0.1
    nothing = image_statistics(torch.zeros_like(images), SOFTENING)
    assert torch.isfinite(nothing).all()
    assert float((one - nothing)[:, :3].abs().min()) > 3
