"""Files of footprints in all forms that are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table
from mocpy import MOC


def write_footprints(folder: Path) -> None:
    """Write a MOC in its three forms, DESI tiles in two, and a list of pixels."""
    moc = MOC.from_healpix_cells(np.array([10, 11, 500]), np.array([4, 4, 6], np.uint8), 6)
    moc.save(folder / "nuniq.moc.fits", format="fits", v1_compatible=True)
    moc.save(folder / "range.moc.fits", format="fits", v1_compatible=False)
    moc.save(folder / "a.moc.json", format="json")
    tiles = Table({"TILEID": [1, 2, 3], "RA": [1.0, 2.0, 3.0], "DEC": [0.0, 1.0, 2.0]})
    tiles.write(folder / "tiles.fits")
    tiles.write(folder / "tiles.ecsv", format="ascii.ecsv")
    (folder / "pixels.txt").write_text("6/10,11 12\n7/3 # comment\n", encoding="utf-8")
