from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import TINY
from xsaga.errors import ModelError
from xsaga.model.fit_settings import FitSettings
from xsaga.model.preprocess import Stretch
from xsaga.model.side_tasks import side_loss, standardised
from xsaga.model.training import fit


def test_quantities_get_one_scale_and_unknown_ones_stay_unknown() -> None:
    values = np.array([[1.0, 100.0, 3.0], [2.0, np.nan, 3.0], [3.0, 300.0, 3.0]])
    scaled = standardised(values, 3)
    assert scaled.shape == (3, 2)  # the third column tells nothing
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), 1, rtol=1e-6)
    assert np.isnan(scaled[1, 1])


def test_an_odd_value_is_cut() -> None:
    values = np.zeros((1000, 1))
    values[0] = 1e6
    assert standardised(values, 1000).max() == 5


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((2, 1)), np.full((3, 1), np.inf)])
def test_quantities_that_do_not_fit_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ModelError, match="side tasks"):
        standardised(values, 3)


def test_only_what_is_known_counts() -> None:
    found = torch.tensor([[0.0, 7.0], [1.0, 0.5]], requires_grad=True)
    truth = torch.tensor([[0.0, torch.nan], [1.0, 0.0]])
    loss = side_loss(found, truth)
    assert loss.item() == pytest.approx(0.125 / 3)
    loss.backward()
    assert found.grad is not None
    assert found.grad[0, 1] == 0
    assert side_loss(found, torch.full((2, 2), torch.nan)).item() == 0


def test_features_know_what_was_learnt_beside_the_class() -> None:
    images, wide = toy_cutouts(240, 24, seed=5)
    coin = np.random.default_rng(1).random(240) < 0.5  # a class that no image shows
    settings = FitSettings(members=1, folds=2, epochs=6, batch_size=24, seed=3)
    stretched = Stretch().apply(torch.from_numpy(images.astype(np.float32)))
    correlation = []
    for side in (None, np.where(wide, 1.0, 0.0)[:, None]):
        result = fit(
            images, coin, side_tasks=side, architecture=TINY, settings=settings, device="cpu"
        )
        unseen = result.fold == 0
        with torch.no_grad():
            features = result.networks[0].eval().features(stretched).numpy()
        design = np.column_stack([features, np.ones(len(features))])
        solved, *_ = np.linalg.lstsq(design[~unseen], wide[~unseen].astype(float), rcond=1e-3)
        correlation.append(np.corrcoef(design[unseen] @ solved, wide[unseen])[0, 1])
    assert correlation[1] > max(correlation[0], 0.8)
