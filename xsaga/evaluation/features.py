"""Catalog photometry as features of a classifier, as measured or drawn from its errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog import photometry
from xsaga.catalog.schema import BANDS

Floats = NDArray[np.float64]

SMALLEST_RADIUS = 0.01
"""Arcseconds below which a drawn radius is not taken."""

FEATURES = (
    "mag_r",
    "g-r",
    "r-z",
    "fiber_excess",
    "sb_r",
    "log_radius",
    "ba",
    "sersic",
    *(f"{stem}_{band}" for stem in ("fracflux", "rchisq") for band in BANDS),
    "is_psf",
    "is_rex",
    "is_dev",
    "is_ser",
)
"""Names of the columns of `measured_features`.

Magnitudes and colours are dereddened; ``fiber_excess`` is the r magnitude in a fiber minus the
total; ``log_radius`` is log10 of the half-light radius in arcsec; ``is_…`` tells the type of the
profile (EXP is none of them).
"""


def measured_features(sources: pd.DataFrame) -> NDArray[np.float32]:
    """Features of sources as they were measured.

    Parameters
    ----------
    sources : DataFrame
        Columns of `xsaga.catalog.schema.SOURCE_FIELDS`.

    Returns
    -------
    ndarray of float32, shape (N, len(FEATURES))
        NaN where a flux is not positive or a quantity was not measured; classifiers that take
        NaN as a value of its own (scikit-learn's forests and histogram boosting do) use it so.
    """
    fluxes = {band: _column(sources, f"flux_{band}") for band in BANDS}
    return _features(sources, fluxes, _column(sources, "radius"))


def drawn_features(sources: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.float32]:
    """Features of sources whose fluxes and radius are drawn from their errors.

    Fluxes and radii are normal with the catalog's inverse variances, independently of each other;
    magnitudes, colours and the surface brightness follow from them. What the table of sources
    has no error of (axis ratio, Sérsic index, the share of the light in a fiber …) stays as
    measured, and so does a flux or radius without an error.

    Parameters
    ----------
    sources : DataFrame
        Columns of `xsaga.catalog.schema.SOURCE_FIELDS`.
    rng : Generator
        Of the draws.

    Returns
    -------
    ndarray of float32, shape (N, len(FEATURES))
    """
    fluxes = {}
    for band in BANDS:
        error = np.nan_to_num(photometry.errors_of_ivars(_column(sources, f"flux_ivar_{band}")))
        fluxes[band] = _column(sources, f"flux_{band}") + error * rng.standard_normal(len(sources))
    radius = _column(sources, "radius")
    error = np.nan_to_num(_column(sources, "radius_err"))
    drawn = np.maximum(radius + error * rng.standard_normal(len(sources)), SMALLEST_RADIUS)
    return _features(sources, fluxes, np.where(radius > 0, drawn, radius))


def _features(
    sources: pd.DataFrame, fluxes: dict[str, Floats], radius: Floats
) -> NDArray[np.float32]:
    mag = {
        band: photometry.magnitudes(fluxes[band], _column(sources, f"mw_transmission_{band}"))
        for band in BANDS
    }
    # Of fiber and total as they were measured: their errors are nearly the same.
    total, fiber = _column(sources, "flux_r"), _column(sources, "fiberflux_r")
    with np.errstate(all="ignore"):
        columns = {
            "mag_r": mag["r"],
            "g-r": mag["g"] - mag["r"],
            "r-z": mag["r"] - mag["z"],
            "fiber_excess": photometry.magnitudes(fiber) - photometry.magnitudes(total),
            "sb_r": photometry.surface_brightness(mag["r"], radius),
            "log_radius": np.log10(np.where(radius > 0, radius, np.nan)),
        }
    type_ = sources["type"].astype(str).str.strip()
    for name in FEATURES[len(columns) :]:
        if name.startswith("is_"):
            known = (type_ != "").to_numpy(bool)
            columns[name] = np.where(known, type_ == name.removeprefix("is_").upper(), np.nan)
        else:
            columns[name] = _column(sources, name)
    values = np.column_stack([columns[name] for name in FEATURES])
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32)


def _column(sources: pd.DataFrame, name: str) -> Floats:
    return sources[name].to_numpy(np.float64)
