"""Labels in a few lines of text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xsaga.run.labels import LabelsMade

R_EDGES = np.arange(17.0, 21.6, 0.5)
"""Limits of the bins of r magnitude."""

SAGA_SHARES = {17.0: 3.3, 18.0: 2.9, 19.0: 1.35, 19.5: 0.83, 20.0: 0.62, 20.5: 0.48, 21.0: 0.19}
"""Share of z < 0.03 among all SAGA redshifts (%), by the lower edge of half a magnitude in r
(Mao et al. 2024; the project's domain facts)."""

_SOURCES_SHOWN = 15


def format_labels(made: LabelsMade) -> str:
    """Tell what labels were made of, how many are of the class, and where they are."""
    table, counts = made.labels.table, made.record["counts"]
    limit = made.record["z_limit"]
    near = f"z < {limit:g}"
    read = (
        f"{counts['read']:,} rows read: {counts['usable']:,} usable, "
        f"{counts['low_quality']:,} below quality {made.record['min_quality']}, "
        f"{counts['no_redshift']:,} without redshift, {counts['no_position']:,} without position"
    )
    matched = (
        f"{counts['duplicates']:,} rows are duplicates within "
        f'{made.record["match_radius"]:g}"; {counts["crowded"]:,} objects left out: nearer than '
        f'{made.record["separation"]:g}" to another group of sky'
    )
    conflicting = (
        f"{counts['conflicting']:,} objects with conflicting redshifts (differ by more than "
        f"{made.record['max_dz']:g}), {counts['conflicting_class']:,} of them on both sides of "
        f"the limit; listed in {made.conflicts}"
    )
    lines = [read, matched, conflicting]
    if "with_source" in counts:
        lines.append(f"{counts['with_source']:,} rows match a source that gives photometry")
    if counts["local"]:
        lines.append(
            f"{counts['local']:,} objects below z = {made.record['z_min']:g} count as stars, "
            "not as near galaxies (--z-min)"
        )
    if counts["shreds"]:
        lines.append(f"{counts['shreds']:,} labels are shreds, not near galaxies")
    lines += ["", *_by_source(table, near), ""]
    if table["mag_r"].notna().any():
        lines += [*_by_magnitude(table, near, saga=limit == 0.03), ""]
    simulated = "SIMULATED " if made.record["simulated"] else ""
    lines.append(
        f"wrote {len(table):,} {simulated}labels, {counts['lowz']:,} at {near}, in "
        f"{counts['groups']:,} groups of sky, to {made.path}"
    )
    return "\n".join(lines)


def _by_source(table: pd.DataFrame, near: str) -> list[str]:
    found = table.groupby("source")["is_lowz"].agg(["size", "sum"])
    found = found.sort_values("size", ascending=False, kind="stable")
    width = max(10, *(len(str(name)) for name in found.index[:_SOURCES_SHOWN]))
    lines = [f"{'source':{width}} {'labels':>9} {near:>9}"]
    lines += [
        f"{name:{width}} {size:9,} {lowz:9,}"
        for name, size, lowz in found.head(_SOURCES_SHOWN).itertuples()
    ]
    rest = found.iloc[_SOURCES_SHOWN:]
    if len(rest):
        said = f"{len(rest)} others"
        lines.append(f"{said:{width}} {rest['size'].sum():9,} {rest['sum'].sum():9,}")
    return lines


def _by_magnitude(table: pd.DataFrame, near: str, *, saga: bool) -> list[str]:
    magnitude, lowz = table["mag_r"].to_numpy(), table["is_lowz"].to_numpy()
    total, _ = np.histogram(magnitude, R_EDGES)
    number, _ = np.histogram(magnitude[lowz], R_EDGES)
    lines = [f"{'r':10} {'labels':>9} {near:>9} {'share':>8}" + (" SAGA DR3" if saga else "")]
    for low, all_in_bin, near_in_bin in zip(R_EDGES, total, number, strict=False):
        share = f"{100 * near_in_bin / all_in_bin:.2f} %" if all_in_bin else "–"
        known = SAGA_SHARES.get(float(low))
        published = f" {known:6.2f} %" if saga and known is not None else ""
        line = f"{low:4.1f}–{low + 0.5:4.1f} {all_in_bin:10,} {near_in_bin:9,} {share:>8}"
        lines.append(line + published)
    return lines
