"""The point-spread function of a coadd: a Moffat core and the wide wings that make halos.

The wings are those that the survey subtracts from DECam images around bright stars
(legacysurvey.org/dr9/psf): for a star of 1 nanomaggy at a radius of r arcsec, 0.00045 r⁻² and
0.00033 r⁻² nanomaggies per arcsec² in g and r, and 0.0145 times a Moffat profile of α = 17.65",
β = 1.7 in z. A power law holds infinite light, so in g and r a Moffat profile stands for it that
agrees within a third from 8" to 60".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.conditions import WING_LIGHT, Conditions
from xsaga.simulation.extras import import_galsim

Floats = NDArray[np.float64]

WINGS = ((4.0, 1.2), (4.0, 1.2), (17.65, 1.7))
"""Moffat α in arcsec and β of the outer wings in g, r, z."""

HALO_REACH = 240.0
"""Radius in arcsec at which even the brightest star's halo is cut."""

EDGE_LEVEL = 0.1
"""Surface brightness at the edge of what is drawn over the sky noise of a pixel."""


def psf_core(conditions: Conditions, band: int) -> Any:
    """Return the core of a band's PSF as a GalSim profile, with its share of a unit flux."""
    galsim = import_galsim()
    flux = 1 - WING_LIGHT[band]
    core = galsim.Moffat(beta=conditions.beta[band], fwhm=conditions.fwhm[band], flux=flux)
    g1, g2 = conditions.shear[band]
    return core.shear(g1=g1, g2=g2) if g1 or g2 else core


def psf_profile(conditions: Conditions, band: int) -> Any:
    """Return the PSF of a band, the pixel included, as a GalSim profile of unit flux.

    Parameters
    ----------
    conditions : Conditions
        FWHM, Moffat index and shear of the core.
    band : int
        Index of the band.

    Raises
    ------
    MissingExtraError
        When GalSim is not installed.
    """
    alpha, beta = WINGS[band]
    wings = import_galsim().Moffat(beta=beta, scale_radius=alpha, flux=WING_LIGHT[band])
    return psf_core(conditions, band) + wings


def moffat_edge(peak: Floats, alpha: float, beta: float, level: float = EDGE_LEVEL) -> Floats:
    """Radius at which Moffat profiles have sunk to a level.

    Parameters
    ----------
    peak : ndarray
        Central surface brightness in the unit of `level`.
    alpha, beta : float
        Scale radius in arcsec and index.
    level : float
        Where to stop.

    Returns
    -------
    ndarray
        Arcsec; 0 where the peak is below the level.
    """
    return np.asarray(alpha * np.sqrt(np.maximum((peak / level) ** (1 / beta) - 1, 0.0)))


def core_edge(contrast: Floats, conditions: Conditions) -> Floats:
    """Radius in arcsec at which the core of a point source has sunk to `EDGE_LEVEL`.

    Parameters
    ----------
    contrast : ndarray, shape (N, 3)
        Flux in one pixel's area at 1 nanomaggy per arcsec², over the sky noise of a pixel: flux ·
        (arcsec per pixel)² / σ.
    conditions : Conditions
        The PSF.

    Returns
    -------
    ndarray, shape (N,)
        Of the band that reaches farthest.
    """
    edges = []
    for band, (fwhm, beta) in enumerate(zip(conditions.fwhm, conditions.beta, strict=True)):
        alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
        peak = contrast[:, band] * (beta - 1) / (np.pi * alpha**2)
        edges.append(moffat_edge(peak, alpha, beta))
    return np.asarray(np.maximum.reduce(edges))


def wing_edge(contrast: Floats) -> Floats:
    """Radius in arcsec to which the wings must be drawn, at most `HALO_REACH`; see `core_edge`."""
    edges = [
        moffat_edge(contrast[:, band] * WING_LIGHT[band] * (b - 1) / (np.pi * a**2), a, b)
        for band, (a, b) in enumerate(WINGS)
    ]
    return np.asarray(np.minimum(np.maximum.reduce(edges), HALO_REACH))
