"""How one object looks: a galaxy's components, in Fourier space, through the PSF of each band.

GalSim gives the Fourier transform of each component once; the product with a band's PSF and one
inverse transform make the stamp of that band. That is what ``galsim.drawImage`` does, except that
three bands share the components and the padding follows from the noise: a stamp ends where the
profile sinks below a small part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma

from xsaga.errors import MissingExtraError
from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.conditions import MOFFAT_BETA, Conditions

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

STAMP_SIDES = np.array([24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])
"""Sides of stamps in pixels: few, for tables, and quick to transform."""

STAMP_LEVEL = 0.1
"""Surface brightness at a stamp's edge over the sky noise of a pixel."""

# The faint wide wings of a real PSF, visible around bright stars only.
_WING_LIGHT, _WING_FWHM, _WING_BETA = 0.012, 7.0, 2.0

# Light of components by band relative to r: bulges are redder than their galaxy, knots bluer.
_BULGE_TILT = np.array([0.75, 1.0, 1.12])
_YOUNG_TILT = np.array([1.35, 1.0, 0.65])


@dataclass(frozen=True)
class Galaxy:
    """What a stamp needs to know of a galaxy; see the truth table for the meaning.

    Angles in radians from +x towards +y of the pixel grid, radii in arcsec, (dx, dy) the offset in
    pixels from the stamp's central pixel.
    """

    radius: float
    ba: float
    angle: float
    sersic: float
    bulge: float
    young: float
    knots: int
    spiral: bool
    lopsided: float
    structure_seed: int
    dx: float
    dy: float


def import_galsim() -> Any:
    """Return the galsim module.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    try:
        import galsim
    except ModuleNotFoundError as error:
        raise MissingExtraError("galsim", "sim") from error
    return galsim


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


def moffat_edge(contrast: Floats, fwhm: float, beta: float) -> Floats:
    """Radius in arcsec at which a Moffat profile has sunk to `STAMP_LEVEL`, as `sersic_edge`."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    peak = contrast * (beta - 1) / (np.pi * alpha**2)
    return np.asarray(alpha * np.sqrt(np.maximum((peak / STAMP_LEVEL) ** (1 / beta) - 1, 0.0)))


def star_edge(contrast: Floats, conditions: Conditions) -> Floats:
    """Radius in arcsec to which a point source must be drawn, as `sersic_edge`."""
    core = moffat_edge(contrast, max(conditions.fwhm), MOFFAT_BETA)
    return np.maximum(core, moffat_edge(_WING_LIGHT * contrast, _WING_FWHM, _WING_BETA))


class StampPainter:
    """Makes stamps under given conditions.

    Parameters
    ----------
    conditions : Conditions
        Give the PSF of each band.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._galsim = import_galsim()
        self._psfs = [self._psf(fwhm) for fwhm in conditions.fwhm]
        self._psf_transforms: dict[int, Complexes] = {}

    def psf(self, band: int) -> Any:
        """PSF of a band as a GalSim profile of unit flux, the pixel included."""
        return self._psfs[band]

    def paint(self, galaxy: Galaxy, fluxes: Floats, side: int) -> Floats:
        """Draw a galaxy.

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
        ndarray, shape (3, side, side)
            Nanomaggies per pixel; the galaxy's centre is (dx, dy) from pixel side // 2.
        """
        transform = self._galaxy_transform(galaxy, side) * self._psf_transform(side)
        shift_x = np.exp(-2j * np.pi * galaxy.dx * np.fft.rfftfreq(side))
        shift_y = np.exp(-2j * np.pi * galaxy.dy * np.fft.fftfreq(side))
        transform *= fluxes[:, np.newaxis, np.newaxis] * np.outer(shift_y, shift_x)
        return np.fft.fftshift(np.fft.irfft2(transform, s=(side, side)), axes=(1, 2))

    def _psf(self, fwhm: float) -> Any:
        core = self._galsim.Moffat(beta=MOFFAT_BETA, fwhm=fwhm, flux=1 - _WING_LIGHT)
        return core + self._galsim.Moffat(beta=_WING_BETA, fwhm=_WING_FWHM, flux=_WING_LIGHT)

    def _psf_transform(self, side: int) -> Complexes:
        if side not in self._psf_transforms:
            planes = [self._transform(psf, side) for psf in self._psfs]
            self._psf_transforms[side] = np.stack(planes)
        return self._psf_transforms[side]

    def _transform(self, profile: Any, side: int) -> Complexes:
        """Fourier transform of a profile in the order of `numpy.fft.rfft2`."""
        half = side // 2
        bounds = self._galsim.BoundsI(0, half, -half, half - 1)
        image = self._galsim.ImageCD(bounds, scale=2 * np.pi / (side * PIXEL_SCALE))
        profile.drawKImage(image, recenter=False)
        return np.fft.ifftshift(image.array, axes=0)

    def _galaxy_transform(self, galaxy: Galaxy, side: int) -> Complexes:
        """Sum the transforms of all components with their share of each band's light."""
        galsim = self._galsim
        rng = np.random.default_rng(galaxy.structure_seed)
        bulge = galaxy.bulge * _BULGE_TILT
        young = np.minimum(galaxy.young * _YOUNG_TILT, 0.9 - bulge)
        disc = 1 - bulge - young

        smooth = galsim.Sersic(n=galaxy.sersic, half_light_radius=galaxy.radius)
        if galaxy.lopsided > 0:
            # a second, smaller and displaced part of the disc
            towards = rng.uniform(0, 2 * np.pi)
            reach = galaxy.lopsided * galaxy.radius
            part = smooth.dilate(0.7).shift(reach * np.cos(towards), reach * np.sin(towards))
            smooth = 0.65 * smooth + 0.35 * part
        smooth = self._oriented(smooth, galaxy.ba, galaxy.angle)
        total = disc[:, np.newaxis, np.newaxis] * self._transform(smooth, side)
        if galaxy.bulge > 0:
            round_part = galsim.Sersic(n=2.0, half_light_radius=0.22 * galaxy.radius)
            oriented = self._oriented(round_part, 0.5 + 0.5 * galaxy.ba, galaxy.angle)
            total += bulge[:, np.newaxis, np.newaxis] * self._transform(oriented, side)
        if galaxy.young > 0:
            total += young[:, np.newaxis, np.newaxis] * _knots_transform(galaxy, side, rng)
        return total

    def _oriented(self, profile: Any, ba: float, angle: float) -> Any:
        """Flatten a round profile along its minor axis only and turn it; its flux stays."""
        galsim = self._galsim
        flattened = profile.transform(1.0, 0.0, 0.0, ba) / ba
        return flattened.rotate(angle * galsim.radians)


def _knots_transform(galaxy: Galaxy, side: int, rng: np.random.Generator) -> Complexes:
    """Transform of the star-forming knots: spots strewn over the disc or along two arms."""
    count = max(galaxy.knots, 1)
    scale = galaxy.radius / 1.678  # exponential scale length over half-light radius
    distance = scale * rng.gamma(3.0, 0.45, count)
    phase = rng.uniform(0, 2 * np.pi, count)
    if galaxy.spiral:
        distance = scale * (0.6 + rng.gamma(3.0, 0.5, count))
        winding = (
            rng.choice([-1.0, 1.0]) * np.log(distance / scale) / np.tan(rng.uniform(0.25, 0.5))
        )
        phase = winding + np.pi * rng.integers(0, 2, count) + rng.normal(0, 0.22, count)
    light = rng.lognormal(0.0, 0.3 if galaxy.spiral else 0.6, count)
    size = galaxy.radius * rng.uniform(0.04, 0.11, count)
    along, across = distance * np.cos(phase), distance * np.sin(phase) * galaxy.ba
    cosine, sine = np.cos(galaxy.angle), np.sin(galaxy.angle)
    x, y = along * cosine - across * sine, along * sine + across * cosine

    # a Gaussian is a product in x and y, so the sum over knots is one matrix product
    kx = 2 * np.pi * np.fft.rfftfreq(side, PIXEL_SCALE)
    ky = 2 * np.pi * np.fft.fftfreq(side, PIXEL_SCALE)
    in_x = np.exp(-1j * np.outer(x, kx) - 0.5 * np.outer(size, kx) ** 2)
    in_y = np.exp(-1j * np.outer(ky, y) - 0.5 * np.outer(ky, size) ** 2)
    return np.asarray((in_y * (light / light.sum())) @ in_x)
