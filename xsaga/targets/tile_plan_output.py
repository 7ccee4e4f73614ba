"""A plan of tiles as text, JSON and a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.table import Column, Table

from xsaga.errors import TargetsError
from xsaga.paths import placed
from xsaga.targets.provenance import Provenance
from xsaga.targets.tile_plan import TilePlan

SHOWN = 30
"""Tiles that the text shows."""

CAVEAT = (
    "Fibers go by priority, then rank; no collisions, no patrol radii and no other targets are "
    "modelled."
)

FORMATS: Mapping[str, str] = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}
"""File formats of a plan, as astropy calls them, by the end of a name."""

_DESCRIPTIONS = {
    "order": ("", "Place in the plan, 1 = gains most"),
    "tileid": ("", "DESI TILEID"),
    "ra": ("deg", "Right ascension of the centre, ICRS"),
    "dec": ("deg", "Declination of the centre, ICRS"),
    "expected_in_field": ("", "Expected z < {limit} galaxies among all targets of the field"),
    "expected_with_fibers": ("", "The same among those that get a fiber, were it the only tile"),
    "new_fibers": ("", "Targets with a fiber that no earlier tile has observed"),
    "gain": ("", "Expected z < {limit} galaxies among these"),
    "total": ("", "Sum of the gains so far"),
}


def format_plan(plan: TilePlan, provenance: Provenance) -> str:
    """Tell a plan in plain text, best tile first."""
    limit = f"z < {provenance.weights.z_limit:g}"
    n_targets, outside = (int(plan.tiers[name].sum()) for name in ("targets", "in_no_tile"))
    found = plan.tiles["gain"].sum()
    lines = []
    if provenance.weights.simulated:
        lines.append("SIMULATED WEIGHTS: these probabilities are no basis for observing.")
    lines += [
        "; ".join(
            (
                f"{n_targets:,} targets, {n_targets - outside:,} in the field of a tile",
                f"{outside:,} in none",
                f"{_tiles(plan.n_tiles)} of radius {plan.radius:g} deg with {plan.fibers:,} fibers",
            )
        ),
        f"expected {limit}: "
        + ", ".join(
            (
                f"{plan.expected_in_list:.1f} in the list",
                f"{plan.expected_in_tiles:.1f} in the fields",
                f"{found:.1f} with the fibers of {_tiles(len(plan.tiles))}",
            )
        ),
        CAVEAT,
        "",
        *_tier_lines(plan, provenance),
        "",
        "Targets and fibers (by tier) are those of a tile by itself, with the expected number of",
        f"{limit} among them; new, gain, total are what it adds to the tiles above it.",
        "",
        _tile_table(plan),
    ]
    if len(plan.tiles) > SHOWN:
        lines.append(f"… and {_tiles(len(plan.tiles) - SHOWN)} more: --out FILE writes all")
    return "\n".join(lines)


def _tiles(number: int) -> str:
    return f"{number:,} tile{'s' * (number != 1)}"


def _tier_lines(plan: TilePlan, provenance: Provenance) -> list[str]:
    words = dict(enumerate(provenance.tiers, start=1))
    lines = []
    for row in plan.tiers.to_dict("records"):
        chosen_by = f" ({words[row['tier']]})" if row["tier"] in words else ""
        lines.append(
            f"tier {row['tier']}{chosen_by}: {row['targets']:,} targets, {row['in_no_tile']:,} in "
            f"no tile, {row['observed']:,} get a fiber"
        )
    return lines


def _tile_table(plan: TilePlan) -> str:
    shown = plan.tiles.head(SHOWN)
    tiers = "/".join(map(str, plan.tiers["tier"]))

    def joined(stem: str) -> list[str]:
        columns = [shown[f"{stem}_tier{tier}"].map("{:,}".format) for tier in plan.tiers["tier"]]
        return ["/".join(row) for row in zip(*columns, strict=True)] or ["0"] * len(shown)

    return pd.DataFrame(
        {
            "order": shown["order"],
            "tile": shown["tileid"],
            "RA": shown["ra"].map("{:.3f}".format),
            "Dec": shown["dec"].map("{:+.3f}".format),
            f"targets {tiers}": joined("in_field"),
            "expected": shown["expected_in_field"].map("{:.2f}".format),
            f"fibers {tiers}": joined("fiber"),
            "expected ": shown["expected_with_fibers"].map("{:.2f}".format),
            "new": shown["new_fibers"].map("{:,}".format),
            "gain": shown["gain"].map("{:.2f}".format),
            "total": shown["total"].map("{:.2f}".format),
        }
    ).to_string(index=False)


def plan_record(plan: TilePlan, provenance: Provenance) -> dict[str, Any]:
    """Give a plan in JSON types."""
    words = dict(enumerate(provenance.tiers, start=1))
    tiers = [
        {**row, "chosen_by": words.get(row["tier"], "")}
        for row in plan.tiers.astype(object).to_dict("records")
    ]
    return {
        "z_limit": provenance.weights.z_limit,
        "weights": provenance.weights.name,
        "weights_simulated": provenance.weights.simulated,
        "caveat": CAVEAT,
        "tile_radius_deg": plan.radius,
        "fibers_per_tile": plan.fibers,
        "tiles_given": plan.n_tiles,
        "targets": int(plan.tiers["targets"].sum()),
        "targets_in_no_tile": int(plan.tiers["in_no_tile"].sum()),
        "targets_observed": int(plan.tiers["observed"].sum()),
        "expected_in_list": plan.expected_in_list,
        "expected_in_tiles": plan.expected_in_tiles,
        "expected_observed": float(plan.tiles["gain"].sum()),
        "tiers": tiers,
        "tiles": plan.tiles.astype(object).to_dict("records"),
    }


def check_plan_path(path: Path) -> None:
    """Refuse a file of unknown kind before the work.

    Raises
    ------
    TargetsError
        Its name does not end in one of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise TargetsError(f"{path}: unknown kind of file: end its name in {', '.join(FORMATS)}")


def write_plan(
    path: Path, plan: TilePlan, provenance: Provenance, checksums: dict[str, str]
) -> None:
    """Write a plan as CSV, ECSV or FITS, by the end of the name.

    Parameters
    ----------
    path : Path
        File to write; its folder is made.
    plan : TilePlan
        The plan.
    provenance : Provenance
        Of the target list.
    checksums : dict
        SHA-256 by header keyword of what the plan was made from.

    Raises
    ------
    TargetsError
        For an unknown kind of file, or one that cannot be written.
    """
    check_plan_path(path)
    suffix = path.suffix.lower()
    table = _described(plan, provenance)
    table.meta.update(checksums)
    try:
        with ExitStack() as stack:
            if suffix == ".csv":  # which has no place for it
                beside = path.with_name(f"{path.name}-metadata.json")
                text = json.dumps(_csv_metadata(table, path.name), indent=1) + "\n"
                stack.enter_context(placed(beside)).write_text(text, encoding="utf-8", newline="\n")
            temporary = stack.enter_context(placed(path))
            if suffix == ".fits":
                _fits(table).writeto(temporary)
            else:
                table.write(temporary, format=FORMATS[suffix], delimiter=",")
    except OSError as error:
        raise TargetsError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --out"
        ) from error


def _fits(table: Table) -> fits.BinTableHDU:
    rows = table.as_array()
    rows.dtype.names = [name.upper() for name in table.colnames]
    hdu = fits.BinTableHDU(rows, name=table.meta["EXTNAME"])
    for number, column in enumerate(table.itercols(), start=1):
        # inserted backwards, so that they stand in this order behind TFORM
        hdu.header.insert(f"TFORM{number}", (f"TCOMM{number}", column.description), after=True)
        if column.unit:
            hdu.header.insert(f"TFORM{number}", (f"TUNIT{number}", str(column.unit)), after=True)
    for key, value in table.meta.items():
        is_text = isinstance(value, str)  # of which a header holds ASCII only
        hdu.header[key] = value.encode("ascii", "backslashreplace").decode() if is_text else value
    hdu.header["COMMENT"] = CAVEAT
    if table.meta["SIMULATD"]:
        hdu.header["COMMENT"] = "SIMULATED WEIGHTS: these scores are no basis for observing."
    return hdu


def _csv_metadata(table: Table, name: str) -> dict[str, Any]:
    """Describe a CSV file as W3C "CSV on the Web" metadata (CSVW, 2015)."""
    columns = [
        {
            "name": column.name,
            "datatype": "long" if column.dtype.kind == "i" else "double",
            "dc:description": column.description,
            **({"schema:unitText": str(column.unit)} if column.unit else {}),
        }
        for column in table.itercols()
    ]
    return {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        "dc:provenance": dict(table.meta),
        "tableSchema": {"columns": columns, "primaryKey": "tileid"},
    }


def _described(plan: TilePlan, provenance: Provenance) -> Table:
    weights = provenance.weights
    meta = {
        "EXTNAME": "TILEPLAN",
        "XSAGAVER": provenance.version,
        **({"DATE": provenance.created} if provenance.created else {}),
        "WEIGHTS": weights.name,
        "WGTSHA": weights.sha256,
        "SIMULATD": weights.simulated,
        "ZLIMIT": weights.z_limit,
        "TILERAD": plan.radius,
        "FIBERS": plan.fibers,
        "NTILES": plan.n_tiles,
        "NTARGETS": int(plan.tiers["targets"].sum()),
        "NOTILE": int(plan.tiers["in_no_tile"].sum()),
        "EXPLIST": plan.expected_in_list,
        "EXPTILES": plan.expected_in_tiles,
    }
    table = Table(meta=meta)
    for name in plan.tiles:
        unit, words = _described_as(str(name))
        table[name] = Column(
            np.asarray(plan.tiles[name]),
            unit=unit or None,
            description=words.format(limit=f"{weights.z_limit:g}"),
        )
    return table


def _described_as(name: str) -> tuple[str, str]:
    stem, mark, tier = name.partition("_tier")
    if not mark:
        return _DESCRIPTIONS[name]
    what = "in the field" if stem == "in_field" else "with a fiber, were it the only tile"
    return "", f"Targets of tier {tier} {what}"
