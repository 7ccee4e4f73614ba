"""How many galaxies there are at each magnitude, and how far away they are."""

from __future__ import annotations

from functools import cache

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import gammainc, gammaincinv

Floats = NDArray[np.float64]

LOW_REDSHIFT = 0.03
GALAXY_MAGNITUDES = (11.0, 24.0)
"""Range in r of the galaxies that are drawn."""
MAGNITUDE_STEP = 0.01

COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3)

REDSHIFT_LIMITS = (8e-4, 1.6)
"""Nearer galaxies fill a brick; of farther ones nothing is told by colours in g, r, z."""

# log₁₀ of galaxies per deg² and magnitude. From r = 19.5 as the counts of DESI's bright galaxies
# (Hahn et al. 2023: 860 brighter than 19.5) and of deeper imaging (Metcalfe et al. 2001); at 17.8
# as those of the SDSS main sample (Strauss et al. 2002: 92 brighter than 17.77, Petrosian, so 105
# in total magnitudes); brighter ones with a slope that nears Euclid's 0.6 (Yasuda et al. 2001).
_COUNT_MAGNITUDE = (11.0, 12.0, 14.0, 16.0, 17.77, 18.5, 19.0, 19.5, 20.0, 21.0, 22.0, 23.0, 24.0)
_LOG_COUNT = (-1.84, -1.24, -0.04, 1.12, 2.11, 2.49, 2.74, 2.965, 3.17, 3.53, 3.85, 4.13, 4.37)

# Fraction at z < 0.03: SAGA redshifts at 17 < r < 21.5 (Mao et al. 2024). Brighter: roughly the
# volume times a Schechter function (Loveday et al. 2012); fainter: extrapolated.
_LOWZ_MAGNITUDE = (
    11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.25, 18.25, 19.25, 19.75, 20.25, 20.75, 21.25,
    22.0, 23.0, 24.0,
)  # fmt: skip
_LOWZ_FRACTION = (
    0.97, 0.87, 0.65, 0.40, 0.20, 0.085, 0.033, 0.029, 0.0135, 0.0083, 0.0062, 0.0046, 0.0020,
    9e-4, 4e-4, 2e-4,
)  # fmt: skip

# dN/dz ∝ zᵃ exp(−(z/z₀)ᵇ) at each r, so smooth through z = 0.03. z₀ and b are rounded from a fit by
# maximum likelihood to SAGA DR3 table C2 at 14 < r < 20.75 and z > 0.03, without its deep page.
# Brighter they follow the Schechter function roughly. Fainter they are extrapolated, fitted to
# nothing: C2's redshifts there are no guide, as most were chosen far (LRGs, VIPERS), and have a
# median of 0.50 at r = 21.1 and 0.74 at 22, where 0.33 and 0.45 are drawn. The exponent a follows
# from the fraction at z < 0.03.
_SHAPE_MAGNITUDE = (
    11.0, 12.0, 13.0, 14.0, 15.0, 17.0, 18.5, 19.6, 20.5, 21.25, 22.0, 23.0, 24.0,
)  # fmt: skip
_SHAPE_Z0 = (
    0.0155, 0.0215, 0.027, 0.035, 0.052, 0.084, 0.129, 0.132, 0.150, 0.20, 0.28, 0.38, 0.46,
)  # fmt: skip
_SHAPE_B = (2.0, 2.0, 2.0, 2.0, 2.0, 1.70, 1.45, 1.27, 1.14, 1.15, 1.25, 1.35, 1.4)


def galaxy_density(r: ArrayLike) -> Floats:
    """Galaxies per deg² and magnitude at dereddened r, from 11 to 24, good to 20 %."""
    counts = PchipInterpolator(_COUNT_MAGNITUDE, _LOG_COUNT)
    return np.asarray(10.0 ** counts(np.asarray(r, dtype=np.float64)))


def draw_magnitudes(area_deg2: float, rng: np.random.Generator) -> Floats:
    """Draw the dereddened r magnitudes of the galaxies on an area; their number is Poisson."""
    edges, brighter = _cumulative_counts()
    count = rng.poisson(area_deg2 * brighter[-1])
    return np.asarray(np.interp(rng.random(count) * brighter[-1], brighter, edges))


def lowz_fraction(r: ArrayLike, boost: float = 1.0) -> Floats:
    """Fraction of galaxies at z < 0.03 at dereddened r, its odds multiplied by `boost`."""
    fraction = np.exp(
        PchipInterpolator(_LOWZ_MAGNITUDE, np.log(_LOWZ_FRACTION))(np.asarray(r, dtype=np.float64))
    )
    return np.asarray(boost * fraction / (1 + (boost - 1) * fraction))


def draw_redshifts(r: Floats, boost: float, rng: np.random.Generator) -> Floats:
    """Draw the redshift of each galaxy.

    Parameters
    ----------
    r : ndarray, shape (N,)
        Dereddened magnitudes.
    boost : float
        Factor on the odds of z < 0.03. Any but 1 makes dN/dz jump there.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    ndarray, shape (N,)
        Redshifts within `REDSHIFT_LIMITS`.
    """
    low = rng.random(r.size) < lowz_fraction(r, boost)
    return redshifts_of_side(r, low, rng)


def redshifts_of_side(r: Floats, low: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Draw redshifts below 0.03 where `low` is set and at or above it elsewhere."""
    grid, z0, b, order = _shapes()
    z0, b, order = (np.interp(r, grid, values) for values in (z0, b, order))
    nearest, farthest = (gammainc(order, (z / z0) ** b) for z in REDSHIFT_LIMITS)
    limit = gammainc(order, (LOW_REDSHIFT / z0) ** b)
    begin, end = np.where(low, nearest, limit), np.where(low, limit, farthest)
    share = begin + rng.random(r.size) * (end - begin)
    z = z0 * gammaincinv(order, share) ** (1 / b)
    below = np.nextafter(LOW_REDSHIFT, 0.0)
    return np.asarray(np.where(low, np.minimum(z, below), np.maximum(z, LOW_REDSHIFT)))


def distance_modulus(z: ArrayLike) -> Floats:
    """Distance modulus in mag, by interpolation."""
    log_z, modulus, _ = _distances()
    return np.asarray(np.interp(np.log(np.asarray(z, dtype=np.float64)), log_z, modulus))


def kpc_per_arcsec(z: ArrayLike) -> Floats:
    """Proper kpc per arcsec, by interpolation."""
    log_z, _, scale = _distances()
    return np.exp(np.interp(np.log(np.asarray(z, dtype=np.float64)), log_z, np.log(scale)))


@cache
def _cumulative_counts() -> tuple[Floats, Floats]:
    grid = np.arange(*GALAXY_MAGNITUDES, MAGNITUDE_STEP)
    density = galaxy_density(grid + MAGNITUDE_STEP / 2)
    brighter = np.concatenate([[0.0], np.cumsum(density * MAGNITUDE_STEP)])
    return np.append(grid, GALAXY_MAGNITUDES[1]), brighter


@cache
def _shapes() -> tuple[Floats, Floats, Floats, Floats]:
    """r, z₀, b and (a + 1)/b, the order of the incomplete gamma function that integrates dN/dz."""
    r = np.arange(GALAXY_MAGNITUDES[0], GALAXY_MAGNITUDES[1] + 0.025, 0.05)
    z0 = np.exp(PchipInterpolator(_SHAPE_MAGNITUDE, np.log(_SHAPE_Z0))(r))
    b = PchipInterpolator(_SHAPE_MAGNITUDE, _SHAPE_B)(r)
    limit, fraction = (LOW_REDSHIFT / z0) ** b, lowz_fraction(r)
    low, high = np.full(r.size, 0.05), np.full(r.size, 12.0)
    for _ in range(50):  # bisection: the integral falls as the order grows
        middle = 0.5 * (low + high)
        too_many = gammainc(middle, limit) > fraction
        low, high = np.where(too_many, middle, low), np.where(too_many, high, middle)
    return r, z0, b, 0.5 * (low + high)


@cache
def _distances() -> tuple[Floats, Floats, Floats]:
    """Tabulate ln z, distance modulus and kpc per arcsec."""
    z = np.geomspace(REDSHIFT_LIMITS[0] / 2, REDSHIFT_LIMITS[1] * 1.05, 600)
    scale = 1 / COSMOLOGY.arcsec_per_kpc_proper(z).value
    return np.log(z), COSMOLOGY.distmod(z).value, scale
