"""``xsaga status``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from xsaga.cli.edge import echo
from xsaga.errors import ExitCode
from xsaga.paths import RunPaths


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--failures", is_flag=True, help="List every candidate that could not be scored.")
def status(run: str, as_json: bool, failures: bool) -> int:
    """Tell what a run has done, what failed and why."""
    from xsaga.run.status import failure_table, run_status

    paths = RunPaths(Path(run))
    state = run_status(paths)
    if as_json:
        click.echo(json.dumps(state.to_dict(), indent=2))
    else:
        echo(state.format())
    if failures:
        table = failure_table(paths)
        echo(table.to_csv(index=False).rstrip() if len(table) else "no failures")
    return ExitCode.SOURCES_FAILED if state.counts.failed else ExitCode.OK
