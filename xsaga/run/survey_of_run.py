"""How much a run has to do: its candidates, and the bricks that they lie in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xsaga.paths import RunPaths
from xsaga.run.folder import read_partition
from xsaga.run.survey_time import Survey
from xsaga.run.tile import read_candidates
from xsaga.sky.brick_grid import brick_ids

SOME = 200
"""Positions that something is tried at."""


def survey_of_run(paths: RunPaths, order: int) -> Survey:
    """Count the candidates of a run and the bricks that hold some.

    Parameters
    ----------
    paths : RunPaths
        The run.
    order : int
        HEALPix order of its tiles.

    Raises
    ------
    RunError
        It is not tiled yet.
    """
    sources, bricks = 0, set[int]()
    for tile in read_partition(paths).tiles:
        if tile.n_candidates:
            found = read_candidates(paths.tile(order, tile.pixel))
            sources += len(found)
            bricks |= set(np.unique(brick_ids(found["ra"], found["dec"])).tolist())
    return Survey(sources, len(bricks))


def some_positions(paths: RunPaths, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give RA and Dec of the first candidates of a run, in degrees."""
    ra, dec = [np.zeros(0)], [np.zeros(0)]
    for tile in read_partition(paths).tiles:
        if tile.n_candidates and sum(map(len, ra)) < SOME:
            found = read_candidates(paths.tile(order, tile.pixel))
            ra.append(found["ra"].to_numpy(np.float64))
            dec.append(found["dec"].to_numpy(np.float64))
    return np.concatenate(ra)[:SOME], np.concatenate(dec)[:SOME]
