from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from tests.small_runs import SIZE, SmallSky, targets_of, xsaga
from tests.toy_model import toy_card, toy_network
from xsaga.imaging.store import read_cutouts
from xsaga.model.architecture import Architecture
from xsaga.model.photometry import PHOTOMETRY, catalog_photometry
from xsaga.model.scoring import Scorer
from xsaga.model.weights import load_model, save_model
from xsaga.paths import RunPaths
from xsaga.run.folder import read_run_config
from xsaga.sky.tiles import tile_pixels


def test_a_runs_scores_use_the_photometry_of_each_source(sky: SmallSky, tmp_path: Path) -> None:
    architecture = Architecture(
        stem_channels=4,
        stage_channels=(6,),
        stage_blocks=(1,),
        surround_channels=(6,),
        photometry=len(PHOTOMETRY),
    )
    networks = [toy_network(architecture, seed, SIZE) for seed in range(2)]
    for network in networks:
        typical = torch.tensor([[20.0, 0.5, 0.3, 23.0, 0.0, 0.5, 1.0]])
        network.learn_photometry(typical)
    card = dataclasses.replace(toy_card(architecture, SIZE), image_release=("xsaga-sim",))
    save_model(tmp_path / "with-photometry", card, networks)
    run = tmp_path / "RUN"
    weights = ("--weights", tmp_path / "with-photometry")
    result = xsaga("run", *sky.options, *weights, "--out", run)
    assert result.exit_code == 0, result.output

    targets = targets_of(run)
    order = read_run_config(RunPaths(run)).footprint.order
    targets["tile"] = tile_pixels(targets["ra"], targets["dec"], order)
    scorer = Scorer(load_model(weights[1]), device="cpu", precision="float32")
    assert targets["tile"].nunique() > 1
    for pixel, part in targets.groupby("tile"):
        cutouts = read_cutouts(RunPaths(run).tile(order, int(pixel)))
        rows = cutouts.index.set_index("source_id")["row"].loc[part["source_id"]].to_numpy(np.int64)
        again = scorer.score(cutouts.images, rows=rows, photometry=catalog_photometry(part))
        np.testing.assert_allclose(again.p_lowz, part["p_lowz"], atol=1e-5)
        alone = scorer.score(cutouts.images, rows=rows)
        assert np.abs(alone.p_lowz - part["p_lowz"]).max() > 1e-3
