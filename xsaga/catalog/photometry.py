"""Magnitudes, colours, shapes and surface brightness, with errors.

Nothing here raises or warns for a flux that is not positive, a zero inverse variance or a NaN:
the result is NaN there. All functions are vectorised and keep the precision of their input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

ZERO_POINT = 22.5
"""AB magnitude of one nanomaggy."""

EXTINCTION: Mapping[str, float] = MappingProxyType({"g": 3.214, "r": 2.165, "i": 1.592, "z": 1.211})
"""A / E(B−V) of SFD98 in the DECam bands (legacysurvey.org, DR9 catalogs)."""

_MAGNITUDES_PER_RELATIVE_ERROR = 2.5 / math.log(10)


def magnitudes(flux: Floats, transmission: Floats | float = 1.0) -> Floats:
    """Dereddened AB magnitudes, 22.5 − 2.5 log10(flux / transmission).

    Parameters
    ----------
    flux : ndarray, shape (N,)
        Nanomaggies as observed.
    transmission : ndarray, shape (N,), or float
        Galactic transmission (MW_TRANSMISSION); 1 leaves the magnitude as observed.

    Returns
    -------
    ndarray, shape (N,)
        NaN where flux or transmission is not positive and finite.
    """
    with np.errstate(all="ignore"):
        intrinsic = _positive(flux) / _positive(transmission)
    return ZERO_POINT - 2.5 * np.log10(_positive(intrinsic))


def magnitude_errors(flux: Floats, flux_ivar: Floats) -> Floats:
    """Errors of magnitudes, 2.5 / ln 10 · σ_flux / flux.

    Parameters
    ----------
    flux, flux_ivar : ndarray, shape (N,)
        Nanomaggies and their inverse variance.

    Returns
    -------
    ndarray, shape (N,)
        NaN where flux or inverse variance is not positive and finite.
    """
    with np.errstate(all="ignore"):
        return _MAGNITUDES_PER_RELATIVE_ERROR / (_positive(flux) * np.sqrt(_positive(flux_ivar)))


def fluxes(mag: Floats) -> Floats:
    """Nanomaggies of AB magnitudes; NaN stays NaN."""
    with np.errstate(all="ignore"):
        return 10.0 ** ((ZERO_POINT - mag) / 2.5)


def flux_ivars(flux: Floats, mag_err: Floats) -> Floats:
    """Inverse variance of fluxes whose magnitudes have the given errors; NaN where not known."""
    with np.errstate(all="ignore"):
        return (_MAGNITUDES_PER_RELATIVE_ERROR / (_positive(flux) * _positive(mag_err))) ** 2


def transmission_of_extinction(extinction: Floats) -> Floats:
    """Transmission of an extinction A in magnitudes."""
    with np.errstate(all="ignore"):
        return 10.0 ** (-0.4 * extinction)


def transmission_of_ebv(ebv: Floats, band: str) -> Floats:
    """Galactic transmission in one band from E(B−V) of SFD98.

    Parameters
    ----------
    ebv : ndarray, shape (N,)
        Magnitudes.
    band : str
        One of `EXTINCTION`.

    Returns
    -------
    ndarray, shape (N,)
    """
    with np.errstate(all="ignore"):
        return transmission_of_extinction(EXTINCTION[band] * ebv)


def axis_ratios(e1: Floats, e2: Floats) -> Floats:
    """Axis ratio b/a of Tractor ellipticities, (1 − |ε|) / (1 + |ε|), |ε| = hypot(e1, e2).

    Source: legacysurvey.org, DR9 catalog description. NaN where |ε| exceeds 1 or is not finite.
    """
    with np.errstate(all="ignore"):
        ellipticity = np.hypot(e1, e2)
    ellipticity = np.where(ellipticity <= 1, ellipticity, np.asarray(np.nan, ellipticity.dtype))
    ratio: Floats = (1 - ellipticity) / (1 + ellipticity)
    return ratio


def errors_of_ivars(ivar: Floats) -> Floats:
    """Turn inverse variances into errors 1/√ivar; NaN where not positive and finite."""
    return 1 / np.sqrt(_positive(ivar))


def surface_brightness(mag: Floats, radius: Floats) -> Floats:
    """Mean surface brightness within the half-light radius, m + 2.5 log10(2π R²).

    Source: Mao et al. 2021 (SAGA II), section 3. SAGA circularises the radius
    (R = SHAPE_R · √(b/a)), DESI LOW-Z and this function do not.

    Parameters
    ----------
    mag : ndarray, shape (N,)
        Dereddened magnitude.
    radius : ndarray, shape (N,)
        Half-light radius in arcseconds.

    Returns
    -------
    ndarray, shape (N,)
        mag/arcsec²; NaN where the radius is not positive (point sources).
    """
    with np.errstate(all="ignore"):
        brightness: Floats = mag + 5 * np.log10(_positive(radius)) + 2.5 * math.log10(2 * math.pi)
    return brightness


def circularisation(ba: Floats) -> Floats:
    """Change of a surface brightness from radius R to R √(b/a), in mag; 0 where b/a is unknown.

    Parameters
    ----------
    ba : ndarray
        Axis ratio.
    """
    usable = np.where(ba > 0, ba, 1.0)
    return np.asarray(2.5 * np.log10(usable))


def surface_brightness_errors(mag_err: Floats, radius: Floats, radius_err: Floats) -> Floats:
    """Errors of surface brightness, hypot(σ_m, 5 / ln 10 · σ_R / R).

    An error that is not known counts as nothing; NaN where both are unknown or the radius is not
    positive.
    """
    with np.errstate(all="ignore"):
        relative = 2 * _MAGNITUDES_PER_RELATIVE_ERROR * radius_err / _positive(radius)
        error = np.hypot(
            np.nan_to_num(mag_err, posinf=np.inf), np.nan_to_num(relative, posinf=np.inf)
        )
    known = (np.isfinite(mag_err) | np.isfinite(relative)) & (radius > 0)
    return np.where(known, error, np.asarray(np.nan, error.dtype))


def radius_of_surface_brightness(mag: Floats, brightness: Floats) -> Floats:
    """Half-light radius (arcsec) at which `surface_brightness` gives `brightness`."""
    with np.errstate(all="ignore"):
        return 10.0 ** (0.2 * (brightness - mag)) / math.sqrt(2 * math.pi)


def _positive(values: Floats | float) -> Floats:
    """Values with NaN in place of what is not positive and finite."""
    array = np.asarray(values)
    usable = (array > 0) & (array < np.inf)
    return array if usable.all() else np.where(usable, array, np.asarray(np.nan, array.dtype))
