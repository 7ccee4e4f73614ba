"""Galaxies put into a sky to learn from: many, evenly spread in magnitude, many of them near.

Given magnitude and redshift they are the galaxies of `xsaga.simulation.population.galaxies`; only
how many there are of each kind is not the sky's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import SimulationError
from xsaga.simulation.bricks import Brick
from xsaga.simulation.population.galaxies import galaxies_at
from xsaga.simulation.population.redshifts import redshifts_of_side
from xsaga.simulation.sky_model import SkyModel

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

TRAINING_MAGNITUDES = (17.0, 21.3)
"""Range in r, evenly filled."""

TARGET_SPACING = 39.0
"""Least side in arcsec of the grid's cells: 23 × 23 of them fit into a brick."""

LIKELY_SHARE = 0.75
"""Share of the galaxies at z ≥ 0.03 that pass the parent cuts; the others are drawn freely."""

CUT_MARGIN = 0.1
"""Magnitudes by which the parent cuts are widened, for what errors of measurement let in."""

_JITTER = 0.25
"""Greatest distance of a target from the middle of its cell, in cells."""

_ROUNDS, _TRIES = 40, 16


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
    count = sky.training
    ra, dec = grid_positions(brick, count, rng)
    r = rng.uniform(*TRAINING_MAGNITUDES, count)
    low = rng.permutation(count) < round(count * sky.training_lowz)
    likely = ~low & (rng.random(count) < LIKELY_SHARE)
    galaxies = galaxies_at(r, redshifts_of_side(r, low, rng), rng)
    wanting = np.flatnonzero(likely & ~passes_parent_cuts(galaxies))
    for _ in range(_ROUNDS):
        if wanting.size == 0:
            break
        again = np.repeat(wanting, _TRIES)
        drawn = galaxies_at(r[again], redshifts_of_side(r[again], low[again], rng), rng)
        passed = np.flatnonzero(passes_parent_cuts(drawn))
        found, first = np.unique(again[passed], return_index=True)
        for name, values in galaxies.items():
            values[found] = drawn[name][passed[first]]
        wanting = np.setdiff1d(wanting, found)
    return pd.DataFrame({"ra": ra, "dec": dec, **galaxies})


def passes_parent_cuts(galaxies: Mapping[str, NDArray[np.generic]]) -> Mask:
    """Whether galaxies pass colour and surface brightness cuts of SAGA II, widened by a margin.

    The cuts of Mao et al. 2021 on true magnitudes, without errors and whatever their magnitude:
    (g−r) + 0.06 (r−14) < 0.9 and sb_r − 0.7 (r−14) > 18.5, sb_r within the circularised radius.
    """
    g, r, radius, ba = (
        np.asarray(galaxies[name], dtype=np.float64) for name in ("mag_g", "mag_r", "radius", "ba")
    )
    sb = r + 2.5 * np.log10(2 * np.pi * radius**2 * ba)
    blue = g - r + 0.06 * (r - 14) < 0.9 + CUT_MARGIN
    return np.asarray(blue & (sb - 0.7 * (r - 14) > 18.5 - CUT_MARGIN))


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
