"""How much a run has to do: its candidates, and the bricks that they lie in."""

from __future__ import annotations

import numpy as np

from xsaga.paths import RunPaths
from xsaga.run.folder import read_partition
from xsaga.run.survey_time import Survey
from xsaga.run.tile import read_candidates
from xsaga.sky.brick_grid import brick_ids


def survey_of_run(paths: RunPaths, order: int) -> Survey | None:
    """Count the candidates of a run and the bricks that hold some; None before it is tiled.

    Parameters
    ----------
    paths : RunPaths
        The run.
    order : int
        HEALPix order of its tiles.
    """
    if not paths.partition.is_file():
        return None
    sources, bricks = 0, set[int]()
    for tile in read_partition(paths).tiles:
        if tile.n_candidates:
            found = read_candidates(paths.tile(order, tile.pixel))
            sources += len(found)
            bricks |= set(np.unique(brick_ids(found["ra"], found["dec"])).tolist())
    return Survey(sources, len(bricks))
