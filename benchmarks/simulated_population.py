"""How near the simulated population of galaxies is to SAGA DR3.

    python benchmarks/simulated_population.py SAGA_FOLDER [--figure FILE]

SAGA_FOLDER holds the public tables C2 (or a sample of it) and C3 of Mao et al. (2024). Galaxies are
drawn, given simple errors of measurement and the model types a fit would choose, and compared with
the real ones at r < 20.75 in redshift bins. They are weighted in r only, so that all of them
together have SAGA's r magnitudes; at z < 0.03, where most real galaxies are satellites at 25-41
Mpc, each real galaxy is compared with the simulated ones nearest to it in r and z.

Read the distances with care. The population was tuned by hand on these same tables, and so were the
numbers that turn a fit's gain into a model type (MODEL_BA, MODEL_INDEX, limits in `measure`):
they say how well the relations describe SAGA, not how well they would do on fields not seen. At
z < 0.03 r agrees by construction. b/a and Sersic index hang on the model types imitated here; the
catalog measured on the images has its own.

The noise floor of a Kolmogorov-Smirnov distance is the median distance between the real galaxies
and resamplings of their fields: no simulation can be told from the sky below it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from saga_comparison import (
    FAINTEST,
    draw_figure,
    print_distances,
    print_satellites,
    real_galaxies,
)

from xsaga.catalog.cuts import apply_cuts, named_cuts
from xsaga.simulation.population.galaxies import FIT_BIAS, galaxies_at, galaxies_of_magnitude
from xsaga.simulation.population.redshifts import (
    draw_magnitudes,
    galaxy_density,
    lowz_fraction,
    redshifts_of_side,
)

Floats = NDArray[np.float64]

BASE_RATES = {17.25: 0.033, 18.25: 0.029, 19.25: 0.0135, 19.75: 0.0083, 20.25: 0.0062,
              20.75: 0.0048, 21.25: 0.0019}  # fmt: skip

DEPTH = {"g": 24.7, "r": 23.9, "z": 23.0}
PSF_FWHM = 1.3
NEAR_SHARE = 0.25
"""Of the galaxies drawn for the comparison, put at z < 0.03; weights undo it."""

MODEL_BA, MODEL_INDEX = 1.0, 0.014
"""Parts of a fit's χ² that an ellipse and a free Sérsic index save, for SAGA's mix of types."""


def measure(galaxies: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Give galaxies errors of measurement and model types much as Tractor's.

    A fit takes the simplest model that does: round (REX), exponential or de Vaucouleurs, and a
    free Sérsic index last. The noise is that of a profile fit at the surveys' nominal depth.
    """
    count = len(galaxies)
    bulge = galaxies["bulge"].to_numpy()
    ba = galaxies["ba"].to_numpy()
    radius = galaxies["radius"].to_numpy() * (1 - 0.6 * bulge)
    index = galaxies["sersic"].to_numpy() + 3.5 * bulge + 9 * bulge**2
    circular = radius * np.sqrt(ba)
    spread = np.sqrt(1 + (circular / (0.55 * PSF_FWHM)) ** 2)
    snr = {
        band: 5 * 10 ** (0.4 * (depth - galaxies[f"mag_{band}"].to_numpy())) / spread
        for band, depth in DEPTH.items()
    }
    shape_snr = np.hypot(snr["g"], snr["r"])
    floor = 0.01
    errors = {band: np.hypot(1.086 / value, floor) for band, value in snr.items()}
    mags = {
        band: galaxies[f"mag_{band}"].to_numpy() + rng.normal(0, 1, count) * error
        for band, error in errors.items()
    }
    mags["g"], mags["z"] = mags["g"] + FIT_BIAS[0], mags["z"] - FIT_BIAS[1]
    resolution = circular**2 / (circular**2 + (0.5 * PSF_FWHM) ** 2)
    size_error = np.hypot(1.5 / (shape_snr * resolution), 0.03)
    circular = circular * np.exp(rng.normal(0, 1, count) * np.minimum(size_error, 1.0))
    ba = np.clip(
        ba + rng.normal(0, 1, count) * np.hypot(2 / (shape_snr * resolution), 0.02), 0.07, 1
    )
    index = index * np.exp(rng.normal(0, 1, count) * np.hypot(3 / (shape_snr * resolution), 0.15))
    index = np.clip(index, 0.5, 6.0)

    gain_ba = MODEL_BA * ((1 - ba) / (1 + ba) * resolution) ** 2
    simple = np.where(index > 2, 4.0, 1.0)
    is_round = (simple == 1) & ((gain_ba < 0.01) | (shape_snr**2 * gain_ba < 80))
    change = np.log(index / simple) * np.where(index < 1, 2.0, 1.0)
    free = ~is_round & (shape_snr**2 * MODEL_INDEX * (change * resolution) ** 2 > 25)
    point = shape_snr**2 * 0.1 * resolution**2 < 12
    measured = galaxies.assign(
        r=mags["r"],
        gr=mags["g"] - mags["r"],
        rz=mags["r"] - mags["z"],
        mag_g=mags["g"],
        mag_r=mags["r"],
        mag_z=mags["z"],
        ba=np.where(is_round, 1.0, ba),
        sersic=np.where(free, index, simple),
        type=np.select([point, is_round, free, simple == 1], ["PSF", "REX", "SER", "EXP"], "DEV"),
        radius_error=size_error,
    )
    measured["sb"] = measured["r"] + 2.5 * np.log10(2 * np.pi * circular**2)
    measured["radius"] = circular / np.sqrt(measured["ba"])
    for band, error in errors.items():
        measured[f"mag_{band}_err"] = error
        measured[f"snr_{band}"] = snr[band]
    return measured


def cut_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Columns that the photometric cuts look at."""
    count = len(measured)
    sources = measured[["mag_g", "mag_r", "mag_z", "radius", "ba", "type", "sersic"]].copy()
    for band in DEPTH:
        sources[f"mag_{band}_err"] = measured[f"mag_{band}_err"]
        flux = 10 ** (-0.4 * (measured[f"mag_{band}"] - 22.5))
        sources[f"flux_{band}"] = flux
        sources[f"flux_ivar_{band}"] = (measured[f"snr_{band}"] / flux) ** 2
        sources[f"fracflux_{band}"] = 0.0
        sources[f"rchisq_{band}"] = 1.0
    sources["radius_err"] = measured["radius_error"] * measured["radius"]
    sources["sb_r"] = sources["mag_r"] + 2.5 * np.log10(2 * np.pi * sources["radius"] ** 2)
    sources["sb_r_err"] = np.hypot(sources["mag_r_err"], 2.17 * measured["radius_error"])
    sources["maskbits"] = np.zeros(count, dtype=np.int32)
    sources["ref_cat"] = ""
    return sources


def print_rates(galaxies: pd.DataFrame, area: float) -> None:
    """Print the fraction at z < 0.03 and the counts by true magnitude."""
    print("\nr           N(z<0.03)/N  fact    ratio ± error")
    for middle, fact in BASE_RATES.items():
        # SAGA's bins; drawn anew so that the error is small
        magnitudes = np.random.default_rng(4).uniform(middle - 0.25, middle + 0.25, 400_000)
        weights = galaxy_density(magnitudes)
        low = galaxies_of_magnitude(magnitudes, 1.0, np.random.default_rng(5))["is_lowz"]
        rate = float(np.average(low, weights=weights))
        error = np.sqrt(rate / magnitudes.size) / fact
        edges = f"{middle - 0.25:g}-{middle + 0.25:g}"
        print(f"{edges:11} {rate:.4f}       {fact:.4f}  {rate / fact:.2f} ± {error:.2f}")
    print("\nr        galaxies per deg² and mag: drawn, of which z < 0.03")
    for edge in range(14, 24):
        inside = galaxies["mag_r"].between(edge, edge + 1)
        near = (inside & galaxies["is_lowz"]).sum() / area
        print(f"{edge}-{edge + 1}  {inside.sum() / area:10.1f} {near:8.2f}")
    z = galaxies.loc[galaxies["mag_r"] < 21, "z"].to_numpy()
    steps = np.array([0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045])
    print("galaxies at r < 21 per deg² in steps of 0.005 from z = 0.015 to 0.045:",
          np.round(np.histogram(z, steps)[0] / area, 2))  # fmt: skip


def print_cuts(real: pd.DataFrame, measured: pd.DataFrame, satellites: pd.DataFrame) -> None:
    """Print what the photometric cuts keep in a random field and of SAGA's satellites."""
    sources, low = cut_table(measured), measured["is_lowz"].to_numpy()
    print("\ncuts in a random field, measured r        efficiency  completeness  kept")
    for name, bright, faint in (
        ("desi-lowz", 19.0, 21.0), ("saga2", 17.0, 20.75), ("saga2", 19.0, 20.75),
    ):  # fmt: skip
        passed = apply_cuts(sources, named_cuts(name))[0] == 0
        inside = measured["r"].between(bright, faint).to_numpy()
        kept = passed & inside
        print(
            f"{name:10} {bright:g}-{faint:<28g} {low[kept].mean():8.2%} "
            f"{(kept & low).sum() / (inside & low).sum():12.1%} {kept.sum() / inside.sum():10.1%}"
        )
    print_satellites(real, satellites)


def main() -> None:
    """Draw, measure, compare, print, and draw the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("saga", type=Path, help="folder of SAGA's tables")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--number", type=int, default=300_000, help="galaxies to compare")
    parser.add_argument("--area", type=float, default=60.0, help="deg² for counts and cuts")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    pd.set_option("display.width", 200)

    real = real_galaxies(options.saga)
    magnitudes = rng.uniform(12.0, FAINTEST + 0.3, options.number)
    near = rng.random(options.number) < NEAR_SHARE
    redshifts = redshifts_of_side(magnitudes, near, rng)
    simulated = measure(pd.DataFrame(galaxies_at(magnitudes, redshifts, rng)), rng)
    fraction = lowz_fraction(magnitudes)
    simulated["rate"] = np.where(near, fraction / NEAR_SHARE, (1 - fraction) / (1 - NEAR_SHARE))
    print_distances(real, simulated, rng)

    magnitudes = draw_magnitudes(options.area, rng)
    galaxies = pd.DataFrame(galaxies_of_magnitude(magnitudes, 1.0, rng))
    print_rates(galaxies, options.area)
    bright = galaxies[galaxies["mag_r"] < 21.4].reset_index(drop=True)
    satellites = simulated[simulated["is_lowz"] & (simulated["type"] != "PSF")]
    print_cuts(real[real["satellite"]], measure(bright, rng), satellites)
    if options.figure:
        draw_figure(real, simulated, options.figure)


if __name__ == "__main__":
    main()
