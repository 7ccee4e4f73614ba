"""Motions, positions at an epoch and magnitudes as observed, of a target list."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.photometry import magnitude_errors, magnitudes
from xsaga.targets.exports.desi_values import epochs, numbers, positions

Floats = NDArray[np.floating[Any]]

_DEGREES_PER_MAS: Final = 1 / 3.6e6


def proper_motions(targets: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Proper motions in RA · cos Dec and in Dec (mas/yr), each (N,); 0 where not known."""
    pmra, pmdec = numbers(targets, "pmra", "f4"), numbers(targets, "pmdec", "f4")
    return pmra.astype(np.float32), pmdec.astype(np.float32)


def positions_at(
    targets: pd.DataFrame, epoch: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """RA and Dec in degrees, each (N,), moved to an epoch by the proper motions.

    The motion is a straight line tangent to the sphere, which is what a proper motion without
    parallax and radial velocity says; positions without motion are unchanged to the last bit.
    """
    ra, dec = positions(targets)
    pmra, pmdec = (motion.astype(np.float64) for motion in proper_motions(targets))
    years = epoch - epochs(targets).astype(np.float64)
    east, north = (np.radians(motion * years * _DEGREES_PER_MAS) for motion in (pmra, pmdec))
    lat = np.radians(dec)
    x = np.cos(lat) - north * np.sin(lat)
    z = np.sin(lat) + north * np.cos(lat)
    moved_ra = np.mod(ra + np.degrees(np.arctan2(east, x)), 360.0)
    moved_dec = np.degrees(np.arctan2(z, np.hypot(x, east)))
    still = (pmra == 0) & (pmdec == 0)
    moved_ra = np.where(moved_ra >= 360.0, 0.0, moved_ra)
    return np.where(still, ra, moved_ra), np.where(still, dec, moved_dec)


def observed_magnitudes(targets: pd.DataFrame, band: str) -> Floats:
    """AB magnitudes as observed (not dereddened), shape (N,); NaN where flux is not positive."""
    return magnitudes(targets[f"flux_{band}"].to_numpy(np.float64))


def observed_magnitude_errors(targets: pd.DataFrame, band: str) -> Floats:
    """Errors of `observed_magnitudes`, shape (N,); NaN where not known."""
    name = f"flux_ivar_{band}"
    if name not in targets:
        return np.full(len(targets), np.nan)
    flux, ivar = targets[f"flux_{band}"].to_numpy(np.float64), targets[name].to_numpy(np.float64)
    return magnitude_errors(flux, ivar)
