"""Under which conditions a brick was observed: PSF, depth, missing data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xsaga.simulation.bricks import Brick
from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.sky_model import BANDS, SkyModel

NOMINAL_DEPTH = (24.7, 23.9, 23.0)
"""5σ point-source depth in g, r, z of two exposures (Dey et al. 2019)."""

ELECTRONS_PER_NANOMAGGY = (5600.0, 4800.0, 6300.0)
"""Rough yield of two DECam exposures in g, r, z (zero points of Dey et al. 2019)."""

EXTINCTION = (3.214, 2.165, 1.211)
"""A/E(B−V) in g, r, z as the Legacy Surveys use it."""

MOFFAT_BETA = 3.5

N_EXPOSURES = 2

_FWHM_RANGE = ((1.2, 1.5), (1.15, 1.45), (1.1, 1.4))
_DEPTH_SCATTER = 0.08
_PATCH_CHANCE = 0.25
_PATCH_SIDES = (0.03, 0.06)


@dataclass(frozen=True)
class Patch:
    """A rectangle without data.

    Parameters
    ----------
    bands : tuple of int
        Indices of the bands it is missing in.
    x0, x1, y0, y1 : float
        Its edges as fractions of the side of the coadd.
    """

    bands: tuple[int, ...]
    x0: float
    x1: float
    y0: float
    y1: float


@dataclass(frozen=True)
class Conditions:
    """Observing conditions, a value per band in the order g, r, z.

    Parameters
    ----------
    fwhm : tuple of float
        Of the PSF on the coadd, pixel included, in arcsec.
    depth : tuple of float
        5σ magnitude of a point source.
    patch : Patch or None
        Where data are missing.
    """

    fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    patch: Patch | None = None

    @property
    def psf_pixels(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Effective number of pixels under the PSF, 1 / Σ PSF², shape (3,)."""
        alpha = np.array(self.fwhm) / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
        area = np.pi * alpha**2 * (2 * MOFFAT_BETA - 1) / (MOFFAT_BETA - 1) ** 2
        return np.asarray(area / PIXEL_SCALE**2)

    @property
    def sky_sigma(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Noise of a pixel without sources in nanomaggies, shape (3,)."""
        faintest = 10 ** (-0.4 * (np.array(self.depth) - 22.5))
        return np.asarray(faintest / 5 / np.sqrt(self.psf_pixels))


def observing_conditions(brick: Brick, sky: SkyModel) -> Conditions:
    """Draw the conditions of one brick: FWHM of 1.1 to 1.5", depth near nominal, a rare gap."""
    rng = sky.generator(brick, 1)
    fwhm = tuple(float(rng.uniform(*limits)) for limits in _FWHM_RANGE)
    depth = tuple(float(rng.normal(nominal, _DEPTH_SCATTER)) for nominal in NOMINAL_DEPTH)
    patch = None
    if rng.random() < _PATCH_CHANCE:
        everything = tuple(range(len(BANDS)))
        bands = everything if rng.random() < 0.5 else (int(rng.integers(len(BANDS))),)
        x0, y0 = rng.uniform(0.15, 0.8, 2)
        width, height = rng.uniform(*_PATCH_SIDES, 2)
        patch = Patch(bands, float(x0), float(x0 + width), float(y0), float(y0 + height))
    return Conditions(fwhm, depth, patch)
