"""``xsaga simulate``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from xsaga.errors import ConfigError, ExitCode


@click.command(short_help="Write a simulated sky as a brick tree.")
@click.argument("out", metavar="FOLDER", type=click.Path(file_okay=False))
@click.option(
    "--center", default="180.0,0.25", show_default=True, metavar="RA,DEC", help="Degrees."
)
@click.option("--bricks", default=4, show_default=True, help="Bricks of 0.25° × 0.25°.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same sky.")
@click.option(
    "--lowz-boost",
    default=1.0,
    show_default=True,
    help="Multiply the share of z < 0.03 galaxies, for training sets.",
)
@click.option(
    "--density",
    default=1.0,
    show_default=True,
    help="Multiply the number of galaxies and stars per area.",
)
@click.option(
    "--training",
    default=0,
    show_default=True,
    metavar="N",
    help="Add N targets to learn from to each brick, up to about 500, a quarter at z < 0.03.",
)
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, help="Processes.")
def simulate(
    out: str,
    center: str,
    bricks: int,
    seed: int,
    lowz_boost: float,
    density: float,
    training: int,
    workers: int,
) -> int:
    """Write a SIMULATED sky with known redshifts, laid out like a Legacy Surveys release.

    The catalog is measured on the images; redshifts-simulated.parquet says what each of its sources
    truly is, truth.parquet what there is. Dec > 32.375 north of the Galaxy looks as BASS and MzLS
    do, the rest as DECam. Needs the extra [sim]. Everything it writes is marked as simulated.
    """
    from rich.console import Console

    from xsaga.run.progress import progress
    from xsaga.simulation.sky import simulate_sky

    try:
        ra, dec = (float(word) for word in center.split(","))
    except ValueError:
        raise ConfigError(f"--center {center!r}: give RA,DEC in degrees") from None
    with progress("simulating bricks", bricks, Console(stderr=True)) as advance:
        summary = simulate_sky(
            Path(out),
            center=(ra, dec),
            bricks=bricks,
            seed=seed,
            lowz_boost=lowz_boost,
            density=density,
            training=training,
            workers=workers,
            progress=lambda _done, _total: advance(1),
        )
    click.echo(
        f"wrote a SIMULATED sky to {summary.folder}: {summary.bricks} bricks, "
        f"{summary.area_deg2:.3f} deg², {summary.sources:,} sources in the catalog "
        f"({summary.shreds:,} of them shreds), "
        f"{summary.lowz:,} galaxies at z < 0.03 and r < 21; {summary.seconds:.0f} s"
    )
    return ExitCode.OK
