"""Target lists as a run leaves them, for the tests of export formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.target_samples import provenance, ranked_targets
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import FourmostSettings
from xsaga.targets.formats import write_targets
from xsaga.targets.target_list import TargetList, read_target_list

SETTINGS = ExportSettings(
    fourmost=FourmostSettings(subsurvey="lowz{tier}", template="lowz.fits", ruleset="lowz")
)
"""With all that any format requires."""


def survey_list(
    folder: Path,
    count: int = 6,
    *,
    simulated: bool = True,
    created: str | None = None,
    **columns: Any,
) -> TargetList:
    """Write a list of `count` faint extended sources and read it back.

    `columns` replace those of the list; a column that is None is left out.
    """
    targets = ranked_targets(count)
    random = np.random.default_rng(7)
    for band in "grz":
        targets[f"flux_{band}"] = random.uniform(3, 20, count).astype(np.float32)
        targets[f"flux_ivar_{band}"] = random.uniform(50, 100, count).astype(np.float32)
    targets["radius"] = random.uniform(1, 10, count).astype(np.float32)
    targets["sersic"] = random.uniform(0.5, 6, count).astype(np.float32)
    targets["ebv"] = random.uniform(0.01, 0.1, count).astype(np.float32)
    targets["type"] = "SER"
    targets["name"] = ""
    targets["tier"] = np.sort(1 + np.arange(count) % 3).astype(np.int16)
    for name in ("pmra", "pmdec", "ref_epoch"):
        targets[name] = np.zeros(count, np.float32)
    for name, values in columns.items():
        if values is None:
            targets = targets.drop(columns=name)
        else:
            targets[name] = np.asarray(values, dtype=targets[name].to_numpy().dtype)
    record = provenance(simulated=simulated)
    if created is not None:
        record = replace(record, created=created)
    write_targets(targets, folder / "targets.parquet", "parquet", record)
    return read_target_list(folder)
