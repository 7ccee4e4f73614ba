"""Fit the provisional weights that ship with xsaga, on a SIMULATED sky.

Run from the root of the repository; about an hour on two cores:

    python benchmarks/provisional_weights.py

It simulates a sky with more low-redshift galaxies than there are, takes its sources brighter than
r = 21.2 through the same code as a run does, fits a small ensemble and writes
weights/simulated-provisional/. The card says what it was fitted to; it is no basis for observing.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.cuts import named_cuts
from xsaga.catalog.partition import partition_catalog
from xsaga.catalog.readers import Catalog
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.model.card import TrainingSet
from xsaga.model.fit_settings import FitSettings
from xsaga.model.training import EpochRecord, fit
from xsaga.model.weights import save_model
from xsaga.simulation.galaxies import LOW_REDSHIFT
from xsaga.simulation.sky import simulate_sky
from xsaga.sky.footprint import make_footprint

NAME = "simulated-provisional"
CENTER = (40.0, -12.0)
ORDER = 6
R_MAX = 21.2


def main() -> None:
    """Simulate, collect, fit and save."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--folder", type=Path, default=Path("demo/training"))
    arguments.add_argument("--bricks", type=int, default=24)
    arguments.add_argument("--density", type=float, default=2.0)
    arguments.add_argument("--lowz-boost", type=float, default=30.0)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--out", type=Path, default=Path("weights") / NAME)
    given = arguments.parse_args()

    sky = given.folder / "sky-simulated"
    if not sky.exists():
        simulate_sky(
            sky,
            center=CENTER,
            bricks=given.bricks,
            seed=20261122,
            lowz_boost=given.lowz_boost,
            density=given.density,
            workers=2,
            progress=lambda done, total: print(f"brick {done} of {total}", flush=True),
        )
    sources = candidates(sky, given.folder / "tiles")
    images = cutouts(sky, sources, given.folder / "cutouts.npy")
    labels = sources["is_lowz"].to_numpy()
    low, high = int(labels.sum()), int((~labels).sum())
    rate = (low / given.lowz_boost) / (low / given.lowz_boost + high)
    print(f"{low} at z < {LOW_REDSHIFT}, {high} beyond; {rate:.2%} in a sky that is not boosted")

    settings = FitSettings(members=2, folds=2, epochs=given.epochs, target_rate=rate, seed=1)
    result = fit(images, labels, groups=sources["brickid"], settings=settings, progress=tell)
    card = result.card(
        name=NAME,
        version="1",
        kind="provisional, simulated",
        simulated=True,
        bands=("g", "r", "z"),
        pixel_scale=0.262,
        size=144,
        image_release=("xsaga-sim",),
        training_set=TrainingSet(
            f"SIMULATED cutouts from `xsaga simulate`: {given.bricks} bricks around RA, Dec "
            f"{CENTER}, galaxies at z < {LOW_REDSHIFT} boosted {given.lowz_boost:g}-fold in odds, "
            f"density {given.density:g}; all sources with r < {R_MAX}, stars too. Metrics are at "
            "this boosted mix, held out by brick.",
            {
                "images": float(len(labels)),
                "low_redshift": float(low),
                "bricks": float(given.bricks),
                "epochs": float(given.epochs),
                "low_redshift_rate_not_boosted": rate,
            },
        ),
        created=datetime.now(UTC).date().isoformat(),
    )
    save_model(given.out, card, result.networks)
    pd.DataFrame([asdict(record) for record in result.history]).to_csv(
        given.folder / "history.csv", index=False
    )
    print(result.metrics, result.calibration)


def candidates(sky: Path, tiles: Path) -> pd.DataFrame:
    """Return the sources of a simulated sky to r = `R_MAX`, with their true class."""
    shutil.rmtree(tiles, ignore_errors=True)
    summary = partition_catalog(
        Catalog.of([sky / "sweep"]),
        make_footprint(),
        ORDER,
        tile_sources_path=lambda pixel: tiles / f"{pixel}.parquet",
        rejected_path=tiles / "rejected.parquet",
        spool=tiles / "spool",
        cuts=named_cuts("none", r_max=R_MAX),
    )
    print(summary.cut_flow.format())
    parts = [
        pd.read_parquet(tiles / f"{tile.pixel}.parquet", filters=[("photometric_flags", "==", 0)])
        for tile in summary.tiles
    ]
    truth = pd.read_parquet(sky / "truth.parquet", columns=["source_id", "is_lowz"])
    return pd.concat(parts, ignore_index=True).merge(truth, on="source_id", validate="one_to_one")


def cutouts(sky: Path, sources: pd.DataFrame, path: Path) -> NDArray[np.float16]:
    """Write the cutouts of all sources into one half-precision array on disk."""
    spec = CutoutSpec()
    shape = (len(sources), len(spec.bands), spec.size, spec.size)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    source = BrickSource(LocalTree(sky), spec)
    positions = [sources[name].to_numpy(np.float64) for name in ("ra", "dec")]
    for batch in source.cutouts(*positions, sources["source_id"].to_numpy(np.int64)):
        images[batch.index] = batch.images
    source.close()
    return images


def tell(record: EpochRecord) -> None:
    """Print how an epoch went."""
    print(
        f"member {record.member} epoch {record.epoch}: loss {record.loss:.4f}, "
        f"held out {record.held_out_loss:.4f}, AUC {record.held_out_auc:.4f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
