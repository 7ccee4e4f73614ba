"""Compare losses, samplings, networks and recipes on the same labelled cutouts and budget.

    python benchmarks/training_choices.py TRAINING --labels FILE [--epochs 6 | --minutes 10]

TRAINING is a folder of `xsaga train` that has its cutouts. One network is trained per choice, on
two of three parts of the sky, and judged on the third. ``--epochs`` gives each choice as many
images to see; ``--minutes`` gives each as much time instead (at least one epoch). ``--r-min`` and
``--r-max`` must be those of the training. The table says
purity at 90 % completeness (± the standard deviation over bootstrap samples of the patches of
sky), average precision and AUC, all at the mix of the labels; images per second of training,
augmentation and reading included; and of the bare network in batches of 64, float32.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.catalog.label_file import read_labels
from xsaga.catalog.redshift_catalogs import MORPHOLOGY
from xsaga.model.architecture import Architecture
from xsaga.model.augmentation import Augmentation
from xsaga.model.metrics import average_precision, purity_at_completeness
from xsaga.model.network import build_network, inference_copy
from xsaga.model.photometry import catalog_photometry
from xsaga.model.recipes import RECIPES, Recipe
from xsaga.model.training import fit
from xsaga.run.training_cutouts import (
    LabelledCutouts,
    labelled_cutouts,
    only_judged,
    side_tasks,
    usable_labels,
)
from xsaga.run.training_folder import TrainingPaths

BOOTSTRAPS = 200
PLAIN = Augmentation(shift=0, blur=0, noise=0, background=0)


def main() -> None:
    """Train, judge and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("training", type=Path)
    arguments.add_argument("--labels", type=Path, required=True)
    arguments.add_argument("--r-min", type=float)
    arguments.add_argument("--r-max", type=float)
    arguments.add_argument("--objects", type=int, help="use only so many, drawn by chance")
    arguments.add_argument("--epochs", type=int, default=6)
    arguments.add_argument("--minutes", type=float, help="time for each choice, not epochs")
    arguments.add_argument("--only", nargs="*", help="names of choices")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()

    known = some_objects(given)
    near = int(known.labels["is_lowz"].sum())
    print(f"{len(known.labels)} objects, {near} of them at z < 0.03, thirds by patch of sky;")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, seed {given.seed}\n")
    print("| choice | purity at 90 % | AP | AUC | epochs | training s | images/s | bare images/s |")
    print("|---|---|---|---|---|---|---|---|")
    for choice in choices():
        if not given.only or choice.name in given.only:
            print(judged(choice, known, given), flush=True)


@dataclass(frozen=True)
class Choice:
    """A way to train."""

    name: str
    recipe: Recipe
    morphology: bool = True


def choices() -> Iterator[Choice]:
    """Give the ways to compare."""
    recipe = RECIPES["xsaga"]

    def changed(**settings: object) -> Recipe:
        return dataclasses.replace(
            recipe,
            settings=dataclasses.replace(recipe.settings, **settings),  # type: ignore[arg-type]
        )

    yield Choice("bce, natural", recipe)
    yield Choice("focal, natural", changed(loss="focal"))
    yield Choice("weighted, natural", changed(loss="weighted"))
    yield Choice("bce, balanced", changed(sampling="balanced"))
    yield Choice("focal, balanced", changed(loss="focal", sampling="balanced"))
    yield Choice("bce, ranger", changed(optimizer="ranger", learning_rate=1e-2))
    yield Choice("bce, only turned", changed(augmentation=PLAIN))
    yield Choice("bce, morphology not learnt", recipe, morphology=False)
    yield Choice("bce, images alone", dataclasses.replace(recipe, architecture=Architecture()))
    yield Choice("bce, nothing beside the class", changed(side_weight=0.0))
    yield Choice("xsaga2022", RECIPES["xsaga2022"])


def some_objects(given: argparse.Namespace) -> LabelledCutouts:
    """Open the cutouts of a training; leave objects out by chance until few enough are left."""
    limits, most = (given.r_min, given.r_max), given.objects
    wanted, unusable = usable_labels(read_labels(given.labels).table, given.labels, limits)
    known = labelled_cutouts(TrainingPaths(given.training), wanted, unusable, min_coverage=0.2)
    if most is None or len(known.labels) <= most:
        return known
    random = np.random.default_rng(given.seed)
    chosen = np.sort(random.permutation(len(known.labels))[:most])
    images = dataclasses.replace(
        known.images, part=known.images.part[chosen], row=known.images.row[chosen]
    )
    return LabelledCutouts(images, known.labels.iloc[chosen].reset_index(drop=True), known.left_out)


def judged(choice: Choice, known: LabelledCutouts, given: argparse.Namespace) -> str:
    """Train one network and give its row of the table."""
    labels, recipe = known.labels, choice.recipe
    beside = side_tasks(labels)
    if not choice.morphology:
        beside = beside[[name for name in beside if not name.startswith(MORPHOLOGY)]]
    epochs = given.epochs
    if given.minutes:
        epochs = max(1, round(given.minutes * 60 * training_rate(recipe) * 1.5 / len(labels)))
    settings = dataclasses.replace(
        recipe.settings, members=1, folds=3, epochs=epochs, seed=given.seed
    )
    begun = time.perf_counter()
    fitted = fit(
        known.images,
        labels["is_lowz"],
        groups=labels["group"],
        only_judged=only_judged(labels),
        side_tasks=beside,
        photometry=catalog_photometry(labels) if recipe.architecture.photometry else None,
        architecture=recipe.architecture,
        stretch=recipe.stretch,
        settings=settings,
    )
    seconds = time.perf_counter() - begun
    rate = np.mean([epoch.images_per_second for epoch in fitted.history])
    held_out = fitted.fold == 0
    logit, truth = fitted.held_out_logit[held_out], labels["is_lowz"].to_numpy()[held_out]
    purity = purity_at_completeness(logit, truth, 0.9)
    spread = bootstrap(logit, truth, labels["group"].to_numpy()[held_out])
    return (
        f"| {choice.name} | {purity:.3f} ± {spread:.3f} | {average_precision(logit, truth):.3f} | "
        f"{fitted.metrics['auc']:.4f} | {epochs} | {seconds:.0f} | {rate:.0f} | "
        f"{bare_rate(recipe):.0f} |"
    )


def bootstrap(
    logit: NDArray[np.float32], truth: NDArray[np.bool_], group: NDArray[np.int64]
) -> float:
    """Give the standard deviation of the purity over samples of patches of sky, drawn anew."""
    random = np.random.default_rng(0)
    rows = [np.flatnonzero(group == patch) for patch in np.unique(group)]
    found = []
    for _ in range(BOOTSTRAPS):
        drawn = np.concatenate([rows[each] for each in random.integers(0, len(rows), len(rows))])
        if truth[drawn].any():
            found.append(purity_at_completeness(logit[drawn], truth[drawn], 0.9))
    return float(np.std(found))


def training_rate(recipe: Recipe, count: int = 256) -> float:
    """Images per second of training on noise, from the second epoch of a few images."""
    images = np.random.default_rng(0).normal(0, 0.01, (count, 3, 144, 144)).astype(np.float16)
    settings = dataclasses.replace(recipe.settings, members=1, folds=2, epochs=2, batch_size=64)
    quantities = recipe.architecture.photometry
    fitted = fit(
        images,
        np.arange(count) % 4 == 0,
        photometry=np.zeros((count, quantities)) if quantities else None,
        architecture=recipe.architecture,
        stretch=recipe.stretch,
        settings=settings,
    )
    return fitted.history[-1].images_per_second


def bare_rate(recipe: Recipe, repeats: int = 4) -> float:
    """Images per second of the network alone."""
    network = inference_copy(build_network(recipe.architecture), torch.device("cpu"), torch.float32)
    batch = torch.randn(64, 3, 144, 144).contiguous(memory_format=torch.channels_last)
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats):
            begun = time.perf_counter()
            network(batch)
            seconds.append(time.perf_counter() - begun)
    return 64 / min(seconds)


if __name__ == "__main__":
    main()
