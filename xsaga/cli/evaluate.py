"""``xsaga evaluate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xsaga.cli.edge import echo
from xsaga.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from xsaga.evaluation.evaluation import Unlabelled

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Judge a finished run by labels, beside photometric baselines.")
@click.argument("run", metavar="RUN", type=_FOLDER)
@click.option("--labels", required=True, metavar="FILE", type=_FILE, help="From `xsaga labels`.")
@click.option("--out", required=True, metavar="FOLDER", type=_FOLDER, help="Where to write.")
@click.option("--r-min", default=19.0, show_default=True, help="Brightest r that is judged.")
@click.option("--r-max", default=21.0, show_default=True, help="Faintest r that is judged.")
@click.option(
    "--unlabelled",
    type=click.Choice(["leave-out", "not-lowz"]),
    default="leave-out",
    show_default=True,
    help="What sources without a label are; not-lowz only where labels are complete.",
)
@click.option(
    "--area",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DEG2",
    help="Area of the run; by default that of its footprint or bricks.",
)
@click.option(
    "--bricks-table",
    metavar="FILE",
    type=_FILE,
    help="Table of bricks with area and psfsize_r; by default that of the run's brick tree, if "
    "that is on disk.",
)
@click.option(
    "--baseline-training",
    multiple=True,
    metavar="PATH",
    help="Catalog of a training sky for the baselines; by default they are trained in folds.",
)
@click.option(
    "--baseline-labels", metavar="FILE", type=_FILE, help="Labels of --baseline-training."
)
@click.option("--baselines/--no-baselines", default=True, help="Train baselines (the default).")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="Of the bootstrap and the baselines.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default=True,
    help="Threads.",
)
def evaluate(
    run: Path,
    labels: Path,
    out: Path,
    r_min: float,
    r_max: float,
    unlabelled: Unlabelled,
    area: float | None,
    bricks_table: Path | None,
    baseline_training: tuple[str, ...],
    baseline_labels: Path | None,
    baselines: bool,
    seed: int,
    workers: int,
) -> int:
    """Judge a finished run by labels, beside photometric baselines on the same sources.

    Writes evaluation.json, evaluation.md and figures. Needs the extra [report].
    """
    from xsaga.evaluation.baselines import require_sklearn
    from xsaga.evaluation.evaluation import EvaluationSettings, judge, write_evaluation
    from xsaga.evaluation.training_sky import TrainingSky
    from xsaga.evaluation.truth import Labels
    from xsaga.paths import LEFT_FOR_S, clear_leftovers
    from xsaga.report.evaluation_figures import require_matplotlib
    from xsaga.report.evaluation_page import headline, write_evaluation_page
    from xsaga.run.finished import read_run

    if bool(baseline_training) != (baseline_labels is not None):
        raise ConfigError("--baseline-training and --baseline-labels go together: give both")
    if baseline_training and not baselines:
        raise ConfigError("--no-baselines with --baseline-training: give one of them")
    require_matplotlib()  # before the work, not after it
    if baselines:
        require_sklearn()
    training = (
        TrainingSky(baseline_training, Labels.read(baseline_labels)) if baseline_labels else None
    )
    settings = EvaluationSettings(r_min, r_max, unlabelled, baselines, seed, workers)
    known = Labels.read(labels)
    content = judge(read_run(run, area, bricks_table, known), known, settings, training)
    clear_leftovers(out, older_than=LEFT_FOR_S)
    write_evaluation(out, content)
    page = write_evaluation_page(out)
    echo(headline(content))
    click.echo(f"wrote {page}")
    return ExitCode.OK
