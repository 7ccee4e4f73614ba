"""``xsaga train``."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from xsaga.cli.options import SectionedCommand, config_options, with_options
from xsaga.cli.run import base_config
from xsaga.errors import ExitCode

_SETTINGS = (
    ("--folds", int, "Parts of the sky; each member is held out from one."),
    ("--members", int, "Networks in the ensemble; as many as folds if not given."),
    ("--epochs", int, "Passes over the training data."),
    ("--batch-size", int, "Images in a step."),
    ("--learning-rate", float, "Highest learning rate."),
    ("--weight-decay", float, "Pull of the weights towards 0."),
    ("--loss", click.Choice(["bce", "focal", "weighted"]), "Cross-entropy, focal, or weighted."),
    ("--positive-weight", float, "Weight of a near galaxy in the weighted loss; 0: even classes."),
    ("--side-weight", float, "Weight of learning redshift and photometry beside the class."),
    ("--sampling", click.Choice(["natural", "balanced"]), "Objects as they are, or classes even."),
    (
        "--target-rate",
        float,
        "Share of near galaxies that p_lowz is for; that of the labels if not given.",
    ),
    ("--seed", int, "Same seed, same weights (on one machine, with as many threads)."),
)


def _settings(command: Any) -> Any:
    for option, kind, words in reversed(_SETTINGS):
        command = click.option(option, type=kind, default=None, help=words)(command)
    return command


@click.command(cls=SectionedCommand, short_help="Train a model on labelled objects.")
@click.argument("where", metavar="[CONFIG.toml]", required=False, type=click.Path(dir_okay=False))
@click.option(
    "--labels",
    required=True,
    type=click.Path(dir_okay=False),
    help="Labelled objects, from `xsaga labels`.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False),
    help="Training folder: made, or resumed where it exists.",
)
@click.option("--recipe", default="xsaga", show_default=True, help="xsaga, or xsaga2022.")
@click.option("--name", help="Name of the model.  [default: name of the training folder]")
@click.option("--r-min", type=float, help="Leave brighter objects out.")
@click.option("--r-max", type=float, help="Leave fainter objects out.")
@click.option(
    "--leave-out",
    multiple=True,
    metavar="HOST",
    help="Learn nothing from this host's field (or group of the labels), to judge on; repeatable.",
)
@click.option(
    "--restart", is_flag=True, help="Discard what was learnt; keep cutouts that fit the settings."
)
@click.option("--retry-failed", is_flag=True, help="Try cutouts again that could not be had.")
@_settings
@config_options("imaging", "store.dtype", "model.device", "model.precision")
def train(
    where: str | None,
    labels: str,
    out: str,
    recipe: str,
    name: str | None,
    r_min: float | None,
    r_max: float | None,
    leave_out: tuple[str, ...],
    restart: bool,
    retry_failed: bool,
    **given: Any,
) -> int:
    """Fetch the cutouts of labelled objects, train an ensemble on them and write the model.

    Go on where an earlier training in the same folder stopped. The weights and their card are in
    OUT/model, ready for `xsaga run --weights OUT/model`.
    """
    from rich.console import Console

    from xsaga.model.recipes import named_recipe
    from xsaga.run.train import TrainingPlan
    from xsaga.run.train import train as run_training

    chosen = named_recipe(recipe)
    words = [option.removeprefix("--").replace("-", "_") for option, _, _ in _SETTINGS]
    asked = {word: given.pop(word) for word in words}
    changes = {word: value for word, value in asked.items() if value is not None}
    if "folds" in changes:
        changes.setdefault("members", changes["folds"])
    settings = dataclasses.replace(chosen.settings, **changes)
    folder = Path(out)
    plan = TrainingPlan(
        labels=Path(labels),
        config=with_options(base_config(where), given),
        recipe=dataclasses.replace(chosen, settings=settings),
        name=name or folder.resolve().name,
        r_limits=(r_min, r_max),
        leave_out=leave_out,
    )
    trained = run_training(
        plan,
        folder,
        command=shlex.join(["xsaga", *sys.argv[1:]]),
        console=Console(stderr=True, soft_wrap=True),
        restart=restart,
        retry_failed=retry_failed,
    )
    metrics = trained.metrics
    click.echo(
        f"{'SIMULATED: ' if trained.simulated else ''}learnt from {trained.learnt:,} objects, "
        f"{trained.left_out:,} left out; held out: "
        f"average precision {metrics['average_precision']:.3f}, purity "
        f"{metrics['purity_at_90']:.3f} at 90 % completeness, at the mix of these objects"
    )
    for path in (trained.paths.model, trained.paths.held_out, trained.paths.history):
        click.echo(f"  {path}")
    return ExitCode.OK
