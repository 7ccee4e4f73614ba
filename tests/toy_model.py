"""Small models with random weights, and their cards."""

from __future__ import annotations

import functools

import torch

from xsaga.model.calibration import Calibration
from xsaga.model.card import ModelCard, TrainingSet
from xsaga.model.network import Architecture, CutoutNetwork, build_network
from xsaga.model.preprocess import Stretch
from xsaga.model.weights import Model

TINY = Architecture(
    kind="foveal",
    stem_channels=4,
    stage_channels=(8, 12),
    stage_blocks=(1, 1),
    surround_channels=(4, 6),
    features=24,
)


def toy_network(architecture: Architecture, seed: int, size: int = 48) -> CutoutNetwork:
    """Build a random network whose normalisations have seen some images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.0)
        torch.nn.init.normal_(network.head.weight, std=0.3)
        with torch.no_grad():
            for _ in range(4):
                network(torch.randn(16, architecture.bands, size, size))
    return network.eval()


def toy_card(architecture: Architecture = TINY, size: int = 48, members: int = 2) -> ModelCard:
    """Describe a model of random weights."""
    return ModelCard(
        name="toy",
        version="1",
        kind="random weights",
        simulated=True,
        architecture=architecture,
        members=members,
        bands=("g", "r", "z"),
        pixel_scale=0.262,
        size=size,
        field_of_view=size * 0.262,
        stretch=Stretch(),
        image_release=("ls-dr9", "simulated"),
        training_set=TrainingSet("none at all", {"images": 0.0}),
        metrics={"auc": 0.5},
        calibration=Calibration(0.9, -0.1, train_rate=0.3, target_rate=0.1),
        xsaga_version="0",
        created="2026-01-01",
    )


@functools.cache
def toy_model(architecture: Architecture = TINY, size: int = 48, members: int = 2) -> Model:
    """Make a model of random weights in memory."""
    networks = tuple(toy_network(architecture, seed, size) for seed in range(members))
    return Model(toy_card(architecture, size, members), networks)
