"""Target lists and provenance for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xsaga.targets.columns import COLUMNS
from xsaga.targets.provenance import InputFile, Provenance, WeightsRecord
from xsaga.targets.ranking import rank_sources

NEAR_LIMIT = 2**62
"""Ids from here on lose their last digits when anything passes them through a double."""

CONFIG = '[run]\nname = "Île"\nbricks = "https://user:secret@example.org/dr9"\n'


def scored_sources(count: int, seed: int = 1) -> pd.DataFrame:
    """Scored sources with every registered column but rank, tier and priority."""
    random = np.random.default_rng(seed)
    data: dict[str, object] = {}
    for column in COLUMNS:
        if column.name in {"rank", "tier", "priority"}:
            continue
        if column.is_text:
            data[column.name] = pd.Series(["REX"] * count, dtype=str)
        elif column.dtype.startswith("f"):
            data[column.name] = random.uniform(0, 1, count).astype(column.dtype)
        else:
            data[column.name] = random.integers(0, 100, count).astype(column.dtype)
    data["source_id"] = NEAR_LIMIT - 1 - random.permutation(count).astype(np.int64)
    data["id_kind"] = pd.Series(["targetid"] * count, dtype=str)
    data["ra"] = (359.9 + random.uniform(0, 0.2, count)) % 360
    data["dec"] = random.uniform(-0.1, 0.1, count)
    for band in "grz":
        data[f"mag_{band}"] = random.uniform(17, 21, count).astype(np.float32)
    frame = pd.DataFrame(data)
    if count > 1:
        frame.loc[1, "mag_g"] = np.nan
        frame.loc[1, "type"] = ""
    return frame


def ranked_targets(count: int, seed: int = 1) -> pd.DataFrame:
    """A ranked target list with every registered column."""
    ranked = rank_sources(scored_sources(count, seed))
    tier = np.select([ranked["p_lowz"] >= 0.5, ranked["p_lowz"] >= 0.1], [1, 2], default=3)
    return ranked.assign(
        tier=tier.astype(np.int16), priority=np.array([80, 70, 60], np.int32)[tier - 1]
    )


def provenance(*, simulated: bool = True) -> Provenance:
    """Provenance with everything in it, credentials and foreign letters included."""
    return Provenance(
        version="0.1.0",
        created="2024-05-06T07:08:09Z",
        command="xsaga run --bricks https://user:secret@example.org/dr9 --out Île",
        config_toml=CONFIG,
        weights=WeightsRecord("provisional", "ab" * 32, simulated=simulated, z_limit=0.02),
        inputs=(
            InputFile("sweep/sweep-000m010-010m005.fits", 12345, "cd" * 32),
            InputFile("https://example.org/x.fits?token=secret&part=1", 5, "ef" * 32),
        ),
        packages=(("python", "3.11.2"), ("numpy", "2.1.0")),
        tiers=("p>=0.5", "p>=0.1", "all"),
    )
