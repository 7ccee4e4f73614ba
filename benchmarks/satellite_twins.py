"""Twins of SAGA's galaxies at z < 0.03: simulated galaxies of their magnitudes and redshifts.

Most of those are satellites at 25-41 Mpc, of which a natural sky has one per square degree. So
each twin is drawn at the r and z of a real one, put on an even grid among the natural sky's other
objects, and measured on the images like everything else.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from xsaga.simulation.bricks import Brick, nearest_bricks
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import observing_conditions
from xsaga.simulation.drawing.render import render_model
from xsaga.simulation.dust import reddening
from xsaga.simulation.measuring.catalog import measured_catalog
from xsaga.simulation.observing.observe import observe
from xsaga.simulation.population.galaxies import galaxies_at
from xsaga.simulation.population.redshifts import REDSHIFT_LIMITS
from xsaga.simulation.population.training_targets import grid_positions
from xsaga.simulation.sky import objects_around
from xsaga.simulation.sky_model import SkyModel

PER_BRICK = 150
BRIGHTEST = 14.0
"""Brighter twins would fill their cells of the grid."""


def measured_twins(real: pd.DataFrame, bricks: int, seed: int = 21) -> pd.DataFrame:
    """Simulate twins and measure them.

    Parameters
    ----------
    real : DataFrame
        SAGA's galaxies with columns r and z.
    bricks : int
        How many bricks of `PER_BRICK` twins.
    seed : int
        Of the sky.

    Returns
    -------
    DataFrame
        One row per twin in the catalog: kind, shred, z, is_lowz, training, mag_g, mag_r, mag_z,
        radius, ba, sersic and type, dereddened, as `simulated_sky.measured_sources` has them.
    """
    sky = SkyModel(seed)
    rng = np.random.default_rng(seed)
    real = real[(real["z"] < 0.03) & (real["r"] > BRIGHTEST)]
    parts = []
    for brick in nearest_bricks(20.0, -30.0, bricks):
        chosen = real.sample(PER_BRICK, replace=True, random_state=rng.integers(2**31))
        parts.append(_measured(brick, sky, chosen, rng))
    return pd.concat(parts, ignore_index=True)


def _measured(
    brick: Brick, sky: SkyModel, real: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    grid = CoaddGrid(brick.ra, brick.dec)
    conditions = observing_conditions(brick, sky)
    around = objects_around(grid, sky)
    objects = pd.concat([around, _twins(brick, sky, real, rng)], ignore_index=True)
    model = render_model(grid, objects, conditions)
    coadd = observe(model, grid, brick, objects, conditions, sky.generator(brick, 2))
    ebv = reddening(brick, sky)
    found = measured_catalog(objects, grid, brick, coadd, conditions, ebv, sky.generator(brick, 3))
    sources = found.sources.to_pandas()
    size = np.hypot(sources["SHAPE_E1"], sources["SHAPE_E2"])
    table = found.redshifts.assign(
        radius=sources["SHAPE_R"],
        ba=(1 - size) / (1 + size),
        sersic=sources["SERSIC"],
        type=[name.decode() for name in sources["TYPE"]],
    )
    for band in "grz":
        flux = sources[f"FLUX_{band.upper()}"] / sources[f"MW_TRANSMISSION_{band.upper()}"]
        table[f"mag_{band}"] = 22.5 - 2.5 * np.log10(flux.where(flux > 0))
    return table[table["training"].astype(bool) & table["main"]]


def _twins(
    brick: Brick, sky: SkyModel, real: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Rows of the truth table."""
    ra, dec = grid_positions(brick, len(real), rng)
    z = np.clip(real["z"].to_numpy(dtype=np.float64), *REDSHIFT_LIMITS)
    galaxies = galaxies_at(real["r"].to_numpy(dtype=np.float64), z, rng)
    number = np.arange(len(real))
    return pd.DataFrame({"ra": ra, "dec": dec, **galaxies}).assign(
        training=True,
        structure_seed=rng.integers(0, 2**31, len(real)),
        ebv=reddening(brick, sky),
        source_id=number - 1_000_000_000,
        brickname=brick.name,
        brickid=brick.brickid,
        objid=number + 1_000_000,
    )
