"""Small images around sources and their Fourier transforms, the data that profiles are fitted to.

A galaxy's model is a product in Fourier space (profile times PSF), and few of a stamp's modes pass
the PSF, so that fits there are fast. Positions on a stamp are in arcsec from its central pixel,
x to the west and y to the north, as the coadd's pixels run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.extras import import_galsim
from xsaga.simulation.psf import psf_profile
from xsaga.simulation.sky_model import BANDS

Reals = NDArray[np.float32]
Complexes = NDArray[np.complex64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

FAINTEST_MODE = 0.02
"""Modes that the PSF damps below this, in all bands, are left out of fits."""

FAINTEST_DRAWN = 1e-4
"""And those below this out of drawings."""

MOST_WAVES = 21
"""Waves over the side of a stamp from which on modes are left out of fits.

What fills a stamp has no light in finer ones, and binned stamps see them mixed with others.
"""


@dataclass(frozen=True)
class Modes:
    """The wave numbers that a stamp is compared with models at; M modes of a half plane.

    Parameters
    ----------
    side, binning : int
        Pixels on a side of the stamp, coadd pixels per stamp pixel along a side.
    kx, ky : ndarray, shape (M,)
        Wave numbers in radians per arcsec. Fits leave the constant mode out: a stamp's level may
        be the light of a neighbour or of the sky.
    weight : ndarray, shape (M,)
        Sums over the modes with this weight are sums over the pixels (Parseval's theorem).
    psf : ndarray, shape (3, M)
        Transform of the PSF, with the window of a binned pixel.
    index : ndarray, shape (M,)
        Where the modes are in a flattened transform of `scipy.fft.rfft2`.
    sign : ndarray, shape (M,)
        ±1, moves the origin from pixel (0, 0) to pixel (side / 2, side / 2).
    """

    side: int
    binning: int
    kx: Reals
    ky: Reals
    weight: Reals
    psf: Reals
    index: Integers
    sign: Reals

    @property
    def scale(self) -> float:
        """Arcsec per pixel of the stamp."""
        return PIXEL_SCALE * self.binning

    def transform(self, stamps: Reals) -> Complexes:
        """Transform stamps, shape (N, 3, side, side), to modes, shape (N, 3, M)."""
        planes = fft.rfft2(stamps)
        chosen = planes.reshape(*stamps.shape[:2], -1)[:, :, self.index]
        return np.asarray(chosen * self.sign)

    def image(self, modes: Complexes) -> Reals:
        """Make stamps of modes, the inverse of `transform` but for the modes it leaves out."""
        planes = np.zeros((*modes.shape[:2], self.side * (self.side // 2 + 1)), dtype=np.complex64)
        planes[:, :, self.index] = modes * self.sign
        shape = (*modes.shape[:2], self.side, self.side // 2 + 1)
        return np.asarray(fft.irfft2(planes.reshape(shape), s=(self.side, self.side)))

    def phases(self, x: Reals, y: Reals) -> Complexes:
        """Factors that move sources from the origin to (x, y) arcsec, shape (N, M)."""
        angle = np.outer(x, self.kx)
        angle += np.outer(y, self.ky)
        phases = np.empty(angle.shape, dtype=np.complex64)
        np.cos(angle, out=phases.real)
        np.sin(-angle, out=phases.imag)
        return phases


def modes_of(
    conditions: Conditions,
    binning: int,
    side: int,
    *,
    for_drawing: bool = False,
) -> Modes:
    """Choose the modes of a stamp.

    Parameters
    ----------
    conditions : Conditions
        The PSF.
    binning : int
        Coadd pixels per stamp pixel along a side.
    side : int
        Stamp pixels on a side; even.
    for_drawing : bool
        Whether all modes that can be seen are wanted, not only those that a fit needs.
    """
    scale = PIXEL_SCALE * binning
    half = side // 2
    kx = 2 * np.pi * fft.rfftfreq(side, scale)[np.newaxis, :]
    ky = 2 * np.pi * fft.fftfreq(side, scale)[:, np.newaxis]
    window = _bin_window(kx, binning) * _bin_window(ky, binning)
    psf = np.stack([_psf_transform(conditions, band, side, scale) for band in range(len(BANDS))])
    psf *= window
    strength = np.abs(psf).max(axis=0)
    if for_drawing:
        kept = strength > FAINTEST_DRAWN
    else:
        waves = np.hypot(kx, ky) * side * scale / (2 * np.pi)
        kept = (strength > FAINTEST_MODE) & (waves < MOST_WAVES)
    kept[half, :] = False  # modes at the limit of sampling have no definite phase
    kept[:, half] = False
    kept[0, 0] = for_drawing
    # each mode and its conjugate, except where the half plane holds both
    weight = np.where(np.broadcast_to(kx > 0, kept.shape), 2.0, 1.0) / side**2
    index = np.flatnonzero(kept)
    rows, columns = np.nonzero(kept)
    return Modes(
        side=side,
        binning=binning,
        kx=kx[0, columns].astype(np.float32),
        ky=ky[rows, 0].astype(np.float32),
        weight=weight[kept].astype(np.float32),
        psf=psf[:, kept].astype(np.float32),
        index=index,
        sign=np.where((rows + columns) % 2, -1, 1).astype(np.float32),
    )


def _bin_window(k: NDArray[np.float64], binning: int) -> NDArray[np.float64]:
    """Transform of summing `binning` samples of the coadd's pixel scale."""
    steps = np.arange(binning) - (binning - 1) / 2
    return np.asarray(np.cos(k[..., np.newaxis] * steps * PIXEL_SCALE).sum(axis=-1) / binning)


def _psf_transform(
    conditions: Conditions, band: int, side: int, scale: float
) -> NDArray[np.float64]:
    """Transform of a band's PSF in the order of `scipy.fft.rfft2`; real, as the PSF is even."""
    galsim = import_galsim()
    half = side // 2
    bounds = galsim.BoundsI(0, half, -half, half - 1)
    image = galsim.ImageCD(bounds, scale=2 * np.pi / (side * scale))
    psf_profile(conditions, band).drawKImage(image, recenter=False)
    return np.asarray(fft.ifftshift(image.array.real, axes=0))


@dataclass(frozen=True)
class Windows:
    """Where N stamps lie on a coadd.

    Parameters
    ----------
    left, bottom : ndarray of int, shape (N,)
        First column and row, in pixels of the coadd; may be outside of it.
    side, binning : int
        Pixels on a side of a stamp, coadd pixels per stamp pixel along a side.
    """

    left: Integers
    bottom: Integers
    side: int
    binning: int

    @classmethod
    def around(
        cls, x: NDArray[np.float64], y: NDArray[np.float64], side: int, binning: int
    ) -> Windows:
        """Centre stamps on positions, shape (N,), to half a pixel of the coadd."""
        # the central pixel, number side / 2, is half a pixel beyond the middle of the stamp
        reach = (side + 1) * binning / 2 - 0.5
        left, bottom = (np.rint(c - reach).astype(np.int64) for c in (x, y))
        return cls(left, bottom, side, binning)

    def subset(self, chosen: NDArray[np.generic]) -> Windows:
        """Take some of the stamps."""
        return Windows(self.left[chosen], self.bottom[chosen], self.side, self.binning)

    def offsets(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Reals, Reals]:
        """Turn positions on the coadd into arcsec from the central pixels."""
        reach = (self.side + 1) * self.binning / 2 - 0.5
        east, north = (x - self.left - reach), (y - self.bottom - reach)
        return (east * PIXEL_SCALE).astype(np.float32), (north * PIXEL_SCALE).astype(np.float32)

    def positions(self, x: Reals, y: Reals) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn arcsec from the central pixels into positions on the coadd."""
        reach = (self.side + 1) * self.binning / 2 - 0.5
        return self.left + reach + x / PIXEL_SCALE, self.bottom + reach + y / PIXEL_SCALE

    def cut(self, planes: Reals) -> Reals:
        """Cut stamps of the sums of pixels; 0 outside the coadd.

        Parameters
        ----------
        planes : ndarray, shape (3, pixels, pixels)
            What to cut.

        Returns
        -------
        ndarray, shape (N, 3, side, side)
        """
        pixels = self._gather(planes)
        for _ in range(self.binning.bit_length() - 1):
            pixels = _pairs(pixels, np.add)
        return pixels

    def cut_invvar(self, planes: Reals) -> Reals:
        """Cut stamps of inverse variances of sums; 0 where a pixel has none. As `cut`."""
        sums = lowest = self._gather(planes)
        for _ in range(self.binning.bit_length() - 1):
            lowest = _pairs(lowest, np.minimum)
            sums = _pairs(sums, np.add) / np.float32(16)
        return np.asarray(np.where(lowest > 0, sums, 0))

    def cut_segments(self, segments: NDArray[np.int32]) -> NDArray[np.int32]:
        """Cut stamps of whose a pixel is, shape (N, side, side)."""
        middle = self.binning // 2
        step = slice(middle, None, self.binning)
        return self._gather(segments[np.newaxis])[:, 0, step, step]

    def _gather(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Take pixels of the coadd, shape (N, planes, side · binning, side · binning)."""
        width, limit = self.side * self.binning, planes.shape[-1]
        pixels = np.zeros((len(self.left), len(planes), width, width), dtype=planes.dtype)
        # a slice per source: taking all by arrays of indices is twenty times as slow
        for stamp, left, bottom in zip(
            pixels, self.left.tolist(), self.bottom.tolist(), strict=True
        ):
            x0, y0 = max(left, 0), max(bottom, 0)
            x1, y1 = min(left + width, limit), min(bottom + width, limit)
            if x1 > x0 and y1 > y0:
                inside = np.s_[:, y0 - bottom : y1 - bottom, x0 - left : x1 - left]
                stamp[inside] = planes[:, y0:y1, x0:x1]
        return pixels


def _pairs(pixels: Reals, operation: np.ufunc) -> Reals:
    """Combine 2 × 2 pixels; by pairs, as a sum over more than one axis is slow."""
    rows = operation(pixels[..., 0::2, :], pixels[..., 1::2, :])
    return np.asarray(operation(rows[..., 0::2], rows[..., 1::2]))


def fill(stamps: Reals, usable: Bools) -> Reals:
    """Replace pixels that cannot be used by those opposite the centre, else by 0.

    Parameters
    ----------
    stamps : ndarray, shape (N, 3, side, side)
        Pixels, the source near the middle.
    usable : ndarray of bool, same shape
        Which pixels are the source's own and have data.
    """
    # pixel side / 2 is the centre: row and column 0 have no opposite
    opposite = np.zeros_like(stamps)
    reverse = slice(None, 0, -1)
    opposite[..., 1:, 1:] = np.where(usable, stamps, 0)[..., reverse, reverse]
    return np.where(usable, stamps, opposite)
