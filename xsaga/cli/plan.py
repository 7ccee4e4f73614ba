"""``xsaga plan``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from xsaga.cli.edge import echo
from xsaga.errors import ExitCode


@click.command(short_help="Tell which DESI tiles find most of a target list.")
@click.argument("where", metavar="WHERE", type=click.Path(path_type=Path))
@click.option(
    "--desi-tiles",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Table of DESI tiles (TILEID RA DEC), FITS or ECSV.",
)
@click.option(
    "--tile-id", "tile_ids", multiple=True, type=int, help="Only these TILEIDs of the table."
)
@click.option(
    "--fibers",
    type=click.IntRange(min=1),
    default=5000,
    show_default=True,
    help="Fibers of a tile for these targets; the default is all that DESI has.",
)
@click.option(
    "--tile-radius", default=1.6, show_default=True, help="Radius of a tile's field, degrees."
)
@click.option("--tiles", type=click.IntRange(min=1), help="Choose only so many; all by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the tiles as .csv, .ecsv or .fits too.",
)
def plan(
    where: Path,
    desi_tiles: Path,
    tile_ids: tuple[int, ...],
    fibers: int,
    tile_radius: float,
    tiles: int | None,
    as_json: bool,
    out: Path | None,
) -> int:
    """Tell which DESI tiles find most nearby galaxies of a target list, best first.

    WHERE is a run, a folder of nightly runs, one night's list, or a targets.parquet. Each next
    tile is the one whose fibers add most to what the tiles before it have observed. Fibers go to
    the targets of a tile by priority, then rank; collisions of positioners are not modelled.
    """
    from xsaga.sky.desi_tiles import DesiTiles
    from xsaga.targets.provenance import sha256_of
    from xsaga.targets.target_list import read_target_list
    from xsaga.targets.tile_plan import plan_tiles
    from xsaga.targets.tile_plan_output import (
        check_plan_path,
        format_plan,
        plan_record,
        write_plan,
    )

    if out is not None:
        check_plan_path(out)
    fields = DesiTiles.from_file(desi_tiles, tile_ids, tile_radius)
    ranked = read_target_list(where)
    planned = plan_tiles(ranked.targets, fields, fibers, tiles)
    if as_json:
        click.echo(json.dumps(plan_record(planned, ranked.provenance), indent=2))
    else:
        echo(format_plan(planned, ranked.provenance))
    if out is not None:
        checksums = {"TGTSHA": sha256_of(ranked.path), "TILESHA": str(fields.describe()["sha256"])}
        write_plan(out, planned, ranked.provenance, checksums)
        click.echo(f"wrote {out}", err=True)
    return ExitCode.OK
