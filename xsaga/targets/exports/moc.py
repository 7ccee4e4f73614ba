"""The selected area (``moc``): a multi-order coverage map (MOC) as FITS, JSON and text.

The map is that of the ranking, which lies beside the target list. FITS follows IVOA MOC 2.0; JSON
is what Aladin and mocpy exchange; text is the ASCII form of the recommendation.

The ranking tells its area by cells whose centre is inside, so a target near the edge may lie in the
cell next to it: such targets are counted in the FITS header (NEDGE), any further one is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from astropy import units
from mocpy import MOC

from xsaga.errors import FootprintError, TargetsError
from xsaga.sky.pixel_regions import MocRegion
from xsaga.targets.exports.desi_values import positions
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.target_list import TargetList

AREA_FILE: Final = "area.moc.fits"
"""Written by the ranking beside the target list."""

FITS_FILE: Final = "area.moc.fits"
JSON_FILE: Final = "area.moc.json"
TEXT_FILE: Final = "area.moc.txt"


def write_moc(listed: TargetList, folder: Path, settings: ExportSettings) -> None:  # noqa: ARG001
    """Write the map in three forms.

    Raises
    ------
    TargetsError
        There is no map beside the list, it cannot be read, or a target is outside it.
    """
    area = _area(listed.path.parent / AREA_FILE)
    at_edge = _edge_targets(listed.targets, area)
    provenance = listed.provenance
    cards: dict[str, object] = {
        "ORIGIN": f"xsaga {provenance.version}",
        "SIMULATD": provenance.weights.simulated,
        "NTARGETS": len(listed.targets),
        "NEDGE": (at_edge, "of them in a cell next to the area"),
    }
    if provenance.created:
        cards["DATE"] = provenance.created
    if provenance.area_deg2 is not None:
        cards["AREA"] = (provenance.area_deg2, "deg2, that targets were chosen from")
    if provenance.weights.simulated:
        cards["COMMENT"] = "SIMULATED WEIGHTS: these targets are no basis for observing."
    area.save(folder / FITS_FILE, format="fits", fits_keywords=cards)
    text = json.dumps(json.loads(area.to_string("json")), separators=(",", ":"))
    (folder / JSON_FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
    ascii_form = " ".join(area.to_string("ascii").split())
    (folder / TEXT_FILE).write_text(ascii_form + "\n", encoding="utf-8", newline="\n")


def check_moc(listed: TargetList, folder: Path, settings: ExportSettings) -> None:  # noqa: ARG001
    """Read all three back; compare them with the ranking's map and with the targets.

    Raises
    ------
    TargetsError
        A form covers another area, or a target is outside it.
    """
    area = _area(listed.path.parent / AREA_FILE)
    forms = {
        FITS_FILE: _area(folder / FITS_FILE),
        JSON_FILE: _area(folder / JSON_FILE),
        TEXT_FILE: MOC.from_string((folder / TEXT_FILE).read_text(encoding="utf-8"), "ascii"),
    }
    for name, found in forms.items():
        if found != area:
            raise TargetsError(f"{name} reads back as another area than {AREA_FILE} covers")
    _edge_targets(listed.targets, forms[FITS_FILE])


def _area(path: Path) -> MOC:
    if not path.is_file():
        raise TargetsError(
            f"no {path.name} in {path.parent}: rank the run again, which writes the selected area"
        )
    try:
        MocRegion.from_file(path)  # mocpy takes what is left of a cut file
        return MOC.load(path, "json" if path.suffix == ".json" else "fits")
    except FootprintError as error:
        raise TargetsError(f"{error}; rank the run again") from error


def _edge_targets(targets: pd.DataFrame, area: MOC) -> int:
    """Count targets in cells next to the area; refuse any that is further away."""
    ra, dec = positions(targets)
    longitude, latitude = ra * units.deg, dec * units.deg
    near = np.asarray(area.extended().contains_lonlat(longitude, latitude), dtype=bool)
    wrong = np.flatnonzero(~near)
    if len(wrong):
        row = wrong[0]
        more = f", and so are {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise TargetsError(
            f"source {targets['source_id'].iloc[row]} (RA {ra[row]:.5f}, Dec {dec[row]:.5f}) is "
            f"outside {AREA_FILE}{more}: list and area are not of one ranking; rank the run again"
        )
    return len(targets) - int(np.count_nonzero(area.contains_lonlat(longitude, latitude)))


MOC_FILES: Final = ExportFormat(
    name="moc",
    summary="The selected area as a MOC (FITS, JSON and text)",
    write=write_moc,
    check=check_moc,
)
