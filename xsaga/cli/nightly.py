"""``xsaga nightly``."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xsaga.cli.edge import echo, file_trouble
from xsaga.cli.export import export
from xsaga.cli.export_options import export_settings
from xsaga.cli.options import SectionedCommand, config_options, with_options
from xsaga.cli.run import ALL_SECTIONS, base_config
from xsaga.errors import BusyError, ConfigError, XsagaError

if TYPE_CHECKING:
    from xsaga.targets.exports.settings import ExportSettings

_EPILOG = """\b
Exit codes: 0 a new list, 3 a new list but some sources could not be scored, 4 nothing new,
5 out of time: the best list so far, the next night goes on, 6 another process is at it,
1 an error: the list before stays the latest, 2 a wrong option.
\b
In a crontab, before sunset, with the summary by mail and at most three hours:
  30 16 * * *  cd /survey && xsaga nightly lowz.toml --out lowz --max-runtime 3h 2>>lowz.err
"""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Read 90m, 2h, 1h30m, 3600s."""
    if text is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or total <= 0:
        raise click.BadParameter("give a time such as 90m, 2h or 3600s", ctx, param)
    return total


def _date(ctx: click.Context, param: click.Parameter, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise click.BadParameter("give a date such as 2026-11-26", ctx, param) from None


@click.command(
    cls=SectionedCommand,
    short_help="Bring the target list up to date, every night; for cron.",
    epilog=_EPILOG,
)
@click.argument("where", metavar="[CONFIG.toml]", required=False, type=click.Path(dir_okay=False))
@click.option(
    "--out",
    metavar="FOLDER",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the nightly lists; made, or gone on with.",
)
@click.option(
    "--max-runtime",
    "max_seconds",
    metavar="TIME",
    callback=_seconds,
    help="Begin nothing more after this time (90m, 2h, 3600s) and publish the list so far; one "
    "tile is always finished.",
)
@click.option(
    "--export",
    "exports",
    metavar="'FORMAT [OPTIONS]'",
    multiple=True,
    help="Write the list in this format too, with options as `xsaga export --help` has them; "
    "repeat it for more.",
)
@click.option(
    "--night",
    metavar="YYYY-MM-DD",
    callback=_date,
    help="Date of the list.  [default: today's here; of SOURCE_DATE_EPOCH (UTC) where it is set]",
)
@click.option(
    "--retry-failed", is_flag=True, help="Try sources again whose cutout could not be had."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@config_options(*ALL_SECTIONS)
def nightly(
    where: str | None,
    out: Path,
    max_seconds: float | None,
    exports: tuple[str, ...],
    night: date | None,
    retry_failed: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Bring the target list up to date: do what is new since the last night, publish a list.

    Catalogs, footprint, imaging, weights, settings and exclusions count by content; a tile that
    has the same of all keeps its scores. Each list gets a folder lists/<date>, `latest` points to
    the newest, and the ledger tells what came, changed and went, and why. A published list is
    never changed, and a night that was killed is gone on with.
    """
    from rich.console import Console

    from xsaga.run.nightly import NightSettings, latest_name, run_night

    date_of_list = night or _today()
    try:
        settings = NightSettings(
            night=date_of_list,
            command=shlex.join(["xsaga", *sys.argv[1:]]),
            max_seconds=max_seconds,
            exports=_exports(exports),
            retry_failed=retry_failed,
        )
        config = with_options(base_config(where), given)
        report = run_night(config, out, settings, Console(stderr=True))
    except (XsagaError, OSError) as error:
        # It is told on the error stream too: a mail of the summary must not look like a quiet night
        echo(_trouble(error, date_of_list, latest_name(out), as_json=as_json))
        raise
    echo(json.dumps(report.facts, indent=2) if as_json else report.text)
    return report.exit_code


def _today() -> date:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch:
        return datetime.fromtimestamp(int(epoch), UTC).date()
    return datetime.now().astimezone().date()


def _trouble(error: Exception, night: date, latest: str, *, as_json: bool) -> str:
    text = file_trouble(error) if isinstance(error, OSError) else str(error)
    why = " ".join(text.split())
    status = "busy" if isinstance(error, BusyError) else "error"
    if as_json:
        facts = {"status": status, "night": night.isoformat(), "latest": latest, "error": why}
        return json.dumps(facts, indent=2)
    stays = f"lists/{latest} stays the latest" if latest else "there is no list yet"
    return f"xsaga nightly {night}: NO NEW LIST, {stays}: {why}"


def _exports(texts: tuple[str, ...]) -> dict[str, ExportSettings]:
    """Read ``FORMAT [OPTIONS]`` as `xsaga export --format` would."""
    found: dict[str, ExportSettings] = {}
    for text in texts:
        try:
            name, *options = shlex.split(text)
        except ValueError:
            raise ConfigError(f"--export {text!r}: write 'FORMAT' or 'FORMAT OPTIONS'") from None
        try:
            asked = export.make_context("export", [".", "--format", name, *options])
        except click.UsageError as error:
            raise ConfigError(f"--export {text!r}: {error.format_message()}") from None
        values = asked.params
        if values["known_ids"] is not None or values["out"] is not None:
            raise ConfigError(
                f"--export {text!r}: leave --out and --known-ids to the nightly lists"
            )
        found[name] = export_settings(values)
    return found
