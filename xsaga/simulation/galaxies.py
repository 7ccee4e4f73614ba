"""Which galaxies there are: counts, redshifts, sizes, colours and structure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammainc, gammaincinv

from xsaga.simulation.bricks import Brick
from xsaga.simulation.sky_model import SkyModel

Floats = NDArray[np.float64]

LOW_REDSHIFT = 0.03
GALAXY_MAGNITUDES = (14.0, 24.0)
"""Range in r of the galaxies that are drawn."""
MAGNITUDE_STEP = 0.01

COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3)

# Fraction of sources at z < 0.03 by r magnitude: SAGA redshifts (Mao et al. 2024) at 17 < r < 21.5,
# beyond that extrapolated, brightwards to what the volume within z = 0.03 holds.
_LOWZ_MAGNITUDE = (14.0, 15.0, 16.0, 17.25, 18.25, 19.25, 19.75, 20.25, 20.75, 21.25, 22.0, 24.0)
_LOWZ_FRACTION = (0.3, 0.15, 0.07, 0.033, 0.029, 0.0135, 0.0083, 0.0062, 0.0048, 0.0019, 1e-3, 2e-4)


def galaxy_density(r: ArrayLike) -> Floats:
    """Galaxies per deg² and magnitude at dereddened r.

    A parabola through the counts of SDSS and DESI's bright galaxies at r < 20 (Yasuda et al. 2001;
    Hahn et al. 2023) and of deeper imaging at r ≈ 23 (Metcalfe et al. 2001), good to 20 %.
    """
    offset = np.asarray(r, dtype=np.float64) - 20.0
    return np.asarray(10.0 ** (3.17 + 0.38 * offset - 0.02 * offset**2))


def lowz_fraction(r: ArrayLike, boost: float = 1.0) -> Floats:
    """Fraction of galaxies at z < 0.03 at dereddened r, its odds multiplied by `boost`."""
    fraction = np.exp(
        np.interp(np.asarray(r, dtype=np.float64), _LOWZ_MAGNITUDE, np.log(_LOWZ_FRACTION))
    )
    return np.asarray(boost * fraction / (1 + (boost - 1) * fraction))


def draw_galaxies(brick: Brick, sky: SkyModel, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the galaxies of a brick: rows of the truth table without positions and ids."""
    grid = np.arange(*GALAXY_MAGNITUDES, MAGNITUDE_STEP)
    brighter = np.concatenate([[0.0], np.cumsum(galaxy_density(grid) * MAGNITUDE_STEP)])
    edges = np.append(grid, GALAXY_MAGNITUDES[1])
    count = rng.poisson(brick.area_deg2 * sky.density * brighter[-1])
    r = np.interp(rng.random(count) * brighter[-1], brighter, edges)
    return pd.DataFrame(galaxies_of_magnitude(r, sky.lowz_boost, rng))


def galaxies_of_magnitude(
    r: Floats, boost: float, rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Give galaxies of dereddened magnitude r all their other properties, each of shape (N,)."""
    z = _redshifts(r, boost, rng)
    absolute = r - COSMOLOGY.distmod(z).value  # no K correction: the fits below had none
    quiescent = rng.random(r.size) < 0.12 + 0.6 * expit((-20.6 - absolute) / 0.8)
    gr, rz = _colours(z, absolute, quiescent, rng)
    radius = _radii(z, absolute, quiescent, rng)
    resolved = (r < 22.0) & (radius > 0.5)
    dwarf = expit((absolute + 17.8) / 0.4)

    # A disc of intrinsic thickness q₀ seen at a random angle (Hubble 1926); dwarfs are thicker.
    thickness = 0.2 + 0.2 * dwarf
    cos_inclination = rng.random(r.size)
    disc_ba = np.sqrt(thickness**2 + (1 - thickness**2) * cos_inclination**2)
    ba = np.where(quiescent, rng.uniform(0.45, 1.0, r.size), disc_ba)

    # Sérsic indices in steps of 1/4: the renderer tabulates one profile per value.
    bright_red = quiescent & (absolute < -18.5)
    disc_index = 1.0 - 0.25 * np.round(2 * dwarf * rng.random(r.size) - 0.5 * dwarf)
    sersic = np.where(bright_red, rng.integers(4, 9, r.size) / 2, disc_index)
    bulge = np.clip(0.09 * (-18.5 - absolute) + rng.normal(0, 0.08, r.size), 0, 0.5)
    young = np.clip(rng.lognormal(np.log(0.13), 0.6, r.size), 0, 0.45)
    spiral = (absolute < -18.3) & ~quiescent & (ba > 0.25)
    kpc = radius / COSMOLOGY.arcsec_per_kpc_proper(z).value
    knots = np.where(spiral, rng.poisson(60, r.size), 5 + rng.poisson(8 * kpc))
    lopsided = dwarf * rng.uniform(0, 0.6, r.size) + (1 - dwarf) * rng.uniform(0, 0.12, r.size)
    structured = resolved & ~quiescent
    return {
        "kind": np.full(r.size, "galaxy", dtype=object),
        "z": z,
        "is_lowz": z < LOW_REDSHIFT,
        "mag_g": r + gr,
        "mag_r": r,
        "mag_z": r - rz,
        "radius": radius,
        "ba": ba,
        "pa": rng.uniform(0.0, 180.0, r.size),
        "sersic": sersic,
        "quiescent": quiescent,
        "bulge": np.where(structured, bulge, 0.0),
        "young": np.where(structured, young, 0.0),
        "knots": np.where(structured, knots, 0),
        "spiral": spiral & structured,
        "lopsided": np.where(structured, lopsided, 0.0),
    }


def _redshifts(r: Floats, boost: float, rng: np.random.Generator) -> Floats:
    low = rng.random(r.size) < lowz_fraction(r, boost)
    u = rng.random(r.size)
    # z < 0.03: volume times the faint end of a luminosity function of slope −1.3, dN/dz ∝ z^1.4
    floor = 0.003**2.4
    near = (floor + u * (LOW_REDSHIFT**2.4 - floor)) ** (1 / 2.4)
    # Beyond: dN/dz ∝ z² exp(−(z/z₀)^1.5) (Smail et al. 1994), the median fitted to SAGA DR3
    # table C2 (Mao et al. 2024): 0.11 at r = 17.5, 0.19 at 19.5, 0.25 at 20.5.
    z0 = 0.19 * 10 ** (0.125 * (r - 19.5)) / 1.412
    below = gammainc(2.0, (LOW_REDSHIFT / z0) ** 1.5)
    far = z0 * gammaincinv(2.0, below + (1 - 1e-4) * u * (1 - below)) ** (1 / 1.5)
    return np.asarray(np.where(low, near, np.maximum(far, LOW_REDSHIFT)))


def _colours(
    z: Floats, absolute: Floats, quiescent: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Observed dereddened g−r and r−z: a blue cloud and a red sequence, with redshift.

    Blue: fitted to SAGA DR3 tables C2 and C3 (g−r 0.42 ± 0.12 for dwarfs, 0.72 at z = 0.25) and to
    Legacy Surveys sources (r−z = 0.62 (g−r) − 0.05). Red: the sequence of DECaLS galaxies
    with g−r rising to 1.6 as the 4000 Å break leaves g, r−z rising as it enters r (z > 0.35).
    """
    blue_gr = 0.42 - 0.03 * np.clip(absolute + 17, -6, 0) + 0.8 * np.minimum(z, 0.45)
    blue_gr -= 0.3 * np.maximum(z - 0.45, 0)
    blue_gr += rng.normal(0, 0.11, z.size)
    blue_rz = 0.62 * blue_gr - 0.05 + 0.5 * np.clip(z - 0.45, 0, 0.5)
    red_gr = 0.72 - 0.015 * (np.clip(absolute, -23, -12) + 20) + 2.3 * np.minimum(z, 0.38)
    red_gr += rng.normal(0, 0.05, z.size)
    red_rz = 0.33 + 0.02 * (-20 - np.clip(absolute, -23, -12)) + 1.5 * np.minimum(z, 0.35)
    red_rz += 2.0 * np.clip(z - 0.35, 0, 0.5)
    gr = np.where(quiescent, red_gr, blue_gr)
    rz = np.where(quiescent, red_rz, blue_rz) + rng.normal(0, 0.05, z.size)
    return gr, rz


def _radii(
    z: Floats, absolute: Floats, quiescent: NDArray[np.bool_], rng: np.random.Generator
) -> Floats:
    """Half-light semi-major axis in arcsec.

    log₁₀ R/kpc = 0.42 − 0.122 (M + 18) − 0.005 (M + 18)² with 0.22 dex of scatter, fitted to
    SHAPE_R of SAGA DR3 tables C2 and C3 for −22 < M < −12 (the constant to the surface brightness
    of C2 at r ≈ 20); quiescent galaxies are smaller.
    """
    offset = np.clip(absolute, -23.0, -11.0) + 18.0
    log_kpc = 0.42 - 0.122 * offset - 0.005 * offset**2 - 0.12 * quiescent
    log_kpc += rng.normal(0, 0.22, z.size)
    arcsec = 10**log_kpc * COSMOLOGY.arcsec_per_kpc_proper(z).value
    return np.asarray(np.clip(arcsec, 0.08, 40.0))
