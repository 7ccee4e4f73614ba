"""The whole path on real Legacy Survey pixels, from bricks and from a cutout service."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

from tests.shared_data import needs_shared, shared
from tests.small_runs import EVERYONE, status_of, targets_of, xsaga
from tests.survey_server import survey_server
from tests.toy_model import TINY, toy_card, toy_model
from xsaga.imaging.store import read_cutouts
from xsaga.model.weights import save_model
from xsaga.paths import TilePaths

pytestmark = needs_shared


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same run over the brick tree and over a server that resamples the same pixels."""
    folder = tmp_path_factory.mktemp("realsky")
    card = dataclasses.replace(toy_card(TINY, 144), image_release=("ls-dr9",))
    save_model(folder / "toy", card, toy_model(TINY, 144).networks)
    options = [
        *("--catalog", str(shared("realsky", "sweep", "sweep-realsky.fits"))),
        *("--cuts", "none", "--r-max", "21", "--weights", str(folder / "toy")),
        *("--device", "cpu", "--precision", "float32", "--engine", "eager"),
        *EVERYONE,
    ]
    tree = ["--bricks", str(shared("realsky")), "--release", "ls-dr9"]
    result = xsaga("run", *options, *tree, "--out", folder / "BRICKS")
    assert result.exit_code == 0, result.output
    with survey_server(shared("realsky")) as server:
        service = ["--service", server.cutout_url, "--rate", "1000"]
        result = xsaga("run", *options, *service, "--out", folder / "SERVICE")
        assert result.exit_code == 0, result.output
    return folder / "BRICKS", folder / "SERVICE"


@pytest.mark.parametrize("which", [0, 1])
def test_every_source_brighter_than_21_is_ranked(runs: tuple[Path, Path], which: int) -> None:
    targets = targets_of(runs[which])
    assert len(targets) == 36
    assert targets["mag_r"].max() <= 21
    assert targets["rank"].tolist() == list(range(1, 37))
    assert status_of(runs[which])["counts"]["waiting"] == 0


def test_partly_covered_cutouts_say_how_much(runs: tuple[Path, Path]) -> None:
    bricks, service = (targets_of(run).set_index("source_id") for run in runs)
    partial = bricks["coverage_r"] < 1
    assert 10 < partial.sum() < 36
    assert ((bricks["score_flags"] & 1) > 0).eq(partial).all()
    difference = bricks["coverage_r"] - service["coverage_r"].reindex(bricks.index)
    assert difference.abs().max() < 0.02


def test_sources_on_both_sides_of_ra_zero_are_complete(runs: tuple[Path, Path]) -> None:
    targets = targets_of(runs[0])
    near = np.minimum(targets["ra"], 360 - targets["ra"]) < 144 * 0.262 / 3600 / 2
    inside = near & ((targets["dec"] - 0.71).abs() < 0.009)
    assert inside.sum() >= 2
    assert (targets.loc[inside, ["coverage_g", "coverage_r", "coverage_z"]] == 1).all(axis=None)


def r_images(run: Path) -> dict[int, NDArray[np.float64]]:
    found = {}
    for index in run.rglob("cutouts.parquet"):
        cutouts = read_cutouts(TilePaths(index.parent))
        for source, row in zip(cutouts.index["source_id"], cutouts.index["row"], strict=True):
            found[int(source)] = np.asarray(cutouts.images[row, 1], dtype=float)
    return found


def offset(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pixels by which the same sky lies elsewhere, around the centre of two cutouts."""
    middle = slice(one.shape[0] // 2 - 20, one.shape[0] // 2 + 20)
    y, x = np.mgrid[middle, middle]

    def difference(shift: NDArray[np.float64]) -> float:
        moved = map_coordinates(other, [y + shift[0], x + shift[1]], order=3)
        return float(((moved - one[middle, middle]) ** 2).sum() / (one[middle, middle] ** 2).sum())

    best = minimize(difference, np.zeros(2), method="Nelder-Mead")
    assert best.fun < 0.02  # otherwise it is not the same sky
    return float(np.hypot(*best.x))


def test_bricks_and_service_agree_to_better_than_a_pixel(runs: tuple[Path, Path]) -> None:
    bricks, service = (r_images(run) for run in runs)
    complete = targets_of(runs[0]).query("coverage_r == 1")["source_id"]
    offsets = pd.Series({s: offset(bricks[s], service[s]) for s in complete})
    assert len(offsets) >= 10
    assert offsets.max() < 0.75  # half a pixel along each axis at most, and resampling
