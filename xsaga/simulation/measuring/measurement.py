"""Measuring detected sources: all models are fitted twice, then without the neighbours.

First every source is fitted on its own pixels, those of other sources replaced by the ones opposite
to them. Then all models but a source's own are subtracted from its stamp, and it is fitted again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.conditions import NATIVE_SCALE, Conditions
from xsaga.simulation.measuring.detection import Detections
from xsaga.simulation.measuring.fourier_stamps import (
    Bools,
    Integers,
    Modes,
    Reals,
    Windows,
    fill,
    modes_of,
)
from xsaga.simulation.measuring.model_image import draw_fits, model_stamps
from xsaga.simulation.measuring.profile_fit import (
    E1,
    E2,
    INDEX,
    SIZE,
    Fits,
    Stamps,
    flux_variances,
    half_light_radius,
)
from xsaga.simulation.measuring.source_types import SourceType, fit_all_models
from xsaga.simulation.observing.noise import noise_correlation
from xsaga.simulation.observing.observe import Coadd

Floats = NDArray[np.float64]

LEAST_SEEN = 1e-5
"""A band counts as missing where less of a source's profile (squared) has data."""

WHOLE = 0.95
"""Above this share of it, the gaps do not matter."""

BIAS_SIGMA, BIAS_SHARE = 0.2, 0.002
"""Light of neighbours, in errors and in shares of the flux, from which on they are subtracted."""

LEVELS = ((32, 1), (64, 1), (64, 2), (64, 4), (64, 8), (64, 16))
"""Pixels on a side of a stamp and coadd pixels per pixel of it, from small sources to large."""

_CHUNK_PIXELS = 2**20
"""Pixels of the stamps that are fitted together: what fits the processor's cache."""

_EXTENTS = 5.0  # half the side of a stamp over the extent of a detection
_RADII = 4.0  # and over the fitted half-light radius


@dataclass(frozen=True)
class Measured:
    """What the images say of N sources. The arrays are filled in place.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Pixels of the coadd.
    kind : ndarray of int8, shape (N,)
        Values of `SourceType`.
    shape : ndarray, shape (N, 4)
        As in `Fits`.
    radius_variance : ndarray, shape (N,)
        Of the half-light radius, arcsec²; infinite where it was not fitted.
    flux, flux_variance : ndarray, shape (N, 3)
        Nanomaggies; 0 and infinite where a band has no data.
    gain : ndarray, shape (N,)
        By how much χ² is lower than without the source.
    fracflux, rchisq : ndarray, shape (N, 3)
        Neighbours' light within the source's profile over its own, and χ² per pixel, both weighted
        by the profile.
    """

    x: Floats
    y: Floats
    kind: NDArray[np.int8]
    shape: Reals
    radius_variance: Reals
    flux: Reals
    flux_variance: Reals
    gain: Reals
    fracflux: Reals
    rchisq: Reals

    def __len__(self) -> int:
        return len(self.x)

    def subset(self, chosen: NDArray[np.generic]) -> Measured:
        """Take some of the sources."""
        return Measured(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def measure(
    coadd: Coadd, conditions: Conditions, found: Detections, point: Bools, fixed: Bools
) -> Measured:
    """Fit all sources of a coadd.

    Parameters
    ----------
    coadd : Coadd
        Images and inverse variances.
    conditions : Conditions
        PSF and depth.
    found : Detections
        The sources.
    point : ndarray of bool, shape (N,)
        Sources that are fitted as point sources whatever they look like.
    fixed : ndarray of bool, shape (N,)
        Those of them whose positions are known.

    Returns
    -------
    Measured
    """
    pixels, count = found.segments.shape[0], len(found)
    guess = _first_shapes(found, conditions)
    torn = np.zeros(count, dtype=np.bool_)
    result = Measured(
        x=found.x.copy(),
        y=found.y.copy(),
        kind=np.zeros(count, dtype=np.int8),
        shape=guess.copy(),
        radius_variance=np.full(count, np.inf, dtype=np.float32),
        flux=np.zeros((count, 3), dtype=np.float32),
        flux_variance=np.full((count, 3), np.inf, dtype=np.float32),
        gain=np.zeros(count, dtype=np.float32),
        fracflux=np.zeros((count, 3), dtype=np.float32),
        rchisq=np.zeros((count, 3), dtype=np.float32),
    )
    levels = [
        _Level(
            coadd=coadd,
            segments=found.segments,
            modes=modes_of(conditions, binning, side),
            drawn=modes_of(conditions, binning, side, for_drawing=True),
            point=point,
            fixed=fixed,
            guess=guess,
            torn=torn,
            noise_growth=conditions.noise_growth.astype(np.float32),
            scatter=_pixel_scatter(conditions, binning),
        )
        for side, binning in LEVELS
    ]
    extent = found.a * PIXEL_SCALE * _EXTENTS
    first = _levels_for(extent)
    for level, part in _alike(levels, first):
        level.fit_own_pixels(result, part)
    model = draw_fits(pixels, conditions, result.x, result.y, result.shape, result.flux)
    # a point's stamp has to hold more than the core that is saturated
    radius = half_light_radius(result.shape)
    extent = np.where(result.kind == SourceType.PSF, extent, radius * _RADII)
    second = _levels_for(extent)
    for level, part in _alike(levels, second):
        level.fit_without_neighbours(result, part, model, second > first)
    return result


@dataclass(frozen=True)
class _Level:
    """Stamps of one size and what sources are fitted with there.

    `torn` tells which sources lack pixels in their middle; the first fits set it.
    """

    coadd: Coadd
    segments: NDArray[np.int32]
    modes: Modes
    drawn: Modes
    point: Bools
    fixed: Bools
    guess: Reals
    torn: Bools
    noise_growth: Reals
    scatter: Reals

    def fit_own_pixels(self, result: Measured, part: Integers) -> None:
        """Fit sources on the pixels of their own segment and the sky."""
        windows, start = self._start(result, part)
        image = windows.cut(self.coadd.image)
        invvar = windows.cut_invvar(self.coadd.invvar)
        whose = windows.cut_segments(self.segments)[:, np.newaxis]
        own = whose == (part + 1)[:, np.newaxis, np.newaxis, np.newaxis]
        valid = invvar > 0
        weight = np.where(own & valid, np.maximum(image, 0), 0)
        precision = self._precision(weight, invvar)
        mine = valid & (own | (whose == 0))
        filled = fill(image, mine)
        stamps = Stamps(self.modes, self.modes.transform(filled), precision)
        fits, kind = fit_all_models(stamps, start, self.point[part], self.fixed[part])
        _keep(result, part, windows, stamps, fits, kind)

        # the model of a saturated star is to hold for its wings, which others are freed from
        torn = _middle_seen(valid) < WHOLE
        self.torn[part] = torn.any(axis=1)
        rows = np.flatnonzero(self.torn[part])
        unit = self._unit(fits.subset(rows))
        flux, variance = self._flux_of_pixels(unit, image[rows], invvar[rows] * mine[rows])
        known = torn[rows] & np.isfinite(variance)
        result.flux[part[rows]] = np.where(known, flux, result.flux[part[rows]])

    def fit_without_neighbours(
        self, result: Measured, part: Integers, model: Reals, again: Bools
    ) -> None:
        """Fit sources after the models of all others were subtracted.

        Only those whose neighbours or missing pixels matter, and those that are to be fitted
        `again`; `model` holds all sources.
        """
        windows, start = self._start(result, part)
        unit = self._unit(start)
        before = unit * start.flux[:, :, np.newaxis, np.newaxis]
        others = windows.cut(model) - before
        image = windows.cut(self.coadd.image) - others
        invvar = windows.cut_invvar(self.coadd.invvar)
        # what is left of a saturated star when its model is subtracted is no good
        whose = windows.cut_segments(self.segments) - 1
        spoilt = (whose >= 0) & (whose != part[:, np.newaxis, np.newaxis]) & self.torn[whose]
        invvar[np.broadcast_to(spoilt[:, np.newaxis], invvar.shape)] = 0
        valid = invvar > 0
        seen = _share_seen(unit, valid)
        light = np.maximum((unit * unit).sum(axis=(2, 3)), 1e-30)
        shared = (unit * np.maximum(others, 0)).sum(axis=(2, 3)) / light
        sigma = np.sqrt(result.flux_variance[part])
        disturbed = shared > np.maximum(BIAS_SIGMA * sigma, BIAS_SHARE * start.flux)
        rows = np.flatnonzero((disturbed | (seen < WHOLE)).any(axis=1) | again[part])

        if rows.size:
            precision = self._precision(before[rows], invvar[rows])
            precision[seen[rows] <= LEAST_SEEN] = 0
            filled = np.where(valid[rows], image[rows], before[rows])
            stamps = Stamps(self.modes, self.modes.transform(filled), precision)
            # what the first fit took for a point may have been torn by its neighbours
            extended = np.isfinite(start.shape[:, :1])
            again_from = replace(start, shape=np.where(extended, start.shape, self.guess[part]))
            fits, kind = fit_all_models(
                stamps, again_from.subset(rows), self.point[part[rows]], self.fixed[part[rows]]
            )
            _keep(result, part[rows], windows.subset(rows), stamps, fits, kind)
            unit[rows] = self._unit(fits)

        # Where pixels are missing, most of all in saturated stars, they held the model of the
        # first fit: there, the flux is fitted again to the pixels that are there.
        rows = np.flatnonzero((seen < WHOLE).any(axis=1))
        holes = self._flux_of_pixels(unit[rows], image[rows], invvar[rows])
        result.flux[part[rows]], result.flux_variance[part[rows]] = holes

        flux = result.flux[part]
        result.fracflux[part] = shared / np.maximum(flux, 1e-6)
        weight = unit * valid
        residual = image - unit * flux[:, :, np.newaxis, np.newaxis]
        chi = (weight * residual**2 * invvar).sum(axis=(2, 3)) / self.scatter**2
        result.rchisq[part] = chi / np.maximum(weight.sum(axis=(2, 3)), 1e-30)

    def _unit(self, fits: Fits) -> Reals:
        """Draw sources of unit flux."""
        ones = np.ones_like(fits.flux)
        return np.maximum(model_stamps(self.drawn, fits.x, fits.y, fits.shape, ones), 0)

    def _flux_of_pixels(self, unit: Reals, image: Reals, invvar: Reals) -> tuple[Reals, Reals]:
        """Fit fluxes to the pixels with data, and their variance, (N, 3); infinite without."""
        power = (unit * unit * invvar).sum(axis=(2, 3))
        product = (unit * image * invvar).sum(axis=(2, 3))
        known = _share_seen(unit, invvar > 0) > LEAST_SEEN
        flux = np.divide(product, power, out=np.zeros_like(power), where=known)
        variance = np.full_like(power, np.inf)
        np.divide(self.noise_growth**2, power, out=variance, where=known)
        return flux, variance

    def _start(self, result: Measured, part: Integers) -> tuple[Windows, Fits]:
        """Where the stamps of some sources lie, and what is known of the sources."""
        x, y = result.x[part], result.y[part]
        windows = Windows.around(x, y, self.modes.side, self.modes.binning)
        x_offset, y_offset = windows.offsets(x, y)
        count = len(part)
        start = Fits(
            x=x_offset,
            y=y_offset,
            shape=result.shape[part],
            flux=result.flux[part],
            gain=np.zeros(count, dtype=np.float32),
            covariance=np.zeros((count, 4, 4), dtype=np.float32),
        )
        return windows, start

    def _precision(self, weight: Reals, invvar: Reals) -> Reals:
        """Inverse of the pixels' mean variance under squared profiles, shape (N, 3)."""
        valid = invvar > 0
        variance = np.divide(1, invvar, out=np.zeros_like(invvar), where=valid)
        square = weight * weight * valid
        total = square.sum(axis=(2, 3))
        mean = (square * variance).sum(axis=(2, 3)) / np.maximum(total, 1e-30)
        plain = variance.sum(axis=(2, 3)) / np.maximum(valid.sum(axis=(2, 3)), 1)
        mean = np.where(total > 0, mean, plain) * self.noise_growth**2
        return np.asarray(np.divide(1, mean, out=np.zeros_like(mean), where=mean > 0))


def _keep(
    result: Measured,
    part: Integers,
    windows: Windows,
    stamps: Stamps,
    fits: Fits,
    kind: NDArray[np.int8],
) -> None:
    result.kind[part] = kind
    result.shape[part] = fits.shape
    result.gain[part] = fits.gain
    result.flux[part] = fits.flux
    result.flux_variance[part] = flux_variances(stamps, fits)
    result.radius_variance[part] = _radius_variances(fits)
    result.x[part], result.y[part] = windows.positions(fits.x, fits.y)


def _levels_for(extent: Floats) -> Integers:
    """Index into `LEVELS` of the smallest stamps that hold sources reaching so far in arcsec."""
    half = [side / 2 * binning * PIXEL_SCALE for side, binning in LEVELS[:-1]]
    return np.searchsorted(half, extent)


def _alike(levels: list[_Level], index: Integers) -> Iterator[tuple[_Level, Integers]]:
    """Give the sources of each level, a few hundred at a time."""
    for i, level in enumerate(levels):
        alike = np.flatnonzero(index == i)
        step = _CHUNK_PIXELS // (level.modes.side * level.modes.binning) ** 2
        for first in range(0, alike.size, step):
            yield level, alike[first : first + step]


def _first_shapes(found: Detections, conditions: Conditions) -> Reals:
    """Guess shapes of the moments of the detections, less those of the PSF."""
    psf = (float(np.median(conditions.fwhm)) / 2.355) ** 2
    major, minor = ((axis * PIXEL_SCALE) ** 2 - psf for axis in (found.a, found.b))
    major, minor = np.sqrt(np.maximum(major, 0.04)), np.sqrt(np.maximum(minor, 0.02))
    size = np.clip((major - minor) / (major + minor), 0, 0.7)
    shape = np.empty((len(found), 4), dtype=np.float32)
    shape[:, SIZE] = np.log((major + minor) / 2)
    shape[:, E1], shape[:, E2] = size * np.cos(2 * found.theta), size * np.sin(2 * found.theta)
    shape[:, INDEX] = 1.0
    return shape


def _pixel_scatter(conditions: Conditions, binning: int) -> Reals:
    """Scatter of a pixel over what its inverse variance states, shape (3,)."""
    if binning > 1:
        return conditions.noise_growth.astype(np.float32)
    native = NATIVE_SCALE[conditions.region]
    return np.array([noise_correlation(scale, 1)[0] for scale in native], dtype=np.float32)


def _share_seen(weight: Reals, valid: Bools) -> Reals:
    """Share of squared profiles that has data, shape (N, 3)."""
    square = weight * weight
    total = square.sum(axis=(2, 3))
    seen = (square * valid).sum(axis=(2, 3))
    # without light in the band: whether the middle has data
    return np.asarray(np.where(total > 0, seen / np.maximum(total, 1e-30), _middle_seen(valid)))


def _middle_seen(valid: Bools) -> Reals:
    """Share of the middle of stamps that has data, shape (N, 3)."""
    centre = valid.shape[-1] // 2
    middle = slice(centre - 2, centre + 3)
    return np.asarray(valid[:, :, middle, middle].mean(axis=(2, 3)), dtype=np.float32)


def _radius_variances(fits: Fits) -> Reals:
    """Variance of R = s (1 + |ε|) in arcsec²; infinite where the size was not fitted."""
    e1, e2 = fits.shape[:, E1], fits.shape[:, E2]
    size = np.maximum(np.hypot(e1, e2), 1e-6)
    change = np.stack([np.ones_like(e1), e1 / size / (1 + size), e2 / size / (1 + size)], axis=1)
    relative = np.einsum("ni,nij,nj->n", change, fits.covariance[:, :3, :3], change)
    radius = half_light_radius(fits.shape)
    return np.asarray(np.where(relative > 0, relative * radius**2, np.inf), dtype=np.float32)
