"""The catalog that a survey would give of simulated objects, in the columns of a sweep file.

Nothing is measured on the images: every value is the truth plus noise of the size that the column's
inverse variance states, which follows from the images' own inverse variance and the size of the
source under the PSF. There is therefore no blending, no shredding and no error of a fit.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from xsaga.simulation.bricks import Brick
from xsaga.simulation.coadd_grid import PIXEL_SCALE, CoaddGrid
from xsaga.simulation.conditions import (
    ELECTRONS_PER_NANOMAGGY,
    EXTINCTION,
    N_EXPOSURES,
    Conditions,
)
from xsaga.simulation.observe import Coadd
from xsaga.simulation.render import observed_fluxes
from xsaga.simulation.sky_model import BANDS, RELEASE

Floats = NDArray[np.float64]

DETECTION = 6.0
"""A source is in the catalog if its signal to noise reaches this in any band (legacypipe's 6σ)."""

GAIA_LIMIT = 20.5
"""Stars brighter than this r carry REF_CAT and a proper motion."""

UNITS = {
    "RA": "deg",
    "DEC": "deg",
    "EBV": "mag",
    "SHAPE_R": "arcsec",
    "SHAPE_R_IVAR": "1/arcsec^2",
    "PMRA": "mas/yr",
    "PMDEC": "mas/yr",
    "REF_EPOCH": "yr",
}


def catalog_sources(
    objects: pd.DataFrame,
    grid: CoaddGrid,
    brick: Brick,
    coadd: Coadd,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Table:
    """Make the sweep rows of a brick.

    Parameters
    ----------
    objects : DataFrame
        The brick's own objects, all on the grid: rows of the truth table.
    grid : CoaddGrid
        Pixels of the coadd.
    brick : Brick
        Which brick.
    coadd : Coadd
        Its images, for the inverse variance and the maskbits under each source.
    conditions : Conditions
        PSF of the brick.
    rng : numpy.random.Generator
        Measurement errors.

    Returns
    -------
    astropy.table.Table
        The sources that are detected, with RELEASE 7777 and the OBJID of the truth table.
    """
    flux, ivar = _fluxes(objects, grid, coadd, conditions, rng)
    detected = (flux * np.sqrt(ivar) > DETECTION).any(axis=1)
    objects = objects.iloc[np.flatnonzero(detected)].reset_index(drop=True)
    flux, ivar = flux[detected], ivar[detected]
    count = len(objects)
    star = (objects["kind"] == "star").to_numpy()
    snr = np.maximum((flux * np.sqrt(ivar)).max(axis=1), 1.0)
    x, y = grid.pixel_positions(objects["ra"].to_numpy(), objects["dec"].to_numpy())
    fwhm = conditions.fwhm[1]

    radius, radius_ivar = _radii(objects, star, snr, fwhm, rng)
    kind = _types(objects, star, radius, radius_ivar)
    extended = (kind != "PSF") & (kind != "REX")
    radius, radius_ivar = (
        np.where(kind == "PSF", 0, radius),
        np.where(kind == "PSF", 0, radius_ivar),
    )
    e1, e2 = _ellipticities(objects, snr, extended, rng)
    sersic = np.select(
        [kind == "DEV", kind == "EXP", kind == "REX", kind == "SER"],
        [np.full(count, 4.0), np.ones(count), np.ones(count), objects["sersic"].to_numpy()],
        default=0.0,
    )
    ebv = objects["ebv"].to_numpy()
    transmission = 10 ** (-0.4 * ebv[:, np.newaxis] * np.array(EXTINCTION))
    fracflux = _fractions_of_neighbours(x, y, flux, radius, fwhm)
    noise = 0.6 * fwhm / 3600 / snr  # of a fitted centroid (King 1983)
    in_gaia = star & (objects["mag_r"].to_numpy() < GAIA_LIMIT)
    motions = np.where(in_gaia, rng.normal(0, 8.0, (2, count)), 0)
    observed = np.where(ivar > 0, N_EXPOSURES, 0)
    columns: dict[str, NDArray[np.generic]] = {
        "RELEASE": np.full(count, RELEASE, dtype=np.int16),
        "BRICKID": np.full(count, brick.brickid, dtype=np.int32),
        "BRICKNAME": np.full(count, brick.name, dtype="S8"),
        "OBJID": objects["objid"].to_numpy(np.int32),
        "TYPE": kind.astype("S3"),
        "RA": (objects["ra"].to_numpy() + rng.normal(0, noise) / np.cos(np.radians(brick.dec)))
        % 360,
        "DEC": objects["dec"].to_numpy() + rng.normal(0, noise),
        "EBV": ebv,
        **_by_band("FLUX", flux),
        **_by_band("FLUX_IVAR", ivar),
        **_by_band("MW_TRANSMISSION", transmission),
        **_by_band("FRACFLUX", fracflux),
        **_by_band("RCHISQ", 1 + np.abs(rng.normal(0, 0.04, flux.shape))),
        **{f"NOBS_{band.upper()}": observed[:, i].astype(np.int16) for i, band in enumerate(BANDS)},
        "SHAPE_R": radius,
        "SHAPE_R_IVAR": radius_ivar,
        "SHAPE_E1": e1,
        "SHAPE_E2": e2,
        "SERSIC": sersic,
        "MASKBITS": coadd.maskbits[np.rint(y).astype(int), np.rint(x).astype(int)],
        "REF_CAT": np.where(in_gaia, "G2", "").astype("S2"),
        "PMRA": motions[0],
        "PMDEC": motions[1],
        "REF_EPOCH": np.where(in_gaia, 2015.5, 0),
        "PHOTSYS": np.full(count, "S", dtype="S1"),
    }
    doubles = ("RA", "DEC")
    narrow = {
        name: np.float32 if values.dtype == np.float64 and name not in doubles else values.dtype
        for name, values in columns.items()
    }
    table = Table({name: values.astype(narrow[name]) for name, values in columns.items()})
    for name, unit in UNITS.items():
        table[name].unit = unit
    return table


def _fluxes(
    objects: pd.DataFrame,
    grid: CoaddGrid,
    coadd: Coadd,
    conditions: Conditions,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Fluxes with noise and their inverse variance, each of shape (N, 3).

    An optimal fit has the variance σ² / Σ p² of the normalised profile p; for an exponential disc
    1 / Σ p² is 8π h² b/a with the scale length h = R / 1.678, to which the PSF's is added.
    """
    true = observed_fluxes(objects)
    x, y = grid.pixel_positions(objects["ra"].to_numpy(), objects["dec"].to_numpy())
    has_data = coadd.invvar[:, np.rint(y).astype(int), np.rint(x).astype(int)].T > 0
    area = (objects["radius"] ** 2 * objects["ba"]).to_numpy() * 8 * np.pi / 1.678**2
    pixels = conditions.psf_pixels + area[:, np.newaxis] / PIXEL_SCALE**2
    variance = conditions.sky_sigma**2 * pixels + true / np.array(ELECTRONS_PER_NANOMAGGY)
    ivar = np.where(has_data, 1 / variance, 0)
    flux = np.where(has_data, true + rng.normal(0, np.sqrt(variance)), 0)
    return flux, ivar


def _radii(
    objects: pd.DataFrame,
    star: NDArray[np.bool_],
    snr: Floats,
    fwhm: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Half-light radii with noise; small sources are known worse than their size."""
    true = objects["radius"].to_numpy()
    sigma = 1.5 * np.hypot(true, 0.4 * fwhm) / snr
    radius = np.maximum(np.where(star, 0.0, true) + rng.normal(0, sigma), 0.01)
    return radius, 1 / sigma**2


def _types(
    objects: pd.DataFrame, star: NDArray[np.bool_], radius: Floats, radius_ivar: Floats
) -> NDArray[np.str_]:
    """Model types as Tractor would choose: simpler ones for small or faint sources."""
    significance = radius * np.sqrt(radius_ivar)
    concentrated = (objects["sersic"] >= 3).to_numpy()
    return np.select(
        [star | (significance < 4), significance < 12, significance > 60, concentrated],
        ["PSF", "REX", "SER", "DEV"],
        default="EXP",
    )


def _ellipticities(
    objects: pd.DataFrame, snr: Floats, extended: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Tractor's e1 and e2, |e| = (1 − b/a) / (1 + b/a), twice the position angle; 0 if round."""
    ba, angle = objects["ba"].to_numpy(), np.radians(2 * objects["pa"].to_numpy())
    size = (1 - ba) / (1 + ba)
    noise = rng.normal(0, 1.0, (2, len(objects))) / snr
    e1, e2 = size * np.cos(angle) + noise[0], size * np.sin(angle) + noise[1]
    shrink = np.minimum(1.0, 0.95 / np.maximum(np.hypot(e1, e2), 1e-9))
    return np.where(extended, e1 * shrink, 0.0), np.where(extended, e2 * shrink, 0.0)


def _fractions_of_neighbours(
    x: Floats, y: Floats, flux: Floats, radius: Floats, fwhm: float
) -> Floats:
    """FRACFLUX: light of neighbours within a source's profile over its own flux, shape (N, 3)."""
    pairs = cKDTree(np.column_stack([x, y])).query_pairs(10.0 / PIXEL_SCALE, output_type="ndarray")
    first, second = pairs.T
    both, others = np.concatenate([first, second]), np.concatenate([second, first])
    distance = np.hypot(x[both] - x[others], y[both] - y[others]) * PIXEL_SCALE
    width = np.hypot(np.hypot(radius[both], radius[others]), 2 * fwhm / 2.355)
    light = np.maximum(flux[others], 0) * np.exp(-0.5 * (distance / width) ** 2)[:, np.newaxis]
    total = np.zeros_like(flux)
    np.add.at(total, both, light)
    return np.asarray(total / np.maximum(flux, 0.01))


def _by_band(name: str, values: Floats) -> dict[str, NDArray[np.generic]]:
    return {f"{name}_{band.upper()}": values[:, i] for i, band in enumerate(BANDS)}
