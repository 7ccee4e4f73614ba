"""Which stars there are: magnitudes and colours."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick
from xsaga.simulation.sky_model import SkyModel

Floats = NDArray[np.float64]

# Cumulative star counts per deg² by r magnitude at high galactic latitude, rounded from the
# Besançon model (Robin et al. 2003) at b ≈ 60°.
_STAR_MAGNITUDE = (10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 22.0, 24.0)
_STARS_BRIGHTER = (2.0, 15.0, 70.0, 230.0, 600.0, 1300.0, 2600.0, 4700.0)


def draw_stars(brick: Brick, sky: SkyModel, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the stars of a brick: rows of the truth table without positions and ids.

    Colours lie along the stellar locus (Covey et al. 2007).
    """
    count = rng.poisson(brick.area_deg2 * sky.density * _STARS_BRIGHTER[-1])
    log_counts = np.log(rng.uniform(_STARS_BRIGHTER[0], _STARS_BRIGHTER[-1], count))
    r = np.interp(log_counts, np.log(_STARS_BRIGHTER), _STAR_MAGNITUDE)
    size = r.size
    red_dwarf = rng.random(size) < np.interp(r, [14, 18, 21, 24], [0.1, 0.35, 0.5, 0.6])
    warm = 0.3 + rng.gamma(2.0, 0.17, size)
    gr = np.where(red_dwarf, rng.normal(1.45, 0.07, size), np.minimum(warm, 1.4))
    rz = np.where(red_dwarf, rng.uniform(0.7, 2.0, size), 0.5 * gr - 0.03)
    none = np.zeros(size)
    return pd.DataFrame(
        {
            "kind": np.full(size, "star", dtype=object),
            "z": none,
            "is_lowz": np.zeros(size, dtype=bool),
            "mag_g": r + gr,
            "mag_r": r,
            "mag_z": r - rz + rng.normal(0, 0.03, size),
            "radius": none,
            "ba": np.ones(size),
            "pa": none,
            "sersic": none,
            "quiescent": np.zeros(size, dtype=bool),
            "bulge": none,
            "young": none,
            "knots": np.zeros(size, dtype=np.int64),
            "spiral": np.zeros(size, dtype=bool),
            "lopsided": none,
        }
    )
