"""Cutouts per second from one brick, by xsaga and by astrocut's FITSCutout.

Usage::

    python benchmarks/cutouts.py [--astrocut-python PYTHON] [--workers N] [--repeats N]

One simulated brick is written as the public coadds are: 3600² pixels, grz images and inverse
variances, Rice-compressed in 100 x 100 tiles, dithered; every pixel holds noise. xsaga decodes
image and invvar and gives coverage; astrocut is given the three images, and then, for the same
result, the images and the inverse variances.
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

import astropy
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

BRICK, RA, DEC = "1503p020", 150.375, 2.0
PIXELS, SCALE, SIZE = 3600, 0.262 / 3600, 144
NOISE = {"g": 0.0024, "r": 0.0041, "z": 0.0105}  # nanomaggies per pixel, of real south bricks
COUNTS = (20, 200, 2000)


def write_brick(root: Path) -> None:
    """Write a brick tree with one brick full of noise."""
    folder = root / "south" / "coadd" / BRICK[:3] / BRICK
    folder.mkdir(parents=True)
    table = Table({"BRICKNAME": [BRICK], "RA": [RA], "DEC": [DEC]})
    table.write(root / "south" / "survey-bricks-dr9-south.fits.gz")
    rng = np.random.default_rng(1)
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA, "CRVAL2": DEC})
    header.update({"CRPIX1": (PIXELS + 1) / 2, "CRPIX2": (PIXELS + 1) / 2})
    header.update({"CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE})
    for band, noise in NOISE.items():
        planes = {
            "image": rng.normal(0, noise, (PIXELS, PIXELS)),
            "invvar": rng.normal(1, 0.03, (PIXELS, PIXELS)) / noise**2,
        }
        for product, plane in planes.items():
            hdu = fits.CompImageHDU(
                plane.astype(np.float32),
                header=header,
                compression_type="RICE_1",
                tile_shape=(100, 100),
                quantize_level=16,
                quantize_method=2,
                dither_seed=1,
            )
            hdu.writeto(folder / f"legacysurvey-{BRICK}-{product}-{band}.fits.fz")


def positions(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions anywhere in the brick's own 0.25° of the sky."""
    rng = np.random.default_rng(count)
    return RA + rng.uniform(-0.125, 0.125, count), DEC + rng.uniform(-0.125, 0.125, count)


def xsaga_seconds(root: Path, count: int, workers: int, repeats: int) -> tuple[float, float]:
    """First and best time to get all cutouts; the first includes starting the processes."""
    from xsaga.imaging.brick_tree import LocalTree
    from xsaga.imaging.bricks import BrickSource
    from xsaga.imaging.cutouts import CutoutSpec

    source = BrickSource(LocalTree(root), CutoutSpec(size=SIZE), workers=workers)
    ra, dec = positions(count)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        complete = 0
        for batch in source.cutouts(ra, dec, np.arange(count)):
            complete += int((batch.status == 0).sum())
        seconds.append(time.perf_counter() - start)
        assert complete == count
    source.close()
    return seconds[0], min(seconds[1:])


def astrocut_rate(root: Path, count: int, products: str) -> float:
    """Cutouts per second of FITSCutout, one call each as its interface wants."""
    from astrocut import FITSCutout

    names = ["*-image-*", "*-invvar-*"] if products == "both" else ["*-image-*"]
    files = [str(path) for name in names for path in sorted(root.rglob(name))]
    coordinates = SkyCoord(*positions(count), unit="deg")
    start = time.perf_counter()
    for position in coordinates:
        cutouts = FITSCutout(files, position, SIZE).fits_cutouts
        assert len(cutouts[0]) == 1 + len(files)
        assert cutouts[0][1].data.shape == (SIZE, SIZE)
    return count / (time.perf_counter() - start)


def run_astrocut(python: str, root: Path, products: str) -> tuple[str, dict[int, float]]:
    """Run this file with another interpreter, where astrocut is installed."""
    command = [python, __file__, "--only-astrocut", str(root), products]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"astrocut did not run: {done.stderr.strip().splitlines()[-1]}")
    version, rates = json.loads(done.stdout.strip().splitlines()[-1])
    return version, {count: rates[str(count)] for count in COUNTS}


def main() -> None:
    """Run the benchmark and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--astrocut-python", default=sys.executable)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only-astrocut", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_astrocut:
        import astrocut

        root, products = Path(options.only_astrocut[0]), options.only_astrocut[1]
        rates = {count: astrocut_rate(root, count, products) for count in COUNTS}
        print(json.dumps([astrocut.__version__, rates]))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_brick(root)
        version, images = run_astrocut(options.astrocut_python, root, "images")
        _, both = run_astrocut(options.astrocut_python, root, "both")
        print(
            f"{os.cpu_count()} cores, Python {platform.python_version()}, "
            f"astropy {astropy.__version__}, numpy {np.__version__}, astrocut {version}; "
            f"{SIZE}-px grz cutouts from one 3600² brick, cutouts per second\n"
        )
        print(
            f"| sources | 1 process | {options.workers} processes | first call | "
            "astrocut, images | ratio | astrocut, images + invvar | ratio |"
        )
        print("|---:|---:|---:|---:|---:|---:|---:|---:|")
        for count in COUNTS:
            _, single = xsaga_seconds(root, count, 1, options.repeats)
            first, several = xsaga_seconds(root, count, options.workers, options.repeats)
            best = count / min(several, single)
            print(
                f"| {count} | {count / single:.0f} | {count / several:.0f} | "
                f"{count / first:.0f} | {images[count]:.1f} | {best / images[count]:.0f} | "
                f"{both[count]:.1f} | {best / both[count]:.0f} |"
            )


if __name__ == "__main__":
    main()
