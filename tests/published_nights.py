"""Published lists and redshifts of their targets, for tests of the monitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table

from tests.target_samples import provenance
from xsaga.targets.columns import conform
from xsaga.targets.write_parquet import write_parquet

TIERS = ("20/deg2", "saga2", "desi-lowz")
DATES = ("2026-01-05", "2026-01-12")
FIRST_ID = 34205741313160000
"""A TARGETID: release 7777."""


@dataclass(frozen=True)
class Survey:
    """Where lists and redshifts of a made-up survey are, and its truth."""

    folder: Path
    redshifts: Path
    truth: pd.DataFrame


def made_targets(count: int = 300, seed: int = 3) -> pd.DataFrame:
    """Targets of three tiers, tier 1 the best, a few arcminutes apart."""
    rng = np.random.default_rng(seed)
    p = np.sort(rng.beta(0.5, 8.0, count).astype(np.float32))[::-1]
    tier = np.full(count, 3, np.int16)
    tier[: count // 4], tier[count // 4 : count // 2] = 1, 2
    return pd.DataFrame(
        {
            "source_id": FIRST_ID + np.arange(count),
            "id_kind": "targetid",
            "ra": 150 + 0.05 * (np.arange(count) % 20),
            "dec": 2 + 0.05 * (np.arange(count) // 20),
            "rank": np.arange(1, count + 1),
            "tier": tier,
            "priority": np.array([80, 70, 60], np.int32)[tier - 1],
            "p_lowz": p,
            "score_flags": np.zeros(count, np.int32),
        }
    )


def publish(
    path: Path,
    targets: pd.DataFrame,
    *,
    simulated: bool = True,
    tiers: Sequence[str] = TIERS,
    z_limit: float = 0.03,
) -> Path:
    """Write a list as a run does; give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = provenance(simulated=simulated)
    weights = replace(made.weights, z_limit=z_limit)
    write_parquet(path, conform(targets), replace(made, weights=weights, tiers=tuple(tiers)))
    return path


def truth_of(targets: pd.DataFrame, seed: int = 4) -> pd.DataFrame:
    """Redshifts as p_lowz promises them."""
    rng = np.random.default_rng(seed)
    near = rng.random(len(targets)) < targets["p_lowz"]
    z = np.where(near, rng.uniform(0.002, 0.029, len(near)), rng.uniform(0.031, 0.3, len(near)))
    return pd.DataFrame(
        {
            "TARGETID": targets["source_id"],
            "TARGET_RA": targets["ra"],
            "TARGET_DEC": targets["dec"],
            "Z": z,
            "ZWARN": 0,
            "SPECTYPE": "GALAXY",
            "DELTACHI2": 100.0,
            "NIGHT": 20260105 + np.arange(len(targets)) % 10,
        }
    )


def write_redshifts(path: Path, table: pd.DataFrame, *, simulated: bool = True) -> Path:
    """Write redshifts as FITS or Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".fits":
        made = Table.from_pandas(table)
        made.meta["SIMULAT"] = simulated
        made.write(path, overwrite=True)
    else:
        marks = {"xsaga.simulation": "yes"} if simulated else {}
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(marks), path
        )
    return path


def made_survey(folder: Path, count: int = 300) -> Survey:
    """Two lists of the same targets and ten nights of redshifts."""
    targets = made_targets(count)
    for date in DATES:
        publish(folder / "nightly" / "lists" / date / "targets.parquet", targets)
    truth = truth_of(targets)
    redshifts = write_redshifts(folder / "zcat.fits", truth)
    return Survey(folder / "nightly", redshifts, truth)
