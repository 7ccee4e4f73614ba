"""TARGETIDs for ten million positions: no collision, and how long it takes.

Usage::

    python benchmarks/desi_ids.py [--count N] [--seed N]

Positions are uniform on the sphere, ids are made from positions, tiers are random; the same list
is then given again with half of its ids known, as on a second night.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from xsaga.catalog.identifiers import position_ids
from xsaga.targets.exports.desi_ids import assign_targetids
from xsaga.targets.exports.settings import ExportSettings


def main() -> None:
    """Give ids twice, check and time both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    ra = random.uniform(0, 360, arguments.count)
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, arguments.count)))
    targets = pd.DataFrame(
        {
            "source_id": position_ids(ra, dec),
            "id_kind": "position",
            "ra": ra,
            "dec": dec,
            "tier": random.integers(1, 4, arguments.count).astype(np.int16),
            "rank": np.arange(1, arguments.count + 1),
        }
    )
    first = timed("first night", targets, ExportSettings())
    half = slice(None, None, 2)
    known = pd.DataFrame({"source_id": targets["source_id"], "targetid": first})[half]
    second = timed("second night, half known", targets, ExportSettings(known_ids=known))
    assert (second[half] == first[half]).all(), "a known id changed"


def timed(name: str, targets: pd.DataFrame, settings: ExportSettings) -> np.ndarray:
    """Give ids, check that none repeats, print the time."""
    begun = time.perf_counter()
    targetid = assign_targetids(targets, settings)
    seconds = time.perf_counter() - begun
    distinct = len(np.unique(targetid))
    assert distinct == len(targets), f"{len(targets) - distinct} collisions"
    print(f"{name}: {len(targets)} targets, {distinct} TARGETIDs, {seconds:.1f} s")
    return targetid


if __name__ == "__main__":
    main()
