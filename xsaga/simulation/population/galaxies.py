"""What galaxies are like: colour, mass, size and shape, given magnitude and redshift.

Everything follows from the absolute magnitude, the redshift and whether stars form, through
relations without a step anywhere: a galaxy at z = 0.029 looks like one at z = 0.031. The relations
are fitted to SAGA DR3 (Mao et al. 2024), tables C2 (galaxies of all redshifts) and C3 (satellites).
C2 is no magnitude-limited sample: most of its targets were chosen blue, so quiescent galaxies at
0.1 < z < 0.3 are rarer here than in the sky.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from xsaga.simulation.bricks import Brick
from xsaga.simulation.population.redshifts import (
    LOW_REDSHIFT,
    distance_modulus,
    draw_magnitudes,
    draw_redshifts,
    kpc_per_arcsec,
)
from xsaga.simulation.population.stellar_colours import MEDIAN_HALPHA, line_shift, observed_colours
from xsaga.simulation.population.structure import Bodies, draw_structure
from xsaga.simulation.sky_model import SkyModel

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# log₁₀ of the circularised half-light radius in kpc and its scatter in dex by absolute magnitude.
_SIZE_MAGNITUDE = (
    -24.0,
    -22.5,
    -21.5,
    -20.5,
    -19.5,
    -18.5,
    -17.5,
    -16.5,
    -15.5,
    -14.5,
    -13.5,
    -12.0,
)
_STAR_FORMING_SIZE = (1.0, 0.82, 0.67, 0.53, 0.43, 0.30, 0.17, 0.03, -0.14, -0.26, -0.36, -0.50)
_QUIESCENT_SIZE = (0.90, 0.74, 0.51, 0.33, 0.26, 0.19, 0.12, 0.06, -0.03, -0.17, -0.31, -0.50)
_SIZE_SCATTER = (0.12, 0.12, 0.12, 0.13, 0.16, 0.16, 0.18, 0.18, 0.17, 0.17, 0.15, 0.13)

# Median Sérsic index of the whole galaxy.
_INDEX_MAGNITUDE = (-23.5, -22.5, -21.5, -20.5, -19.0, -17.5, -16.0, -14.0, -12.0)
_STAR_FORMING_INDEX = (1.9, 1.5, 1.2, 1.05, 1.04, 1.04, 1.03, 0.97, 0.9)
_QUIESCENT_INDEX = (7.0, 6.0, 4.4, 3.2, 2.3, 1.6, 1.2, 1.0, 0.9)

_SIZE_COLOUR = 0.3
"""Correlation of size with blueness at given magnitude and redshift."""

_COMPACT_SHARE = 0.07
"""Share of star-forming galaxies that are compact and bursting: blue compact dwarfs and the like,
small and blue enough at z ~ 0.05-0.1 to pass for what is nearer."""

FIT_BIAS = (0.035, 0.042)
"""By how much g−r and r−z of a catalog are redder than a galaxy's total colours.

The catalogs' fits have one shape for all bands and miss some of the bluer outskirts. SAGA's colours
are such fits', and the relations here describe them; galaxies are drawn with the totals. Medians of
the catalogs measured on simulated images, nearly the same at all redshifts.
"""


def draw_galaxies(brick: Brick, sky: SkyModel, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the galaxies of a brick: rows of the truth table without positions and ids."""
    r = draw_magnitudes(brick.area_deg2 * sky.density, rng)
    return pd.DataFrame(galaxies_of_magnitude(r, sky.lowz_boost, rng))


def galaxies_of_magnitude(
    r: Floats, boost: float, rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Give galaxies of dereddened magnitude r all their other properties, each of shape (N,)."""
    return galaxies_at(r, draw_redshifts(r, boost, rng), rng)


def galaxies_at(r: Floats, z: Floats, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Give galaxies of dereddened magnitude r at redshift z all their other properties.

    Parameters
    ----------
    r, z : ndarray, shape (N,)
        Magnitude and redshift.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    dict of ndarray, each of shape (N,)
        Columns of the truth table, described in `xsaga.simulation.population.objects.draw_objects`.
    """
    count = r.size
    modulus = distance_modulus(z)
    quiescent = rng.random(count) < quiescent_fraction(r - modulus - 0.7 * z, z)
    compact = ~quiescent & (rng.random(count) < _COMPACT_SHARE)
    rest_gr, residual = _rest_colours(r - modulus, z, quiescent, compact, rng)
    gr, rz, k_r = observed_colours(rest_gr, z)
    absolute = r - modulus - k_r
    # Mao et al. 2021, equation 1
    logmstar = 1.254 + 1.098 * rest_gr - 0.4 * absolute
    halpha = _halpha(residual, quiescent, compact, rng)
    line_gr, line_rz = line_shift(halpha, np.clip((logmstar - 8.5) / 2, 0, 1), z)
    gr += np.where(quiescent, 0.0, line_gr) - FIT_BIAS[0]
    # metal-poor stars: dwarfs' r−z is bluer at the same g−r (Legacy Surveys' blue galaxies)
    rz += np.where(quiescent, 0.0, line_rz) - 0.04 * np.clip(absolute + 20.5, 0, 3)
    rz += rng.normal(0, 0.03, count) - FIT_BIAS[1]

    ba = _axis_ratios(absolute, quiescent, rng)
    log_kpc = _log_sizes(absolute, quiescent, z) - 0.22 * compact
    # galaxies bluer than others of their mass and redshift are a little larger (C2)
    spread = -_SIZE_COLOUR * residual + np.sqrt(1 - _SIZE_COLOUR**2) * rng.normal(0, 1, count)
    log_kpc += spread * np.interp(absolute, _SIZE_MAGNITUDE, _SIZE_SCATTER)
    scale = kpc_per_arcsec(z)
    bodies = Bodies(
        r=r,
        z=z,
        absolute=absolute,
        logmstar=logmstar,
        quiescent=quiescent,
        rest_gr=rest_gr,
        gr=gr,
        rz=rz,
        halpha=halpha,
        ba=ba,
        kpc=10**log_kpc,
        kpc_per_arcsec=scale,
        index=_indices(absolute, quiescent, rng),
    )
    return {
        "kind": np.full(count, "galaxy", dtype=object),
        "z": z,
        "is_lowz": z < LOW_REDSHIFT,
        "mag_g": r + gr,
        "mag_r": r,
        "mag_z": r - rz,
        "logmstar": logmstar,
        "quiescent": quiescent,
        "ba": ba,
        "pa": rng.uniform(0.0, 180.0, count),
        **draw_structure(bodies, rng),
    }


def quiescent_fraction(absolute: Floats, z: Floats) -> Floats:
    """Fraction of galaxies without star formation.

    Massive galaxies and satellites. In the colours of C2 the massive ones thin out to z ≈ 0.26 as
    bluer targets were chosen, and grow again with BOSS's luminous red galaxies. Faint quiescent
    galaxies are a fifth of SAGA's satellites at z ≈ 0.008 and rare in the field, so their share
    falls smoothly from there to z = 0.03. How fast it falls was set by the published completeness
    of DESI LOW-Z's cuts (95 % in random fields; 92 % with the satellites' share throughout).
    """
    late = 1 - np.exp(-((z / 0.165) ** 2))
    middle = -20.5 - 2.4 * late + 3.4 * np.clip(z - 0.26, 0, 0.2)
    massive = 0.86 * expit((middle - absolute) / (0.95 - 0.6 * late))
    satellites = 0.006 + 0.256 * np.exp(-((z / 0.013) ** 2))
    return np.asarray(massive + satellites * expit((absolute + 16.25) / 0.45))


def _rest_colours(
    uncorrected: Floats, z: Floats, quiescent: Mask, compact: Mask, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Rest-frame g−r: blue cloud and red sequence; and how far from the middle of the cloud.

    The absolute magnitude it hangs on needs a K correction, which needs the colour: two rounds.
    """
    noise = rng.normal(0, 1, z.size)
    rest_gr = np.where(quiescent, 0.72, 0.42)
    evolution = 1 - np.exp(-z / 0.1)
    faint = 0.388 - 0.13 * evolution
    middle = -18.27 - 2.47 * evolution
    for _ in range(2):
        absolute = uncorrected - observed_colours(rest_gr, z)[2]
        blue = faint + (0.607 - faint) * expit((middle - absolute) / 0.82)
        blue_scatter = 0.122 - 0.035 * expit((-20.5 - absolute) / 0.5)
        red = 0.755 - 0.025 * (np.clip(absolute, -23.0, -11.0) + 21) - 0.05 * z
        red_scatter = 0.032 + 0.03 * expit((absolute + 17) / 0.8)
        # few of the bluest were targets of the surveys that C2 has beyond z = 0.3
        cloud = blue + 0.08 * np.clip((z - 0.27) / 0.1, 0, 1) + blue_scatter * noise - 0.1 * compact
        # no redder than galaxies without star formation
        reddest = 0.68 - 0.08 * expit((absolute + 16.5) / 0.5)
        cloud = reddest - 0.04 * np.logaddexp(0.0, (reddest - cloud) / 0.04)
        rest_gr = np.where(quiescent, red + red_scatter * noise, cloud)
    return np.clip(rest_gr, -0.3, 0.86), noise


def _halpha(residual: Floats, quiescent: Mask, compact: Mask, rng: np.random.Generator) -> Floats:
    """Equivalent width of Hα in Å: log-normal, larger for bluer galaxies and bursts."""
    log_width = np.log(MEDIAN_HALPHA) - 0.45 * residual + rng.normal(0, 0.85, residual.size)
    width = np.clip(np.exp(log_width + 0.9 * compact), 1.0, 600.0)
    return np.where(quiescent, 0.0, width)


def _axis_ratios(absolute: Floats, quiescent: Mask, rng: np.random.Generator) -> Floats:
    """Axis ratios: discs of some thickness, not quite round, seen at random angles; spheroids."""
    count = absolute.size
    dwarf, massive = expit((absolute + 17.0) / 0.7), expit((-20.7 - absolute) / 0.5)
    thickness = 0.18 + 0.35 * dwarf + 0.45 * massive + rng.normal(0, 0.05, count)
    thickness = np.clip(thickness, 0.08, 0.7)
    cosine = rng.random(count)
    disc = np.sqrt(thickness**2 + (1 - thickness**2) * cosine**2)
    disc *= 1 - np.minimum(np.abs(rng.normal(0, 1, count)) * (0.12 + 0.03 * dwarf), 0.4)
    # spheroids: massive ones and dwarf ellipticals rounder than the lenticulars between
    round_ = expit((-21.8 - absolute) / 0.5) + expit((absolute + 16.5) / 0.7)
    spheroid = rng.normal(0.57 + 0.20 * round_, 0.19 - 0.03 * round_, count)
    spheroid = np.where(spheroid > 1, 2 - spheroid, spheroid)
    return np.clip(np.where(quiescent, spheroid, disc), 0.08, 1.0)


def _log_sizes(absolute: Floats, quiescent: Mask, z: Floats) -> Floats:
    """log₁₀ of the median semi-major half-light radius in kpc.

    It shrinks with z for massive ones; star-forming ones of C2 are larger by 0.05 dex at z = 0.12
    than nearer ones, as targets of low surface brightness were chosen.
    """
    forming = np.interp(absolute, _SIZE_MAGNITUDE, _STAR_FORMING_SIZE) + 0.13
    evolved = np.interp(absolute, _SIZE_MAGNITUDE, _QUIESCENT_SIZE) + 0.09
    growth = 0.05 * z * np.clip(-21.5 - absolute, 0, 1.5)
    chosen = np.interp(z, (0.0, 0.05, 0.12, 0.25), (0.015, 0.042, 0.065, 0.038)) * ~quiescent
    chosen += 0.02 * quiescent
    return np.where(quiescent, evolved, forming) - growth + chosen


def _indices(absolute: Floats, quiescent: Mask, rng: np.random.Generator) -> Floats:
    """Sérsic index that a fit to the whole galaxy would give."""
    forming = np.interp(absolute, _INDEX_MAGNITUDE, _STAR_FORMING_INDEX)
    evolved = np.interp(absolute, _INDEX_MAGNITUDE, _QUIESCENT_INDEX)
    median = np.where(quiescent, evolved, forming)
    scatter = 0.22 + 0.27 * expit((-19 - absolute) / 0.5)
    index = median * np.exp(scatter * rng.normal(0, 1, absolute.size))
    return np.asarray(np.clip(index, 0.55, 7.0))
