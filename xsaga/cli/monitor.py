"""``xsaga monitor``."""

from __future__ import annotations

from pathlib import Path

import click

from xsaga.cli.edge import echo
from xsaga.errors import ConfigError, ExitCode

_PATH = click.Path(path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)

_EXAMPLE = """\b
Examples:
  xsaga monitor RUN --redshifts zcat.fits --night 2026-01-14
  xsaga monitor NIGHTLY --redshifts zcat-1.fits --redshifts zcat-2.fits --min-deltachi2 25
"""


@click.command(short_help="Tell how published targets turned out, night by night.", epilog=_EXAMPLE)
@click.argument("where", metavar="WHERE", type=_PATH)
@click.option(
    "--redshifts",
    required=True,
    multiple=True,
    metavar="FILE",
    type=_FILE,
    help="Table with positions, redshifts and, where it can, TARGETID and night; may be repeated.",
)
@click.option(
    "--zwarn/--any-zwarn",
    default=True,
    help="A good redshift has ZWARN = 0 where there is such a column (the default), or any.",
)
@click.option(
    "--min-deltachi2",
    type=click.FloatRange(min=0),
    metavar="CHI2",
    help="Least DELTACHI2 of a good redshift.",
)
@click.option(
    "--spectype",
    multiple=True,
    metavar="CLASS",
    help="Class that can be near; a good redshift of another is not near.  [default: GALAXY, where "
    "the file has SPECTYPE or CLASS]",
)
@click.option(
    "--min-quality",
    type=int,
    metavar="N",
    default=3,
    show_default=True,
    help="Least quality on SAGA's scale, where there is such a column.",
)
@click.option(
    "--z-star",
    type=float,
    metavar="Z",
    default=0.001,
    show_default=True,
    help="What is below counts as a star in files that tell no classes.",
)
@click.option(
    "--column",
    multiple=True,
    metavar="NAME=COLUMN",
    help="Column that holds ra, dec, targetid, z, cz, zwarn, delta_chi2, spectype, z_quality, "
    "night or mjd.",
)
@click.option(
    "--radius",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="ARCSEC",
    help="A spectrum without a target's TARGETID is of the nearest target within this.",
)
@click.option(
    "--targetids",
    metavar="FILE",
    type=_FILE,
    help="The target-ids.parquet of an export: TARGETIDs that targets were exported with.  "
    "[default: WHERE/targetids.parquet, if it is there]",
)
@click.option("--night", metavar="YYYY-MM-DD", help="Night of redshifts that tell none.")
@click.option(
    "--z-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="Z",
    help="Nearer galaxies are what was looked for.  [default: that of the lists]",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    metavar="RATE",
    help="Chance that the test of drift ever raises a false alarm.",
)
@click.option(
    "--misses",
    type=click.IntRange(min=0),
    metavar="N",
    default=100,
    show_default=True,
    help="List at most so many confident misses of each kind.",
)
@click.option(
    "--out", metavar="FOLDER", type=_FOLDER, help="Where to write.  [default: WHERE/monitor]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the content of monitor.json.")
def monitor(
    where: Path,
    redshifts: tuple[Path, ...],
    zwarn: bool,
    min_deltachi2: float | None,
    spectype: tuple[str, ...],
    min_quality: int,
    z_star: float,
    column: tuple[str, ...],
    radius: float,
    targetids: Path | None,
    night: str | None,
    z_limit: float | None,
    false_alarms: float,
    misses: int,
    out: Path | None,
    as_json: bool,
) -> int:
    """Join new redshifts to published targets: success by tier and night, calibration, drift.

    WHERE is a run folder, a list, or a folder of nightly runs with lists/YYYY-MM-DD. A list is in
    force from its date until the next one; a redshift is judged by the list of its night, and not
    at all if it is from before the first. A target counts once: on its first night with a good
    redshift.

    Shares are of good redshifts. Targets are not a random sample of the list: fibers choose, and
    near galaxies may give a redshift more or less often than others.

    The test of drift asks after every night whether what was found agrees with p_lowz. It may be
    looked at as often as one likes: the chance that it ever alarms while p_lowz is right is at most
    --false-alarms. An alarm says that p_lowz is not right for what was observed; a few fields with
    a nearby group in them can do that too.

    Writes monitor.json, monitor.csv, confident-misses.parquet, confident-misses.csv and
    monitor.png. Needs the extra [report].
    """
    from xsaga.catalog.spectra import QualityRules
    from xsaga.report.evaluation_figures import require_matplotlib
    from xsaga.report.monitor_figure import write_monitor_figure
    from xsaga.report.monitor_text import monitor_text
    from xsaga.run.monitor import MonitorSettings
    from xsaga.run.monitor import monitor as monitored
    from xsaga.run.monitor_files import json_text, write_monitor
    from xsaga.run.published_lists import UNKNOWN_NIGHT, PublishedLists, night_number
    from xsaga.run.read_spectra import SpectraSettings

    require_matplotlib()  # before the work, not after it
    settings = MonitorSettings(
        SpectraSettings(
            QualityRules(zwarn, min_deltachi2, spectype, min_quality),
            dict(map(_assignment, column)),
            night_number(night) if night else UNKNOWN_NIGHT,
            z_star,
        ),
        radius,
        z_limit,
        false_alarms,
        misses,
    )
    lists = PublishedLists.of(where, targetids)
    found = monitored(lists, redshifts, settings)
    folder = out or lists.out
    figure = write_monitor_figure(found.content, folder)
    written = write_monitor(folder, found)
    if as_json:
        click.echo(json_text(found.content), nl=False)
    else:
        echo(monitor_text(found.content))
        click.echo(f"\nwrote {', '.join(path.name for path in [*written, figure])} in {folder}")
    return ExitCode.OK


def _assignment(text: str) -> tuple[str, str]:
    name, sign, column = text.partition("=")
    if not (sign and name and column):
        raise ConfigError(f"--column {text!r}: write NAME=COLUMN")
    return name, column
