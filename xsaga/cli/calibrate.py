"""``xsaga calibrate``."""

from __future__ import annotations

from pathlib import Path

import click

from xsaga.cli.edge import echo
from xsaga.errors import ExitCode

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)

_EXAMPLE = """\b
Example:
  xsaga labels night.fits --out night.parquet
  xsaga calibrate RUN --labels night.parquet --out my-model-2
  xsaga run lowz.toml --weights my-model-2 --out RUN-2
"""


@click.command(short_help="Calibrate a model anew on a finished run with labels.", epilog=_EXAMPLE)
@click.argument("run", metavar="RUN", type=_FOLDER)
@click.option("--labels", required=True, metavar="FILE", type=_FILE, help="From `xsaga labels`.")
@click.option("--out", required=True, metavar="FOLDER", type=_FOLDER, help="The new model.")
@click.option("--name", help="Name of the new model.  [default: name of its folder]")
def calibrate(run: Path, labels: Path, out: Path, name: str | None) -> int:
    """Fit p_lowz anew on the labelled sources of a finished run and write it as a new model.

    The weights stay the same, and so does the order of the targets within a run. Labels of where
    the model was trained are refused. They need not be of all sources, but should be a fair choice
    at each score. The card also gets the rate within the cuts of the run, from which
    `--base-rate estimate` tells another rate within the same cuts.
    """
    from xsaga.evaluation.truth import Labels
    from xsaga.run.calibrate import calibrate_run, format_calibrated

    made = calibrate_run(run, Labels.read(labels), out, name)
    echo(format_calibrated(made))
    click.echo(f"wrote {made.folder}")
    return ExitCode.OK
