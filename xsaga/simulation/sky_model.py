"""What makes one simulated sky differ from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xsaga.simulation.bricks import Brick

BANDS = ("g", "r", "z")

RELEASE = 7777
"""RELEASE of simulated sources: no survey's number, so their ids can never pass for real ones."""


@dataclass(frozen=True)
class SkyModel:
    """What makes one simulated sky differ from another.

    Parameters
    ----------
    seed : int
        Not negative. Every brick draws from its own stream of (seed, brickid).
    lowz_boost : float
        Factor on the odds that a galaxy is at z < 0.03; on the fraction too while that is small.
    density : float
        Factor on the number of galaxies and stars.
    """

    seed: int
    lowz_boost: float = 1.0
    density: float = 1.0

    def generator(self, brick: Brick, stream: int) -> np.random.Generator:
        """Random numbers for one brick and one purpose, whatever else has been drawn."""
        return np.random.default_rng([self.seed, brick.brickid, stream])
