from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import toy_network
from xsaga.errors import ModelError
from xsaga.imaging.rgb import viewer_rgb
from xsaga.model.architecture import Architecture
from xsaga.model.network import build_network, inference_copy
from xsaga.model.preprocess import Stretch
from xsaga.model.recipes import RECIPES, named_recipe
from xsaga.model.training import fit
from xsaga.model.xresnet import WhitenedConv, inverse_square_root

SMALL = Architecture(
    kind="xresnet", stem_channels=8, stage_channels=(8, 12), stage_blocks=(1, 1), dropout=0
)


def test_the_published_recipe_is_what_was_published() -> None:
    recipe = named_recipe("xsaga2022")
    settings = recipe.settings
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (10, 128, 1e-2)
    assert (settings.loss, settings.focal_gamma, settings.optimizer) == ("focal", 2.0, "ranger")
    assert set(dataclasses.asdict(settings.augmentation).values()) == {0}
    network = build_network(recipe.architecture)
    convolutions = [
        module
        for name, module in network.body.named_modules()  # type: ignore[union-attr]
        if isinstance(module, torch.nn.Conv2d) and "shortcut" not in name
    ]
    # 34 layers: 32 in the blocks, one in a plain stem, and the head.
    assert len(convolutions) + 2 == 34
    weights = sum(weight.numel() for weight in network.parameters())
    assert 21.2e6 < weights < 21.4e6


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean 'xsaga2022'"):
        named_recipe("xsaga2023")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_built_and_scores_cutouts(name: str) -> None:
    recipe = RECIPES[name]
    network = build_network(recipe.architecture).eval()
    images, _ = toy_cutouts(2, 144, seed=4)
    with torch.no_grad():
        logits = network(recipe.stretch.apply(torch.from_numpy(images)))
    assert logits.shape == (2,)
    assert torch.isfinite(logits).all()


def test_the_viewers_colours_are_those_of_the_pictures() -> None:
    images, _ = toy_cutouts(6, 24, seed=1, dtype=np.float32)
    images[0, :, :5] = 0
    images[1] *= 100
    levels = Stretch(kind="viewer").apply(torch.from_numpy(images)) * 255
    # Pictures have the colours last and north at the top.
    pictures = np.moveaxis(viewer_rgb(images), -1, 1)[:, :, ::-1]
    assert np.abs(levels.numpy() - pictures).max() <= 1
    assert (np.rint(levels.numpy()) == pictures).mean() > 0.999


def test_the_viewers_stretch_needs_its_bands() -> None:
    with pytest.raises(ModelError, match="g, r and z"):
        Stretch((0.1, 0.1), kind="viewer")
    with pytest.raises(ModelError, match="none of asinh, viewer"):
        Stretch(kind="linear")


def test_an_inverse_square_root_undoes_a_covariance() -> None:
    torch.manual_seed(1)
    factor = torch.randn(9, 9)
    matrix = factor @ factor.T / 9 + 0.1 * torch.eye(9)
    root = inverse_square_root(matrix, steps=20)
    torch.testing.assert_close(root @ matrix @ root.T, torch.eye(9), atol=1e-3, rtol=0)


def test_a_whitened_convolution_sees_unit_covariance_and_remembers_it() -> None:
    torch.manual_seed(2)
    layer = WhitenedConv(2, 4, 3)
    smooth = torch.nn.functional.avg_pool2d(torch.randn(32, 2, 36, 36), 3, stride=1) + 0.5
    for _ in range(200):
        before = layer(smooth)
    patches = torch.nn.functional.unfold(smooth, 3, padding=1, stride=3).transpose(0, 1).flatten(1)
    whitened = layer.whitening @ (patches - layer.mean[:, None])
    spread = torch.linalg.eigvalsh(whitened @ whitened.T / patches.shape[1])
    raw = torch.linalg.eigvalsh(torch.cov(patches))
    assert spread[-1] / spread[0] < 0.2 * raw[-1] / raw[0]
    layer.eval()
    torch.testing.assert_close(layer(smooth), before, atol=1e-3, rtol=1e-3)


def test_nothing_of_whitening_and_normalisation_is_left_in_the_copy_for_scoring() -> None:
    network = toy_network(SMALL, seed=3)
    copied = inference_copy(network, torch.device("cpu"), torch.float32)
    kinds = {type(module).__name__ for module in copied.modules()}
    assert not kinds & {"WhitenedConv", "BatchNorm2d", "ConvNorm"}


def test_the_published_recipe_learns_what_can_be_told_apart() -> None:
    images, wide = toy_cutouts(240, 32, seed=5)
    recipe = named_recipe("xsaga2022")
    settings = dataclasses.replace(recipe.settings, folds=2, members=1, epochs=10, batch_size=16)
    fitted = fit(
        images, wide, architecture=SMALL, stretch=recipe.stretch, settings=settings, device="cpu"
    )
    assert fitted.metrics["auc"] > 0.85
