"""What breaks a disc's symmetry: arms, rings, dust, ragged light, star-forming knots.

Arms and dust are a factor on the light of the smooth disc, drawn pixel by pixel; knots are
Gaussian spots. Everything follows from the galaxy's `structure_seed`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.drawing.components import Galaxy

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

_THIN = 0.2
"""Least axis ratio for which a disc is deprojected: that of its thickness."""

_YOUNG_BANDS = (1.2, 1.0, 0.75)
"""Contrast of young stars' light in g, r, z over that in r."""

DUST_BANDS = (1.17, 0.84, 0.48)
"""A(λ) / A(V) in g, r, z (Cardelli et al. 1989)."""

_ARM_CONTRAST = np.float32(0.55)
"""Scales the arms' excess light; chosen by eye: arms of strength 1 come out some 4 times brighter
than what lies between them."""

LANE_BA = 0.4
"""Axis ratio below which a disc shows a dust lane."""


@dataclass(frozen=True)
class Plane:
    """Places of a stamp's pixels in a galaxy, each of shape (side, side), in `fft` order.

    Parameters
    ----------
    u, v : ndarray of float32
        Arcsec along and across the major axis as seen on the sky.
    rho : ndarray of float32
        Distance from the centre in the disc's plane over the half-light radius.
    """

    u: Floats32
    v: Floats32
    rho: Floats32


@dataclass(frozen=True)
class Pattern:
    """The spiral of one galaxy, in its plane.

    Parameters
    ----------
    n_arms : int
        Number of arms.
    winding : float
        Radians by which an arm turns per e-folding of the radius, with its sign.
    start : float
        Angle of the first arm at `inner`; the bar lies along it.
    inner : float
        Radius over the half-light radius within which there are no arms.
    outer : float
        Radius over the half-light radius beyond which they fade.
    concentration : float
        Of the arms' profile around their crest, exp(κ cos θ).
    """

    n_arms: int
    winding: float
    start: float
    inner: float
    outer: float
    concentration: float

    def angle(self, rho: Floats) -> Floats:
        """Angle of the first arm's crest at a radius in half-light radii."""
        return np.asarray(self.start + self.winding * np.log(rho / self.inner))


def spiral_pattern(galaxy: Galaxy) -> Pattern:
    """Draw what the truth table leaves open about a galaxy's spiral."""
    rng = np.random.default_rng([galaxy.structure_seed, 1])
    sense = rng.choice([-1.0, 1.0])
    inner = max(0.3, 0.95 * galaxy.bar_radius / galaxy.radius if galaxy.shares[2, 1] > 0 else 0.0)
    return Pattern(
        n_arms=galaxy.n_arms,
        winding=float(sense / np.tan(np.clip(galaxy.pitch, 0.08, 1.0))),
        start=float(rng.uniform(0, 2 * np.pi)),
        inner=inner,
        outer=float(rng.uniform(1.7, 2.8)),
        concentration=float(rng.uniform(0.8, 2.2)),
    )


def plane_of(galaxy: Galaxy, side: int) -> Plane:
    """Places of the pixels of a stamp centred on its galaxy."""
    steps = (np.fft.fftfreq(side) * side * PIXEL_SCALE).astype(np.float32)
    cosine, sine = np.float32(np.cos(galaxy.angle)), np.float32(np.sin(galaxy.angle))
    u = cosine * steps + (sine * steps)[:, np.newaxis]
    v = -sine * steps + (cosine * steps)[:, np.newaxis]
    ba = max(galaxy.ba, _THIN)
    # half a pixel of softening: a pixel holds the mean light over its area
    soft = (0.5 * PIXEL_SCALE) ** 2 / ba
    rho = np.sqrt(u**2 + (v / np.float32(ba)) ** 2 + np.float32(soft)) / np.float32(galaxy.radius)
    return Plane(u, v, np.asarray(rho, dtype=np.float32))


def sersic_light(rho: Floats32, index: float) -> Floats32:
    """Surface brightness of a Sérsic profile, summing to one over the pixels."""
    b = 2 * index - 1 / 3 + 0.009876 / index  # Prugniel & Simien 1997
    light = np.exp(np.float32(-b) * (rho if index == 1 else rho ** np.float32(1 / index)))
    return np.asarray(light / light.sum(dtype=np.float64), dtype=np.float32)


def disc_factor(galaxy: Galaxy, plane: Plane, pattern: Pattern) -> Floats32:
    """Factor on the smooth disc's light in each band.

    Parameters
    ----------
    galaxy : Galaxy
        Its structure.
    plane : Plane
        Places of the pixels.
    pattern : Pattern
        Its spiral.

    Returns
    -------
    ndarray of float32, shape (3, side, side)
        Positive; about one on average.
    """
    rng = np.random.default_rng([galaxy.structure_seed, 2])
    ragged = 0.08 + 0.2 * galaxy.lopsided if galaxy.n_arms == 0 else 0.14
    waves = np.float32(ragged) * _waves(galaxy, plane, rng, 1.2 if galaxy.n_arms == 0 else 0.9, 12)
    base = np.ones_like(plane.rho)
    if galaxy.lopsided > 0:
        towards = rng.uniform(0, 2 * np.pi)
        side = np.cos(towards) * plane.u + np.sin(towards) * plane.v / max(galaxy.ba, _THIN)
        swing = np.float32(0.9 * galaxy.lopsided / galaxy.radius) * side / (1 + plane.rho)
        base += np.clip(swing, -0.9, 2.0)
    arms = optical_depth = None
    if galaxy.n_arms > 0 and galaxy.arms > 0:
        arms, lanes, clumps = _arms(galaxy, plane, pattern, rng)
        waves += np.float32(0.25 * galaxy.arms) * clumps
        optical_depth = np.float32(0.3 * galaxy.dust) * lanes
    if galaxy.dust > 0 and galaxy.ba < LANE_BA:
        lane = dust_lane(galaxy, plane)
        optical_depth = lane if optical_depth is None else optical_depth + lane
    factors = []
    for young, dust in zip(_YOUNG_BANDS, DUST_BANDS, strict=True):
        exponent = np.float32(young) * waves
        if optical_depth is not None:
            exponent -= np.float32(dust) * optical_depth
        factor = base * np.exp(exponent)
        if arms is not None:
            factor *= np.maximum(1 + np.float32(min(young * galaxy.arms, 1.0)) * arms, 0.02)
        factors.append(factor)
    return np.stack(factors)


def dust_lane(galaxy: Galaxy, plane: Plane) -> Floats32:
    """Optical depth in V of the dust lane of an inclined disc, shape (side, side)."""
    rng = np.random.default_rng([galaxy.structure_seed, 5])
    edge_on = np.clip((LANE_BA - galaxy.ba) / 0.15, 0, 1)
    near = rng.choice([-1.0, 1.0])
    # the dust lies in the midplane, before the near half of the stars
    middle = np.float32(near * 0.5 * galaxy.radius * max(galaxy.ba - 0.12, 0.0))
    width = np.float32(max(0.08 * galaxy.radius, 0.3))
    depth = np.float32(1.6 * galaxy.dust * edge_on * rng.uniform(0.4, 1.2))
    across = (plane.v - middle) / width
    along = np.abs(plane.u) * np.float32(1 / galaxy.radius)
    return np.asarray(depth * np.exp(-np.float32(0.5) * across**2 - along), dtype=np.float32)


def _waves(
    galaxy: Galaxy, plane: Plane, rng: np.random.Generator, length: float, count: int
) -> Floats32:
    """Random field of unit variance from plane waves about `length` half-light radii long.

    A wave along (u, v) is a product of waves in x and in y, so the sum is a matrix product.
    """
    size = galaxy.radius * length * rng.lognormal(0, 0.45, count)
    k = 2 * np.pi / np.maximum(size, 3 * PIXEL_SCALE)
    direction, phase = rng.uniform(0, 2 * np.pi, (2, count))
    k_u, k_v = k * np.cos(direction), k * np.sin(direction) / max(galaxy.ba, 0.6)
    cosine, sine = np.cos(galaxy.angle), np.sin(galaxy.angle)
    side = plane.rho.shape[0]
    steps = np.fft.fftfreq(side) * side * PIXEL_SCALE
    in_x = np.outer(k_u * cosine - k_v * sine, steps) + phase[:, np.newaxis]
    in_y = np.outer(k_u * sine + k_v * cosine, steps)
    left = np.concatenate([np.cos(in_y), -np.sin(in_y)]).astype(np.float32)
    right = np.concatenate([np.cos(in_x), np.sin(in_x)]).astype(np.float32)
    return np.asarray(np.sqrt(np.float32(2 / count)) * (left.T @ right))


def _arms(
    galaxy: Galaxy, plane: Plane, pattern: Pattern, rng: np.random.Generator
) -> tuple[Floats32, Floats32, Floats32]:
    """Arms' excess light, the dust along their inner edge, and clumps: about zero on average."""
    azimuth = np.arctan2(plane.v / np.float32(max(galaxy.ba, _THIN)), plane.u)
    log_rho = np.log(plane.rho)
    inner = np.float32(pattern.inner)
    onset = plane.rho**4 / (inner**4 + plane.rho**4)
    onset *= np.exp(-((plane.rho / np.float32(pattern.outer)) ** 4))
    # an inclined disc's arms drown in its thickness
    onset *= np.float32(np.clip((galaxy.ba - 0.15) / 0.2, 0, 1))
    turned = azimuth - np.float32(pattern.winding) * (log_rho - np.log(inner))
    turned -= np.float32(pattern.start)
    kinks = _waves(galaxy, plane, rng, 1.6, 6)
    phase = np.float32(pattern.n_arms) * turned + np.float32(0.6) * kinks
    kappa = np.float32(pattern.concentration)
    mean = np.float32(np.exp(-kappa) * np.i0(kappa))
    crest = _ARM_CONTRAST * (np.exp(kappa * (np.cos(phase) - 1)) / mean - 1)
    # one arm is stronger than its fellows
    crest *= 1 + np.float32(rng.uniform(0, 0.5)) * np.cos(turned + np.float32(rng.uniform(0, 6.3)))
    if galaxy.shares[2, 1] > 0 and rng.random() < 0.5:
        # a ring at the end of the bar (de Vaucouleurs' type (r))
        width = np.float32(rng.uniform(0.1, 0.2))
        ring = np.exp(-np.float32(0.5) * ((plane.rho - inner) / (width * inner)) ** 2)
        crest += np.float32(1.2) * ring / np.maximum(onset, np.float32(0.2))
    lanes = np.exp(2 * kappa * (np.cos(phase + np.float32(0.7 * np.sign(pattern.winding))) - 1))
    clumps = np.zeros_like(crest)
    count = 8
    for order, spread, start in zip(
        rng.integers(3, 11, count), rng.normal(1, 0.3, count), rng.uniform(0, 6.3, count),
        strict=True,
    ):  # fmt: skip
        winding = np.float32(order * spread * pattern.winding)
        clumps += np.cos(np.float32(order) * azimuth - winding * log_rho + np.float32(start))
    return onset * crest, onset * lanes, onset * clumps * np.float32(np.sqrt(2 / count))


def knot_spots(galaxy: Galaxy, pattern: Pattern) -> tuple[Floats, Floats, Floats, Floats]:
    """Draw the star-forming knots, each in a wider association of young stars.

    Returns
    -------
    x, y, size : ndarray, shape (K,)
        Places from the centre and standard deviations in arcsec.
    light : ndarray, shape (3, K)
        Share of each in the knots' light, which sums to one per band. Luminosities follow
        dN/dL ∝ L⁻², as those of H II regions do (Kennicutt et al. 1989).
    """
    rng = np.random.default_rng([galaxy.structure_seed, 3])
    count = max(galaxy.knots, 1)
    u, w = _knot_places(galaxy, pattern, count, rng)
    fading = np.exp(-0.8 * np.hypot(u, w))  # as the gas does
    bright = 1 / rng.uniform(0.03, 1.0, count)
    size = galaxy.knot_size * bright ** (1 / 3) / 1.3 * rng.lognormal(0, 0.4, count)
    # young regions differ in age and line emission, hence in colour
    age = rng.normal(0, 0.05, count)
    tint = np.stack([rng.normal(0, 0.04, count) - age, np.zeros(count), age])
    light = bright * fading * 10**tint
    light /= light.sum(axis=1, keepdims=True)
    wide = np.hypot(3.5 * size, rng.uniform(0.03, 0.09, count) * galaxy.radius)
    spread = np.sqrt(bright) * fading
    spread = np.tile(spread / spread.sum(), (3, 1))
    share = 0.45  # of the associations
    u = galaxy.radius * np.concatenate([u, u + rng.normal(0, 0.05, count)])
    w = galaxy.radius * galaxy.ba * np.concatenate([w, w + rng.normal(0, 0.05, count)])
    cosine, sine = np.cos(galaxy.angle), np.sin(galaxy.angle)
    return (
        u * cosine - w * sine,
        u * sine + w * cosine,
        np.concatenate([size, wide]),
        np.concatenate([(1 - share) * light, share * spread], axis=1),
    )


def _knot_places(
    galaxy: Galaxy, pattern: Pattern, count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Places in the disc's plane in half-light radii: along the arms, or in a few complexes."""
    scale = 1 / 1.678  # exponential scale length over half-light radius
    if galaxy.n_arms > 0:
        edge = (pattern.outer - pattern.inner) / scale
        rho = pattern.inner + scale * _exponential_radii(rng.random(count), edge)
        arm = rng.integers(0, galaxy.n_arms, count) * 2 * np.pi / galaxy.n_arms
        azimuth = pattern.angle(rho) + arm + rng.normal(0, 0.5 / galaxy.n_arms, count)
        return rho * np.cos(azimuth), rho * np.sin(azimuth)
    # half of them in complexes, the others anywhere
    grouped = rng.random(count) < 0.5
    complexes = 1 + rng.poisson(1 + 0.1 * count)
    places = np.where(grouped, rng.integers(0, complexes, count), complexes + np.arange(count))
    total = complexes + count
    rho = scale * _exponential_radii(rng.random(total), 1.8 / scale)
    azimuth = rng.uniform(0, 2 * np.pi, total)
    around = np.where(grouped, 0.15, 0.0) * rng.normal(0, 1, (2, count))
    u, w = rho * np.cos(azimuth), rho * np.sin(azimuth)
    return u[places] + around[0], w[places] + around[1]


def _exponential_radii(uniform: Floats, edge: float) -> Floats:
    """Radii in an exponential disc cut at `edge`, in scale lengths, from uniform deviates."""
    return np.asarray(gammaincinv(2.0, uniform * gammainc(2.0, edge)))
