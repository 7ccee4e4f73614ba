"""Fourier transforms of round Sérsic profiles, tabulated for fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import j1

from xsaga.simulation.extras import import_galsim

Reals = NDArray[np.float32]

INDEX_RANGE = (0.5, 6.0)
"""Sérsic indices that a fit may give, as Tractor's in DR9."""

FIBER_RADIUS, FIBER_SEEING = 0.75, 1.0
"""Radius of DESI's fiber and FWHM of the Gaussian seeing that FIBERFLUX means, arcsec."""

_INDICES = np.concatenate([np.arange(0.5, 2.0, 0.25), np.arange(2.0, 6.01, 0.5)])
_LOG_START, _LOG_END, _N_LOG = np.log(1e-2), np.log(400.0), 320
_LOG_STEP = (_LOG_END - _LOG_START) / (_N_LOG - 1)


@dataclass(frozen=True)
class SersicTable:
    """F(κ; n) of profiles with unit flux and unit half-light radius; κ = wave number · radius.

    Parameters
    ----------
    value, slope : ndarray, shape (indices, wave numbers)
        F and dF / d ln κ.
    """

    value: Reals
    slope: Reals

    def rows(self, index: Reals) -> tuple[Reals, Reals, Reals]:
        """Interpolate between Sérsic indices.

        Parameters
        ----------
        index : ndarray, shape (N,)
            Sérsic indices within `INDEX_RANGE`.

        Returns
        -------
        value, slope, change : ndarray, shape (N, wave numbers)
            F, dF / d ln κ and dF / dn.
        """
        low = np.clip(np.searchsorted(_INDICES, index, side="right") - 1, 0, len(_INDICES) - 2)
        step = (_INDICES[low + 1] - _INDICES[low]).astype(np.float32)
        part = ((index - _INDICES[low]) / step).astype(np.float32)[:, np.newaxis]
        change = self.value[low + 1] - self.value[low]
        value = self.value[low] + part * change
        slope = self.slope[low] + part * (self.slope[low + 1] - self.slope[low])
        return value, slope, change / step[:, np.newaxis]


def locate(log_kappa: Reals) -> tuple[NDArray[np.int32], Reals]:
    """Column of the table left of each ln κ, and how far to the next it is (0 to 1)."""
    place = (log_kappa - np.float32(_LOG_START)) * np.float32(1 / _LOG_STEP)
    np.clip(place, 0, _N_LOG - 1.001, out=place)
    column = place.astype(np.int32)
    return column, place - column


def lookup(rows: Reals, column: NDArray[np.int32], part: Reals) -> Reals:
    """Interpolate rows of a table at places that `locate` gave, shape (N, M)."""
    flat = rows.ravel()
    index = column + (np.arange(len(rows), dtype=np.int32) * rows.shape[1])[:, np.newaxis]
    left = flat.take(index)
    index += 1
    right = flat.take(index)
    right -= left
    right *= part
    right += left
    return np.asarray(right)


@cache
def sersic_table() -> SersicTable:
    """Tabulate the transforms, once per process.

    Raises
    ------
    MissingExtraError
        When GalSim is not installed.
    """
    galsim = import_galsim()
    kappa = np.exp(np.linspace(_LOG_START, _LOG_END, _N_LOG))
    value = np.empty((len(_INDICES), _N_LOG))
    for row, index in zip(value, _INDICES, strict=True):
        profile = galsim.Sersic(n=index, half_light_radius=1.0)
        row[:] = [profile.kValue(k, 0.0).real for k in kappa]
    slope = np.asarray(np.gradient(value, _LOG_STEP, axis=1), dtype=np.float32)
    return SersicTable(value.astype(np.float32), slope)


def fiber_fractions(radius: NDArray[np.float64], index: NDArray[np.float64]) -> Reals:
    """Share of a source's light that falls into a fiber centred on it.

    Parameters
    ----------
    radius : ndarray, shape (N,)
        Circularised half-light radius in arcsec; 0 for points.
    index : ndarray, shape (N,)
        Sérsic index; without meaning for points.

    Returns
    -------
    ndarray, shape (N,)
        Of a fiber 1.5" wide under 1" of seeing, the meaning of FIBERFLUX in the DR9 catalogs.
    """
    # Light in a circle of radius a is ∫ F(k) · a J₁(k a) dk.
    k = np.linspace(0.02, 12.0, 500)
    sigma = FIBER_SEEING / 2.355
    window = FIBER_RADIUS * j1(k * FIBER_RADIUS) * np.exp(-0.5 * (k * sigma) ** 2) * (k[1] - k[0])
    index = np.clip(np.where(radius > 0, index, 1.0), *INDEX_RANGE)
    rows, _, _ = sersic_table().rows(index.astype(np.float32))
    log_kappa = np.log(np.maximum(radius, 1e-4))[:, np.newaxis] + np.log(k)
    return np.asarray(lookup(rows, *locate(log_kappa.astype(np.float32))) @ window)
