"""CPU seconds to draw one training brick, part by part, and cutouts per second that follow.

Usage::

    python benchmarks/render_speed.py [--training N] [--seed SEED] [--repeats N] [--profile]

A brick of 3600² pixels with the natural population to the survey's depth and beyond, and N galaxies
added for training (`SkyModel.training`), in one process. Measured are drawing the population, and
drawing stars, faint galaxies (one smooth part) and galaxies with all their parts; writing files and
measuring the catalog are not. Set OMP_NUM_THREADS=1 to count one core.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import time
from collections.abc import Callable

import numpy as np

from xsaga.simulation.bricks import brick_at
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import observing_conditions
from xsaga.simulation.drawing.points import draw_points
from xsaga.simulation.drawing.render import PLAIN_FLUX, draw_galaxies, observed_fluxes
from xsaga.simulation.drawing.sersic_transform import sersic_table
from xsaga.simulation.observing.observe import observe
from xsaga.simulation.sky import objects_around
from xsaga.simulation.sky_model import SkyModel

BRICK_ROW, BRICK_COLUMN = 363, 600


def cpu_seconds(task: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    task()
    return time.process_time() - started


def measure(training: int, seed: int, profile: bool) -> dict[str, float]:
    """CPU seconds by part, and how many objects each part had."""
    brick, sky = brick_at(BRICK_ROW, BRICK_COLUMN), SkyModel(seed, training=training)
    grid = CoaddGrid(brick.ra, brick.dec)
    conditions = observing_conditions(brick, sky)
    seconds = {"population": cpu_seconds(lambda: objects_around(grid, sky))}
    objects = objects_around(grid, sky)
    fluxes = observed_fluxes(objects)
    x, y = grid.pixel_positions(objects["ra"].to_numpy(), objects["dec"].to_numpy())
    points = (objects["kind"] != "galaxy").to_numpy()
    faint = ~points & (fluxes[:, 1] < PLAIN_FLUX)
    near = grid.inside(x, y)
    image = np.zeros((3, grid.pixels, grid.pixels), dtype=np.float32)

    def galaxies(chosen: np.ndarray) -> None:
        draw_galaxies(image, conditions, objects[chosen], x[chosen], y[chosen], fluxes[chosen])

    seconds["points"] = cpu_seconds(
        lambda: draw_points(image, conditions, x[points], y[points], fluxes[points])
    )
    seconds["faint galaxies"] = cpu_seconds(lambda: galaxies(faint))
    profiler = cProfile.Profile() if profile else None
    if profiler is not None:
        profiler.enable()
    seconds["galaxies with parts"] = cpu_seconds(lambda: galaxies(~points & ~faint))
    if profiler is not None:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    rng = np.random.default_rng(1)
    seconds["noise and masks"] = cpu_seconds(
        lambda: observe(image, grid, brick, objects, conditions, rng)
    )
    counts = {
        "n points": int((near & points).sum()),
        "n faint galaxies": int((near & faint).sum()),
        "n galaxies with parts": int((near & ~points & ~faint).sum()),
    }
    return {**{name: round(value, 2) for name, value in seconds.items()}, **counts}


def main() -> None:
    """Measure and print JSON: the best of all repeats."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--training", type=int, default=500)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    tables = cpu_seconds(sersic_table)
    runs = [
        measure(options.training, options.seed, options.profile) for _ in range(options.repeats)
    ]
    best = {name: min(run[name] for run in runs) for name in runs[0]}
    drawing = best["points"] + best["faint galaxies"] + best["galaxies with parts"]
    everything = drawing + best["population"] + best["noise and masks"]
    report = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "once per process": round(tables, 2),
        **best,
        "all galaxies": round(best["faint galaxies"] + best["galaxies with parts"], 2),
        "cutouts per second and core, drawing": round(options.training / drawing, 1),
        "cutouts per second and core, with noise and masks": round(
            options.training / everything, 1
        ),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
