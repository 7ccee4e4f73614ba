"""How well a model tells cutouts that are unlike its training, and what that costs.

Run ``python benchmarks/novelty.py MODEL CUTOUTS.npy … [--images 1000]``, where MODEL is a shipped
name or a folder and each file holds good cutouts (N, 3, size, size) in nanomaggies per pixel that
the model has never seen, for example a tile's ``cutouts.npy`` of another sky. It prints a Markdown
table: the share that is flagged UNFAMILIAR of the good cutouts, of the same with up to half of
their pixels uncovered, and of the same with each fault of `xsaga.model.broken_cutouts`. Two faults
are measured here that no card promises to catch: pixels 1.5 times as coarse with values
interpolated, and sky noise without a source.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from xsaga.model.broken_cutouts import FAULTS, Fault, uncovered
from xsaga.model.inference import BatchedNetworks
from xsaga.model.scoring import ScoreFlag, Scorer
from xsaga.model.weights import Model, load_model


def interpolated(images: torch.Tensor, _soft: torch.Tensor, _: torch.Generator) -> torch.Tensor:
    """Sample 1.5 times as coarsely by interpolation; beyond the cutout its mirror image."""
    size = images.shape[-1]
    inner = int(size / 1.5)
    sampled = functional.interpolate(
        images, size=(inner, inner), mode="bilinear", align_corners=True
    )
    low = (size - inner) // 2
    edges = (low, size - inner - low, low, size - inner - low)
    return functional.pad(sampled, edges, mode="reflect")


def only_noise(images: torch.Tensor, soft: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Give white noise of the survey's nominal depth."""
    return torch.randn(images.shape, generator=random) * soft


OTHERS: dict[str, Fault] = {"pixels × 1.5, interpolated": interpolated, "only noise": only_noise}


def flagged(scorer: Scorer, images: torch.Tensor) -> float:
    """Give the share of images that is flagged."""
    flags = scorer.score(images.half().numpy()).flags
    return float(np.mean((flags & ScoreFlag.UNFAMILIAR) != 0))


def cost(model: Model, scorer: Scorer, images: np.ndarray, repeats: int = 5) -> float:
    """Give the share of the time of scoring that telling unfamiliar cutouts takes."""
    plain, telling = (
        BatchedNetworks(
            model.networks,
            model.card.stretch,
            device=scorer.device,
            precision=scorer.precision,
            feature_space=space,
        )
        for space in (None, model.feature_space)
    )
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(repeats + 1):  # in turn, so that a busy machine slows both
        for which, networks in enumerate((plain, telling)):
            begun = time.process_time() if scorer.device.type == "cpu" else time.perf_counter()
            networks.logits(images)
            ended = time.process_time() if scorer.device.type == "cpu" else time.perf_counter()
            seconds[which].append(ended - begun)
    return min(seconds[1][1:]) / min(seconds[0][1:]) - 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("cutouts", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()

    model = load_model(options.model)
    if model.feature_space is None:
        parser.error(f"model {model.card.name} has no feature space")
    scorer = Scorer(model)
    softening = torch.tensor(model.card.stretch.softening)[:, None, None]
    shares: list[list[float]] = []
    for path in options.cutouts:
        stored = np.load(path, mmap_mode="r")
        rows = np.linspace(0, len(stored) - 1, min(options.images, len(stored))).astype(int)
        good = torch.from_numpy(np.array(stored[rows], dtype=np.float32))
        random = torch.Generator().manual_seed(1)
        shares.append(
            [flagged(scorer, good), flagged(scorer, uncovered(good, random))]
            + [
                flagged(scorer, fault(good, softening, random))
                for fault in (*FAULTS.values(), *OTHERS.values())
            ]
        )
    names = ["good", "good, partly uncovered", *FAULTS, *OTHERS]
    print(f"{model.card.name} {model.card.version}; {scorer.device}, {scorer.precision}\n")
    print(f"| share flagged | {' | '.join(path.parent.name for path in options.cutouts)} |")
    print(f"|---|{'---|' * len(shares)}")
    for place, name in enumerate(names):
        print(f"| {name} | {' | '.join(f'{each[place]:.1%}' for each in shares)} |")
    share = cost(model, scorer, good.half().numpy()[:512])
    print(
        f"\nIt takes {share:.1%} of the time that scoring with {model.card.members} members does."
    )


if __name__ == "__main__":
    main()
