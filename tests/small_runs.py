"""A small simulated sky, toy weights and the commands to run over them."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tests.toy_model import TINY, toy_card, toy_model
from xsaga.cli import main
from xsaga.model.weights import save_model
from xsaga.simulation.sky import simulate_sky

SIZE = 48
EVERYONE = (
    *("--tier", "0.5", "--tier", "0.1", "--tier", "all"),
    *("--exclude-maskbit", "31", "--shred-radii", "0"),
)
"""Options by which all that is scored is a target."""

COMMAND = (sys.executable, "-m", "xsaga")


@dataclass(frozen=True)
class SmallSky:
    """Where the pieces of a small run are."""

    tree: Path
    weights: Path

    @property
    def options(self) -> list[str]:
        """Options of a run over all sources of the sky brighter than r = 23."""
        return [
            *("--catalog", str(self.tree / "sweep")),
            *("--bricks", str(self.tree)),
            *("--weights", str(self.weights)),
            *("--size", str(SIZE)),
            *("--cuts", "none"),
            *("--r-max", "23"),
            *("--order", "8"),
            *("--device", "cpu"),
            *("--precision", "float32"),
            *("--engine", "eager"),
            *("--batch-size", "16"),
            *EVERYONE,
        ]


def make_small_sky(folder: Path) -> SmallSky:
    """Simulate four tiny bricks and write toy weights; needs galsim."""
    pytest.importorskip("galsim", reason="needs the extra [sim]")
    tree = folder / "sky-simulated"
    simulate_sky(tree, center=(180.0, 0.25), bricks=4, seed=3, brick_pixels=400)
    weights = folder / "toy"
    card = dataclasses.replace(toy_card(TINY, SIZE), image_release=("xsaga-sim",))
    save_model(weights, card, toy_model(TINY, SIZE).networks)
    return SmallSky(tree, weights)


def xsaga(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@cache
def reproducible() -> dict[str, str]:
    """Environment of a subprocess whose output carries no date of its own."""
    return {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"}


def targets_of(run: Path) -> pd.DataFrame:
    """Targets of a run, best first."""
    return pd.read_parquet(run / "targets.parquet")


def status_of(run: Path) -> dict[str, Any]:
    """Status of a run."""
    return dict(json.loads(xsaga("status", run, "--json").stdout))
