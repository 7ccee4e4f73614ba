"""Measure the noise of real coadds and compare it with what the simulation gives.

``python benchmarks/real_noise.py [SHARED]`` reads the real pixels of the folder SHARED/realsky
(default ../shared): the correlation of neighbouring pixels after sources are masked, their scatter
over what the inverse variance states, the scatter of the sky in boxes of 16" and the profile of a
saturated star. It then prints the same of simulated coadds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import sep
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from xsaga.simulation.conditions import NATIVE_SCALE
from xsaga.simulation.observing.noise import correlated_noise, noise_correlation

Floats = NDArray[np.float64]
LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 3), (3, 0), (0, 5), (5, 0))
BOX = 63


def sky_pixels(image: Floats, sigma: Floats, box: int = 128) -> tuple[Floats, NDArray[np.bool_]]:
    """Subtract a smooth sky and find the pixels without sources or missing data."""
    missing = ~np.isfinite(sigma)
    level = sep.Background(image, mask=missing, bw=box, bh=box)
    flat = image - level.back()
    noise = np.where(missing, 1e9, sigma)
    _, segments = sep.extract(flat, 1.5, err=noise, segmentation_map=True, minarea=6, mask=missing)
    return flat, ~(binary_dilation(segments > 0, iterations=6) | missing)


def correlations(values: Floats, good: NDArray[np.bool_]) -> tuple[float, list[float]]:
    """Scatter of the good pixels, and their correlation at `LAGS`."""
    values = np.where(good, values, 0.0)

    def product(dy: int, dx: int) -> float:
        rows, columns = values.shape[0] - dy, values.shape[1] - dx
        pairs = good[:rows, :columns] & good[dy:, dx:]
        return float((values[:rows, :columns] * values[dy:, dx:]).sum() / pairs.sum())

    variance = product(0, 0)
    return variance**0.5, [product(*lag) / variance for lag in LAGS]


def show(name: str, scatter: float, found: list[float]) -> None:
    """Print one line."""
    print(f"{name:30s} scatter/stated {scatter:6.3f}  " + " ".join(f"{r:6.3f}" for r in found))


def real_coadd(shared: Path) -> None:
    """Measure the g coadd of the north, with the survey's own inverse variance."""
    stem = shared / "realsky/dr6-north/coadd/095/0959p805/legacysurvey-0959p805"
    image, invvar = (
        np.ascontiguousarray(fits.getdata(f"{stem}-{kind}-g.fits.fz")[:1880, :890], dtype=float)
        for kind in ("image", "invvar")
    )
    sigma = np.where(invvar > 0, 1 / np.sqrt(np.where(invvar > 0, invvar, 1)), np.inf)
    flat, good = sky_pixels(image, sigma)
    show("real north g, 0959p805", *correlations(flat / np.where(good, sigma, 1), good))


def real_cutouts(shared: Path) -> None:
    """Measure native pixels as served by the viewer, scatter over SEP's own estimate."""
    for field in "ab":
        images = fits.getdata(shared / f"realsky/cutouts/field-{field}.fits")
        for band, plane in zip("grz", images, strict=True):
            image = np.ascontiguousarray(plane, dtype=float)
            sigma = np.full(image.shape, sep.Background(image).globalrms)
            flat, good = sky_pixels(image, sigma, 64)
            show(f"real south {band}, field-{field}", *correlations(flat / sigma, good))
            boxes = [
                np.median(image[y : y + BOX, x : x + BOX][inside]) / sigma[0, 0]
                for y in range(0, image.shape[0] - BOX + 1, BOX)
                for x in range(0, image.shape[1] - BOX + 1, BOX)
                if (inside := good[y : y + BOX, x : x + BOX]).sum() > 1500
            ]
            print(f"{'':30s} boxes of 16 arcsec: {np.mean(boxes):.2f} ± {np.std(boxes):.2f} sigma")


def real_star(shared: Path) -> None:
    """Profile of the brightest star of field-a: saturated in z, sky taken off too much."""
    images = fits.getdata(shared / "realsky/cutouts/field-a.fits")
    y, x = np.unravel_index(np.argmax(images[1]), images[1].shape)
    rows, columns = np.indices(images[1].shape)
    radius = np.hypot(rows - y, columns - x) * 0.262
    for band, image in zip("grz", images, strict=True):
        values = [
            f'{r}": {np.median(image[np.abs(radius - r) < 0.4]):.4f}'
            for r in (1, 2, 4, 8, 12, 15, 18)
        ]
        print(f"star of field-a in {band}: " + ", ".join(values))


def simulated() -> None:
    """Measure the simulation's noise, and say what it is to be."""
    for region, band, native in (
        ("north", 0, NATIVE_SCALE["north"][0]),
        ("south", 1, NATIVE_SCALE["south"][1]),
    ):
        noise = correlated_noise(
            np.random.default_rng(1), np.ones((2000, 2000), dtype=np.float32), native
        ).astype(float)
        show(f"simulated {region} {'grz'[band]}", *correlations(noise, np.ones(noise.shape, bool)))
        theory = noise_correlation(native, 4)
        print(f"{'':30s} Lanczos-3: variance {theory[0] ** 2:.3f}, {theory[1:] / theory[0]}")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared")
    print("lags (dy, dx):", *LAGS)
    real_coadd(folder)
    real_cutouts(folder)
    real_star(folder)
    simulated()
