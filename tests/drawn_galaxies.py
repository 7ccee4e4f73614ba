"""Rows of the truth table of galaxies whose every property a test chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from xsaga.simulation.coadd_grid import CoaddGrid

SMOOTH: dict[str, Any] = {
    "kind": "galaxy",
    "z": 0.05,
    "is_lowz": False,
    "mag_g": 18.5,
    "mag_r": 18.0,
    "mag_z": 17.7,
    "logmstar": 9.0,
    "quiescent": False,
    "radius": 2.0,
    "ba": 0.7,
    "pa": 30.0,
    "sersic": 1.0,
    "bulge": 0.0,
    "bar": 0.0,
    "nucleus": 0.0,
    "knots_light": 0.0,
    "arms": 0.0,
    "bulge_radius": 0.5,
    "bulge_sersic": 2.0,
    "bulge_ba": 0.8,
    "bar_radius": 1.5,
    "n_arms": 0,
    "pitch": 18.0,
    "knots": 0,
    "knot_size": 0.2,
    "lopsided": 0.0,
    "merger": 0.0,
    "bulge_gr": 0.8,
    "bulge_rz": 0.5,
    "knots_gr": 0.1,
    "knots_rz": -0.1,
    "structure_seed": 7,
    "training": False,
    "ebv": 0.02,
}
"""A smooth exponential disc."""


def galaxy_rows(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of the truth table: `SMOOTH` with the given properties instead of its own."""
    return pd.DataFrame([{**SMOOTH, **row} for row in rows])


def placed(objects: pd.DataFrame, grid: CoaddGrid, x: Any, y: Any) -> pd.DataFrame:
    """Rows of the truth table at pixel positions."""
    ra, dec = grid.wcs.all_pix2world(np.atleast_1d(x), np.atleast_1d(y), 0)
    return objects.assign(ra=ra, dec=dec)
