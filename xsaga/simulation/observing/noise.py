"""Noise of a coadd: white on the camera's pixels, correlated on the coadd's.

The survey resamples each exposure with a Lanczos-3 kernel, so neighbouring coadd pixels share
light and its noise. Averaged over the places of a coadd pixel among the camera's, the correlation
of two coadd pixels a distance k apart along an axis is Σⱼ L(j + d) L(j + d + k s), averaged over d
in 0 to 1, with s the coadd's pixel over the camera's. For the g coadd of a northern brick that
predicts correlations of 0.60 and −0.02 at 1 and 2 pixels, 0.36 on the diagonal and a pixel
scatter of 0.89 of that which `invvar` states; measured there are 0.61, 0.02, 0.37 and 0.84
(``benchmarks/real_noise.py``).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE

Floats = NDArray[np.float64]

LANCZOS = 3

N_TAPS = 5

_PHASES = 200
_BLOCK = 48  # rows that fit a processor's cache


def noise_correlation(native_scale: float, lags: int) -> Floats:
    """Covariance of two coadd pixels along an axis over the variance of a camera's pixel.

    Parameters
    ----------
    native_scale : float
        Arcsec per pixel of the camera.
    lags : int
        How many: distances of 0 to lags − 1 coadd pixels.

    Returns
    -------
    ndarray, shape (lags,)
        The first is the variance along one axis; that of a pixel is its square.
    """
    step = PIXEL_SCALE / native_scale
    phase = (np.arange(_PHASES) + 0.5) / _PHASES
    reach = np.arange(-LANCZOS - 1, LANCZOS + 1)
    here = reach[:, np.newaxis] + phase
    shifts = step * np.arange(lags)
    there = here + shifts[:, np.newaxis, np.newaxis]
    return np.asarray((_lanczos(here) * _lanczos(there)).sum(axis=1).mean(axis=1))


def correlated_noise(
    rng: np.random.Generator, sigma: NDArray[np.float32], native_scale: float
) -> NDArray[np.float32]:
    """Draw the noise of a coadd.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of white noise.
    sigma : ndarray of float32, shape (rows, columns)
        What `invvar` states: the noise of a camera's pixel at each place.
    native_scale : float
        Arcsec per pixel of the camera.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        Gaussian, correlated as `noise_correlation` says along both axes.
    """
    taps = _taps(native_scale)
    n = len(taps) - 1
    rows, columns = sigma.shape
    padded = rng.standard_normal((rows + 2 * n, columns + 2 * n), dtype=np.float32)
    padded[n:-n, n:-n] *= sigma
    # outside the coadd the noise is that of its edge
    padded[:n, n:-n] *= sigma[0]
    padded[-n:, n:-n] *= sigma[-1]
    padded[:, :n] *= np.pad(sigma[:, 0], n, mode="edge")[:, np.newaxis]
    padded[:, -n:] *= np.pad(sigma[:, -1], n, mode="edge")[:, np.newaxis]
    noise = np.empty_like(sigma)
    for top in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - top)
        block = padded[top : top + count + 2 * n]
        across = taps[0] * block[:, n : n + columns]
        for k in range(1, n + 1):
            pair = block[:, n - k : n - k + columns] + block[:, n + k : n + k + columns]
            pair *= taps[k]
            across += pair
        result = noise[top : top + count]
        np.multiply(across[n : n + count], taps[0], out=result)
        for k in range(1, n + 1):
            pair = across[n - k : n - k + count] + across[n + k : n + k + count]
            pair *= taps[k]
            result += pair
    return noise


@cache
def _taps(native_scale: float) -> NDArray[np.float32]:
    """Middle and one side of the symmetric filter that gives white noise the right correlation."""
    lags = int(np.ceil(2 * LANCZOS * native_scale / PIXEL_SCALE)) + 1
    covariance = noise_correlation(native_scale, lags)
    circle = np.zeros(512)
    circle[:lags] = covariance
    circle[1 - lags :] = covariance[:0:-1]
    power = np.fft.fft(circle).real.clip(0)
    return np.fft.ifft(np.sqrt(power)).real[: N_TAPS + 1].astype(np.float32)


def _lanczos(x: Floats) -> Floats:
    return np.where(np.abs(x) < LANCZOS, np.sinc(x) * np.sinc(x / LANCZOS), 0.0)
