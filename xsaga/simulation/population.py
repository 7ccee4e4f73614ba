"""Everything that stands in a brick: galaxies, stars, their places and the dust before them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xsaga.simulation.bricks import Brick
from xsaga.simulation.galaxies import draw_galaxies
from xsaga.simulation.sky_model import RELEASE, SkyModel
from xsaga.simulation.stars import draw_stars


def reddening(brick: Brick, sky: SkyModel) -> float:
    """E(B−V) towards a brick, 0.01 to 0.05 mag."""
    return float(sky.generator(brick, 4).uniform(0.01, 0.05))


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
        One row per galaxy or star with the columns of the truth table. Magnitudes are dereddened
        AB; `radius` is the half-light semi-major axis in arcsec (0 for stars), `pa` in degrees east
        of north, `ebv` the reddening towards the whole brick; fractions are of the light in r.
    """
    rng = sky.generator(brick, 0)
    objects = pd.concat(
        [draw_galaxies(brick, sky, rng), draw_stars(brick, sky, rng)], ignore_index=True
    )
    count = len(objects)
    sines = np.sin(np.radians([brick.dec1, brick.dec2]))
    objects.insert(0, "ra", rng.uniform(brick.ra1, brick.ra2, count))
    objects.insert(1, "dec", np.degrees(np.arcsin(rng.uniform(sines[0], sines[1], count))))
    objects["structure_seed"] = rng.integers(0, 2**31, count)
    objects["ebv"] = reddening(brick, sky)
    objid = np.arange(count, dtype=np.int64)
    # TARGETID: OBJID in bits 0-21, BRICKID in 22-41, RELEASE in 42-57 (desitarget.targets)
    objects.insert(0, "source_id", objid | (brick.brickid << 22) | (RELEASE << 42))
    objects.insert(1, "brickname", brick.name)
    objects.insert(2, "brickid", brick.brickid)
    objects.insert(3, "objid", objid)
    return objects
