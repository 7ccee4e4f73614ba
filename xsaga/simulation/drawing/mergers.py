"""Mergers: a second nucleus, and the tails or shells that two galaxies tear out of each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.drawing.components import Galaxy

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Companion:
    """The other galaxy of a merger and what the two have torn out of each other.

    Parameters
    ----------
    x, y : float
        Place of the second nucleus in arcsec from the centre.
    radius, ba, angle : float
        Its shape.
    share, torn : float
        Shares in the disc's light of the second nucleus and of tails or shells.
    spots : tuple of ndarray
        x, y, size, each of shape (K,), and light, shape (1, K), of the tails or shells.
    """

    x: float
    y: float
    radius: float
    ba: float
    angle: float
    share: float
    torn: float
    spots: tuple[Floats, Floats, Floats, Floats]


def companion_of(galaxy: Galaxy) -> Companion:
    """Draw a merger: a second nucleus with tails, or the shells around an early-type galaxy."""
    rng = np.random.default_rng([galaxy.structure_seed, 4])
    strength = float(np.clip(galaxy.merger, 0, 1))
    towards = rng.uniform(0, 2 * np.pi)
    distance = galaxy.radius * rng.uniform(0.5, 1.6)
    if galaxy.quiescent:
        spots, second, torn = _shells(galaxy, rng), (0.05, 0.12), (0.02, 0.05)
    else:
        spots, second, torn = _tails(galaxy, rng, towards), (0.1, 0.4), (0.08, 0.22)
    return Companion(
        x=float(distance * np.cos(towards)),
        y=float(distance * np.sin(towards)),
        radius=galaxy.radius * float(rng.uniform(0.25, 0.5)),
        ba=float(rng.uniform(0.5, 1.0)),
        angle=float(rng.uniform(0, np.pi)),
        share=strength * float(rng.uniform(*second)),
        torn=strength * float(rng.uniform(*torn)),
        spots=spots,
    )


def _tails(
    galaxy: Galaxy, rng: np.random.Generator, towards: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """One or two tails: open spirals that widen and fade outwards."""
    count = 40
    along = np.linspace(0, 1, count)
    parts = []
    for opposite in range(int(rng.integers(1, 3))):
        winding = rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.5)
        distance = galaxy.radius * (0.8 + rng.uniform(1.2, 2.4) * along)
        azimuth = towards + opposite * np.pi + winding * along
        size = galaxy.radius * (0.13 + 0.25 * along)
        light = (1 - 0.75 * along) * rng.lognormal(0, 0.2, count) * (1.0 if opposite == 0 else 0.6)
        parts.append((distance * np.cos(azimuth), distance * np.sin(azimuth), size, light))
    x, y, size, light = (np.concatenate(values) for values in zip(*parts, strict=True))
    return x, y, size, (light / light.sum())[np.newaxis]


def _shells(galaxy: Galaxy, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Arcs about the centre, in turn on either side of one axis (Quinn 1984)."""
    count = 60
    axis = rng.uniform(0, 2 * np.pi)
    parts = []
    for shell in range(int(rng.integers(2, 5))):
        distance = galaxy.radius * (1.3 + 0.7 * shell + rng.uniform(-0.2, 0.2))
        half = rng.uniform(0.5, 1.3)
        offset = np.linspace(-half, half, count)
        azimuth = axis + (shell % 2) * np.pi + offset
        size = np.full(count, distance * rng.uniform(0.05, 0.12))
        light = np.cos(0.5 * np.pi * offset / half) ** 2 * half
        parts.append((distance * np.cos(azimuth), distance * np.sin(azimuth), size, light))
    x, y, size, light = (np.concatenate(values) for values in zip(*parts, strict=True))
    return x, y, size, (light / light.sum())[np.newaxis]
