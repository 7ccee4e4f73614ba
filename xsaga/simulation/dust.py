"""Dust of the Galaxy before a brick: E(B−V) by latitude, with clouds."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick
from xsaga.simulation.galactic import galactic_coordinates
from xsaga.simulation.sky_model import SkyModel

Floats = NDArray[np.float64]

POLE_EBV = 0.015
"""E(B−V) of the dust layer seen towards a Galactic pole in mag (SFD98: 0.01 to 0.02)."""

EBV_RANGE = (0.006, 0.4)

CLOUD_SCATTER = 0.35
"""Standard deviation of ln E(B−V) about the smooth layer."""

_N_WAVES = 48
_CLOUD_DEGREES = (0.7, 15.0)


def reddening(brick: Brick, sky: SkyModel) -> float:
    """E(B−V) towards a brick in mag, one value for the whole brick.

    A plane layer gives POLE_EBV / sin|b| (the cosecant law). Clouds multiply it: a sum of plane
    waves on the sphere's chord space, of 0.7° to 15° and with amplitude growing as the wavelength,
    so that neighbouring bricks differ little and far ones are independent. The clouds are those of
    the sky's seed.
    """
    _, latitude = galactic_coordinates(np.array([brick.ra]), np.array([brick.dec]))
    layer = POLE_EBV / max(float(np.sin(np.radians(abs(latitude[0])))), 0.1)
    ra, dec = np.radians([brick.ra, brick.dec])
    direction = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    waves, phases, amplitudes = _clouds(sky.seed)
    exponent = CLOUD_SCATTER * float(amplitudes @ np.cos(waves @ direction + phases))
    return float(np.clip(layer * np.exp(exponent - CLOUD_SCATTER**2 / 2), *EBV_RANGE))


@cache
def _clouds(seed: int) -> tuple[Floats, Floats, Floats]:
    """Wave vectors (N, 3), phases and amplitudes (N,) of unit variance of a sky's clouds."""
    rng = np.random.default_rng([seed, 0, 4])  # no brick has the number 0
    low, high = np.log(_CLOUD_DEGREES)
    lengths = np.radians(np.exp(rng.uniform(low, high, _N_WAVES)))
    directions = rng.normal(size=(_N_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    amplitudes = np.sqrt(lengths)
    amplitudes *= np.sqrt(2 / (amplitudes**2).sum())
    waves = directions * (2 * np.pi / lengths)[:, np.newaxis]
    return waves, rng.uniform(0, 2 * np.pi, _N_WAVES), amplitudes
