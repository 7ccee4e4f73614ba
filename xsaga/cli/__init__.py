"""Command-line interface: parse, call one function, print."""

from __future__ import annotations

import click

from xsaga import __version__
from xsaga.cli.bench import bench
from xsaga.cli.calibrate import calibrate
from xsaga.cli.config import config
from xsaga.cli.cutout import cutout
from xsaga.cli.edge import OneLineErrors
from xsaga.cli.evaluate import evaluate
from xsaga.cli.export import export
from xsaga.cli.labels import labels
from xsaga.cli.monitor import monitor
from xsaga.cli.nightly import nightly
from xsaga.cli.plan import plan
from xsaga.cli.run import fetch, rank, run, score, tile
from xsaga.cli.simulate import simulate
from xsaga.cli.status import status
from xsaga.cli.train import train

EPILOG = """
Exit codes: 0 all done; 1 stopped by an error, finished work is kept; 2 wrong option or
configuration; 3 done, but some sources could not be scored; 4 to 6 see
`xsaga nightly --help`; 130 interrupted.
"""


@click.group(
    cls=OneLineErrors,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="xsaga")
def main() -> None:
    """Find probable z < 0.03 galaxies: from a footprint and a catalog to a ranked target list."""


for command in (
    run,
    nightly,
    tile,
    fetch,
    score,
    rank,
    status,
    plan,
    cutout,
    simulate,
    labels,
    train,
    evaluate,
    calibrate,
    export,
    monitor,
    bench,
    config,
):
    main.add_command(command)
