"""How fast a model scores on this machine: each engine's bare loop, from memory, from disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from xsaga.model.device import exact_float32
from xsaga.model.engine_trial import drawn_images
from xsaga.model.images import ImageArray
from xsaga.model.scoring import Scorer
from xsaga.model.weights import Model

_BASELINE_BATCH = 64


@dataclass(frozen=True)
class ScoringRates:
    """Images per second of one scorer.

    Parameters
    ----------
    bare : float
        Its engine alone, on batches that lie in its buffers: what scoring could reach at best.
    memory, disk : float
        `Scorer.score` of images in memory, and of a memory-mapped file.
    """

    bare: float
    memory: float
    disk: float


@dataclass(frozen=True)
class Cost:
    """What the members do for one image.

    Parameters
    ----------
    flops : float
        Floating-point operations of convolutions and matrix products.
    bytes : float
        Read and written by all layers in float32, were nothing kept in a cache.
    """

    flops: float
    bytes: float


def measure_scoring(
    scorers: Mapping[str, Scorer],
    model: Model,
    *,
    images: int = 512,
    rounds: int = 3,
    baseline: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float | None, dict[str, ScoringRates]]:
    """Measure scorers in turn, so that what else the machine does falls on all alike.

    Parameters
    ----------
    scorers : mapping of str to Scorer
        Of `model`.
    model : Model
        What they score with.
    images : int
        Drawn cutouts that are scored each time.
    rounds : int
        The fastest of which counts, after one to warm up.
    baseline : bool
        Whether to measure the plain networks, too.
    clock : callable
        Gives seconds.

    Returns
    -------
    baseline : float or None
        Images per second of the members as they were trained: torch in float32, contiguous,
        nothing folded, on a stretched batch in memory.
    rates : dict of str to ScoringRates
        For each scorer.
    """
    drawn = drawn_images(model.card, images)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cutouts.npy"
        np.save(path, drawn)
        disk = np.load(path, mmap_mode="r")
        works: dict[tuple[str, str], tuple[Callable[[], object], int]] = {}
        if baseline:
            some = drawn[:_BASELINE_BATCH]
            device = next(iter(scorers.values())).device
            works["", "baseline"] = (plain_loop(model, some, device), len(some))
        for name, scorer in scorers.items():
            works[name, "bare"] = (scorer.bare_loop(drawn), images)
            works[name, "memory"] = (_scored(scorer, drawn), images)
            works[name, "disk"] = (_scored(scorer, disk), images)
        seconds = dict.fromkeys(works, np.inf)
        for number in range(rounds + 1):
            for what, (work, _) in works.items():
                begun = clock()
                work()
                if number:
                    seconds[what] = min(seconds[what], clock() - begun)
        rate = {what: count / seconds[what] for what, (_, count) in works.items()}
        del disk
    return rate.get(("", "baseline")), {
        name: ScoringRates(rate[name, "bare"], rate[name, "memory"], rate[name, "disk"])
        for name in scorers
    }


def plain_loop(
    model: Model, images: NDArray[np.floating], device: torch.device
) -> Callable[[], object]:
    """Give a call that runs the members, as they were trained, on one stretched batch."""
    members = [
        deepcopy(each).float().eval().to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for each in model.networks
    ]
    batch = model.card.stretch.apply(torch.from_numpy(images).to(device)).contiguous()

    def work() -> None:
        with torch.inference_mode(), exact_float32(device):
            for member in members:
                answer = member(batch)
            answer.cpu()  # waits for a GPU

    return work


def _scored(scorer: Scorer, images: ImageArray) -> Callable[[], object]:
    return lambda: scorer.score(images)


def cost_of(model: Model) -> Cost:
    """Count what the members do for one image, without photometry."""
    card = model.card
    image = torch.zeros(1, len(card.bands), card.size, card.size)
    moved = 0

    def count(module: torch.nn.Module, given: tuple[Any, ...], answer: torch.Tensor) -> None:
        nonlocal moved
        del module
        tensors = [each for each in (*given, answer) if isinstance(each, torch.Tensor)]
        moved += sum(each.numel() * 4 for each in tensors)

    with ExitStack() as stack:
        for member in model.networks:
            for module in member.modules():
                if not list(module.children()):
                    stack.callback(module.register_forward_hook(count).remove)
        flops = stack.enter_context(FlopCounterMode(display=False))
        stack.enter_context(torch.inference_mode())
        for member in model.networks:
            member.cpu().eval()(image)
    return Cost(float(flops.get_total_flops()), float(moved))
