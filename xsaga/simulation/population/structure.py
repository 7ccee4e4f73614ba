"""What is inside a galaxy: bulge, bar, nucleus, arms, star-forming knots, lopsidedness, mergers.

All of it is drawn from stellar mass, star formation and shape, with sizes in kpc: what the redshift
changes is only how much of it can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from xsaga.simulation.population.stellar_colours import line_shift, observed_colours

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MERGER_SHARE = 0.03
"""Share of galaxies in a visible merger (Lotz et al. 2011: 1 to 5 % at z < 0.5)."""

KNOT_PARSEC = (30.0, 150.0)
"""Range of the standard deviation of a typical knot's light (giant H II regions and young star
complexes: Kennicutt 1984; Elmegreen et al. 2006)."""

_RESOLVED_MAGNITUDE, _RESOLVED_RADIUS = 22.5, 0.3
"""Fainter in r, or smaller in arcsec, nothing but the smooth components is drawn."""

_SERSIC_STEP = 0.05
"""Indices are rounded to it, for a truth table that is easily read."""

_LARGEST_SHARE = 0.85
"""Of a band's light in all components but the disc."""


@dataclass(frozen=True)
class Bodies:
    """What structure depends on; each array of shape (N,).

    Parameters
    ----------
    r, z, absolute : ndarray
        Apparent magnitude, redshift and absolute magnitude in r.
    logmstar : ndarray
        log₁₀ of the stellar mass in solar masses.
    quiescent : ndarray of bool
        Whether no stars form.
    rest_gr, gr, rz : ndarray
        g−r at rest, and observed g−r and r−z of the whole.
    halpha : ndarray
        Equivalent width of Hα in Å.
    ba : ndarray
        Axis ratio.
    kpc : ndarray
        Semi-major half-light radius in kpc.
    kpc_per_arcsec : ndarray
        Scale.
    index : ndarray
        Sérsic index that a fit to the whole would give.
    """

    r: Floats
    z: Floats
    absolute: Floats
    logmstar: Floats
    quiescent: Mask
    rest_gr: Floats
    gr: Floats
    rz: Floats
    halpha: Floats
    ba: Floats
    kpc: Floats
    kpc_per_arcsec: Floats
    index: Floats


def draw_structure(bodies: Bodies, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Draw the components of galaxies.

    Parameters
    ----------
    bodies : Bodies
        What the galaxies are.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    dict of ndarray, each of shape (N,)
        Columns of the truth table: radii in arcsec, shares of the light in r, colours as observed
        without the Galaxy's dust, `pitch` in degrees.
    """
    count = bodies.r.size
    arcsec = np.clip(bodies.kpc / bodies.kpc_per_arcsec, 0.08, 120.0)
    resolved = (bodies.r < _RESOLVED_MAGNITUDE) & (arcsec > _RESOLVED_RADIUS)
    smooth, bulge, disc_like = _bulges(bodies, rng)
    bulge = np.where(resolved, bulge, 0.0)
    main_index = np.where(bulge > 0, smooth, bodies.index)
    # the whole is smaller than its disc by what the bulge holds
    radius = arcsec / (1 - 0.6 * bulge)

    bulge_gr, bulge_rz = _bulge_colours(bodies, rng)
    knots = _knots(bodies, resolved, rng)
    knots_gr, knots_rz = _knot_colours(bodies, rng)

    bar_chance = 0.1 + 0.35 * expit((bodies.logmstar - 9.7) / 0.3)
    barred = resolved & disc_like & (bodies.ba > 0.3) & (rng.random(count) < bar_chance)
    bar = np.where(barred, rng.uniform(0.04, 0.14, count), 0.0)
    bar_radius = np.where(barred, radius * rng.uniform(0.35, 0.8, count), 0.0)
    nucleus = np.where(resolved, _nuclei(bodies, rng), 0.0)
    arm_chance = expit((bodies.logmstar - 9.35) / 0.2)
    armed = resolved & ~bodies.quiescent & disc_like & (bodies.ba > 0.25)
    armed &= rng.random(count) < arm_chance
    n_arms = np.where(armed, rng.choice([2, 3, 4, 5], count, p=[0.55, 0.2, 0.2, 0.05]), 0)
    pitch = 22.0 - 5.0 * np.clip(bodies.logmstar - 10, -1, 1) + rng.normal(0, 5, count)
    dwarf = expit((9.0 - bodies.logmstar) / 0.35)
    lopsided = np.where(
        bodies.quiescent,
        rng.uniform(0, 0.05, count),
        dwarf * rng.uniform(0, 0.65, count) + (1 - dwarf) * rng.uniform(0, 0.15, count),
    )
    merging = resolved & (rng.random(count) < MERGER_SHARE)

    shares = {"bulge": bulge, "bar": bar, "nucleus": nucleus, "knots_light": knots["knots_light"]}
    limit = _share_limit(bodies, shares, (bulge_gr, bulge_rz), (knots_gr, knots_rz))
    return {
        "radius": radius,
        "sersic": np.clip(np.round(main_index / _SERSIC_STEP) * _SERSIC_STEP, 0.5, 6.0),
        **{name: share * limit for name, share in shares.items()},
        "arms": np.where(armed, rng.uniform(0.2, 0.8, count), 0.0),
        "bulge_radius": np.where(bulge > 0, radius * rng.uniform(0.12, 0.32, count), 0.0),
        "bulge_sersic": _bulge_indices(bodies, rng),
        "bulge_ba": np.clip(0.5 + 0.5 * bodies.ba + rng.normal(0, 0.07, count), 0.35, 1.0),
        "bar_radius": bar_radius,
        "n_arms": n_arms,
        "pitch": np.clip(pitch, 8.0, 40.0),
        "knots": knots["knots"],
        "knot_size": knots["knot_size"],
        "lopsided": np.where(resolved, lopsided, 0.0),
        "merger": np.where(merging, rng.uniform(0.2, 1.0, count), 0.0),
        "bulge_gr": bulge_gr,
        "bulge_rz": bulge_rz,
        "knots_gr": knots_gr,
        "knots_rz": knots_rz,
    }


def _bulges(bodies: Bodies, rng: np.random.Generator) -> tuple[Floats, Floats, Mask]:
    """Sérsic index of the disc, bulge over total, and whether there is a disc.

    The share makes a fit to the whole give the galaxy's index n: about n = n_disc + 3.5 s + 9 s²
    for a bulge of 0.22 disc radii seen through 1.3" (fits to GalSim images). Dwarfs have no bulge,
    and ellipticals are one Sérsic profile.
    """
    count = bodies.index.size
    disc = np.minimum(rng.uniform(0.6, 1.15, count), bodies.index)
    excess = bodies.index - disc
    share = np.clip((np.sqrt(12.25 + 36 * excess) - 3.5) / 18, 0, 0.7)
    chance = expit((bodies.logmstar - 8.9) / 0.25)
    elliptical = 0.5 + 0.4 * expit((bodies.logmstar - 10.9) / 0.2)
    chance *= np.where(bodies.quiescent, 1 - elliptical, 1.0)
    has_bulge = rng.random(count) < chance
    disc_like = ~bodies.quiescent | has_bulge
    return disc, np.where(has_bulge, share, 0.0), disc_like


def _bulge_indices(bodies: Bodies, rng: np.random.Generator) -> Floats:
    """Pseudo-bulges of n ~ 1.5 in small discs to classical ones of n ~ 3 (Fisher & Drory 2008)."""
    classical = rng.random(bodies.r.size) < expit((bodies.logmstar - 10.4) / 0.3)
    index = np.where(classical, 3.0, 1.6) * np.exp(rng.normal(0, 0.22, bodies.r.size))
    return np.clip(np.round(index / _SERSIC_STEP) * _SERSIC_STEP, 1.0, 4.0)


def _bulge_colours(bodies: Bodies, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Observed colours of the bulge: older than the whole, at most as red as the red sequence."""
    count = bodies.r.size
    older = np.where(bodies.quiescent, 0.03, 0.13) + rng.normal(0, 0.04, count)
    sequence = np.maximum(bodies.rest_gr, rng.normal(0.8, 0.02, count))
    rest = np.minimum(bodies.rest_gr + np.maximum(older, 0.0), sequence)
    return _beside(bodies, rest)


def _knot_colours(bodies: Bodies, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Observed colours of the knots: young stars and their lines, at most as red as the whole."""
    count = bodies.r.size
    rest = np.minimum(rng.normal(0.0, 0.1, count), bodies.rest_gr - 0.05)
    gr, rz = _beside(bodies, rest)
    width = np.clip(3 * bodies.halpha, 50.0, 400.0)
    line_gr, line_rz = line_shift(width, np.clip((bodies.logmstar - 8.5) / 2, 0, 1), bodies.z)
    return gr + line_gr, rz + line_rz


def _beside(bodies: Bodies, rest_gr: Floats) -> tuple[Floats, Floats]:
    """Observed colours of a part of another rest-frame colour than the whole."""
    whole = observed_colours(bodies.rest_gr, bodies.z)
    part = observed_colours(rest_gr, bodies.z)
    return bodies.gr + part[0] - whole[0], bodies.rz + part[1] - whole[1]


def _knots(
    bodies: Bodies, resolved: Mask, rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Draw number, share of the light and size of star-forming knots.

    They hold more light where Hα is stronger; their number grows with the disc's extent and, in
    spirals, with its mass.
    """
    count = bodies.r.size
    forming = resolved & ~bodies.quiescent
    # dwarfs' knots as faint as the published completeness of DESI LOW-Z's cuts asks for
    strength = 0.035 - 0.013 * expit((9.0 - bodies.logmstar) / 0.35)
    light = strength * (bodies.halpha / 16.0) ** 0.5 * np.exp(rng.normal(0, 0.45, count))
    expected = 3 + 7 * bodies.kpc + 60 * expit((bodies.logmstar - 9.6) / 0.35)
    number = 1 + rng.poisson(np.minimum(expected, 150))
    smallest, largest = np.log(KNOT_PARSEC)
    parsec = np.exp(rng.triangular(smallest, np.log(70), largest, count))
    return {
        "knots_light": np.where(forming, np.clip(light, 0.005, 0.2), 0.0),
        "knots": np.where(forming, number, 0),
        "knot_size": 1e-3 * parsec / bodies.kpc_per_arcsec,
    }


def _nuclei(bodies: Bodies, rng: np.random.Generator) -> Floats:
    """Share of the light in a nuclear star cluster.

    Quiescent dwarfs have one in up to half of all cases around 10⁸·⁵ solar masses, fewer below and
    above, star-forming galaxies in a quarter (Neumayer et al. 2020); its share of the light falls
    with mass as M^−0.35, from 3 % at 10⁷.
    """
    count = bodies.r.size
    rising = 0.5 * np.exp(-0.5 * ((bodies.logmstar - 8.5) / 0.9) ** 2)
    chance = np.where(bodies.quiescent, rising, 0.5 * rising)
    log_share = -1.55 - 0.35 * (bodies.logmstar - 7) + rng.normal(0, 0.3, count)
    share = np.clip(10**log_share, 5e-4, 0.1)
    return np.where(rng.random(count) < chance, share, 0.0)


def _share_limit(
    bodies: Bodies,
    shares: dict[str, Floats],
    bulge: tuple[Floats, Floats],
    knots: tuple[Floats, Floats],
) -> Floats:
    """Factor on all shares that leaves the disc some light in every band, shape (N,)."""
    old = shares["bulge"] + shares["bar"] + shares["nucleus"]
    young = shares["knots_light"]
    in_g = old * _brighter(bulge[0], bodies.gr) + young * _brighter(knots[0], bodies.gr)
    in_z = old / _brighter(bulge[1], bodies.rz) + young / _brighter(knots[1], bodies.rz)
    most = np.maximum(np.maximum(in_g, in_z), old + young)
    return np.minimum(1.0, _LARGEST_SHARE / np.maximum(most, 1e-9))


def _brighter(part: Floats, whole: Floats) -> Floats:
    """Factor on a part's share in the bluer band of a colour relative to the redder one."""
    return np.asarray(10 ** (-0.4 * (part - whole)))
