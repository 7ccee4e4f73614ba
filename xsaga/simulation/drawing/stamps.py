"""How one galaxy looks: its parts, in Fourier space, through the PSF of each band.

The transform of every smooth part is tabulated, knots and tidal features are Gaussians in closed
form, and what breaks a disc's symmetry is drawn pixel by pixel as a departure from the smooth
disc, which holds no light of its own. The product of their sum with a band's PSF and one inverse
transform make the stamp of that band: light is conserved exactly, and the padding follows from
the noise, as a stamp ends where the profile sinks below a small part of it.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import gamma

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.drawing.components import (
    BAND_RADII,
    BAR,
    BULGE,
    DISC,
    KNOTS,
    NUCLEUS,
    Galaxy,
    bar_ellipse,
    ellipses,
    sersic_transforms,
    spots_transform,
    wavenumbers,
)
from xsaga.simulation.drawing.disc_structure import (
    DUST_BANDS,
    LANE_BA,
    Pattern,
    disc_factor,
    dust_lane,
    knot_spots,
    plane_of,
    sersic_light,
    spiral_pattern,
)
from xsaga.simulation.drawing.mergers import companion_of
from xsaga.simulation.extras import import_galsim
from xsaga.simulation.psf import psf_profile

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Complexes = NDArray[np.complex64]

STAMP_SIDES = np.array(
    [24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024, 1536, 2048]
)
"""Sides of stamps in pixels: few, for tables, and quick to transform."""

STAMP_LEVEL = 0.05
"""Surface brightness at a stamp's edge over the sky noise of a pixel."""

_BAR_INDEX = 0.5
_STRUCTURED_RADIUS = 0.6
"""Half-light radius in arcsec below which nothing of a disc's structure survives the seeing."""


def sersic_edge(contrast: Floats, radius: Floats, ba: Floats, index: Floats) -> Floats:
    """Radius at which a Sérsic profile has sunk to `STAMP_LEVEL`.

    Parameters
    ----------
    contrast : ndarray, shape (N,)
        Flux over the noise of a pixel, for one pixel's area of 1 arcsec².
    radius, ba, index : ndarray, shape (N,)
        Half-light semi-major axis in arcsec, axis ratio, Sérsic index.

    Returns
    -------
    ndarray, shape (N,)
        Arcsec along the major axis; 0 where even the middle is fainter. With bₙ ≈ 2n − 1/3
        (Graham & Driver 2005, equations 1 and 4).
    """
    b = 2 * index - 1 / 3
    total = 2 * np.pi * index * radius**2 * ba * np.exp(b) * b ** (-2 * index) * gamma(2 * index)
    steps = 1 + np.log(contrast / total / STAMP_LEVEL) / b
    return np.asarray(radius * np.maximum(steps, 0.0) ** index)


class StampPainter:
    """Makes stamps under given conditions.

    Parameters
    ----------
    conditions : Conditions
        Give the PSF of each band.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._psfs = [psf_profile(conditions, band) for band in range(len(conditions.fwhm))]
        self._psf_transforms: dict[int, Floats32] = {}

    def paint(self, galaxy: Galaxy, fluxes: Floats, side: int) -> Floats32:
        """Draw a galaxy with all its parts.

        Parameters
        ----------
        galaxy : Galaxy
            Its shape and structure.
        fluxes : ndarray, shape (3,)
            Total flux per band in nanomaggies.
        side : int
            Pixels on a side, even.

        Returns
        -------
        ndarray of float32, shape (3, side, side)
            Nanomaggies per pixel; the galaxy's centre is (dx, dy) from pixel side // 2.
        """
        transform = galaxy_transform(galaxy, side)
        transform *= self._psf_transform(side)
        transform *= np.asarray(fluxes, dtype=np.float32)[:, np.newaxis, np.newaxis]
        transform *= _shifts(np.array([galaxy.dx]), np.array([galaxy.dy]), side)
        return _images(transform, side)

    def paint_plain(
        self,
        shapes: Floats,
        fluxes: Floats,
        offsets: Floats,
        side: int,
    ) -> Floats32:
        """Draw galaxies of one smooth part and one colour.

        Parameters
        ----------
        shapes : ndarray, shape (N, 4)
            Radius in arcsec, axis ratio, angle in radians, Sérsic index.
        fluxes : ndarray, shape (N, 3)
            Nanomaggies.
        offsets : ndarray, shape (N, 2)
            (dx, dy) in pixels.
        side : int
            Pixels on a side, even.

        Returns
        -------
        ndarray of float32, shape (N, 3, side, side)
            As `paint`.
        """
        radius, ba, angle, index = shapes.T
        smooth = sersic_transforms(index, ellipses(radius, ba, angle), side) * _shifts(
            offsets[:, 0], offsets[:, 1], side
        )
        light = np.asarray(fluxes, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
        return _images(smooth[:, np.newaxis] * (light * self._psf_transform(side)), side)

    def _psf_transform(self, side: int) -> Floats32:
        """Transform the PSFs, shape (3, side, side // 2 + 1)."""
        if side not in self._psf_transforms:
            galsim = import_galsim()
            half = side // 2
            bounds = galsim.BoundsI(0, half, -half, half - 1)
            planes = []
            for psf in self._psfs:
                image = galsim.ImageCD(bounds, scale=2 * np.pi / (side * PIXEL_SCALE))
                psf.drawKImage(image, recenter=False)
                planes.append(np.fft.ifftshift(image.array, axes=0))
            # real, as the PSF is the same seen from either side
            self._psf_transforms[side] = np.real(np.stack(planes)).astype(np.float32)
        return self._psf_transforms[side]


def galaxy_transform(galaxy: Galaxy, side: int) -> Complexes:
    """Fourier transform of a galaxy before the PSF, of unit flux in each band.

    Returns
    -------
    ndarray of complex64, shape (3, side, side // 2 + 1)
        In the order of `numpy.fft.rfft2`, about pixel (0, 0).
    """
    shares = galaxy.shares.astype(np.float32)[:, :, np.newaxis, np.newaxis]
    pattern = spiral_pattern(galaxy)
    total = shares[DISC] * _disc_transforms(galaxy, side)
    if galaxy.merger > 0:
        total = _with_companion(galaxy, side, total, shares[DISC])
    if galaxy.shares[BULGE].any():
        radius = galaxy.bulge_radius * np.array(BAND_RADII)
        moments = ellipses(radius, galaxy.bulge_ba, galaxy.angle)
        total += shares[BULGE] * sersic_transforms(np.full(3, galaxy.bulge_sersic), moments, side)
    if galaxy.shares[BAR].any():
        moments = bar_ellipse(galaxy, pattern.start)[np.newaxis]
        total += shares[BAR] * sersic_transforms(np.array([_BAR_INDEX]), moments, side)
    if galaxy.shares[NUCLEUS].any():
        total += shares[NUCLEUS]
    whole: Complexes = total.astype(np.complex64)
    if galaxy.shares[KNOTS].any():
        whole += shares[KNOTS] * spots_transform(*knot_spots(galaxy, pattern), side)
    if _has_structure(galaxy):
        whole += scipy.fft.rfft2(_departures(galaxy, side, pattern))
    return whole


def _disc_transforms(galaxy: Galaxy, side: int) -> Floats32:
    radius = galaxy.radius * np.array(BAND_RADII)
    return sersic_transforms(
        np.full(3, galaxy.sersic), ellipses(radius, galaxy.ba, galaxy.angle), side
    )


def _with_companion(galaxy: Galaxy, side: int, disc: Floats32, disc_shares: Floats32) -> Complexes:
    """Give part of the disc's light to a second nucleus and to tails or shells."""
    companion = companion_of(galaxy)
    moments = ellipses(np.array([companion.radius]), companion.ba, companion.angle)
    kx, ky = wavenumbers(side)
    place = np.exp(-1j * (companion.x * kx + companion.y * ky[:, np.newaxis]))
    second = sersic_transforms(np.array([1.5]), moments, side) * place.astype(np.complex64)
    torn = spots_transform(*companion.spots, side)
    given = np.float32(companion.share) * second + np.float32(companion.torn) * torn
    return np.asarray(disc * np.float32(1 - companion.share - companion.torn) + disc_shares * given)


def _has_structure(galaxy: Galaxy) -> bool:
    return not galaxy.quiescent and galaxy.radius > _STRUCTURED_RADIUS


def _departures(galaxy: Galaxy, side: int, pattern: Pattern) -> Floats32:
    """Light that structure adds to or takes from the smooth parts; sums to zero in each band."""
    plane = plane_of(galaxy, side)
    light = sersic_light(plane.rho, galaxy.sersic)
    factor = disc_factor(galaxy, plane, pattern)
    kept = 1.0
    if galaxy.merger > 0:
        companion = companion_of(galaxy)
        kept -= companion.share + companion.torn
    departures = _balanced(light, factor) * _planes(kept * galaxy.shares[DISC])
    if galaxy.shares[BULGE].any() and galaxy.dust > 0 and galaxy.ba < LANE_BA:
        across = max(galaxy.bulge_ba, galaxy.ba)
        distance = np.hypot(plane.u, plane.v / np.float32(across)) + np.float32(0.5 * PIXEL_SCALE)
        bulge = sersic_light(distance / np.float32(galaxy.bulge_radius), galaxy.bulge_sersic)
        dimmed = np.exp(-_planes(np.array(DUST_BANDS)) * dust_lane(galaxy, plane))
        departures += _balanced(bulge, dimmed) * _planes(galaxy.shares[BULGE])
    return departures


def _balanced(light: Floats32, factor: Floats32) -> Floats32:
    """Light times (a factor over its mean under that light, less one)."""
    mean = np.einsum("yx,byx->b", light, factor)
    return np.asarray(light * (factor / _planes(mean) - 1))


def _planes(values: Floats) -> Floats32:
    """Values per band in the shape of planes, (3, 1, 1)."""
    return np.asarray(values, dtype=np.float32)[:, np.newaxis, np.newaxis]


def _shifts(dx: Floats, dy: Floats, side: int) -> Complexes:
    """Transform shifts from pixel (0, 0) to offsets from the middle, (N, side, side // 2 + 1)."""
    in_x = np.exp(-2j * np.pi * np.outer(dx + side // 2, np.fft.rfftfreq(side)))
    in_y = np.exp(-2j * np.pi * np.outer(dy + side // 2, np.fft.fftfreq(side)))
    return in_y.astype(np.complex64)[:, :, np.newaxis] * in_x.astype(np.complex64)[:, np.newaxis]


def _images(transforms: Complexes, side: int) -> Floats32:
    return np.asarray(scipy.fft.irfft2(transforms, s=(side, side), overwrite_x=True))
