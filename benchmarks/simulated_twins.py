"""Real sources side by side with simulated twins of the same magnitude, colour and size.

Usage::

    python benchmarks/simulated_twins.py SIMULATED_TREE REAL_TREE OUT.png [--number N]

Both trees are laid out as a Legacy Surveys release (images below ``south/coadd``, sources in
``sweep/``). Real extended sources of 17 < r < 21 are taken from the brightest to the faintest. Of
the simulated extended sources nearest to each in catalogued r, g−r and r−z, the twin is the one of
the nearest half-light radius, measured on the pixels of both alike (the catalogs' radii are not:
one of them holds the seeing). Pixels come from the bricks through xsaga's own cutouts, stretched as
the survey's viewer stretches them. The simulated ones are labelled SIMULATED.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from astropy.table import Table, vstack

from xsaga.catalog.photometry import magnitudes
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import NATIVE_PIXEL_SCALE, CutoutSpec
from xsaga.imaging.rgb import viewer_rgb

mpl.use("Agg")

from matplotlib import pyplot as plt

SIZE = 96
"""Pixels on a side of a cutout: 25"."""

R_RANGE = (17.0, 21.0)
LEAST_COVERED = 0.6

STEPS = {"r": 0.25, "gr": 0.1, "rz": 0.1}
"""Differences that count alike when twins are sought."""

CANDIDATES = 25
"""Simulated sources of like magnitude and colour among which the size decides."""

SIZE_STEP = 0.06
"""Difference of log₁₀ of the half-light radius that counts as much as those of `STEPS`."""

APERTURE = 5.0
"""Radius in arcsec of the circle whose light the half-light radius halves."""

PAIRS_PER_ROW = 4


def read_sources(tree: Path) -> pd.DataFrame:
    """Read extended sources from a tree's sweeps: positions, dereddened magnitudes and colours."""
    files = sorted((tree / "sweep").rglob("*.fits"))
    table = vstack([Table.read(file) for file in files], metadata_conflicts="silent")
    band = {
        name: magnitudes(
            np.asarray(table[f"FLUX_{name.upper()}"], dtype=float),
            np.asarray(table[f"MW_TRANSMISSION_{name.upper()}"], dtype=float),
        )
        for name in "grz"
    }
    kinds = np.char.strip(np.asarray(table["TYPE"]).astype(str))
    sources = pd.DataFrame(
        {
            "ra": np.asarray(table["RA"], dtype=float),
            "dec": np.asarray(table["DEC"], dtype=float),
            "r": band["r"],
            "gr": band["g"] - band["r"],
            "rz": band["r"] - band["z"],
            "flagged": np.asarray(table["MASKBITS"]) != 0,
        }
    )
    extended = ~np.isin(kinds, ["PSF", "DUP"])
    return sources[extended].dropna().reset_index(drop=True)


def cutouts(tree: Path, sources: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Images, shape (N, 3, SIZE, SIZE), and the least coverage of a band, shape (N,)."""
    images = np.zeros((len(sources), 3, SIZE, SIZE), dtype=np.float32)
    covered = np.zeros(len(sources))
    source = BrickSource(LocalTree(tree), CutoutSpec(size=SIZE), workers=1)
    ids = np.arange(len(sources), dtype=np.int64)
    for batch in source.cutouts(sources["ra"].to_numpy(), sources["dec"].to_numpy(), ids):
        images[batch.index] = batch.images
        covered[batch.index] = batch.coverage.min(axis=1)
    source.close()
    return images, covered


def half_light_radii(images: np.ndarray) -> np.ndarray:
    """Half-light radii of the central sources in r, the seeing included, in arcsec, shape (N,)."""
    rows, columns = np.indices(images.shape[2:]) - images.shape[2] // 2
    distance = (np.hypot(rows, columns) * NATIVE_PIXEL_SCALE).ravel()
    order = np.argsort(distance)
    order = order[distance[order] < APERTURE]
    plane = images[:, 1].reshape(len(images), -1)
    outside = np.where(distance > APERTURE, plane, np.nan)
    plane = plane - np.nanmedian(np.where(outside == 0, np.nan, outside), axis=1, keepdims=True)
    grown = np.cumsum(plane[:, order], axis=1)
    half = distance[order][(grown > 0.5 * grown[:, -1:]).argmax(axis=1)]
    return np.maximum(half, NATIVE_PIXEL_SCALE)


def twins_of(real: pd.DataFrame, simulated: pd.DataFrame, tree: Path) -> np.ndarray:
    """Row of the simulated twin of each real source, none used twice."""
    columns, scale = list(STEPS), np.array(list(STEPS.values()))
    offsets = real[columns].to_numpy()[:, np.newaxis] - simulated[columns].to_numpy()
    distance = np.square(offsets / scale).sum(axis=2)
    candidates = np.argsort(distance, axis=1)[:, :CANDIDATES]
    rows, where = np.unique(candidates, return_inverse=True)
    radius = half_light_radii(cutouts(tree, simulated.iloc[rows])[0])[where.reshape(-1, CANDIDATES)]
    larger = np.log10(radius / real["radius"].to_numpy()[:, np.newaxis]) / SIZE_STEP
    total = np.take_along_axis(distance, candidates, axis=1) + larger**2
    chosen: list[int] = []
    for choice, cost in zip(candidates, total, strict=True):
        chosen.append(int(choice[np.where(np.isin(choice, chosen), np.inf, cost).argmin()]))
    return np.array(chosen)


def describe(row: pd.Series) -> str:
    """Magnitude, colours and size on one line."""
    return f'r {row.r:.1f}  g−r {row.gr:.2f}  r−z {row.rz:.2f}  R {row.radius:.1f}"'


def draw(
    real: pd.DataFrame,
    real_images: np.ndarray,
    twins: pd.DataFrame,
    twin_images: np.ndarray,
    out: Path,
) -> None:
    """Save the figure: pairs of pictures, the real one left."""
    rows = -(-len(real) // PAIRS_PER_ROW)
    figure, axes = plt.subplots(
        rows, 2 * PAIRS_PER_ROW, figsize=(4.4 * PAIRS_PER_ROW, 2.5 * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for i in range(len(real)):
        row, column = divmod(i, PAIRS_PER_ROW)
        for j, (label, sources, images) in enumerate(
            (("real", real, real_images), ("SIMULATED", twins, twin_images))
        ):
            axis = axes[row, 2 * column + j]
            axis.imshow(viewer_rgb(images[i]), interpolation="nearest")
            colour = "black" if label == "real" else "firebrick"
            axis.set_title(f"{label}\n{describe(sources.iloc[i])}", fontsize=6.5, color=colour)
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Find the twins and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("simulated_tree", type=Path)
    parser.add_argument("real_tree", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--number", type=int, default=24)
    options = parser.parse_args()
    real = read_sources(options.real_tree)
    real = real[real["r"].between(*R_RANGE)].sort_values("r").reset_index(drop=True)
    real_images, covered = cutouts(options.real_tree, real)
    kept = np.flatnonzero(covered >= LEAST_COVERED)[: options.number]
    real, real_images = real.iloc[kept].reset_index(drop=True), real_images[kept]
    simulated = read_sources(options.simulated_tree)
    simulated = simulated[simulated["r"].between(R_RANGE[0] - 0.5, R_RANGE[1] + 0.5)]
    simulated = simulated[~simulated["flagged"]].reset_index(drop=True)
    real["radius"] = half_light_radii(real_images)
    rows = twins_of(real, simulated, options.simulated_tree)
    twins = simulated.iloc[rows].reset_index(drop=True)
    twin_images, _ = cutouts(options.simulated_tree, twins)
    twins["radius"] = half_light_radii(twin_images)
    draw(real, real_images, twins, twin_images, options.out)
    print(f"{options.out}: {len(real)} pairs out of {len(simulated)} simulated sources")


if __name__ == "__main__":
    main()
