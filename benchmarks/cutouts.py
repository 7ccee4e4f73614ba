"""Cutouts per second from bricks, by xsaga, by astrocut's FITSCutout and by Cutana.

Usage::

    python benchmarks/cutouts.py [--others-python PYTHON] [--bricks N]

Simulated bricks are written as the public coadds are: 3600² pixels, grz images and inverse
variances, Rice-compressed in 100 x 100 tiles, dithered; every pixel holds noise. xsaga decodes
image and invvar and gives coverage; its figure is that of several bricks in a row, each opened for
the first time, after one that starts the decoding processes. astrocut (one call each, as its
interface wants) is given the three images, and then, for the same result, the images and the
inverse variances; Cutana (`create_cutouts_direct`, no stretch, no resizing, the better of two
calls) the three images. They are given the positions of one brick.
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

RA, DEC, STEP = 150.375, 2.0, 0.25
PIXELS, SCALE, SIZE = 3600, 0.262 / 3600, 144
NOISE = {"g": 0.0024, "r": 0.0041, "z": 0.0105}  # nanomaggies per pixel, of real south bricks
COUNTS = (20, 200, 2000)


def brick_name(number: int) -> str:
    """Name as the survey's: ten times RA, ten times Dec."""
    return f"{int((RA + STEP * number) * 10):04d}p{int(DEC * 10):03d}"


def brick_files(root: Path, number: int, product: str) -> list[Path]:
    """Files of one product of a brick, in the order of the bands."""
    name = brick_name(number)
    folder = root / "south" / "coadd" / name[:3] / name
    return [folder / f"legacysurvey-{name}-{product}-{band}.fits.fz" for band in NOISE]


def write_bricks(root: Path, count: int) -> None:
    """Write a tree of bricks full of noise; they differ in their place alone."""
    (root / "south").mkdir(parents=True)
    names = [brick_name(number) for number in range(count)]
    table = Table({"BRICKNAME": names, "RA": RA + STEP * np.arange(count), "DEC": [DEC] * count})
    table.write(root / "south" / "survey-bricks-dr9-south.fits.gz")
    rng = np.random.default_rng(1)
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA, "CRVAL2": DEC})
    header.update({"CRPIX1": (PIXELS + 1) / 2, "CRPIX2": (PIXELS + 1) / 2})
    header.update({"CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE})
    for product in ("image", "invvar"):
        for band, (noise, first) in enumerate(
            zip(NOISE.values(), brick_files(root, 0, product), strict=True)
        ):
            plane = rng.normal(0, noise, (PIXELS, PIXELS))
            if product == "invvar":
                plane = rng.normal(1, 0.03, (PIXELS, PIXELS)) / noise**2
            hdu = fits.CompImageHDU(
                plane.astype(np.float32),
                header=header,
                compression_type="RICE_1",
                tile_shape=(100, 100),
                quantize_level=16,
                quantize_method=2,
                dither_seed=1,
            )
            first.parent.mkdir(parents=True, exist_ok=True)
            hdu.writeto(first)
            content = first.read_bytes()
            card = fits.Card("CRVAL1", RA).image.encode()
            assert content.count(card) == 1
            for number in range(1, count):
                there = fits.Card("CRVAL1", RA + STEP * number).image.encode()
                path = brick_files(root, number, product)[band]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.replace(card, there))


def positions(count: int, brick: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Positions anywhere in a brick's own 0.25° of the sky."""
    rng = np.random.default_rng(count + 7 * brick)
    return RA + STEP * brick + rng.uniform(-0.125, 0.125, count), DEC + rng.uniform(
        -0.125, 0.125, count
    )


def xsaga_rate(root: Path, count: int, workers: int, bricks: int) -> float:
    """Cutouts per second of bricks that are opened for the first time."""
    from xsaga.imaging.brick_tree import LocalTree
    from xsaga.imaging.bricks import BrickSource
    from xsaga.imaging.cutouts import CutoutSpec

    source = BrickSource(LocalTree(root), CutoutSpec(size=SIZE), workers=workers)

    def cut(ra: np.ndarray, dec: np.ndarray) -> float:
        start = time.perf_counter()
        complete = 0
        for batch in source.cutouts(ra, dec, np.arange(len(ra))):
            complete += int((batch.status == 0).sum())
        assert complete == len(ra)
        return time.perf_counter() - start

    cut(*positions(2000, 0))
    ra, dec = np.concatenate([positions(count, brick) for brick in range(1, bricks)], axis=1)
    seconds = cut(ra, dec)
    source.close()
    return len(ra) / seconds


def astrocut_rate(root: Path, count: int, products: tuple[str, ...]) -> float:
    """Cutouts per second of FITSCutout, one call each."""
    from astrocut import FITSCutout

    files = [str(path) for product in products for path in brick_files(root, 1, product)]
    coordinates = SkyCoord(*positions(count), unit="deg")
    start = time.perf_counter()
    for position in coordinates:
        cutouts = FITSCutout(files, position, SIZE).fits_cutouts
        assert len(cutouts[0]) == 1 + len(files)
        assert cutouts[0][1].data.shape == (SIZE, SIZE)
    return count / (time.perf_counter() - start)


def cutana_rate(root: Path, count: int) -> float:
    """Cutouts per second of Cutana's fast path, all in one call."""
    import pandas as pd
    from cutana import create_cutouts_direct, get_default_config

    config = get_default_config()
    config.target_resolution, config.normalisation_method = SIZE, "none"
    config.apply_flux_conversion = False
    config.fits_extensions = ["COMPRESSED_IMAGE"]
    one = np.eye(3).tolist()
    config.channel_weights = dict(zip(NOISE, one, strict=True))
    ra, dec = positions(count)
    files = str([str(path) for path in brick_files(root, 1, "image")])
    catalog = pd.DataFrame({"SourceID": [f"s{n}" for n in range(count)], "RA": ra, "Dec": dec})
    catalog = catalog.assign(diameter_pixel=SIZE, fits_file_paths=files)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        batches = create_cutouts_direct(catalog, config)
        seconds.append(time.perf_counter() - start)
        assert sum(len(batch["cutouts"]) for batch in batches) == count
        assert batches[0]["cutouts"].shape[1:] == (SIZE, SIZE, 3)
    return count / min(seconds)


def others(root: Path) -> dict[str, object]:
    """Rates of the other tools, where they are installed."""
    import astrocut
    import cutana

    return {
        "names": f"astrocut {astrocut.__version__}, Cutana {cutana.__version__}",
        "images": [astrocut_rate(root, count, ("image",)) for count in COUNTS],
        "both": [astrocut_rate(root, count, ("image", "invvar")) for count in COUNTS],
        "cutana": [cutana_rate(root, count) for count in COUNTS],
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
    parser.add_argument("--bricks", type=int, default=5)
    parser.add_argument("--only-others", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_others:
        print(json.dumps(others(Path(options.only_others))))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_bricks(root, options.bricks)
        ours = {
            workers: [xsaga_rate(root, count, workers, options.bricks) for count in COUNTS]
            for workers in (1, 2)
        }
        theirs = run_others(options.others_python, root)
        print(
            f"{os.cpu_count()} cores, Python {platform.python_version()}, "
            f"astropy {astropy.__version__}, numpy {np.__version__}, {theirs['names']}; "
            f"{SIZE}-px grz cutouts from 3600² bricks, cutouts per second\n"
        )
        print(
            "| per brick | xsaga, 1 process | 2 processes | astrocut, images | × | "
            "astrocut, images + invvar | × | Cutana, images | × |"
        )
        print("|---:|" + "---:|" * 8)
        for row, count in enumerate(COUNTS):
            best = max(ours[1][row], ours[2][row])
            cells = [f"{ours[1][row]:.0f}", f"{ours[2][row]:.0f}"]
            for name in ("images", "both", "cutana"):
                rate = theirs[name][row]
                cells += [f"{rate:.1f}", f"{best / rate:.0f}"]
            print(f"| {count} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
