"""Which engine is the fastest on this machine: a short measured trial, remembered.

Every engine scores the same drawn images; one whose logits are not those of torch, operation by
operation in float32, is out. What is found is kept in the user's cache folder, in a file of its
own for each machine, model and setting; a file that cannot be read is made anew.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray

from xsaga.errors import XsagaError
from xsaga.model.card import ModelCard
from xsaga.model.device import Precision, processor_name
from xsaga.model.engines import EngineName, installed_engines
from xsaga.model.inference import BatchedNetworks
from xsaga.model.weights import Model
from xsaga.paths import placed
from xsaga.reading import read_json

TOLERANCE: dict[Precision, float] = {"float32": 1e-3, "bf16": 0.3, "float16": 0.05}
"""Largest difference of a logit, or relative of a distance, from torch in float32. Logits are of
order 1 to 10: the rounding of float32 is 1e-5, of bf16 some 0.05."""

IMAGES = 64
"""That are drawn at least; each engine runs all of them in each round."""

MANY = 20_000
"""Images for which an engine is chosen: some take long to begin."""

ROUNDS = 3
MOST_SECONDS = 4.0
"""After which no new round is begun."""

MARGIN = 1.05
"""How much faster than torch another engine must be."""

Make = Callable[[EngineName], BatchedNetworks]


@dataclass(frozen=True)
class Trial:
    """What a trial found.

    Parameters
    ----------
    engine : EngineName
        The one of those that are right which is through `MANY` images first.
    rates : mapping of EngineName to float
        Images per second of each engine that is right.
    beginnings : mapping of EngineName to float
        Seconds until its first batch was done.
    """

    engine: EngineName
    rates: Mapping[EngineName, float]
    beginnings: Mapping[EngineName, float]


def fastest_engine(
    model: Model,
    make: Make,
    *,
    device: torch.device,
    precision: Precision,
    batch_size: int | None,
    folder: Path | None = None,
) -> EngineName:
    """Find the fastest engine: the only one, the one that is remembered, or by a trial.

    Parameters
    ----------
    model : Model
        What is scored with.
    make : callable
        Makes the networks ready on an engine.
    device : torch.device
        Where.
    precision : Precision
        Of the convolutions.
    batch_size : int, optional
        As asked for.
    folder : Path, optional
        Where trials are remembered; ``engines`` in the user's cache folder if not given.
    """
    engines = installed_engines(device)
    if precision != "float32":  # OpenVINO would round all it computes
        engines = tuple(name for name in engines if name != "openvino")
    if len(engines) == 1:
        return engines[0]
    key = {
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in ("xsaga", "torch", "numpy", *engines[1:])},
        "model": [model.card.name, model.card.version, model.card.sha256],
        "architecture": repr(model.card.architecture),
        "members": len(model.networks),
        "size": model.card.size,
        "batch_size": batch_size,
        "precision": precision,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    folder = folder or platformdirs.user_cache_path("xsaga") / "engines"
    path = folder / f"{digest[:16]}.json"
    known = _remembered(path, key, engines)
    if known is not None:
        return known
    trial = try_engines(model, make, engines, device=device, precision=precision)
    try:
        with placed(path) as temporary:
            content = {
                "engine": trial.engine,
                "images_per_second": dict(trial.rates),
                "seconds_to_begin": dict(trial.beginnings),
                "key": key,
            }
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError:  # a home that cannot be written: tried again next time
        pass
    return trial.engine


def _remembered(
    path: Path, key: Mapping[str, object], engines: tuple[EngineName, ...]
) -> EngineName | None:
    try:
        content = read_json(path)
        if content["key"] != json.loads(json.dumps(key)):
            return None
        return next((name for name in engines if name == content["engine"]), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def try_engines(
    model: Model,
    make: Make,
    engines: tuple[EngineName, ...],
    *,
    device: torch.device,
    precision: Precision,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Measure engines in turn, the first of which is torch.

    Parameters
    ----------
    model : Model
        What is scored with.
    make : callable
        Makes the networks ready on an engine.
    engines : tuple of EngineName
        Which to try.
    device : torch.device
        Where.
    precision : Precision
        Of the convolutions.
    clock : callable
        Gives seconds.
    """
    exact = BatchedNetworks(
        model.networks,
        model.card.stretch,
        device=device,
        precision="float32",
        feature_space=model.feature_space,
    )
    drawn = drawn_images(model.card, IMAGES)
    wanted = exact.logits_and_distances(drawn)
    ready: dict[EngineName, BatchedNetworks] = {}
    beginnings: dict[EngineName, float] = {}
    for name in engines:
        begun = clock()
        try:
            networks = make(name)
            right = _agree(networks.logits_and_distances(drawn), wanted, TOLERANCE[precision])
        except (RuntimeError, XsagaError):  # what a converter does not know, or was broken by
            if name == engines[0]:
                raise
            right = False
        if right or name == engines[0]:
            ready[name], beginnings[name] = networks, round(clock() - begun, 2)
    # enough for all batches that are in flight at a time
    count = max(IMAGES, *(each.engine.batch_size * each.engine.slots for each in ready.values()))
    images = np.resize(drawn, (count, *drawn.shape[1:]))
    seconds = dict.fromkeys(ready, np.inf)
    ends = clock() + MOST_SECONDS
    for _ in range(ROUNDS):
        for name, networks in ready.items():
            begun = clock()
            networks.logits(images)
            seconds[name] = min(seconds[name], clock() - begun)
        if clock() > ends:
            break
    rates = {name: round(count / max(taken, 1e-9), 1) for name, taken in seconds.items()}

    def whole(name: EngineName) -> float:
        margin = 1 if name == engines[0] else MARGIN
        return margin * (beginnings[name] + MANY / rates[name])

    return Trial(min(rates, key=whole), rates, beginnings)


def drawn_images(card: ModelCard, count: int) -> NDArray[np.float16]:
    """Draw cutouts of noise with a source in the middle, of the size that a model needs.

    Returns
    -------
    ndarray of float16, shape (count, bands, size, size)
        Nanomaggies per pixel; the same for the same card and count.
    """
    random = np.random.default_rng(0)
    level = np.array(card.stretch.softening, dtype=np.float32)[:, None, None]
    offset = (np.arange(card.size, dtype=np.float32) - (card.size - 1) / 2) / (card.size / 16)
    source = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2))
    images = np.empty((count, len(card.bands), card.size, card.size), dtype=np.float16)
    for number in range(count):
        noise = random.standard_normal(images.shape[1:], dtype=np.float32)
        images[number] = (noise + source * 10 ** random.uniform(0, 2)) * level
    return images


def _agree(
    found: tuple[NDArray[np.float32], ...], wanted: tuple[NDArray[np.float32], ...], near: float
) -> bool:
    logits, distance = (
        np.allclose(one, other, rtol=relative, atol=near, equal_nan=True)
        for one, other, relative in zip(found, wanted, (0, near), strict=True)
    )
    return logits and distance


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "unknown"
