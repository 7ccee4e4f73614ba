"""What a galaxy is made of: its parts, their shapes, and each part's share of the light per band.

The smooth parts are Sérsic ellipses, the small ones Gaussian spots; both are known in Fourier
space, where their sum meets the PSF (`xsaga.simulation.drawing.stamps`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.drawing.sersic_transform import INDEX_RANGE, locate, lookup, sersic_table

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Complexes = NDArray[np.complex64]

DISC, BULGE, BAR, NUCLEUS, KNOTS = range(5)
"""Rows of the table of shares."""

BAND_RADII = (1.04, 1.0, 0.95)
"""Half-light radius in g, r, z over that in r. Galaxies are bluer outside (La Barbera et al. 2010;
Vulcani et al. 2014); the numbers are round ones of that sense and size, fitted to nothing."""

_LEAST_DISC = 0.3
"""Least light of the disc in a band, over its share in r: keeps odd colours from emptying it."""

_BAR_THICKNESS = 0.3
_COPIED = (
    "radius", "ba", "sersic", "bulge_radius", "bulge_sersic", "bulge_ba", "bar_radius", "n_arms",
    "arms", "knots", "knot_size", "lopsided", "merger", "quiescent", "structure_seed",
)  # fmt: skip
_LEAST_SQUARE = np.float32(1e-8)


@dataclass(frozen=True)
class Galaxy:
    """What a stamp needs to know of a galaxy; see the truth table for the meaning.

    Angles in radians from +x towards +y of the pixel grid, radii in arcsec, (dx, dy) the offset in
    pixels from the stamp's central pixel, `shares` of shape (5, 3) the part of each band's light in
    disc, bulge, bar, nucleus and knots; `dust` from 0 to 1.
    """

    radius: float
    ba: float
    angle: float
    sersic: float
    shares: Floats
    bulge_radius: float = 1.0
    bulge_sersic: float = 1.0
    bulge_ba: float = 1.0
    bar_radius: float = 1.0
    n_arms: int = 0
    pitch: float = 0.35
    arms: float = 0.0
    knots: int = 0
    knot_size: float = 0.3
    lopsided: float = 0.0
    merger: float = 0.0
    dust: float = 0.0
    quiescent: bool = False
    structure_seed: int = 0
    dx: float = 0.0
    dy: float = 0.0


def band_shares(objects: pd.DataFrame) -> Floats:
    """Share of each part in the light of each band.

    Parameters
    ----------
    objects : DataFrame
        Rows of the truth table: fractions of the light in r, colours of the whole and its parts.

    Returns
    -------
    ndarray, shape (N, 5, 3)
        Not negative; sums to one over the parts, so that the whole has its magnitudes. Where the
        parts' colours ask for more light than a band has, they give way to the disc.
    """
    gr = (objects["mag_g"] - objects["mag_r"]).to_numpy()
    rz = (objects["mag_r"] - objects["mag_z"]).to_numpy()
    in_r = np.stack(
        [objects[name].to_numpy() for name in ("bulge", "bar", "nucleus", "knots_light")], axis=1
    )
    own_gr = objects[["bulge_gr", "bulge_gr", "bulge_gr", "knots_gr"]].to_numpy()
    own_rz = objects[["bulge_rz", "bulge_rz", "bulge_rz", "knots_rz"]].to_numpy()
    in_g = in_r * 10 ** (-0.4 * np.nan_to_num(own_gr - gr[:, np.newaxis]))
    in_z = in_r * 10 ** (0.4 * np.nan_to_num(own_rz - rz[:, np.newaxis]))
    parts = np.stack([in_g, in_r, in_z], axis=2).clip(0, None)
    disc_r = np.clip(1 - in_r.sum(axis=1), 0, 1)
    most = 1 - _LEAST_DISC * disc_r[:, np.newaxis]
    taken = parts.sum(axis=1)
    # without a disc the parts are everything
    scale = np.where(
        (taken > most) | (disc_r == 0)[:, np.newaxis], most / np.maximum(taken, 1e-9), 1
    )
    parts *= scale[:, np.newaxis, :]
    disc = 1 - parts.sum(axis=1)
    return np.concatenate([disc[:, np.newaxis, :], parts], axis=1)


def galaxies_of(objects: pd.DataFrame, shares: Floats, dx: Floats, dy: Floats) -> Iterator[Galaxy]:
    """Give the galaxies of rows of the truth table, one by one.

    Parameters
    ----------
    objects : DataFrame
        Rows of the truth table.
    shares : ndarray, shape (N, 5, 3)
        What `band_shares` gave.
    dx, dy : ndarray, shape (N,)
        Offset of the centre from its pixel's, in pixels.
    """
    # dust comes with stellar mass and gas (discs above 10⁹·⁵ solar masses; Dalcanton et al. 2004)
    dust = np.clip(objects["logmstar"].fillna(0).to_numpy() - 9.0, 0, 1)
    dust = np.where(objects["quiescent"], 0.0, dust)
    rows = objects[list(_COPIED)].to_dict("records")
    angle, pitch = np.radians(90.0 + objects["pa"]), np.radians(objects["pitch"])
    for i, (row, towards, winding) in enumerate(zip(rows, angle, pitch, strict=True)):
        copied = {str(name): value for name, value in row.items()}
        yield Galaxy(
            angle=float(towards),
            pitch=float(winding),
            shares=shares[i],
            dust=float(dust[i]),
            dx=float(dx[i]),
            dy=float(dy[i]),
            **copied,
        )


def wavenumbers(side: int) -> tuple[Floats32, Floats32]:
    """Wavenumbers of a stamp in radians per arcsec, kx of shape (side // 2 + 1,), ky (side,)."""
    kx = 2 * np.pi * np.fft.rfftfreq(side, PIXEL_SCALE)
    ky = 2 * np.pi * np.fft.fftfreq(side, PIXEL_SCALE)
    return kx.astype(np.float32), ky.astype(np.float32)


def ellipses(radius: Floats, ba: Floats | float, angle: Floats | float) -> Floats:
    """Second moments JJᵀ of ellipses x = J·(unit circle): xx, xy, yy, shape (N, 3), arcsec²."""
    major, minor = np.asarray(radius) ** 2, (np.asarray(radius) * ba) ** 2
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack(
        [
            major * cosine**2 + minor * sine**2,
            (major - minor) * cosine * sine,
            major * sine**2 + minor * cosine**2,
        ],
        axis=-1,
    )


def bar_ellipse(galaxy: Galaxy, turned: float) -> Floats:
    """Second moments of a bar, shape (3,), `turned` from the major axis in the disc's plane."""
    along, across = 0.5 * galaxy.bar_radius, 0.5 * _BAR_THICKNESS * galaxy.bar_radius
    cosine, sine = np.cos(turned), np.sin(turned)
    plane = np.array([[cosine * along, -sine * across], [sine * along, cosine * across]])
    plane[1] *= max(galaxy.ba, 0.2)
    cosine, sine = np.cos(galaxy.angle), np.sin(galaxy.angle)
    on_sky = np.array([[cosine, -sine], [sine, cosine]]) @ plane
    moments = on_sky @ on_sky.T
    return np.array([moments[0, 0], moments[0, 1], moments[1, 1]])


def sersic_transforms(index: Floats, moments: Floats, side: int) -> Floats32:
    """Fourier transforms of Sérsic ellipses of unit flux.

    Parameters
    ----------
    index : ndarray, shape (N,)
        Sérsic indices.
    moments : ndarray, shape (N, 3)
        What `ellipses` gives for half-light radii.
    side : int
        Pixels on a side.

    Returns
    -------
    ndarray of float32, shape (N, side, side // 2 + 1)
        In the order of `numpy.fft.rfft2`, about pixel (0, 0). An ellipse x = J·x′ has the
        transform F(|Jᵀk|) of its round profile.
    """
    kx, ky = wavenumbers(side)
    xx, xy, yy = np.asarray(moments, dtype=np.float32).T[:, :, np.newaxis, np.newaxis]
    square = xx * kx**2 + (2 * xy) * (ky[:, np.newaxis] * kx) + yy * (ky**2)[:, np.newaxis]
    square = square.reshape(len(square), -1)
    log_kappa = np.log(np.maximum(square, _LEAST_SQUARE, out=square), out=square)
    log_kappa *= np.float32(0.5)
    rows, _, _ = sersic_table().rows(np.clip(index, *INDEX_RANGE).astype(np.float32))
    transforms = lookup(rows, *locate(log_kappa)).reshape(-1, side, side // 2 + 1)
    transforms[:, 0, 0] = 1
    return transforms


def spots_transform(x: Floats, y: Floats, size: Floats, light: Floats, side: int) -> Complexes:
    """Fourier transforms of sums of round Gaussians.

    Parameters
    ----------
    x, y, size : ndarray, shape (K,)
        Places from the centre and standard deviations in arcsec.
    light : ndarray, shape (bands, K)
        Flux of each in each band.
    side : int
        Pixels on a side.

    Returns
    -------
    ndarray of complex64, shape (bands, side, side // 2 + 1)
        A Gaussian is a product in x and y, so the sum is one matrix product per band.
    """
    kx, ky = wavenumbers(side)
    at_x, at_y, sigma = np.asarray([x, y, size], dtype=np.float32)
    in_x = _lines(at_x, sigma, kx)
    # real in space: the transform at −k is the conjugate of that at k
    in_y = np.empty((side, len(at_y)), dtype=np.complex64)
    in_y[: side // 2 + 1] = _lines(at_y, sigma, np.abs(ky[: side // 2 + 1])).T
    in_y[side // 2 + 1 :] = in_y[side // 2 - 1 : 0 : -1].conj()
    return np.stack([(in_y * share) @ in_x for share in np.asarray(light, dtype=np.float32)])


def _lines(place: Floats32, size: Floats32, k: Floats32) -> Complexes:
    """Transform Gaussians along one axis, shape (K, k.size)."""
    phase = np.outer(place, k)
    height = np.exp(np.float32(-0.5) * np.outer(size, k) ** 2)
    lines = np.empty(phase.shape, dtype=np.complex64)
    lines.real = height * np.cos(phase)
    lines.imag = -height * np.sin(phase)
    return lines
