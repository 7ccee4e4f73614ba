"""Fitting point sources and Sérsic profiles through the PSF, many sources at a time.

As the survey's Tractor does (Lang, Hogg & Mykytyn 2016), one position and shape is fitted to the
three bands together, each with its own flux. The fluxes are linear and are solved for exactly at
every shape, so that what is maximised is the gain in χ² over no source at all,

    Q = Σ_bands ⟨D, M⟩² / ⟨M, M⟩,

with the data D and the model M of unit flux, products weighted by the noise. After D is moved to
the source's position a profile's transform is real, so shapes are seen by the real part of the data
and positions by its imaginary part, and the two do not correlate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.drawing.sersic_transform import INDEX_RANGE, locate, lookup, sersic_table
from xsaga.simulation.measuring.fourier_stamps import Complexes, Modes, Reals

Bools = NDArray[np.bool_]

SMALLEST = 0.01
"""Least half-light radius in arcsec that a fit may give."""

LARGEST = 0.35
"""Largest half-light radius over the side of the stamp: beyond, size and flux run away."""

ROUNDEST_LIMIT = 0.85
"""Largest ellipticity |ε| that a fit may give: b/a = 0.08."""

SIZE, E1, E2, INDEX = range(4)
"""Columns of shape parameters."""

_STEPS = np.array([0.7, 0.3, 0.3, 1.0], dtype=np.float32)  # longest step of each parameter
_DONE = 0.01  # gain in χ² that ends a fit


@dataclass(frozen=True)
class Stamps:
    """Data of N sources on one grid of M modes.

    Parameters
    ----------
    modes : Modes
        The grid.
    data : ndarray of complex64, shape (N, 3, M)
        Transforms of the stamps.
    precision : ndarray, shape (N, 3)
        Inverse variance of a stamp pixel; 0 for a band without data.
    """

    modes: Modes
    data: Complexes
    precision: Reals

    def subset(self, chosen: NDArray[np.generic]) -> Stamps:
        """Take some of the sources."""
        return replace(self, data=self.data[chosen], precision=self.precision[chosen])


@dataclass(frozen=True)
class Fits:
    """One model of N sources.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Arcsec from the stamp's central pixel.
    shape : ndarray, shape (N, 4)
        ln s, ε₁, ε₂, n: the half-light semi-major axis is R = s (1 + |ε|), the ellipticity
        |ε| = (1 − b/a) / (1 + b/a) towards twice the angle from +x towards +y. ln s = −inf for
        points.
    flux : ndarray, shape (N, 3)
        Nanomaggies.
    gain : ndarray, shape (N,)
        By how much χ² is lower than without the source.
    covariance : ndarray, shape (N, 4, 4)
        Of the shape, fluxes marginalised; 0 for what was not free.
    """

    x: Reals
    y: Reals
    shape: Reals
    flux: Reals
    gain: Reals
    covariance: Reals

    def __len__(self) -> int:
        return len(self.x)

    def subset(self, chosen: NDArray[np.generic]) -> Fits:
        """Take some of the sources."""
        return Fits(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def replaced(self, chosen: NDArray[np.generic], others: Fits) -> Fits:
        """Put other fits in the place of some."""
        values = []
        for name in self.__dataclass_fields__:
            column = getattr(self, name).copy()
            column[chosen] = getattr(others, name)
            values.append(column)
        return Fits(*values)


def half_light_radius(shape: NDArray[np.floating]) -> NDArray[np.floating]:
    """Half-light semi-major axis in arcsec of shape parameters, (N, 4) to (N,)."""
    return np.asarray(np.exp(shape[:, SIZE]) * (1 + np.hypot(shape[:, E1], shape[:, E2])))


def unit_models(modes: Modes, shape: Reals) -> Reals:
    """Transform of profiles of unit flux at the origin, before the PSF, shape (N, M)."""
    values = np.ones((len(shape), modes.kx.size), dtype=np.float32)
    extended = np.flatnonzero(np.isfinite(shape[:, SIZE]))
    if extended.size:
        rows, _, _ = sersic_table().rows(shape[extended, INDEX])
        squared = _squared_wave_number(modes, shape[extended])
        values[extended] = lookup(rows, *locate(np.float32(0.5) * np.log(squared)))
    return values


def fit_points(stamps: Stamps, x: Reals, y: Reals, fixed: Bools, steps: int = 4) -> Fits:
    """Fit point sources.

    Parameters
    ----------
    stamps : Stamps
        Data of N sources.
    x, y : ndarray, shape (N,)
        Positions to begin with, arcsec from the central pixels.
    fixed : ndarray of bool, shape (N,)
        Sources that stay there.
    steps : int
        How often positions are improved.
    """
    count = len(x)
    shape = np.zeros((count, 4), dtype=np.float32)
    shape[:, SIZE] = -np.inf
    ones = np.ones((count, stamps.modes.kx.size), dtype=np.float32)
    for step in range(steps + 1):
        data = _derotated(stamps, x, y)
        at = _project(stamps, data.real, ones)
        if step < steps:
            towards = _displacement(stamps, data.imag, ones, at.flux)
            towards[fixed] = 0
            x, y = x + towards[:, 0], y + towards[:, 1]
    covariance = np.zeros((count, 4, 4), dtype=np.float32)
    return Fits(x, y, shape, at.flux, at.gain, covariance)


def fit_profiles(
    stamps: Stamps, start: Fits, free: tuple[int, ...], *, steps: int, move: bool = False
) -> Fits:
    """Fit Sérsic profiles from a start, by Levenberg and Marquardt's method.

    Parameters
    ----------
    stamps : Stamps
        Data of N sources.
    start : Fits
        Positions and shapes to begin with; parameters that are not free keep their values.
    free : tuple of int
        Which columns of the shape are free: of `SIZE`, `E1`, `E2`, `INDEX`.
    steps : int
        Most steps to take.
    move : bool
        Whether positions are free too.

    Returns
    -------
    Fits
    """
    columns = list(free)
    x, y, shape = start.x.copy(), start.y.copy(), _bounded(start.shape, stamps.modes)
    trial_x, trial_y, trial = x.copy(), y.copy(), shape.copy()
    count = len(x)
    damping = np.full(count, 1e-2, dtype=np.float32)
    best = np.full(count, -np.inf, dtype=np.float32)
    flux = np.zeros((count, 3), dtype=np.float32)
    curvature = np.zeros((count, len(columns), len(columns)), dtype=np.float32)
    gradient = np.zeros((count, len(columns)), dtype=np.float32)
    towards = np.zeros((count, 2), dtype=np.float32)
    active = np.arange(count)
    part, data = stamps, _derotated(stamps, x, y)
    for step in range(steps + 1):
        if move and step:
            data = _derotated(part, trial_x[active], trial_y[active])
        found = _linearised(part, data, trial[active], columns, move=move)
        gained = found.gain - best[active]
        better = gained > 0
        accepted = active[better]
        x[accepted], y[accepted] = trial_x[accepted], trial_y[accepted]
        shape[accepted] = trial[accepted]
        best[accepted] = found.gain[better]
        flux[accepted] = found.flux[better]
        gradient[accepted] = found.gradient[better]
        curvature[accepted] = found.curvature[better]
        towards[accepted] = found.towards[better]
        damping[accepted] *= 0.2
        damping[active[~better]] *= 8
        going = better & (gained > _DONE) | ~better & (damping[active] < 1e3)
        if step == steps or not going.any():
            break
        active = active[going]
        part, data = part.subset(going), data[going]
        following = _next(
            shape[active], gradient[active], curvature[active], damping[active], columns
        )
        trial[active] = _bounded(following, stamps.modes)
        caution = 1 / (1 + damping[active])
        reach = stamps.modes.side * stamps.modes.scale / 8
        trial_x[active] = np.clip(x[active] + caution * towards[active, 0], -reach, reach)
        trial_y[active] = np.clip(y[active] + caution * towards[active, 1], -reach, reach)
    covariance = np.zeros((count, 4, 4), dtype=np.float32)
    rows, places = np.arange(count)[:, np.newaxis, np.newaxis], np.array(columns)
    covariance[rows, places[:, np.newaxis], places] = _inverse(curvature)
    return Fits(x, y, shape, flux, best, covariance)


def flux_variances(stamps: Stamps, fits: Fits) -> Reals:
    """Variance of the fluxes, shape (N, 3), the shapes' uncertainty included."""
    values, derivatives = _derivatives(stamps.modes, fits.shape, [SIZE, E1, E2, INDEX])
    power = _weighted(stamps, values * values)
    cross = np.stack([_weighted(stamps, values * d) for d in derivatives], axis=2)
    known = power > 0
    ratio = np.divide(cross, power[..., np.newaxis], out=np.zeros_like(cross),
                      where=known[..., np.newaxis])  # fmt: skip
    ratio *= fits.flux[..., np.newaxis]
    shape_part = np.einsum("nbi,nij,nbj->nb", ratio, fits.covariance, ratio)
    plain = np.divide(1, power, out=np.full_like(power, np.inf), where=known)
    return np.asarray(plain + shape_part)


@dataclass(frozen=True)
class _Projection:
    """Fluxes and gain at given shapes."""

    flux: Reals
    gain: Reals
    power: Reals


@dataclass(frozen=True)
class _Linearised(_Projection):
    """And how they change with the shape."""

    gradient: Reals
    curvature: Reals
    towards: Reals


def _squared_wave_number(modes: Modes, shape: Reals) -> Reals:
    """κ² = kᵀ C k with C = s² [(1 + ε²) 1 + 2 E], whose axes are s (1 ± |ε|); shape (N, M)."""
    squares, difference, product = _quadratics(modes)
    e1, e2 = shape[:, E1], shape[:, E2]
    quadratic = np.stack([1 + e1**2 + e2**2, 2 * e1, 2 * e2], axis=1)
    quadratic *= np.exp(2 * shape[:, SIZE])[:, np.newaxis]
    kappa = quadratic.astype(np.float32) @ np.stack([squares, difference, product])
    return np.maximum(kappa, np.float32(1e-8))


def _quadratics(modes: Modes) -> tuple[Reals, Reals, Reals]:
    return modes.kx**2 + modes.ky**2, modes.kx**2 - modes.ky**2, 2 * modes.kx * modes.ky


def _derivatives(modes: Modes, shape: Reals, columns: list[int]) -> tuple[Reals, list[Reals]]:
    """Profiles and their derivatives by the free parameters, each of shape (N, M)."""
    value_rows, slope_rows, change_rows = sersic_table().rows(shape[:, INDEX])
    size = np.exp(2 * np.where(np.isfinite(shape[:, SIZE]), shape[:, SIZE], np.log(1e-3)))
    finite = shape.copy()
    finite[:, SIZE] = 0.5 * np.log(size)
    squared = _squared_wave_number(modes, finite)
    column, part = locate(np.float32(0.5) * np.log(squared))
    values = lookup(value_rows, column, part)
    slope = lookup(slope_rows, column, part)
    squares, difference, product = _quadratics(modes)
    derivatives = []
    if E1 in columns:
        by_squared = slope * (size[:, np.newaxis] / squared)
    for name in columns:
        if name == SIZE:
            derivatives.append(slope)
        elif name == INDEX:
            derivatives.append(lookup(change_rows, column, part))
        else:
            along = difference if name == E1 else product
            e = shape[:, name, np.newaxis].astype(np.float32)
            derivatives.append(by_squared * (e * squares + along))
    return values, derivatives


def _weighted(stamps: Stamps, values: Reals, factor: Reals | float = 1.0) -> Reals:
    """Σ over the modes of values · factor · PSF² in units of the noise, (N, M) to (N, 3)."""
    modes = stamps.modes
    return (values @ (modes.psf**2 * (modes.weight * factor)).T) * stamps.precision


def _derotated(stamps: Stamps, x: Reals, y: Reals) -> Complexes:
    """Move the sources to the origin; times weight, PSF and precision, shape (N, 3, M)."""
    modes = stamps.modes
    back = np.conj(modes.phases(x, y))
    moved = stamps.data * back[:, np.newaxis, :]
    moved *= modes.psf * modes.weight
    moved *= stamps.precision[:, :, np.newaxis]
    return moved


def _project(stamps: Stamps, data: Reals, values: Reals) -> _Projection:
    """Solve for the fluxes of models."""
    product = np.matmul(data, values[:, :, np.newaxis])[..., 0]
    power = _weighted(stamps, values * values)
    flux = np.divide(product, power, out=np.zeros_like(product), where=power > 0)
    return _Projection(flux, (flux * product).sum(axis=1), power)


def _linearised(
    stamps: Stamps, derotated: Complexes, shape: Reals, columns: list[int], *, move: bool
) -> _Linearised:
    """Gain, its gradient and its curvature (Gauss and Newton's), the fluxes solved for."""
    values, derivatives = _derivatives(stamps.modes, shape, columns)
    data = derotated.real
    at = _project(stamps, data, values)
    flux = at.flux
    known = np.where(at.power > 0, at.power, 1)
    cross = [_weighted(stamps, values * d) for d in derivatives]
    gradient = np.empty((len(shape), len(columns)), dtype=np.float32)
    curvature = np.empty((len(shape), len(columns), len(columns)), dtype=np.float32)
    for i, first in enumerate(derivatives):
        seen = np.matmul(data, first[:, :, np.newaxis])[..., 0]
        gradient[:, i] = (flux * (seen - flux * cross[i])).sum(axis=1)
        for j in range(i + 1):
            own = _weighted(stamps, first * derivatives[j])
            shared = (flux**2 * (own - cross[i] * cross[j] / known)).sum(axis=1)
            curvature[:, i, j] = curvature[:, j, i] = shared
    towards = np.zeros((len(shape), 2), dtype=np.float32)
    if move:
        towards = _displacement(stamps, derotated.imag, values, flux)
    return _Linearised(flux, at.gain, at.power, gradient, curvature, towards)


def _next(
    shape: Reals, gradient: Reals, curvature: Reals, damping: Reals, columns: list[int]
) -> Reals:
    """Take one damped step."""
    matrix = curvature.astype(np.float64)
    diagonal = np.einsum("nii->ni", matrix)
    # a parameter that the data do not feel stays where it is
    diagonal *= 1 + damping[:, np.newaxis]
    diagonal += 1e-6 + 1e-3 * damping[:, np.newaxis]
    step = np.linalg.solve(matrix, gradient[..., np.newaxis].astype(np.float64))[..., 0]
    longest = _STEPS[columns]
    step = np.clip(step, -longest, longest)
    trial = shape.copy()
    trial[:, columns] += step.astype(np.float32)
    return trial


def _bounded(shape: Reals, modes: Modes) -> Reals:
    """Pull shapes back into what a fit may give."""
    bounded = shape.copy()
    largest = LARGEST * modes.side * modes.scale
    bounded[:, SIZE] = np.clip(bounded[:, SIZE], np.log(SMALLEST), np.log(largest))
    size = np.hypot(bounded[:, E1], bounded[:, E2])
    bounded[:, [E1, E2]] *= np.minimum(1, ROUNDEST_LIMIT / np.maximum(size, 1e-6))[:, np.newaxis]
    bounded[:, INDEX] = np.clip(bounded[:, INDEX], *INDEX_RANGE)
    return bounded


def _inverse(curvature: Reals) -> Reals:
    """Invert curvatures; what the data do not feel gets a large variance."""
    matrix = curvature.astype(np.float64)
    diagonal = np.einsum("nii->ni", matrix)
    diagonal += 1e-4
    return np.linalg.inv(matrix).astype(np.float32)


def _displacement(stamps: Stamps, data: Reals, values: Reals, flux: Reals) -> Reals:
    """Step of Gauss and Newton's to the best positions of given profiles in arcsec, (N, 2)."""
    modes = stamps.modes
    towards = np.matmul(flux[:, np.newaxis, :], data)[:, 0]
    towards *= values
    right = -(towards @ np.stack([modes.kx, modes.ky], axis=1))
    own = values * values
    matrix = np.empty((len(values), 2, 2))
    for i, first in enumerate((modes.kx, modes.ky)):
        for j, second in enumerate((modes.kx, modes.ky)):
            matrix[:, i, j] = (flux**2 * _weighted(stamps, own, first * second)).sum(axis=1)
    np.einsum("nii->ni", matrix)[...] += 1e-3
    step = np.linalg.solve(matrix, right[..., np.newaxis].astype(np.float64))[..., 0]
    return np.clip(step, -modes.scale, modes.scale).astype(np.float32)
