"""``xsaga cutout``."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from xsaga.cli.options import config_options, with_options
from xsaga.config import RunConfig, config_keys
from xsaga.errors import ConfigError, ExitCode

USED_KEYS = tuple(
    str(key)
    for key in config_keys()
    if key.section == "imaging" and key.name not in ("min_coverage", "max_outage")
)


@click.command(short_help="Write one cutout as FITS or PNG.")
@click.argument("ra", type=float)
@click.argument("dec", type=float)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    default="cutout.fits",
    show_default=True,
    help="File to write: .fits (nanomaggies per pixel) or .png (colours of the survey's viewer).",
)
@config_options(*USED_KEYS)
def cutout(ra: float, dec: float, out: str, **given: Any) -> int:
    """Write one cutout at RA DEC (degrees) as FITS or PNG, from any imaging.

    For a negative declination put -- before the position: xsaga cutout --bricks TREE -- 10.5 -3.2
    """
    from xsaga.imaging.single import write_cutout
    from xsaga.run.imaging import open_imaging

    imaging = with_options(RunConfig(), given).imaging
    if not -90 <= dec <= 90 or not math.isfinite(ra):
        raise ConfigError(f"position {ra:g} {dec:g}: RA and Dec are in degrees, Dec within ±90")
    source = open_imaging(replace(imaging, max_outage=0.0))
    try:
        said = write_cutout(source, ra % 360, dec, Path(out))
    finally:
        source.close()
    click.echo(said)
    return ExitCode.OK
