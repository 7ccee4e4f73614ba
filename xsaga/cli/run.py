"""``xsaga run`` and its stages."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xsaga.cli.edge import echo
from xsaga.cli.options import SectionedCommand, config_options, with_options
from xsaga.config import RunConfig
from xsaga.config_file import read_config
from xsaga.errors import ConfigError, ExitCode, MissingExtraError, XsagaError
from xsaga.paths import RunPaths

if TYPE_CHECKING:
    from xsaga.run.session import Session
    from xsaga.run.status import RunStatus

# The libraries of the stages (torch, astropy, pandas) are imported when a command runs: help and
# errors of usage come at once, and processes that decode bricks do not load them.

ALL_SECTIONS = ("footprint", "catalog", "cuts", "imaging", "store", "model", "rank", "exclude")
SPEED_KEYS = tuple(
    f"imaging.{name}"
    for name in ("connections", "rate", "timeout", "retries", "max_outage", "memory")
)

_where = click.argument("where", metavar="[CONFIG.toml|RUN]", required=False, type=click.Path())
_run_folder = click.argument("where", metavar="RUN", type=click.Path(file_okay=False))
_out = click.option(
    "--out", type=click.Path(file_okay=False), help="Run folder: made, or resumed where it exists."
)
_restart = click.option(
    "--restart", is_flag=True, help="Discard what is in the run folder and begin anew."
)


@click.command(cls=SectionedCommand, short_help="Do everything: tile, fetch, score, rank.")
@_where
@_out
@_restart
@click.option(
    "--retry-failed", is_flag=True, help="Try sources again whose cutout could not be had."
)
@config_options(*ALL_SECTIONS)
def run(where: str | None, out: str | None, restart: bool, retry_failed: bool, **given: Any) -> int:
    """Do everything: tile, fetch, score and rank; go on where an earlier run stopped.

    Give a configuration file, or the folder of a run to resume, or options alone.
    """
    from xsaga.run.imaging_choice import is_open
    from xsaga.run.stages import forget_failures, run_stage, tile_stage

    with _session(where, out, given, restart=restart) as session:
        if not (session.paths.partition.is_file() or is_open(session.config.imaging)):
            _ = session.imaging  # what is wrong with it shows before the catalog is read
        echo(tile_stage(session).cut_flow.format())
        if retry_failed:
            forget_failures(session)
        run_stage(session)
        status = _rank(session)
    return _closing_words(session.paths, status)


@click.command(cls=SectionedCommand, short_help="Read, cut and split the catalog.")
@_where
@_out
@_restart
@config_options(*ALL_SECTIONS)
def tile(where: str | None, out: str | None, restart: bool, **given: Any) -> None:
    """Read the catalog, apply the photometric cuts and split it by tile."""
    from xsaga.run.stages import tile_stage

    with _session(where, out, given, restart=restart) as session:
        echo(tile_stage(session).cut_flow.format())
    _closing_words(session.paths, _status(session))


@click.command(cls=SectionedCommand)
@_run_folder
@config_options(*SPEED_KEYS)
def fetch(where: str, **given: Any) -> None:
    """Get the cutouts of a run's candidates."""
    from xsaga.run.stages import fetch_stage

    with _session(where, None, given) as session:
        fetch_stage(session)
    _closing_words(session.paths, _status(session))


@click.command(cls=SectionedCommand)
@_run_folder
def score(where: str) -> int:
    """Score the cutouts of a run."""
    from xsaga.run.stages import score_stage

    with _session(where, None, {}) as session:
        score_stage(session)
    return _closing_words(session.paths, _status(session))


@click.command(cls=SectionedCommand)
@_run_folder
@config_options("rank", "exclude")
def rank(where: str, **given: Any) -> int:
    """Choose the targets among the scored sources of a run and write the lists.

    A source goes into the first tier that takes it. By default, as for DESI LOW-Z: tier 1 has the
    20 per deg² that the network thinks best, tier 2 what passes the cuts saga2, tier 3 what passes
    desi-lowz. What is excluded or in no tier is listed in not-targets.parquet, with the reason.
    Options stay with the run: the next ranking goes on from them. An empty one takes back what was
    given before: --exclude "".
    """
    from xsaga.run.folder import write_run_config

    before = base_config(where)
    with _session(where, None, given) as session:
        try:
            status = _rank(session)
        except XsagaError:  # lists and configuration stay those of the ranking before
            write_run_config(session.paths, before)
            raise
    return _closing_words(session.paths, status)


@contextmanager
def _session(
    where: str | None, out: str | None, given: dict[str, Any], *, restart: bool = False
) -> Iterator[Session]:
    from rich.console import Console

    from xsaga.run.session import open_session

    folder = _run_folder_of(where, out)
    config = with_options(base_config(where), given)
    command = shlex.join(["xsaga", *sys.argv[1:]])
    with open_session(
        config, folder, command=command, console=Console(stderr=True), restart=restart
    ) as session:
        yield session


def base_config(where: str | None) -> RunConfig:
    """Read the configuration of a file or a run folder; the defaults where neither is given."""
    if where is None:
        return RunConfig()
    path = Path(where)
    if not path.is_dir():
        return read_config(path)
    from xsaga.run.folder import read_run_config

    return read_run_config(RunPaths(path))


def _run_folder_of(where: str | None, out: str | None) -> Path:
    is_folder = where is not None and Path(where).is_dir()
    if is_folder and out is not None:
        raise ConfigError(f"--out {out}: {where} is a run folder already; give one of them")
    folder = where if is_folder else out
    if folder is None:
        raise ConfigError("no run folder: give --out FOLDER")
    return Path(folder)


def _rank(session: Session) -> RunStatus:
    from xsaga.report.run_report import write_run_report
    from xsaga.run.stages import rank_stage
    from xsaga.run.summary import format_targets

    ranking = rank_stage(session)
    echo(format_targets(ranking.targets))
    status = _status(session)
    try:
        write_run_report(session.paths, ranking.targets, ranking.provenance, status.counts)
    except MissingExtraError as error:
        session.log.event("no report", f"note: no report page; {error}")
    return status


def _status(session: Session) -> RunStatus:
    from xsaga.run.status import run_status

    return run_status(session.paths)


def _closing_words(paths: RunPaths, status: RunStatus) -> int:
    echo(status.format())
    if status.stage == "done":
        for path in (*sorted(paths.folder.glob("targets.*")), paths.report):
            if path.is_file():
                click.echo(f"  {path}")
    return ExitCode.SOURCES_FAILED if status.counts.failed else ExitCode.OK
