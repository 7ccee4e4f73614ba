"""Galaxies put into a sky to learn from: as the sky has them, but far more of them near.

Only the share of the near ones is not the sky's. Near and far galaxies each have the magnitudes,
and given these all else, that they have in the sky: the odds of z < 0.03 at any look differ from
the sky's by one factor, which calibration takes out (King & Zeng 2001, Political Analysis 9, 137).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import SimulationError
from xsaga.simulation.bricks import Brick
from xsaga.simulation.population.galaxies import galaxies_at
from xsaga.simulation.population.redshifts import (
    MAGNITUDE_STEP,
    galaxy_density,
    lowz_fraction,
    redshifts_of_side,
)
from xsaga.simulation.sky_model import SkyModel

Floats = NDArray[np.float64]

TRAINING_MAGNITUDES = (16.0, 21.3)
"""Range in r."""

TARGET_SPACING = 39.0
"""Least side in arcsec of the grid's cells: 23 × 23 of them fit into a brick."""

_JITTER = 0.25
"""Greatest distance of a target from the middle of its cell, in cells."""


def draw_training(brick: Brick, sky: SkyModel, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a brick's training galaxies.

    Parameters
    ----------
    brick : Brick
        Where.
    sky : SkyModel
        `training` galaxies, a share `training_lowz` of them at z < 0.03.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    DataFrame
        Rows of the truth table with ra and dec, without ids.

    Raises
    ------
    SimulationError
        When so many do not fit into the brick.
    """
    ra, dec = grid_positions(brick, sky.training, rng)
    low = rng.permutation(sky.training) < round(sky.training * sky.training_lowz)
    r = _magnitudes(low, rng)
    galaxies = galaxies_at(r, redshifts_of_side(r, low, rng), rng)
    return pd.DataFrame({"ra": ra, "dec": dec, **galaxies})


def _magnitudes(low: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Draw r as near galaxies have it where `low` is set, and as far ones elsewhere."""
    edges = np.arange(*TRAINING_MAGNITUDES, MAGNITUDE_STEP)
    near = lowz_fraction(edges)
    density = galaxy_density(edges)
    drawn = rng.random(low.size)
    r = np.empty(low.size)
    for of_class, share in ((low, near), (~low, 1 - near)):
        fainter = np.cumsum(density * share)
        r[of_class] = np.interp(drawn[of_class], fainter / fainter[-1], edges)
    return r


def grid_positions(brick: Brick, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Places on a jittered grid in a brick, ra and dec in degrees, each of shape (count,).

    Raises
    ------
    SimulationError
        When cells of `TARGET_SPACING` are too few.
    """
    width = (brick.ra2 - brick.ra1) * np.cos(np.radians(brick.dec)) * 3600
    height = (brick.dec2 - brick.dec1) * 3600
    columns, rows = int(width // TARGET_SPACING), int(height // TARGET_SPACING)
    if count > columns * rows:
        raise SimulationError(
            f"training {count}: brick {brick.name} holds {columns * rows} targets "
            f'{TARGET_SPACING:g}" apart; ask for fewer'
        )
    cells = rng.permutation(columns * rows)[:count]
    jitter = rng.uniform(-_JITTER, _JITTER, (2, count))
    x = (cells % columns + 0.5 + jitter[0]) / columns
    y = (cells // columns + 0.5 + jitter[1]) / rows
    return (
        brick.ra1 + x * (brick.ra2 - brick.ra1),
        brick.dec1 + y * (brick.dec2 - brick.dec1),
    )
