"""How good the catalog of a simulated sky is, and how long it takes.

    python benchmarks/measured_catalog.py [--bricks 3]

Whole bricks are simulated in this process. Printed are the CPU seconds of each step; for single
sources fluxes, radii, axis ratios and Sérsic indices against the truth; the share of true objects
in the catalog; types by magnitude beside those of SAGA DR3 table C2, where ../shared is present;
and shreds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from xsaga.simulation.bricks import Brick, nearest_bricks
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import observing_conditions
from xsaga.simulation.drawing.render import render_model
from xsaga.simulation.drawing.sersic_transform import sersic_table
from xsaga.simulation.dust import reddening
from xsaga.simulation.measuring.catalog import measured_catalog
from xsaga.simulation.observing.observe import observe
from xsaga.simulation.sky import objects_around
from xsaga.simulation.sky_model import BANDS, SkyModel

SAGA = Path(__file__).parents[1] / ".." / "shared" / "saga" / "saga-dr3-tableC2-sample.csv"
TYPES = ["PSF", "REX", "EXP", "DEV", "SER"]
EDGES = [16, 17, 18, 19, 20, 20.75, 22, 23]


def main() -> None:
    """Simulate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bricks", type=int, default=3)
    parser.add_argument("--training", type=int, default=0)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--center", type=float, nargs=2, default=(150.0, 20.0))
    given = parser.parse_args()
    started = time.process_time()
    sersic_table()
    print(f"tables, once per process: {time.process_time() - started:.1f} s CPU")
    sky = SkyModel(given.seed, training=given.training)
    sources, truth = [], []
    for brick in nearest_bricks(*given.center, given.bricks):
        measured, objects = simulate(brick, sky)
        sources.append(measured)
        truth.append(objects)
    report(pd.concat(sources, ignore_index=True), pd.concat(truth, ignore_index=True))


def simulate(brick: Brick, sky: SkyModel) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate one brick; its sources with what they truly are, and its true objects."""
    clock = [time.process_time()]
    grid = CoaddGrid(brick.ra, brick.dec)
    conditions = observing_conditions(brick, sky)
    around = objects_around(grid, sky)
    clock.append(time.process_time())
    model = render_model(grid, around, conditions)
    clock.append(time.process_time())
    coadd = observe(model, grid, brick, around, conditions, sky.generator(brick, 2))
    clock.append(time.process_time())
    catalog = measured_catalog(
        around, grid, brick, coadd, conditions, reddening(brick, sky), sky.generator(brick, 3)
    )
    clock.append(time.process_time())
    drawn, rendered, observed, found = np.diff(clock)
    print(
        f"{brick.name}: drawing {drawn:.1f}, rendering {rendered:.1f}, observing {observed:.1f}, "
        f"catalog {found:.1f} s CPU for {len(catalog.sources)} sources"
    )
    measured = pd.concat(
        [catalog.sources.to_pandas(), catalog.redshifts.drop(columns=["ra", "dec"])], axis=1
    )
    true = around.add_prefix("true_").rename(columns={"true_source_id": "truth_id"})
    measured = measured.merge(true, on="truth_id", how="left", validate="many_to_one")
    own = around[around["brickid"] == brick.brickid]
    main = catalog.redshifts.loc[catalog.redshifts["main"], "truth_id"]
    return measured, own.assign(in_catalog=own["source_id"].isin(main))


def report(sources: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Print the comparison."""
    sources["r"] = 22.5 - 2.5 * np.log10(
        (sources["FLUX_R"] / sources["MW_TRANSMISSION_R"]).clip(lower=1e-4)
    )
    sources["type"] = [name.decode() for name in sources["TYPE"]]
    print("\nsources:", sources["kind"].value_counts().to_dict())
    print("shreds by r:", counts(sources.loc[sources["shred"], "r"]))
    print("\nin the catalog, by true r:")
    print(
        truth.groupby([pd.cut(truth["mag_r"], [*EDGES, 24]), "kind"], observed=True)["in_catalog"]
        .mean()
        .unstack()
        .round(3)
        .to_string()
    )
    main = sources[sources["main"] & (sources["kind"] != "artefact")]
    neighbours = main[[f"FRACFLUX_{band.upper()}" for band in BANDS]].max(axis=1)
    for kind in ("star", "galaxy"):
        print(f"\n{kind}: sources without neighbours, by true r (median ± half the central 68 %):")
        compare(main[(neighbours < 0.01) & (main["kind"] == kind)])
    galaxies = main[main["kind"] == "galaxy"]
    print("\ntypes of galaxies by r:")
    print(shares(galaxies["r"], galaxies["type"]))
    if SAGA.exists():
        saga = pd.read_csv(SAGA)
        round_ = (saga["ba"] == 1) & (saga["pa"] == 0)
        kind = np.select(
            [saga["sersic"] == 0, (saga["sersic"] == 1) & round_, saga["sersic"] == 1],
            ["PSF", "REX", "EXP"],
            np.where(saga["sersic"] == 4, "DEV", "SER"),
        )
        print("\nSAGA DR3 table C2 (sample):")
        print(shares(saga["rmag"], pd.Series(kind)))


def compare(found: pd.DataFrame) -> None:
    """Print measured against true values, by true magnitude."""
    for interval, group in found.groupby(pd.cut(found["true_mag_r"], EDGES), observed=True):
        words = [f"{interval!s:14} {len(group):5d}"]
        for band in BANDS:
            name = band.upper()
            true = 10 ** (-0.4 * (group[f"true_mag_{band}"] - 22.5))
            true = true * group[f"MW_TRANSMISSION_{name}"]
            flux, ivar = group[f"FLUX_{name}"], group[f"FLUX_IVAR_{name}"]
            words.append(f"Δ{band} {centre(-2.5 * np.log10(flux.clip(lower=1e-4) / true))}")
            words.append(f"pulls {half_range((flux - true) * np.sqrt(ivar)):.2f}")
        plain = group[(group["type"] != "PSF") & (group["true_bulge"] == 0)]
        general = plain[plain["type"] == "SER"]
        if len(general) > 5:
            size = np.hypot(general["SHAPE_E1"], general["SHAPE_E2"])
            ba = (1 - size) / (1 + size) - general["true_ba"]
            words.append(f"SER: R/R₀ {centre(general['SHAPE_R'] / general['true_radius'])}")
            words.append(
                f"Δb/a {centre(ba)} Δn {centre(general['SERSIC'] - general['true_sersic'])}"
            )
        print("  ".join(words))


def centre(values: pd.Series) -> str:
    """Median and scatter."""
    return f"{np.median(values):+.3f} ± {half_range(values):.3f}"


def half_range(values: pd.Series) -> float:
    """Half the central 68 %."""
    low, high = np.percentile(values, [15.87, 84.13])
    return float(high - low) / 2


def shares(magnitude: pd.Series, kind: pd.Series) -> str:
    """Share of each type by magnitude."""
    bins = pd.cut(magnitude, EDGES)
    table = pd.crosstab(bins, kind, normalize="index").reindex(columns=TYPES, fill_value=0)
    return table.round(3).assign(count=bins.value_counts()).to_string()


def counts(magnitude: pd.Series) -> dict[str, int]:
    """Count by magnitude."""
    numbers = pd.cut(magnitude, [0, *EDGES, 26]).value_counts(sort=False)
    return {str(interval): int(number) for interval, number in numbers.items()}


if __name__ == "__main__":
    main()
