"""``xsaga labels``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsaga.cli.edge import echo
from xsaga.errors import ConfigError

_HELP_SAGA = "https://sagasurvey.org/data/"


@click.command(short_help="Make a labelled catalog from redshifts.")
@click.argument("inputs", metavar="saga|CATALOG...", nargs=-1, type=click.Path())
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    default="labels.parquet",
    show_default=True,
    help="File to write; conflicts are listed beside it in NAME-conflicts.csv.",
)
@click.option(
    "--saga-tables",
    metavar="DIR|URL",
    help=f"Where the SAGA DR3 tables C1, C2, C3 lie.  [default: {_HELP_SAGA}]",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False),
    help="Folder that keeps downloaded tables; by default in the user's cache folder.",
)
@click.option("--columns", metavar="NAME|FILE.toml", help="Column map of the catalogs.")
@click.option(
    "--column",
    multiple=True,
    metavar="NAME=COLUMN",
    help="Column of the catalogs that holds z, cz, z_quality, host, kind, shred, source, ra …",
)
@click.option("--min-quality", type=int, help="Least quality of a redshift.  [default: 3]")
@click.option("--z-limit", type=float, help="Nearer galaxies are the class.  [default: 0.03]")
@click.option(
    "--z-min",
    type=float,
    help="What is below counts as a star unless it has a host or is called a galaxy.  "
    "[default: 0.001]",
)
@click.option(
    "--photometry",
    multiple=True,
    metavar="PATH",
    help="Catalog of sources (sweeps) that gives positions, identifiers and photometry.",
)
@click.option(
    "--match-radius", type=float, help="Nearer rows are one object, arcsec.  [default: 1]"
)
@click.option(
    "--max-dz", type=float, help="Redshifts of one object may differ so much.  [default: 0.003]"
)
@click.option(
    "--group-order",
    type=int,
    help="HEALPix order of the patches of sky that folds keep together.  [default: 6]",
)
@click.option(
    "--separation",
    type=float,
    help="Least distance of labels in different patches, arcsec; nearer ones are left out, "
    "0: none.  [default: 60]",
)
def labels(
    inputs: tuple[str, ...],
    out: str,
    saga_tables: str | None,
    cache: str | None,
    columns: str | None,
    column: tuple[str, ...],
    photometry: tuple[str, ...],
    **given: Any,
) -> None:
    """Make a labelled catalog, for training and evaluation, from catalogs with redshifts.

    'saga' stands for the tables of SAGA DR3, downloaded once (about 12 MB) unless --saga-tables
    names a folder. A CATALOG is any table with positions and redshifts. Rows of one object are
    matched by position; a file of labels can itself be a CATALOG, so catalogs that need other
    options are first made into files of labels and then joined.
    """
    from xsaga.catalog.labels import LabelSettings
    from xsaga.run.labels import LabelInputs, write_labels_of
    from xsaga.run.labels_summary import format_labels

    settings = LabelSettings(**{name: value for name, value in given.items() if value is not None})
    chosen: dict[str, Any] = {
        "saga_tables": saga_tables,
        "cache": Path(cache) if cache else None,
        "columns": columns,
    }
    made = write_labels_of(
        LabelInputs(
            inputs,
            overrides=dict(map(_assignment, column)),
            photometry=photometry,
            **{name: value for name, value in chosen.items() if value is not None},
        ),
        settings,
        Path(out),
        lambda words: echo(words, err=True),
    )
    echo(format_labels(made))


def _assignment(text: str) -> tuple[str, str]:
    name, sign, column = text.partition("=")
    if not (sign and name and column):
        raise ConfigError(f"--column {text!r}: write NAME=COLUMN")
    return name, column
