"""How near the catalog measured on a simulated sky is to SAGA DR3, and what cuts make of it.

    xsaga simulate natural-simulated --bricks 80 --seed 11
    xsaga simulate training-simulated --bricks 8 --seed 12 --training 500
    python benchmarks/simulated_sky.py SAGA_FOLDER natural-simulated \
        --near training-simulated --twins 4 --figure FILE

Unlike `simulated_population.py`, which gives drawn galaxies simple errors, this one takes the
catalog as it was measured on the images. Galaxies beyond z = 0.03 are those of the natural sky;
at z < 0.03, where it has few, and fewer at the satellites' distances, SAGA's galaxies are compared
with twins of theirs (`satellite_twins.py`). The completeness of cuts at z < 0.03 is that of the
training targets of the second sky, weighted to the natural sky's magnitudes. See
`saga_comparison.py` for the distances. The population was tuned on these very comparisons, so they
show that it can be made to fit SAGA's tables and are no independent check.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from saga_comparison import draw_figure, print_distances, print_satellites, real_galaxies
from satellite_twins import measured_twins

from xsaga.catalog.cuts import apply_cuts, named_cuts
from xsaga.catalog.matching import BrightObjects
from xsaga.catalog.partition import partition_catalog
from xsaga.catalog.readers import Catalog
from xsaga.sky.footprint import make_footprint

BASE_RATES = {(17.0, 18.0): 0.031, (18.0, 19.0): 0.021, (19.0, 19.5): 0.0135, (19.5, 20.0): 0.0083,
              (20.0, 20.5): 0.0062, (20.5, 21.0): 0.0048}  # fmt: skip
"""SAGA's by r; the first two are means of the published half magnitudes and the sample's."""


MASKED = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 12 | 1 << 13
"""Bits of MASKBITS where `desi-lowz` takes nothing: completeness is given outside of them."""


def measured_sources(sky: Path) -> pd.DataFrame:
    """Read the catalog of a simulated sky as a run does, with what each source really is."""
    with tempfile.TemporaryDirectory() as folder:
        tiles = Path(folder)
        summary = partition_catalog(
            Catalog.of([sky / "sweep"]),
            make_footprint(),
            6,
            tile_sources_path=lambda pixel: tiles / f"{pixel}.parquet",
            rejected_path=tiles / "rejected.parquet",
            spool=tiles / "spool",
            cuts=named_cuts("none"),
        )
        parts = [pd.read_parquet(tiles / f"{tile.pixel}.parquet") for tile in summary.tiles]
    truth = pd.read_parquet(sky / "redshifts-simulated.parquet")
    sources = pd.concat(parts, ignore_index=True)
    return sources.merge(truth.drop(columns=["ra", "dec"]), on="source_id", validate="one_to_one")


def as_saga(sources: pd.DataFrame) -> pd.DataFrame:
    """Keep main galaxies with a radius, in the columns and with the circular radius of SAGA."""
    galaxies = sources[(sources["kind"] == "galaxy") & ~sources["shred"]]
    galaxies = galaxies[(galaxies["radius"] > 0) & (galaxies["type"] != "PSF")]
    circular = galaxies["radius"] * np.sqrt(galaxies["ba"])
    table = galaxies.assign(
        r=galaxies["mag_r"],
        gr=galaxies["mag_g"] - galaxies["mag_r"],
        sb=galaxies["mag_r"] + 2.5 * np.log10(2 * np.pi * circular**2),
        rate=1.0,
    )
    return table.dropna(subset=["r", "gr", "sb", "z"]).reset_index(drop=True)


def print_rates(sources: pd.DataFrame, area: float) -> None:
    """Print counts and the fraction at z < 0.03 by measured magnitude."""
    galaxies = sources[(sources["kind"] == "galaxy") & ~sources["shred"]]
    print("\nr         galaxies/deg²  shreds/deg²  stars/deg²  N(z<0.03)/N  ± binomial  SAGA")
    for (bright, faint), fact in BASE_RATES.items():
        inside = galaxies["mag_r"].between(bright, faint)
        count, low = int(inside.sum()), int((inside & galaxies["is_lowz"]).sum())
        here = sources[sources["mag_r"].between(bright, faint)]
        rate = low / max(count, 1)
        print(
            f"{bright:g}-{faint:<6g} {count / area:11.0f} {here['shred'].sum() / area:12.1f} "
            f"{(here['kind'] == 'star').sum() / area:11.0f} {rate:12.4f} "
            f"{np.sqrt(max(low, 1)) / max(count, 1):11.4f} {fact:8.4f}"
        )


def print_cuts(sources: pd.DataFrame, near: pd.DataFrame | None) -> None:
    """Print efficiency on the natural sky, and completeness with the near galaxies added."""
    print("\ncut         r          passing/deg² ... efficiency  completeness; near: outside masks")
    for name, bright, faint in (("desi-lowz", 19, 21), ("saga2", 17, 20.75), ("saga2", 19, 20.75)):
        cuts = named_cuts(name)
        passed, flow = apply_cuts(
            sources, cuts, BrightObjects.among(sources, cuts.bright_object_limit)
        )
        inside = sources["mag_r"].between(bright, faint).to_numpy()
        low = sources["is_lowz"].to_numpy()
        kept = (passed == 0) & inside
        line = (
            f"{name:10} {bright:g}-{faint:<6g} {kept.sum():6d} pass, {low[kept].mean():7.2%}, "
            f"{(kept & low).sum()}/{(inside & low).sum()} = "
            f"{(kept & low).sum() / (inside & low).sum():6.1%}"
        )
        if near is not None:
            unmasked = near["maskbits"] & MASKED == 0
            added = near["training"] & near["is_lowz"]
            more = near[added & near["mag_r"].between(bright, faint) & unmasked]
            flags, flow = apply_cuts(
                more, cuts, BrightObjects.among(near, cuts.bright_object_limit)
            )
            weights = _natural_weights(more, sources[inside & low])
            line += f"; near: {np.average(flags == 0, weights=weights):6.1%} of {len(more)}"
        print(line)
        if near is not None and name == "desi-lowz":
            print(flow.format())


def _natural_weights(near: pd.DataFrame, natural: pd.DataFrame) -> np.ndarray:
    """Give weights in r that turn the magnitudes of added galaxies into the natural sky's."""
    edges = np.quantile(natural["mag_r"], np.linspace(0, 1, 5))
    wanted, _ = np.histogram(natural["mag_r"], edges)
    there, _ = np.histogram(near["mag_r"], edges)
    cell = np.clip(np.searchsorted(edges, near["mag_r"]) - 1, 0, 3)
    return np.asarray((wanted / np.maximum(there, 1))[cell])


def main() -> None:
    """Read, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("saga", type=Path, help="folder of SAGA's tables")
    parser.add_argument("sky", type=Path, help="simulated sky without training targets")
    parser.add_argument("--near", type=Path, help="simulated sky with training targets")
    parser.add_argument("--twins", type=int, default=4, help="bricks of twins of satellites")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    pd.set_option("display.width", 200)
    rng = np.random.default_rng(1)

    real = real_galaxies(options.saga)
    sources = measured_sources(options.sky)
    near = measured_sources(options.near) if options.near else None
    parts = [as_saga(sources), as_saga(measured_twins(real, options.twins))]
    simulated = pd.concat(parts, ignore_index=True)
    simulated.loc[simulated["training"].astype(bool), "rate"] = 1e-9  # for z < 0.03 only
    print_distances(real, simulated, rng)
    bricks = list(options.sky.glob("*/coadd/*/*"))
    print_rates(sources, 0.0625 * len(bricks))
    print_cuts(sources, near)
    satellites = simulated[simulated["is_lowz"].astype(bool)].reset_index(drop=True)
    print_satellites(real[real["satellite"]], satellites)
    if options.figure:
        draw_figure(real, simulated, options.figure)


if __name__ == "__main__":
    main()
