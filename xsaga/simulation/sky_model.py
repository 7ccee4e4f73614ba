"""What makes one simulated sky differ from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xsaga.errors import SimulationError
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
    training : int
        Galaxies added to each brick as targets to learn from, on a jittered grid; about 500 at
        most (`xsaga.simulation.population.training_targets`). They make no sky: a real one has
        far fewer.
    training_lowz : float
        Share of those at z < 0.03, from 0 to 1.

    Raises
    ------
    SimulationError
        For a negative number of training galaxies or a share that is none.
    """

    seed: int
    lowz_boost: float = 1.0
    density: float = 1.0
    training: int = 0
    training_lowz: float = 0.25

    def __post_init__(self) -> None:
        if self.training < 0:
            raise SimulationError(f"training {self.training}: give a number from 0")
        if not 0 <= self.training_lowz <= 1:
            raise SimulationError(f"training_lowz {self.training_lowz:g}: give a share from 0 to 1")

    def generator(self, brick: Brick, stream: int) -> np.random.Generator:
        """Random numbers for one brick and one purpose, whatever else has been drawn."""
        return np.random.default_rng([self.seed, brick.brickid, stream])
