"""Target lists for tests of DESI's export formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.target_samples import provenance, ranked_targets
from xsaga.catalog.identifiers import encode_targetid, position_ids
from xsaga.sky.brick_grid import brick_ids
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.target_list import TargetList
from xsaga.targets.write_parquet import write_parquet

WHOLE = ExportSettings(checker="JW", program=42, mjd_begin=61000.0, mjd_end=61100.5)
"""Settings with which every format of DESI can be written."""

THIRD_PARTY = (
    "ignore::DeprecationWarning:desitarget",
    "ignore::SyntaxWarning:desitarget",
    "ignore::UserWarning:desitarget",
)
"""Warnings of desitarget that are none of ours."""


def desi_targets(count: int, seed: int = 1, *, shift: float = 0.0) -> pd.DataFrame:
    """Ranked targets whose ids are TARGETIDs of Legacy Surveys DR9.

    They lie around RA = 0, in four files' pixels; with a shift of 0.3 degrees, in one.
    """
    targets = ranked_targets(count, seed)
    targets["ra"] = (targets["ra"] + shift) % 360
    ra, dec = targets["ra"].to_numpy(), targets["dec"].to_numpy()
    targets["release"] = np.int32(9010)
    targets["brickid"] = brick_ids(ra, dec).astype(np.int32)
    targets["objid"] = np.arange(count, dtype=np.int32)
    targets["source_id"] = encode_targetid(9010, targets["brickid"], targets["objid"])
    targets["type"], targets["ref_cat"], targets["photsys"] = "SER", "", "S"
    targets["ref_epoch"] = np.where(np.arange(count) % 2, 2015.5, 0).astype(np.float32)
    return targets


def positioned(targets: pd.DataFrame) -> pd.DataFrame:
    """Give the same targets ids made from positions, as of a catalog without any."""
    ids = position_ids(targets["ra"], targets["dec"])
    return targets.assign(
        source_id=ids, id_kind="position", release=0, brickid=0, objid=0, photsys=""
    ).astype({"release": np.int32, "brickid": np.int32, "objid": np.int32})


def with_gaps(targets: pd.DataFrame) -> pd.DataFrame:
    """Take away, row by row, whatever a catalog may lack, and put a source at RA = 360."""
    gaps = targets.copy()
    gaps.loc[0, "ra"] = 360.0
    gaps.loc[1, ["pmra", "pmdec", "ref_epoch", "ebv", "fiberflux_r"]] = np.nan
    gaps.loc[2, ["flux_g", "flux_ivar_g"]] = np.nan
    gaps.loc[3, ["flux_r", "flux_ivar_r"]] = 0.0
    gaps.loc[4, "flux_z"] = -0.25
    return gaps


def listed(folder: Path, targets: pd.DataFrame, *, simulated: bool = True) -> TargetList:
    """Write a list and give it as it would be read back."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "targets.parquet"
    record = provenance(simulated=simulated)
    write_parquet(path, targets, record)
    return TargetList(path, targets, record)


def desitarget(module: str) -> Any:
    """Import a module of desitarget."""
    name = f"desitarget.{module}" if module else "desitarget"
    return pytest.importorskip(name, reason="compares with desitarget, which is not installed")


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
