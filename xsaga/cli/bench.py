"""``xsaga bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from xsaga.cli.options import SectionedCommand, config_options, with_options
from xsaga.cli.run import base_config


@click.command(cls=SectionedCommand, short_help="Tell how fast this machine is, and what for.")
@click.argument("where", metavar="[CONFIG.toml|RUN]", required=False, type=click.Path())
@click.option(
    "--sources",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Candidates of the survey; of a run that is tiled, they are counted.",
)
@click.option(
    "--area",
    type=click.FloatRange(min=0, min_open=True),
    default=1000.0,
    show_default=True,
    help="Area of the survey, deg².",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_options(
    *("imaging.bricks", "imaging.service", "imaging.layer", "imaging.rate", "imaging.connections"),
    *("imaging.size", "imaging.memory", "store.dtype", "model"),
)
def bench(where: str | None, sources: int, area: float, as_json: bool, **given: Any) -> None:
    """Measure scoring, storing and imaging here, and say how long a survey will take.

    Give a configuration, or a run that is tiled: then that run's candidates are counted, and some
    of them are asked of its service, or a brick of them is downloaded. Without imaging, bricks of
    noise are made and measured. Takes about a minute. Nothing of a run is changed.
    """
    from xsaga.paths import RunPaths
    from xsaga.run.bench import BRICK_AREA, run_bench
    from xsaga.run.survey_of_run import some_positions, survey_of_run
    from xsaga.run.survey_time import Survey

    config = with_options(base_config(where), given)
    survey, positions = Survey(sources, max(1, round(area / BRICK_AREA))), None
    folder = Path(where) if where is not None and Path(where).is_dir() else None
    if folder is not None and RunPaths(folder).partition.is_file():
        survey = survey_of_run(RunPaths(folder), config.footprint.order)
        positions = some_positions(RunPaths(folder), config.footprint.order)
    report = run_bench(config, survey, positions, folder=folder)
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else report.format())
