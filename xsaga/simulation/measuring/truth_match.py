"""Whose light a catalog source is: the true object that dominates where it was found.

Catalog sources and true objects are not one to one: galaxies blend, a large one is split into
shreds, and artefacts are nobody's light. The light that each true object should give within a small
aperture around each source follows from its flux, size and the PSF, and the most decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import gamma

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.conditions import WING_LIGHT, Conditions
from xsaga.simulation.measuring.detection import TYPICAL_COLOURS
from xsaga.simulation.observing.masks import star_mask_radius
from xsaga.simulation.psf import WINGS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

APERTURE = 1.0
"""Radius in arcsec of the aperture in which light is compared."""

EXPLAINED = 0.3
"""True objects must explain this share of the light found in the aperture, else it is an artefact.

Less than one, for knots and arms are brighter than the smooth profile that they are judged by.
"""

RESOLVED = 1.5
"""Half-light radius in arcsec of galaxies whose pieces, however bright, are theirs."""

_GALAXY_REACH = 6.0  # half-light radii
_RING = 0.7  # of the aperture's radius: six points there and the centre stand for the aperture


@dataclass(frozen=True)
class Matches:
    """What each of N sources truly is.

    Parameters
    ----------
    truth : ndarray of int, shape (N,)
        Row of the true object whose light dominates; −1 for artefacts.
    main : ndarray of bool, shape (N,)
        Whether the source is the object itself; at most one source per object. Others are pieces.
    """

    truth: Integers
    main: Bools


def match_truth(
    x: Floats,
    y: Floats,
    brightness: Floats,
    light: Floats,
    objects: pd.DataFrame,
    object_x: Floats,
    object_y: Floats,
    fluxes: Floats,
    conditions: Conditions,
) -> Matches:
    """Find the true object of each source.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Sources, in pixels of the coadd.
    brightness : ndarray, shape (N, 3)
        Their measured fluxes in nanomaggies.
    light : ndarray, shape (N, 3)
        Light in the image within `APERTURE` of them, nanomaggies.
    objects : DataFrame
        M rows of the truth table.
    object_x, object_y : ndarray, shape (M,)
        Their positions in pixels of the coadd.
    fluxes : ndarray, shape (M, 3)
        Their fluxes as observed, nanomaggies.
    conditions : Conditions
        The PSF and the noise, which decides how much each band counts.

    Returns
    -------
    Matches
    """
    weights = np.array(TYPICAL_COLOURS) / conditions.sky_sigma**2
    count = len(x)
    truth = np.full(count, -1, dtype=np.int64)
    main = np.zeros(count, dtype=np.bool_)
    source, other = _pairs(x, y, objects, object_x, object_y)
    if source.size == 0:
        return Matches(truth, main)
    expected = _light_in_aperture(
        x[source] - object_x[other], y[source] - object_y[other], objects, other,
        fluxes, conditions,
    ) @ weights  # fmt: skip
    order = np.lexsort((-expected, source))
    first = order[np.unique(source[order], return_index=True)[1]]
    best = np.full(count, -1, dtype=np.int64)
    best[source[first]] = other[first]
    explained = np.bincount(source, expected, minlength=count)
    found = np.maximum(light, 0) @ weights
    radius = objects["radius"].to_numpy()
    # a knot outshines the smooth profile around it, but not its galaxy
    bright = (fluxes @ weights)[best] > EXPLAINED * found
    known = (best >= 0) & ((explained > EXPLAINED * found) | (radius[best] > RESOLVED) & bright)
    truth[known] = best[known]

    rows = np.flatnonzero(known)
    distance = np.hypot(x[rows] - object_x[best[rows]], y[rows] - object_y[best[rows]])
    distance *= PIXEL_SCALE
    near = distance < np.maximum(1.5, radius[best[rows]])
    width = np.maximum(0.6, 0.5 * radius[best[rows]])
    score = np.maximum(brightness[rows], 0) @ weights * np.exp(-0.5 * (distance / width) ** 2)
    rows, score = rows[near], score[near]
    order = np.lexsort((-score, best[rows]))
    main[rows[order[np.unique(best[rows[order]], return_index=True)[1]]]] = True
    return Matches(truth, main)


def _pairs(
    x: Floats, y: Floats, objects: pd.DataFrame, object_x: Floats, object_y: Floats
) -> tuple[Integers, Integers]:
    """Pair sources with the objects near enough that their light may be found there."""
    point = (objects["kind"] != "galaxy").to_numpy()
    reach = np.where(
        point,
        np.maximum(star_mask_radius(objects["mag_r"].to_numpy()), 3.0),
        2.0 + _GALAXY_REACH * objects["radius"].to_numpy(),
    )
    if len(x) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    tree = cKDTree(np.column_stack([x, y]))
    found = tree.query_ball_point(np.column_stack([object_x, object_y]), reach / PIXEL_SCALE)
    lengths = np.fromiter((len(near) for near in found), dtype=np.int64, count=len(found))
    source = np.fromiter((i for near in found for i in near), dtype=np.int64, count=lengths.sum())
    return source, np.repeat(np.arange(len(objects)), lengths)


def _light_in_aperture(
    dx: Floats,
    dy: Floats,
    objects: pd.DataFrame,
    rows: Integers,
    fluxes: Floats,
    conditions: Conditions,
) -> Floats:
    """Light of objects in apertures (dx, dy) pixels off them, shape (pairs, 3)."""
    angle = np.append(np.arange(6) * np.pi / 3, 0)
    ring = APERTURE * np.append(np.full(6, _RING), 0)
    east = dx[:, np.newaxis] * PIXEL_SCALE + ring * np.cos(angle)
    north = dy[:, np.newaxis] * PIXEL_SCALE + ring * np.sin(angle)
    point = (objects["kind"] != "galaxy").to_numpy()[rows]
    values = np.empty((len(rows), 3))
    values[point] = _point_brightness(np.hypot(east[point], north[point]), conditions)
    chosen = objects.iloc[rows[~point]]
    profile = _galaxy_brightness(east[~point], north[~point], chosen, conditions)
    values[~point] = profile[:, np.newaxis]
    # no aperture holds more than all light, where seven points overrate a sharp peak
    return np.minimum(np.pi * APERTURE**2 * values, 1.0) * fluxes[rows]


def _point_brightness(distance: Floats, conditions: Conditions) -> Floats:
    """Mean of the PSF over points, per arcsec²: (pairs, points) to (pairs, 3)."""
    values = []
    for band, (wing_alpha, wing_beta) in enumerate(WINGS):
        beta, share = conditions.beta[band], WING_LIGHT[band]
        alpha = conditions.fwhm[band] / (2 * np.sqrt(2 ** (1 / beta) - 1))
        core = (1 - share) * _moffat(distance, alpha, beta)
        values.append((core + share * _moffat(distance, wing_alpha, wing_beta)).mean(axis=1))
    return np.stack(values, axis=1)


def _moffat(distance: Floats, alpha: float, beta: float) -> Floats:
    peak = (beta - 1) / (np.pi * alpha**2)
    return np.asarray(peak * (1 + (distance / alpha) ** 2) ** -beta)


def _galaxy_brightness(
    east: Floats, north: Floats, galaxies: pd.DataFrame, conditions: Conditions
) -> Floats:
    """Mean of Sérsic profiles of unit flux over points, per arcsec²: (pairs, points) to (pairs,).

    The PSF is put in by its half-light radius, added in squares along both axes, and by a flatter
    profile for galaxies that it dominates.
    """
    blur = 0.65 * float(np.median(conditions.fwhm))
    radius = galaxies["radius"].to_numpy()
    wide = np.hypot(radius, blur)
    narrow = np.hypot(radius * galaxies["ba"].to_numpy(), blur)
    resolved = (radius / wide) ** 2
    index = 0.7 + (np.maximum(galaxies["sersic"].to_numpy(), 0.5) - 0.7) * resolved
    b = 2 * index - 1 / 3
    total = 2 * np.pi * index * wide * narrow * np.exp(b) * b ** (-2 * index) * gamma(2 * index)
    angle = np.radians(90.0 + galaxies["pa"].to_numpy())[:, np.newaxis]
    along = east * np.cos(angle) + north * np.sin(angle)
    across = north * np.cos(angle) - east * np.sin(angle)
    reduced = np.hypot(along / wide[:, np.newaxis], across / narrow[:, np.newaxis])
    steps = reduced ** (1 / index[:, np.newaxis]) - 1
    return np.asarray(np.exp(-b[:, np.newaxis] * steps).mean(axis=1) / total)
