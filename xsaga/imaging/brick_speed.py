"""How fast cutouts come from bricks on this machine, measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.brick import BRICK_PIXELS, BrickName
from xsaga.imaging.brick_index import open_regions
from xsaga.imaging.brick_tree import BrickTree, image_path
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import NATIVE_PIXEL_SCALE, CutoutSpec

DENSITIES = (20, 200, 2000)
"""Sources in a brick that are measured: 320, 3,200 and 32,000 per deg²."""

SAMPLE = 3
"""Bricks that are timed, after one that starts the decoding processes."""

BRICK_SIDE = 0.25
"""Degrees between the centres of neighbouring bricks."""

_NOISE = {"g": 0.0024, "r": 0.0041, "z": 0.0105}
"""Nanomaggies per pixel, of bricks of the south release."""


@dataclass(frozen=True)
class BrickSpeed:
    """What a brick costs, from opening its files to the last cutout.

    Parameters
    ----------
    per_brick : tuple of int
        Sources in a brick.
    seconds : tuple of float
        Seconds that a brick took for each of them.
    workers : int
        Processes that decoded.
    """

    per_brick: tuple[int, ...]
    seconds: tuple[float, ...]
    workers: int

    def brick_seconds(self, sources: float) -> float:
        """Seconds that a brick takes for so many sources, from those that were measured."""
        most = self.per_brick[-1]
        if sources > most:
            return self.seconds[-1] * sources / most
        return float(np.interp(sources, (0, *self.per_brick), (0.0, *self.seconds)))

    def rates(self) -> tuple[float, ...]:
        """Cutouts per second for each number of sources in a brick."""
        return tuple(
            count / seconds for count, seconds in zip(self.per_brick, self.seconds, strict=True)
        )


def measure_bricks(
    tree: BrickTree,
    spec: CutoutSpec,
    *,
    workers: int,
    max_bytes: int,
    densities: Sequence[int] = DENSITIES,
    clock: Callable[[], float] = time.perf_counter,
) -> BrickSpeed:
    """Cut random positions out of some bricks of a tree on disk.

    Parameters
    ----------
    tree : BrickTree
        The tree; only bricks whose files are on this machine are read.
    spec : CutoutSpec
        Geometry of the cutouts.
    workers, max_bytes : int
        As of `BrickSource`.
    densities : sequence of int
        Sources in a brick.
    clock : callable
        Gives the time in seconds.

    Raises
    ------
    ImagingError
        No brick of the tree is on this machine.
    """
    bricks = bricks_here(tree, SAMPLE + 1)
    seconds = []
    for count in densities:
        source = BrickSource(tree, spec, workers=workers, max_bytes=max_bytes)
        try:
            first, *others = [brick_positions(brick, count) for brick in bricks]
            _cut(source, *first)
            ra, dec = np.concatenate(others or [first], axis=1)
            begun = clock()
            _cut(source, ra, dec)
            seconds.append((clock() - begun) / max(1, len(others)))
        finally:
            source.close_bricks()
    return BrickSpeed(tuple(densities), tuple(seconds), workers)


def bricks_here(tree: BrickTree, wanted: int) -> list[BrickName]:
    """Find some bricks of a tree whose files are on this machine.

    Raises
    ------
    ImagingError
        There are none.
    """
    found: list[BrickName] = []
    for region in open_regions(tree, "auto"):
        for number in range(len(region.table)):
            brick = region.brick(number)
            path = tree.root / image_path(brick.region, brick.name, "image", "r")
            if path.is_file():
                found.append(brick)
            if len(found) == wanted:
                return found
    if not found:
        raise ImagingError(f"{tree.name}: none of its bricks is on this machine to be measured")
    return found


def brick_positions(brick: BrickName, count: int) -> NDArray[np.float64]:
    """Draw positions in a brick, (RA and Dec, count) in degrees."""
    random = np.random.default_rng(count)
    dec = brick.dec + BRICK_SIDE * random.uniform(-0.48, 0.48, count)
    ra = brick.ra + BRICK_SIDE * random.uniform(-0.48, 0.48, count) / np.cos(np.radians(dec))
    return np.stack([ra % 360, dec])


def _cut(source: BrickSource, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> None:
    for _ in source.cutouts(ra, dec, np.arange(len(ra))):
        pass


def write_noise_bricks(root: Path, count: int = SAMPLE + 1) -> None:
    """Write a tree of bricks full of noise, compressed as the public coadds are.

    SIMULATED: for measuring speed where no bricks are at hand. The bricks differ in their place
    alone.

    Parameters
    ----------
    root : Path
        Folder of the tree.
    count : int
        Number of bricks.
    """
    ra = 150.375 + BRICK_SIDE * np.arange(count)
    names = [f"{int(10 * each):04d}p000" for each in ra]
    (root / "south").mkdir(parents=True)
    Table({"BRICKNAME": names, "RA": ra, "DEC": np.zeros(count)}).write(
        root / "south" / "survey-bricks-noise-simulated-south.fits.gz"
    )
    scale, middle = NATIVE_PIXEL_SCALE / 3600, (BRICK_PIXELS + 1) / 2
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra[0]})
    header.update({"CRVAL2": 0.0, "CRPIX1": middle, "CRPIX2": middle, "SIMULAT": True})
    header.update({"CD1_1": -scale, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale})
    random = np.random.default_rng(1)
    for product in ("image", "invvar"):
        for band, noise in _NOISE.items():
            plane = random.normal(0, noise, (BRICK_PIXELS, BRICK_PIXELS))
            if product == "invvar":
                plane = (1 + 0.03 * plane / noise) / noise**2
            first, *others = (root / image_path("south", name, product, band) for name in names)
            first.parent.mkdir(parents=True, exist_ok=True)
            fits.CompImageHDU(
                plane.astype(np.float32),
                header=header,
                compression_type="RICE_1",
                tile_shape=(100, 100),
                quantize_level=16,
                quantize_method=2,
                dither_seed=1,
            ).writeto(first)
            content = first.read_bytes()
            card = fits.Card("CRVAL1", ra[0]).image.encode()
            for path, here in zip(others, ra[1:], strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.replace(card, fits.Card("CRVAL1", here).image.encode()))
