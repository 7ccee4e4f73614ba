"""Cutouts per second from bricks, by xsaga, by astrocut's FITSCutout and by Cutana.

Usage::

    python benchmarks/cutouts.py [--others-python PYTHON]

SIMULATED bricks full of noise are written as the public coadds are: 3600² pixels, grz images and
inverse variances, Rice-compressed in 100 x 100 tiles, dithered. xsaga decodes image and invvar and
gives coverage; its figure is that of three bricks in a row, each opened for the first time, after
one that starts the decoding processes. astrocut (one call each, as its interface wants, of the
first 200 positions at most) and Cutana (`create_cutouts_direct`, no stretch, no resizing, the
better of two calls) are given the three images, and then, for the same result, the images and the
inverse variances; the positions are those of one of the bricks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZE, BANDS = 144, "grz"
COUNTS = (20, 200, 2000)
PLAN = "plan.json"
"""File with the positions and the files of one brick, for the other tools."""


def prepare(root: Path) -> None:
    """Write the bricks, and what the other tools are to cut out of one of them."""
    from xsaga.imaging.brick_speed import brick_positions, bricks_here, write_noise_bricks
    from xsaga.imaging.brick_tree import LocalTree, image_path

    write_noise_bricks(root)
    brick = bricks_here(LocalTree(root), 2)[1]
    files = {
        product: [str(root / image_path(brick.region, brick.name, product, band)) for band in BANDS]
        for product in ("image", "invvar")
    }
    positions = {str(count): brick_positions(brick, count).tolist() for count in COUNTS}
    (root / PLAN).write_text(json.dumps({"files": files, "positions": positions}))


def xsaga_rates(root: Path, workers: int) -> tuple[float, ...]:
    """Cutouts per second of bricks that are opened for the first time."""
    from xsaga.imaging.brick_speed import measure_bricks
    from xsaga.imaging.brick_tree import LocalTree
    from xsaga.imaging.cutouts import CutoutSpec

    tree, spec = LocalTree(root), CutoutSpec(size=SIZE)
    speed = measure_bricks(tree, spec, workers=workers, max_bytes=1 << 30, densities=COUNTS)
    return speed.rates()


def astrocut_rate(files: list[str], positions: list[list[float]]) -> float:
    """Cutouts per second of FITSCutout, one call each."""
    from astrocut import FITSCutout
    from astropy.coordinates import SkyCoord

    coordinates = SkyCoord(*positions, unit="deg")[:200]
    start = time.perf_counter()
    for position in coordinates:
        cutouts = FITSCutout(files, position, SIZE).fits_cutouts
        assert len(cutouts[0]) == 1 + len(files)
        assert cutouts[0][1].data.shape == (SIZE, SIZE)
    return len(coordinates) / (time.perf_counter() - start)


def cutana_rate(files: list[str], positions: list[list[float]]) -> float:
    """Cutouts per second of Cutana's fast path, all in one call."""
    import pandas as pd
    from cutana import create_cutouts_direct, get_default_config

    config = get_default_config()
    config.target_resolution, config.normalisation_method = SIZE, "none"
    config.apply_flux_conversion = False
    config.fits_extensions = ["COMPRESSED_IMAGE"]
    planes = [f"{product}-{band}" for product in ("image", "invvar") for band in BANDS]
    one = np.eye(len(files)).tolist()
    config.channel_weights = dict(zip(planes[: len(files)], one, strict=True))
    ra, dec = positions
    catalog = pd.DataFrame({"SourceID": [f"s{n}" for n in range(len(ra))], "RA": ra, "Dec": dec})
    catalog = catalog.assign(diameter_pixel=SIZE, fits_file_paths=str(files))
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        batches = create_cutouts_direct(catalog, config)
        seconds.append(time.perf_counter() - start)
        assert sum(len(batch["cutouts"]) for batch in batches) == len(ra)
        assert batches[0]["cutouts"].shape[1:] == (SIZE, SIZE, len(files))
    return len(ra) / min(seconds)


def others(root: Path) -> dict[str, object]:
    """Rates of the other tools, where they are installed."""
    import astrocut
    import cutana

    plan = json.loads((root / PLAN).read_text())
    positions = [plan["positions"][str(count)] for count in COUNTS]
    images, invvars = plan["files"]["image"], plan["files"]["invvar"]
    return {
        "names": f"astrocut {astrocut.__version__}, Cutana {cutana.__version__}",
        "images": [astrocut_rate(images, each) for each in positions],
        "both": [astrocut_rate(images + invvars, each) for each in positions],
        "cutana": [cutana_rate(images, each) for each in positions],
        "cutana both": [cutana_rate(images + invvars, each) for each in positions],
    }


def run_others(python: str, root: Path) -> dict[str, object]:
    """Run this file with another interpreter, where the other tools are installed."""
    command = [python, __file__, "--only-others", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the others did not run: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Run the benchmark and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--others-python", default=sys.executable)
    parser.add_argument("--only-others", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_others:
        print(json.dumps(others(Path(options.only_others))))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root)
        ours = {workers: xsaga_rates(root, workers) for workers in (1, 2)}
        theirs = run_others(options.others_python, root)
        print(
            f"{os.cpu_count()} cores, Python {platform.python_version()}, "
            f"{theirs['names']}; "
            f"{SIZE}-px grz cutouts from 3600² bricks, cutouts per second\n"
        )
        print(
            "| per brick | xsaga, 1 process | 2 processes | astrocut, images | × | "
            "astrocut, + invvar | × | Cutana, images | × | Cutana, + invvar | × |"
        )
        print("|---:|" + "---:|" * 10)
        for row, count in enumerate(COUNTS):
            best = max(ours[1][row], ours[2][row])
            cells = [f"{ours[1][row]:.0f}", f"{ours[2][row]:.0f}"]
            for name in ("images", "both", "cutana", "cutana both"):
                rate = theirs[name][row]
                cells += [f"{rate:.1f}", f"{best / rate:.0f}"]
            print(f"| {count} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
