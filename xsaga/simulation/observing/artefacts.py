"""What bright stars and satellites leave in a coadd besides their light.

Ghosts are light that goes back and forth between the detector and the optics: a faint ring around
the brightest stars, off centre. Bleed trails are charge that spills along the columns of a CCD: of
DECam those run east–west, as the long sides of its detectors lie (the focal plane at
noirlab.edu/science/programs/ctio/instruments/Dark-Energy-Camera/characteristics); for 90Prime and
Mosaic-3 north–south is assumed, unconfirmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xsaga.simulation.coadd_grid import PIXEL_SCALE, CoaddGrid
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.extras import import_galsim
from xsaga.simulation.psf import psf_core

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Indices = NDArray[np.int64]

SATURATION = (55.0, 72.0, 30.0)
"""Nanomaggies in a pixel at which the camera saturates in g, r, z: stars of r ≈ 14 to 15.

Rough: a full well of 150,000 electrons less the sky; a real star of r = 14.6 peaks unsaturated at
70 in r and is saturated in z.
"""

SATURATED_RIM = 3
"""Pixels by which a saturated core is grown before it is interpolated over."""

GHOST_MAGNITUDE = 9.5
"""Stars brighter than this r magnitude have a visible ghost."""

GHOST_RING = (35.0, 95.0)
"""Inner and outer radius of a ghost in arcsec."""

GHOST_LIGHT = 4e-4
"""Light of a ghost over that of its star."""

BLEED_REACH = 300.0
"""Longest bleed trail in arcsec to either side of its star."""

_GHOST_OFFSET = 40.0  # arcsec, standard deviation along each axis
_SHORTEST_BLEED = 6  # pixels
_BLEED_PAST_MASK = 0.15  # of a trail's length is not recognised and stays in the coadd
_BLEED_FAINT = 4.0  # times the pixel noise
_NONE = np.empty((2, 0), dtype=np.int64)
_TRAIL_WIDTH = 12  # pixels that the pipeline masks across a satellite's trail


@dataclass(frozen=True)
class BrightStars:
    """The stars that may leave artefacts.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        0-based pixel positions, on the coadd or off it.
    fluxes : ndarray, shape (N, 3)
        Nanomaggies as observed.
    seeds : ndarray of int64, shape (N,)
        One number per star that is the same in every coadd.
    """

    x: Floats
    y: Floats
    fluxes: Floats
    seeds: NDArray[np.int64]


def add_ghosts(model: Image, stars: BrightStars) -> None:
    """Add the ghosts of the brightest stars to an image of shape (3, pixels, pixels), in place."""
    pixels = model.shape[1]
    faintest = 10 ** (-0.4 * (GHOST_MAGNITUDE - 22.5))
    inner, outer = GHOST_RING
    half = int(np.ceil(outer / PIXEL_SCALE)) + 4
    for i in np.flatnonzero(stars.fluxes[:, 1] > faintest):
        offset = np.random.default_rng(int(stars.seeds[i])).normal(0, _GHOST_OFFSET, 2)
        x, y = np.array([stars.x[i], stars.y[i]]) + offset / PIXEL_SCALE
        rows, columns = _range(y, half, pixels), _range(x, half, pixels)
        if not (len(rows) and len(columns)):
            continue
        radius = np.hypot(rows[:, np.newaxis] - y, columns[np.newaxis, :] - x) * PIXEL_SCALE
        # brighter towards its rim, edges an arcsec wide
        ring = np.clip(outer - radius, 0, 1) * (0.25 + 0.75 * np.clip(radius - inner, 0, 1))
        ring *= 0.7 + 0.3 * radius / outer
        light = stars.fluxes[i] * GHOST_LIGHT * PIXEL_SCALE**2 / (np.pi * outer**2)
        box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        model[box] += (light[:, np.newaxis, np.newaxis] * ring).astype(np.float32)


def saturated_cores(plane: Image, saturation: float) -> tuple[NDArray[np.bool_], Image]:
    """Find what saturates in one band, and interpolate over it as the pipeline does.

    Parameters
    ----------
    plane : ndarray of float32, shape (pixels, pixels)
        Nanomaggies per pixel before noise.
    saturation : float
        The band's entry in `SATURATION`.

    Returns
    -------
    saturated : ndarray of bool, shape (pixels, pixels)
        Saturated pixels and a rim of `SATURATED_RIM` pixels.
    filled : ndarray of float32, shape (pixels, pixels)
        The plane, with saturated cores cut to a plateau near the level of their rim.
    """
    saturated = np.zeros(plane.shape, dtype=np.bool_)
    filled = plane.copy()
    rows, columns = np.nonzero(plane > saturation)
    if not rows.size:
        return saturated, filled
    for box in _boxes(rows, columns, plane.shape[0]):
        core = ndimage.binary_dilation(plane[box] > saturation, iterations=SATURATED_RIM)
        rim = ndimage.binary_dilation(core) & ~core
        level = float(np.median(plane[box][rim])) if rim.any() else saturation
        # in real coadds the middle stands at some three times the level of the rim
        filled[box][core] = np.minimum(plane[box][core], 3 * level)
        saturated[box] |= core
    return saturated, filled


@dataclass(frozen=True)
class BleedPixels:
    """Bleed trails on one coadd in one band.

    Parameters
    ----------
    masked : tuple of ndarray of int64, each of shape (N,)
        Rows and columns of the pixels that the pipeline recognises and masks.
    missed : tuple of ndarray of int64, each of shape (M,)
        Those past the ends of what it recognises.
    light : float
        Nanomaggies per pixel that stay there.
    """

    masked: tuple[Indices, Indices]
    missed: tuple[Indices, Indices]
    light: float


def bleed_trails(pixels: int, stars: BrightStars, conditions: Conditions, band: int) -> BleedPixels:
    """Find where the charge of saturated stars has spilt in one band.

    Each line of pixels along the CCD's columns that crosses a core spills its charge beyond
    saturation evenly to both sides.

    Parameters
    ----------
    pixels : int
        Pixels on a side of the coadd.
    stars : BrightStars
        On the coadd or beside it.
    conditions : Conditions
        PSF, noise and the region, which sets the direction.
    band : int
        Index of the band.
    """
    side, saturation = 65, SATURATION[band]
    stamp = psf_core(conditions, band).drawImage(
        import_galsim().ImageD(side, side, scale=PIXEL_SCALE), method="no_pixel"
    ).array  # fmt: skip
    along_x = conditions.region == "south"
    first, second = (stars.x, stars.y) if along_x else (stars.y, stars.x)
    masked, missed = [_NONE], [_NONE]
    for i in np.flatnonzero(stars.fluxes[:, band] * stamp.max() > saturation):
        excess = np.maximum(stars.fluxes[i, band] * stamp - saturation, 0)
        spilt = excess.sum(axis=1 if along_x else 0) / saturation / 2
        halves = np.minimum(spilt, BLEED_REACH / PIXEL_SCALE).astype(int)
        for offset in np.flatnonzero(halves > _SHORTEST_BLEED):
            line = round(float(second[i])) + int(offset) - side // 2
            if not 0 <= line < pixels:
                continue
            half = int(halves[offset])
            place = _range(float(first[i]), half + int(_BLEED_PAST_MASK * half), pixels)
            within = np.abs(place - round(float(first[i]))) <= half
            masked.append(np.stack([np.full(within.sum(), line), place[within]]))
            missed.append(np.stack([np.full((~within).sum(), line), place[~within]]))
    order = (0, 1) if along_x else (1, 0)
    inner, outer = np.concatenate(masked, axis=1), np.concatenate(missed, axis=1)
    return BleedPixels(
        masked=(inner[order[0]], inner[order[1]]),
        missed=(outer[order[0]], outer[order[1]]),
        light=float(_BLEED_FAINT * conditions.sky_sigma[band]),
    )


@dataclass(frozen=True)
class TrailPixels:
    """A satellite's trail on one coadd.

    Parameters
    ----------
    rows, columns : ndarray of int64, shape (N,)
        Pixels it touches.
    light : ndarray of float32, shape (N,)
        Nanomaggies it adds to them; 0 where the pipeline took them out.
    weight : float
        Factor on the inverse variance there.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    light: Image
    weight: float


def satellite_trails(grid: CoaddGrid, conditions: Conditions, band: int) -> Iterator[TrailPixels]:
    """Yield the satellites' trails that cross a coadd in one band.

    A trail that the pipeline saw costs the exposure it is on: without another one nothing is left.
    """
    width = conditions.fwhm[band] / 2.355 / PIXEL_SCALE * 1.3  # satellites are out of focus
    for trail in conditions.trails:
        if trail.band != band:
            continue
        x, y = (
            float(value[0])
            for value in grid.pixel_positions(np.array([trail.ra]), np.array([trail.dec]))
        )
        half = trail.length * 3600 / PIXEL_SCALE / 2
        cosine, sine = np.cos(trail.angle), np.sin(trail.angle)
        reach = _TRAIL_WIDTH / 2 if trail.flagged else 4 * width
        # walk along the axis to which the trail is nearer, so that every line meets it once
        steep = abs(sine) > abs(cosine)
        middle, other = (y, x) if steep else (x, y)
        slope = cosine / sine if steep else sine / cosine
        extent = half * max(abs(sine), abs(cosine))
        line = np.arange(max(0, int(middle - extent)), min(grid.pixels, int(middle + extent) + 1))
        if not line.size:
            continue
        tilt = np.sqrt(1 + slope**2)
        across = np.arange(-np.ceil(reach * tilt), np.ceil(reach * tilt) + 1)
        crossing = other + slope * (line - middle)
        place = np.rint(crossing)[:, np.newaxis] + across
        distance = (place - crossing[:, np.newaxis]) / tilt
        on = (place >= 0) & (place < grid.pixels) & (np.abs(distance) <= reach)
        lines = np.broadcast_to(line[:, np.newaxis], place.shape)[on]
        places = place[on].astype(np.int64)
        profile = np.exp(-0.5 * (distance[on] / width) ** 2) / (width * np.sqrt(2 * np.pi))
        exposures = conditions.exposures[band]
        light = 0.0 if trail.flagged else trail.brightness * PIXEL_SCALE
        yield TrailPixels(
            rows=lines if steep else places,
            columns=places if steep else lines,
            light=(light * profile).astype(np.float32),
            weight=(exposures - 1) / exposures if trail.flagged else 1.0,
        )


def _boxes(
    rows: NDArray[np.int64], columns: NDArray[np.int64], pixels: int
) -> Iterator[tuple[slice, slice]]:
    """Boxes around groups of pixels, with room for their rim; groups on a mesh of 8 pixels."""
    mesh = np.zeros(((pixels + 7) // 8,) * 2, dtype=np.bool_)
    mesh[rows // 8, columns // 8] = True
    labels, _ = ndimage.label(mesh, structure=np.ones((3, 3)))
    for high, wide in ndimage.find_objects(labels):
        yield tuple(
            slice(max(8 * part.start - 6, 0), min(8 * part.stop + 6, pixels))
            for part in (high, wide)
        )  # type: ignore[misc]


def _range(centre: float, half: int, pixels: int) -> NDArray[np.int64]:
    """Pixels within `half` of a place that are on the image."""
    middle = round(float(centre))
    return np.arange(max(middle - half, 0), min(middle + half + 1, pixels))
