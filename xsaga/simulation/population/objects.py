"""Everything that stands in a brick: galaxies, stars, their places and the dust before them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick
from xsaga.simulation.dust import reddening
from xsaga.simulation.population.galaxies import draw_galaxies
from xsaga.simulation.population.stars import draw_stars
from xsaga.simulation.population.training_targets import draw_training
from xsaga.simulation.sky_model import RELEASE, SkyModel


def draw_objects(brick: Brick, sky: SkyModel) -> pd.DataFrame:
    """Draw everything that stands in a brick's own area.

    Parameters
    ----------
    brick : Brick
        Where.
    sky : SkyModel
        What sky.

    Returns
    -------
    DataFrame
        One row per galaxy, star or quasar with the columns of the truth table. Magnitudes are
        dereddened AB totals; `radius` is the half-light semi-major axis in arcsec of the main
        smooth component (disc of a disc galaxy), `pa` in degrees east of north, `ebv` the
        reddening towards the whole brick; shares (`bulge`, `bar`, `nucleus`, `knots_light`) are of
        the light in r, the rest is the smooth component. `training` marks galaxies that were added
        to learn from. Points have a `logmstar` of NaN and no shape: zeros.

    Raises
    ------
    SimulationError
        When more training galaxies are asked for than fit into the brick.
    """
    rng = sky.generator(brick, 0)
    galaxies = draw_galaxies(brick, sky, rng)
    points = _as_points(draw_stars(brick, sky, rng), galaxies)
    objects = pd.concat([galaxies, points], ignore_index=True)
    count = len(objects)
    sines = np.sin(np.radians([brick.dec1, brick.dec2]))
    objects.insert(0, "ra", rng.uniform(brick.ra1, brick.ra2, count))
    objects.insert(1, "dec", np.degrees(np.arcsin(rng.uniform(sines[0], sines[1], count))))
    objects["training"] = False
    if sky.training > 0:
        # a stream of its own: the natural sky stays the same with and without them
        added = draw_training(brick, sky, sky.generator(brick, 5)).assign(training=True)
        objects = pd.concat([objects, added], ignore_index=True)
        count = len(objects)
    objects["structure_seed"] = sky.generator(brick, 6).integers(0, 2**31, count)
    objects["ebv"] = reddening(brick, sky)
    objid = np.arange(count, dtype=np.int64)
    # TARGETID: OBJID in bits 0-21, BRICKID in 22-41, RELEASE in 42-57 (desitarget.targets)
    objects.insert(0, "source_id", objid | (brick.brickid << 22) | (RELEASE << 42))
    objects.insert(1, "brickname", brick.name)
    objects.insert(2, "brickid", brick.brickid)
    objects.insert(3, "objid", objid)
    return objects


def _as_points(stars: pd.DataFrame, galaxies: pd.DataFrame) -> pd.DataFrame:
    """Give stars and quasars the columns of galaxies: zeros where they have none."""
    columns: dict[str, NDArray[np.generic]] = {}
    for name in galaxies.columns:
        kind = galaxies[name].to_numpy().dtype
        nothing = np.full(len(stars), np.nan if name == "logmstar" else 0, dtype=kind)
        columns[name] = stars[name].to_numpy() if name in stars else nothing
    return pd.DataFrame(columns)
