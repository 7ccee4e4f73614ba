"""Which model describes a source: a point, a round, an exponential, a de Vaucouleurs, a Sérsic."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.measuring.fourier_stamps import Bools, Integers, Reals
from xsaga.simulation.measuring.profile_fit import (
    E1,
    E2,
    INDEX,
    SIZE,
    Fits,
    Stamps,
    fit_points,
    fit_profiles,
)

Gains = NDArray[np.floating]


class SourceType(IntEnum):
    """Models of the survey's Tractor catalogs, simplest first; names are those in TYPE."""

    PSF = 0
    REX = 1
    EXP = 2
    DEV = 3
    SER = 4


SERSIC_INDEX = {SourceType.PSF: 0.0, SourceType.REX: 1.0, SourceType.EXP: 1.0, SourceType.DEV: 4.0}
"""SERSIC of the types whose index is not fitted."""

ROUND_MARGIN = 1.0
"""Gain of χ² for the radius of a REX, one more parameter than a PSF."""

GALAXY_MARGIN = 3.0**2 + 3
"""Gain of χ² that an EXP or DEV must bring over a PSF or REX: 3σ and three parameters."""

SERSIC_MARGIN = 5.0**2
"""Gain of χ² that a SER must bring over an EXP or DEV, as in the code of legacypipe: 5σ."""

FRACTION = 0.01
"""No galaxy for less than this share of the PSF's gain: PSF models are not that good."""


def extended_enough(point: Gains, other: Gains, simpler: Gains) -> NDArray[np.bool_]:
    """Whether EXP or DEV fits, of gain `other`, improve enough on the `simpler` of PSF and REX."""
    return np.asarray(other > simpler + np.maximum(GALAXY_MARGIN, FRACTION * point))


def choose_types(
    point: Gains, round_: Gains, exponential: Gains, de_vaucouleurs: Gains, sersic: Gains
) -> NDArray[np.int8]:
    """Choose the simplest model that is good enough, by the rules of the survey's pipeline.

    Parameters
    ----------
    point, round_, exponential, de_vaucouleurs, sersic : ndarray, shape (N,)
        By how much each model lowers χ² below that of no source; −inf where it was not fitted.

    Returns
    -------
    ndarray of int8, shape (N,)
        Values of `SourceType`. REX if it gains `ROUND_MARGIN` and `FRACTION` over PSF; EXP or DEV,
        whichever is better, if it passes `extended_enough`; then SER if it gains `SERSIC_MARGIN`
        more (Dey et al. 2019, section 8; legacysurvey.org/dr9/description, Morphological
        classification).
    """
    extended = round_ > point + np.maximum(ROUND_MARGIN, FRACTION * point)
    chosen = np.where(extended, SourceType.REX, SourceType.PSF)
    simpler = np.where(extended, round_, point)
    better = np.maximum(exponential, de_vaucouleurs)
    shaped = extended_enough(point, better, simpler)
    kind = np.where(de_vaucouleurs > exponential, SourceType.DEV, SourceType.EXP)
    chosen = np.where(shaped, kind, chosen)
    general = shaped & (sersic > better + SERSIC_MARGIN)
    return np.where(general, SourceType.SER, chosen).astype(np.int8)


def fit_all_models(
    stamps: Stamps, start: Fits, only_points: Bools, fixed: Bools
) -> tuple[Fits, NDArray[np.int8]]:
    """Fit points, round exponentials, exponentials, de Vaucouleurs and Sérsic profiles.

    Each more general model is tried where a simpler one leaves something to gain.

    Parameters
    ----------
    stamps : Stamps
        Data of N sources.
    start : Fits
        Positions and shapes to begin with.
    only_points : ndarray of bool, shape (N,)
        Where only a point is tried.
    fixed : ndarray of bool, shape (N,)
        Points that keep their positions.

    Returns
    -------
    fits : Fits
        Of the chosen model.
    kind : ndarray of int8, shape (N,)
        Values of `SourceType`.
    """
    trials = _Trials(stamps, fit_points(stamps, start.x, start.y, fixed))
    rows = np.flatnonzero(~only_points)
    shape = _of_index(start.shape[rows], 1.0)
    shape[:, [E1, E2]] = 0
    trials.attempt(SourceType.REX, rows, shape, (SIZE,), from_=SourceType.PSF, steps=6, move=True)

    gains = trials.gains
    rows = rows[gains[SourceType.REX, rows] > gains[SourceType.PSF, rows] + ROUND_MARGIN]
    shape = trials.fits[SourceType.REX].shape[rows]
    shape[:, [E1, E2]] = 0.7 * start.shape[rows][:, [E1, E2]]  # cautious: moments are noisy
    ellipse = (SIZE, E1, E2)
    trials.attempt(SourceType.EXP, rows, shape, ellipse, from_=SourceType.REX, steps=8, move=True)
    shape = _of_index(trials.fits[SourceType.EXP].shape[rows], 4.0)
    trials.attempt(SourceType.DEV, rows, shape, ellipse, from_=SourceType.EXP, steps=8)

    point, round_, exponential, de_vaucouleurs = gains[:4, rows]
    better = np.maximum(exponential, de_vaucouleurs)
    rows = rows[extended_enough(point, better, np.maximum(point, round_))]
    concentrated = gains[SourceType.DEV, rows] > gains[SourceType.EXP, rows]
    shape = np.where(
        concentrated[:, np.newaxis],
        _of_index(trials.fits[SourceType.DEV].shape[rows], 3.0),
        _of_index(trials.fits[SourceType.EXP].shape[rows], 1.2),
    )
    trials.attempt(SourceType.SER, rows, shape, (*ellipse, INDEX), from_=SourceType.EXP, steps=12)
    kind = choose_types(*gains)
    chosen = trials.fits[SourceType.PSF]
    for name in SourceType:
        rows = np.flatnonzero(kind == name)
        chosen = chosen.replaced(rows, trials.fits[name].subset(rows))
    return chosen, kind


class _Trials:
    """What each model gives for N sources.

    Parameters
    ----------
    stamps : Stamps
        Their data.
    points : Fits
        The fits of point sources.
    """

    def __init__(self, stamps: Stamps, points: Fits) -> None:
        self.stamps = stamps
        self.fits = dict.fromkeys(SourceType, points)
        self.gains = np.full((len(SourceType), len(points)), -np.inf, dtype=np.float32)
        self.gains[SourceType.PSF] = points.gain

    def attempt(
        self,
        kind: SourceType,
        rows: Integers,
        shape: Reals,
        free: tuple[int, ...],
        *,
        from_: SourceType,
        steps: int,
        move: bool = False,
    ) -> None:
        """Fit a model to some of the sources, beginning at `shape` where `from_` ended."""
        start = replace(self.fits[from_].subset(rows), shape=shape)
        found = fit_profiles(self.stamps.subset(rows), start, free, steps=steps, move=move)
        self.gains[kind, rows] = found.gain
        self.fits[kind] = self.fits[from_].replaced(rows, found)


def _of_index(shape: Reals, index: float) -> Reals:
    """Shapes with another Sérsic index, and no smaller than a fit can find its way out of."""
    changed = shape.copy()
    changed[:, SIZE] = np.maximum(changed[:, SIZE], np.log(0.1))
    changed[:, INDEX] = index
    return changed
