from __future__ import annotations

import pytest
import torch

from tests.toy_model import TINY, toy_network
from xsaga.errors import ModelError
from xsaga.model.network import Architecture, build_network, inference_copy

CPU = torch.device("cpu")
XRESNET = Architecture(kind="xresnet", stem_channels=4, stage_channels=(6, 8), stage_blocks=(1, 1))
EACH = pytest.mark.parametrize("architecture", [TINY, XRESNET], ids=["foveal", "xresnet"])


@EACH
@pytest.mark.parametrize("size", [33, 48])
def test_one_logit_per_image_that_other_images_do_not_change(
    architecture: Architecture, size: int
) -> None:
    network = toy_network(architecture, seed=1, size=size)
    images = torch.randn(5, 3, size, size)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert together.shape == (5,)
    assert together.std() > 1e-3
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_default_network_has_one_to_two_million_weights() -> None:
    weights = sum(weight.numel() for weight in build_network(Architecture()).parameters())
    assert 1e6 < weights < 2e6


@EACH
def test_the_logit_is_the_head_on_the_features(architecture: Architecture) -> None:
    network = toy_network(architecture, seed=5)
    images = torch.randn(3, 3, 48, 48)
    with torch.no_grad():
        features = network.features(images)
        assert features.shape == (3, network.head.in_features)
        torch.testing.assert_close(network(images), network.head(features)[:, 0])


def test_the_surround_of_the_centre_counts() -> None:
    network = toy_network(TINY, seed=6)
    empty = torch.zeros(1, 3, 48, 48)
    beside = empty.clone()
    beside[..., :8, 20:28] = 3
    with torch.no_grad():
        assert (network(beside) - network(empty)).abs() > 1e-3


@EACH
def test_the_copy_for_scoring_gives_the_same_logits_and_leaves_the_original(
    architecture: Architecture,
) -> None:
    network = toy_network(architecture, seed=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.randn(4, 3, 48, 48)
    with torch.no_grad():
        wanted = network(images)
        fused = inference_copy(network, CPU, torch.float32)(images)
    torch.testing.assert_close(fused, wanted, rtol=1e-4, atol=1e-4)
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(before[name], kept) for name, kept in network.state_dict().items())


def test_the_centre_counts_more_than_the_edge() -> None:
    network = toy_network(TINY, seed=3)
    empty = torch.zeros(1, 3, 48, 48)
    centred, cornered = empty.clone(), empty.clone()
    centred[..., 20:28, 20:28] = 3
    cornered[..., 4:12, 4:12] = 3
    with torch.no_grad():
        zero = network(empty)
        assert (network(centred) - network(cornered)).abs() > 0.01 * zero.abs().clamp(min=0.1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"stage_channels": (8,)}, "stage_blocks"),
        ({"stem_channels": 0}, "channels"),
        ({"stage_blocks": (1, 1, 1, 0)}, "stage_blocks"),
        ({"stage_channels": (8, 8, 8, 10**9)}, "channels"),
        ({"dropout": 1.0}, "dropout"),
        ({"centre_width": float("nan")}, "centre_width"),
        ({"kind": "transformer"}, "none of foveal, xresnet"),
        ({"surround_channels": ()}, "surround_channels"),
        ({"surround_channels": (0,)}, "channels"),
        ({"centre_share": 0.0}, "centre_share"),
        ({"photometry": -1}, "photometry"),
        ({"photometry": 7, "kind": "xresnet"}, "takes no photometry"),
    ],
)
def test_an_impossible_architecture_is_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        Architecture(**wrong)  # type: ignore[arg-type]
