"""How fast a model scores here: the plain networks, an engine alone, from memory, from a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec, CutoutStatus
from xsaga.imaging.store import CutoutWriter, StoredCutouts, StoreDtype, read_cutouts
from xsaga.model.device import exact_float32
from xsaga.model.engine_trial import drawn_images
from xsaga.model.images import ImageArray
from xsaga.model.scoring import Scorer
from xsaga.model.weights import Model
from xsaga.paths import TilePaths

PLAIN_BATCH = 64
"""Images that the plain networks run at once."""


@dataclass(frozen=True)
class ScoringSpeed:
    """Images per second of one scorer.

    Parameters
    ----------
    bare : float
        Its engine alone, on batches that lie on its device: the most that scoring could reach.
    memory, store : float
        `Scorer.score` of images in memory, and of the store of a tile, checksums included.
    """

    bare: float
    memory: float
    store: float


@dataclass(frozen=True)
class ScoringSpeeds:
    """What was measured.

    Parameters
    ----------
    plain : float
        Images per second of the members as they were trained: torch in float32, contiguous,
        nothing folded, on one stretched batch that lies on the device.
    stored : float
        Cutouts put into a store per second.
    scorers : mapping of str to ScoringSpeed
        By the names given.
    """

    plain: float
    stored: float
    scorers: Mapping[str, ScoringSpeed]


def measure_scoring(
    model: Model,
    scorers: Mapping[str, Scorer],
    *,
    images: int,
    rounds: int = 3,
    dtype: StoreDtype = "float16",
    folder: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> ScoringSpeeds:
    """Measure scorers in turn, so that what else the machine does falls on all alike.

    Parameters
    ----------
    model : Model
        What is scored with.
    scorers : mapping of str to Scorer
        Of `model`, by any names.
    images : int
        Drawn cutouts that are stored, and scored each time.
    rounds : int
        The fastest of which counts, after one to warm up.
    dtype : {'float16', 'float32'}
        Of the store.
    folder : Path, optional
        Where the store is made; by default the system's temporary folder.
    clock : callable
        Gives seconds.
    """
    with TemporaryDirectory(dir=folder, prefix=".bench-") as scratch:
        drawn = drawn_images(model.card, min(images, 1024))
        drawn = np.resize(drawn, (images, *drawn.shape[1:]))
        begun = clock()
        stored = _store(drawn, model, Path(scratch), dtype)
        writing = clock() - begun
        works: dict[tuple[str, str], tuple[Callable[[], object], int]] = {}
        some = drawn[:PLAIN_BATCH]
        device = next(iter(scorers.values())).device
        works["", "plain"] = (_plain_loop(model, some, device), len(some))
        for name, scorer in scorers.items():
            works[name, "bare"] = (scorer.bare_loop(drawn), images)
            works[name, "memory"] = (_scored(scorer, drawn), images)
            works[name, "store"] = (_scored(scorer, stored.checked), images)
        seconds = dict.fromkeys(works, np.inf)
        for number in range(rounds + 1):
            for what, (work, _) in works.items():
                begun = clock()
                work()
                if number:
                    seconds[what] = min(seconds[what], clock() - begun)
        rate = {what: count / max(seconds[what], 1e-9) for what, (_, count) in works.items()}
        del stored, works  # an open file cannot be removed everywhere
    return ScoringSpeeds(
        plain=rate["", "plain"],
        stored=images / max(writing, 1e-9),
        scorers={
            name: ScoringSpeed(rate[name, "bare"], rate[name, "memory"], rate[name, "store"])
            for name in scorers
        },
    )


def _store(
    images: NDArray[np.float16], model: Model, folder: Path, dtype: StoreDtype
) -> StoredCutouts:
    """Put images into a store as a run does, some at a time."""
    paths, count = TilePaths(folder / "tile"), len(images)
    spec = CutoutSpec(model.card.size, model.card.pixel_scale, model.card.bands)
    with CutoutWriter(paths, np.arange(count), spec, dtype) as writer:
        for start in range(0, count, PLAIN_BATCH):
            some = images[start : start + PLAIN_BATCH]
            writer.put(
                CutoutBatch(
                    index=np.arange(start, start + len(some)),
                    images=some.astype(np.float32),
                    coverage=np.ones((len(some), len(spec.bands)), np.float32),
                    status=np.full(len(some), CutoutStatus.OK, np.int8),
                    reason=[""] * len(some),
                    origin=["noise"] * len(some),
                )
            )
    return read_cutouts(paths)


def _plain_loop(
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
            answers = [member(batch) for member in members]
            answers[-1].cpu()  # waits for a GPU

    return work


def _scored(scorer: Scorer, images: ImageArray) -> Callable[[], object]:
    return lambda: scorer.score(images)
