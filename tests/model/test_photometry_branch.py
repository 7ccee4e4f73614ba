from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import TINY, toy_card, toy_network
from xsaga.errors import ModelError
from xsaga.model.architecture import Architecture
from xsaga.model.fit_settings import FitSettings
from xsaga.model.inference import BatchedNetworks
from xsaga.model.layers import PhotometryBranch
from xsaga.model.metrics import area_under_curve
from xsaga.model.network import inference_copy
from xsaga.model.novelty import fit_feature_space
from xsaga.model.photometry import PHOTOMETRY, PHOTOMETRY_COLUMNS, catalog_photometry
from xsaga.model.preprocess import Stretch
from xsaga.model.scoring import Scorer
from xsaga.model.training import fit
from xsaga.model.weights import Model, load_model, save_model

CPU = torch.device("cpu")
SMALL = Architecture(
    stem_channels=6,
    stage_channels=(8, 12),
    stage_blocks=(1, 1),
    surround_channels=(6, 8),
    photometry=3,
)
QUICK = FitSettings(members=1, folds=2, epochs=2, batch_size=16, learning_rate=1e-2, seed=3)


def _photometry(count: int, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).normal(20, 2, (count, 3)).astype(np.float32)
    values[::5, 1] = np.nan
    return values


@pytest.fixture(scope="module")
def model() -> Model:
    networks = tuple(toy_network(SMALL, seed) for seed in range(2))
    for network in networks:
        network.learn_photometry(torch.from_numpy(_photometry(200)))
    return Model(toy_card(SMALL), networks)


def test_the_catalogs_columns_become_what_a_network_takes() -> None:
    sources = pd.DataFrame(
        {
            "mag_g": [20.5, np.nan, 21.0],
            "mag_r": [20.0, 19.0, 20.0],
            "mag_z": [19.75, 18.5, np.inf],
            "sb_r": [24.0, 18.0, 23.0],
            "radius": [10.0, 0.0, 1.0],
            "ba": [0.5, 1.0, 0.25],
            "sersic": [1.0, 0.0, 4.0],
        },
        dtype=np.float32,
    )
    assert set(sources) == set(PHOTOMETRY_COLUMNS)
    nan = np.nan
    wanted = [
        [20, 0.5, 0.25, 24, 1, 0.5, 1],
        [19, nan, 0.5, nan, nan, nan, nan],  # a point source: no shape
        [20, 1, nan, 23, 0, 0.25, 4],
    ]
    found = catalog_photometry(sources)
    assert found.dtype == np.float32
    assert found.shape == (3, len(PHOTOMETRY))
    np.testing.assert_allclose(found, np.array(wanted), atol=1e-6)


def test_quantities_get_one_scale_and_unknown_ones_are_told_from_average_ones() -> None:
    torch.manual_seed(5)  # of some first weights, four rectified units tell nothing
    branch = PhotometryBranch(3, 4)
    values = torch.tensor([[1.0, torch.nan, 7.0], [3.0, torch.nan, 7.0], [torch.inf, 5.0, 7.0]])
    branch.learn_scale(values)
    torch.testing.assert_close(branch.mean, torch.tensor([2.0, 5.0, 7.0]))
    torch.testing.assert_close(branch.scatter, torch.ones(3))
    unknown, average = torch.full((1, 3), torch.nan), branch.mean[None]
    with torch.no_grad():
        assert torch.isfinite(branch(values)).all()
        assert not torch.equal(branch(unknown), branch(average))
        far = branch.mean + torch.tensor([[5.0, 0, 0], [1e30, 0, 0]])
        torch.testing.assert_close(branch(far)[0], branch(far)[1])


def test_a_quantity_that_nothing_taught_of_plays_no_part() -> None:
    images, labels = toy_cutouts(64, 48, seed=4)
    photometry = _photometry(64)
    photometry[:, 1] = np.nan  # as r−z in SAGA's tables
    fitted = fit(
        images, labels, photometry=photometry, architecture=SMALL, settings=QUICK, device="cpu"
    )
    scorer = BatchedNetworks(fitted.networks, fitted.stretch, device=CPU, precision="float32")
    wanted = scorer.logits(images, photometry=photometry)
    photometry[:, 1] = 0.4  # as the survey's catalog knows it
    np.testing.assert_array_equal(scorer.logits(images, photometry=photometry), wanted)
    photometry[:, 0] += 1
    assert np.abs(scorer.logits(images, photometry=photometry) - wanted).max() > 1e-4


def test_photometry_counts_and_may_be_unknown(model: Model) -> None:
    images, _ = toy_cutouts(10, 48, seed=2)
    values = _photometry(10)
    scorer = Scorer(model, device="cpu", precision="float32", batch_size=4)
    scores = scorer.score(images, photometry=values)
    assert np.isfinite(scores.logit).all()
    alone = scorer.score(images)
    assert np.isfinite(alone.logit).all()
    assert np.abs(alone.logit - scores.logit).min() > 1e-4
    unknown = scorer.score(images, photometry=np.full((10, 3), np.nan))
    np.testing.assert_array_equal(unknown.logit, alone.logit)
    stretched = model.card.stretch.apply(torch.from_numpy(images))
    with torch.no_grad():
        logits = [network(stretched, torch.from_numpy(values)) for network in model.networks]
    np.testing.assert_allclose(scores.logit, torch.stack(logits).mean(0), rtol=1e-4, atol=1e-5)


def test_photometry_goes_with_the_rows_that_are_scored(model: Model) -> None:
    images, _ = toy_cutouts(10, 48, seed=2)
    values, rows = _photometry(10), np.array([7, 2, 9, 0, 4])
    whole = Scorer(model, device="cpu", precision="float32").score(images, photometry=values)
    some = Scorer(model, device="cpu", precision="float32", batch_size=2).score(
        images, rows=rows, photometry=values[rows]
    )
    np.testing.assert_allclose(some.logit, whole.logit[rows], atol=1e-5)


def test_photometry_that_a_network_cannot_take_is_refused(model: Model) -> None:
    images, wide = toy_cutouts(10, 48, seed=2)
    for wrong in (np.zeros((10, 2)), np.zeros((9, 3)), np.zeros(10)):
        with pytest.raises(ModelError, match=r"photometry of shape .* give \(10, 3\)"):
            Scorer(model, device="cpu").score(images, photometry=wrong)
    plain = Model(toy_card(members=1), (toy_network(TINY, seed=1),))
    with pytest.raises(ModelError, match="takes no photometry"):
        Scorer(plain, device="cpu").score(images, photometry=np.zeros((10, 3)))
    with pytest.raises(ModelError, match="takes no photometry"):
        plain.networks[0](torch.zeros(1, 3, 48, 48), torch.zeros(1, 3))
    with pytest.raises(ModelError, match="takes 3 quantities of the catalog"):
        fit(images, wide, architecture=SMALL, settings=QUICK, device="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_copy_for_scoring_takes_photometry_too(model: Model, dtype: torch.dtype) -> None:
    network, images = model.networks[0], torch.randn(4, 3, 48, 48)
    values = torch.from_numpy(_photometry(4))
    with torch.no_grad():
        wanted = network(images, values)
        found = inference_copy(network, CPU, dtype)(images.to(dtype), values)
    assert found.dtype == torch.float32
    near = 1e-4 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(found, wanted, rtol=near, atol=near)


def test_a_model_keeps_the_scales_of_its_photometry(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "toy", model.card, model.networks)
    images, _ = toy_cutouts(6, 48, seed=2)
    before, after = (
        Scorer(each, device="cpu", precision="float32").score(images, photometry=_photometry(6))
        for each in (model, load_model(tmp_path / "toy"))
    )
    np.testing.assert_array_equal(before.logit, after.logit)


def test_how_unfamiliar_a_cutout_is_does_not_depend_on_its_photometry(model: Model) -> None:
    images, _ = toy_cutouts(240, 32, seed=6)
    space, _ = fit_feature_space(
        model.networks[0],
        Stretch(),
        images,
        reference=np.arange(120),
        held_out=np.arange(120, 240),
        device=CPU,
    )
    networks = BatchedNetworks(
        model.networks, Stretch(), device=CPU, precision="float32", feature_space=space
    )
    alone, alone_distance = networks.logits_and_distances(images)
    logits, distance = networks.logits_and_distances(images, photometry=_photometry(240) * 3)
    assert (logits != alone).all()
    np.testing.assert_array_equal(distance, alone_distance)
    assert (distance > 1).mean() < 0.1


def test_what_the_photometry_tells_is_learnt_and_the_image_is_not_forgotten() -> None:
    images, wide = toy_cutouts(320, 24, seed=7)
    positive = wide.copy()
    positive[::2] = np.random.default_rng(1).random(160) < 0.4  # only the catalog tells these
    values = _photometry(320)
    values[::2, 0] = np.where(positive[::2], 17, 21)
    values[1::2] = np.nan
    settings = dataclasses.replace(QUICK, epochs=8, batch_size=20)
    result = fit(
        images, positive, photometry=values, architecture=SMALL, settings=settings, device="cpu"
    )
    even, judged = np.arange(320) % 2 == 0, np.isfinite(result.held_out_logit)
    for part in (even, ~even):
        rows = judged & part
        assert area_under_curve(result.held_out_logit[rows], positive[rows]) > 0.9
    alone = fit(
        images,
        positive,
        architecture=dataclasses.replace(SMALL, photometry=0),
        settings=settings,
        device="cpu",
    )
    rows = judged & even
    assert area_under_curve(alone.held_out_logit[rows], positive[rows]) < 0.7


def test_the_seed_decides_which_photometry_is_forgotten() -> None:
    images, wide = toy_cutouts(80, 32, seed=13)
    first, second, third = (
        fit(
            images,
            wide,
            photometry=_photometry(80),
            architecture=SMALL,
            settings=dataclasses.replace(QUICK, seed=seed),
            device="cpu",
        )
        for seed in (1, 1, 2)
    )
    states = [run.networks[0].state_dict() for run in (first, second, third)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(
        states[0]["photometry.first.weight"], states[2]["photometry.first.weight"]
    )
    learnt = _photometry(80)[first.fold != 0]
    scale = states[0]["photometry.mean"].numpy()
    np.testing.assert_allclose(scale, np.nanmean(learnt, axis=0), rtol=1e-5)
