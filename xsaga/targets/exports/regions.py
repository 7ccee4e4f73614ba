"""Targets as circles for DS9 and its like (``regions``): one region file in ICRS.

Each circle is coloured by tier and labelled with rank and p_lowz; its tags hold the tier and the
`source_id`, so that DS9 can choose by them. Format: DS9 reference manual, "Regions", version 4.1.
Letters of a catalog's name that mean something there become underscores. Files were read once by
astropy's `regions` 0.12, not by DS9 itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import TargetsError
from xsaga.targets.exports.desi_values import positions
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.target_list import TargetList

REGION_FILE: Final = "targets.reg"

COLOURS: Final = ("red", "orange", "cyan", "green", "magenta", "blue", "yellow", "white")
"""Of the tiers, tier 1 first; further tiers begin anew."""

_HEADER = (
    "# Region file format: DS9 version 4.1",
    "global color=white dashlist=8 3 width=1 select=1 edit=1 move=0 delete=1 include=1 source=1",
    "icrs",
)
_UNSAFE = r"[^A-Za-z0-9 +\-_.:]"
_CIRCLE = re.compile(
    r'^circle\(([0-9.]+),(-?[0-9.]+),([0-9.e+-]+)"\) # color=[a-z]+ text=\{[^{}]*\} '
    r"tag=\{tier [0-9]+\} tag=\{(-?[0-9]+)\}$",
    re.MULTILINE,
)

_ROWS_AT_ONCE = 1 << 16
"""Lines that are made at once: each takes half a kilobyte of memory meanwhile."""


def write_regions(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write the region file."""
    lines = [_HEADER[0], f"# xsaga {listed.provenance.version}: {len(listed.targets)} targets"]
    if listed.provenance.weights.simulated:
        lines.append("# SIMULATED WEIGHTS: these targets are no basis for observing.")
    lines += _HEADER[1:]
    with (folder / REGION_FILE).open("w", encoding="ascii", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)
        for start in range(0, len(listed.targets), _ROWS_AT_ONCE):
            rows = listed.targets.iloc[start : start + _ROWS_AT_ONCE]
            circles = _circles(rows, settings.regions.radius)
            stream.write("\n".join(circles.tolist()) + "\n")


def check_regions(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Parse the file again; compare identifiers, positions and radii with the list.

    Raises
    ------
    TargetsError
        A line is no circle, or is not where the list has the target.
    """
    text = (folder / REGION_FILE).read_text(encoding="ascii")
    found = _CIRCLE.findall(text)
    others = [line for line in text.split("\n", 8)[:8] if line.startswith(("#", "global", "icrs"))]
    if text.count("\n") != len(found) + len(others):
        raise TargetsError(
            f"{REGION_FILE} reads back with {len(found)} circles in {text.count(chr(10))} lines"
        )
    values = np.array(found, dtype=np.str_).reshape(-1, 4)
    targets = listed.targets
    wanted = np.stack(positions(targets), axis=1)
    same = (
        np.array_equal(values[:, 3].astype(np.int64), targets["source_id"].to_numpy())
        and np.abs(values[:, :2].astype(float) - wanted).max(initial=0.0) < 1e-7
        and bool((values[:, 2].astype(float) == settings.regions.radius).all())
    )
    if not same:
        raise TargetsError(f"{REGION_FILE} reads back with other targets than the list has")


def _circles(targets: pd.DataFrame, radius: float) -> NDArray[np.str_]:
    ra, dec = positions(targets)
    tiers = targets["tier"].to_numpy()
    colours = np.array(COLOURS)[(tiers - 1) % len(COLOURS)]
    pieces: list[NDArray[np.str_] | str] = [
        "circle(",
        np.char.mod("%.7f", ra),
        ",",
        np.char.mod("%.7f", dec),
        f',{radius:g}") # color=',
        colours,
        " text={",
        _labels(targets),
        "} tag={tier ",
        tiers.astype(np.str_),
        "} tag={",
        targets["source_id"].to_numpy().astype(np.str_),
        "}",
    ]
    lines = np.zeros(len(targets), dtype="U1")
    for piece in pieces:
        lines = np.char.add(lines, piece)
    return lines


def _labels(targets: pd.DataFrame) -> NDArray[np.str_]:
    """Rank, p_lowz and the catalog's name where it has one, without what means something to DS9."""
    rank, near = targets["rank"].to_numpy(), targets["p_lowz"].to_numpy(np.float64)
    labels = np.char.add(rank.astype(np.str_), np.char.mod(" p=%.3g", near))
    if "name" not in targets:
        return labels
    names = targets["name"].astype(str).str.replace(_UNSAFE, "_", regex=True).str.slice(0, 40)
    spaced = names.where(names == "", " " + names)
    return np.char.add(labels, spaced.to_numpy(dtype=np.str_))


REGIONS: Final = ExportFormat(
    name="regions",
    summary="Circles for DS9, coloured by tier",
    write=write_regions,
    check=check_regions,
)
