"""Comparing simulated galaxies with SAGA DR3: distances of distributions, and their figure.

Galaxies are weighted in r only, so that all of them together have SAGA's r magnitudes; at
z < 0.03, where most real galaxies are satellites at 25-41 Mpc, each real galaxy is compared with
the simulated ones nearest to it in r and z. The noise floor of a Kolmogorov-Smirnov distance is
the median distance between the real galaxies and resamplings of their fields: no simulation can be
told from the sky below it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

BINS = ((0.0, 0.03), (0.03, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.5))
PROPERTIES = ("r", "gr", "sb", "ba", "sersic")
FAINTEST = 20.75


def real_galaxies(folder: Path) -> pd.DataFrame:
    """Read SAGA's galaxies: satellites of C3 and other galaxies of C2, without senseless rows."""
    c2 = pd.read_csv(next(folder.glob("saga-dr3-tableC2*.csv")))
    c3 = Table.read(folder / "saga-dr3-tableC3.txt", format="ascii.mrt").to_pandas()
    c3 = c3.rename(columns={"HOSTID": "host", "Sersic": "sersic", "log(M*)": "logmstar"})
    rows = pd.concat(
        [c2[c2["sample"] == 0].assign(satellite=False), c3.assign(satellite=True)],
        ignore_index=True,
    ).rename(columns={"rmag": "r"})
    return rows[(rows["gr"] < 5) & (rows["sersic"] > 0) & (rows["r"] < FAINTEST) & (rows["r"] > 12)]


def distance(real: Floats, simulated: Floats, weights: Floats) -> float:
    """Kolmogorov-Smirnov distance of a sample from a weighted one."""
    values = np.round(np.concatenate([real, simulated]), 3)  # as SAGA's tables are
    share = np.concatenate([np.full(real.size, 1 / real.size), -weights / weights.sum()])
    order = np.argsort(values, kind="stable")
    values, gaps = values[order], np.cumsum(share[order])
    last = np.append(values[1:] > values[:-1], True)  # ties count once
    return float(np.abs(gaps[last]).max())


def noise_floor(rows: pd.DataFrame, name: str, rng: np.random.Generator, rounds: int = 60) -> float:
    """Median distance between galaxies and resamplings of the fields they are in."""
    values = rows[name].to_numpy(dtype=np.float64)
    groups = [np.flatnonzero(rows["host"] == host) for host in rows["host"].unique()]
    found = []
    for _ in range(rounds):
        chosen = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        found.append(distance(values, values[chosen], np.ones(chosen.size)))
    return float(np.median(found))


def weights_in_r(real: pd.DataFrame, simulated: pd.DataFrame) -> Floats:
    """Weights that give the simulated galaxies the r magnitudes of the real ones."""
    edges = np.quantile(real["r"], np.linspace(0, 1, 41))
    edges[0], edges[-1] = 12.0, FAINTEST
    wanted, _ = np.histogram(real["r"], edges)
    there, _ = np.histogram(simulated["r"], edges, weights=simulated["rate"])
    cell = np.clip(np.searchsorted(edges, simulated["r"]) - 1, 0, 39)
    inside = simulated["r"].between(12.0, FAINTEST).to_numpy()
    return np.asarray(
        np.where(inside, (wanted / np.maximum(there, 1))[cell], 0.0) * simulated["rate"]
    )


def weights_of_neighbours(real: pd.DataFrame, simulated: pd.DataFrame) -> Floats:
    """Weights that count, for each real galaxy, the 40 simulated ones nearest in r and z."""
    place = [
        frame[["r"]].assign(z=8 * np.log(frame["z"])).to_numpy() for frame in (real, simulated)
    ]
    _, nearest = cKDTree(place[1]).query(place[0], k=40)
    return np.bincount(nearest.ravel(), minlength=len(simulated)).astype(np.float64)


def compare(real: pd.DataFrame, simulated: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return distances and noise floors by redshift bin and property."""
    simulated = simulated[simulated["type"] != "PSF"]
    field = real[~real["satellite"]]
    overall = weights_in_r(field, simulated)
    lines = []
    for low, high in BINS:
        rows = real if low == 0 else field
        rows = rows[(rows["z"] >= low) & (rows["z"] < high)]
        inside = ((simulated["z"] >= low) & (simulated["z"] < high)).to_numpy()
        drawn, weights = simulated[inside], overall[inside]
        if low == 0:
            weights = weights_of_neighbours(rows, drawn)
        line: dict[str, object] = {"z": f"{low:g}-{high:g}", "real": len(rows)}
        for name in PROPERTIES:
            values = rows[name].to_numpy(dtype=np.float64)
            line[name] = distance(values, drawn[name].to_numpy(), weights)
            line[f"{name} floor"] = noise_floor(rows, name, rng)
        lines.append(line)
    return pd.DataFrame(lines)


def print_distances(real: pd.DataFrame, simulated: pd.DataFrame, rng: np.random.Generator) -> None:
    """Print the tables of distances, and which of them are above 0.1."""
    for what, rows in (
        ("all galaxies", real),
        ("without tel = SDSS, mostly luminous red galaxies of BOSS", real[real["tel"] != "SDSS"]),
    ):
        table = compare(rows, simulated, rng)
        print(f"\nKolmogorov-Smirnov distances from SAGA DR3 and their noise floors, {what}:")
        print(table.round(3).to_string(index=False))
        values = table[list(PROPERTIES)].to_numpy(dtype=np.float64)
        print(
            f"{(values <= 0.1).sum()} of {values.size} are 0.1 or less; largest {values.max():.3f}"
        )


def print_satellites(real: pd.DataFrame, satellites: pd.DataFrame) -> None:
    """Print which share of SAGA's satellites and of simulated ones pass photometric cuts."""
    weights = weights_of_neighbours(real, satellites)
    for name, limits in (("saga2", (0.9, 18.5)), ("desi-lowz", (0.99, 16.8))):
        shares = [np.average(_passes(rows, name, *limits), weights=w)
                  for rows, w in ((real, np.ones(len(real))), (satellites, weights))]  # fmt: skip
        print(
            f"satellites of SAGA that pass {name}: real {shares[0]:.1%}, simulated {shares[1]:.1%}"
        )


def _passes(rows: pd.DataFrame, name: str, colour: float, brightness: float) -> NDArray[np.bool_]:
    sb = rows["sb"] - (2.5 * np.log10(rows["ba"]) if name == "desi-lowz" else 0)
    offset = rows["r"] - 14
    return ((rows["gr"] + 0.06 * offset < colour) & (sb - 0.7 * offset > brightness)).to_numpy()


def draw_figure(real: pd.DataFrame, simulated: pd.DataFrame, path: Path) -> None:
    """Draw cumulative distributions, real and simulated, by redshift bin and property."""
    from matplotlib.figure import Figure

    simulated = simulated[simulated["type"] != "PSF"]
    field = real[~real["satellite"]]
    overall = weights_in_r(field, simulated)
    figure = Figure(figsize=(13, 11), layout="constrained")
    panels = figure.subplots(len(BINS), len(PROPERTIES))
    for row, (low, high) in zip(panels, BINS, strict=True):
        rows = (real if low == 0 else field).query("@low <= z < @high")
        inside = ((simulated["z"] >= low) & (simulated["z"] < high)).to_numpy()
        drawn, weights = simulated[inside], overall[inside]
        if low == 0:
            weights = weights_of_neighbours(rows, drawn)
        for panel, name in zip(row, PROPERTIES, strict=True):
            values = np.sort(rows[name])
            panel.step(values, np.arange(1, values.size + 1) / values.size, color="k", where="post")
            order = np.argsort(drawn[name].to_numpy())
            share = np.cumsum(weights[order]) / weights.sum()
            panel.plot(drawn[name].to_numpy()[order], share, color="tab:red", lw=1)
            panel.set_xlim(*np.quantile(values, [0.002, 0.998]))
            panel.set_title(f"{name}, {low:g} ≤ z < {high:g}, {len(rows)} real", fontsize=8)
    figure.suptitle("SAGA DR3 (black) and SIMULATED galaxies (red): cumulative distributions")
    figure.savefig(path, dpi=100)
