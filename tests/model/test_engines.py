from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import TINY, toy_model
from xsaga.errors import MissingExtraError, ModelError
from xsaga.model import engine_trial
from xsaga.model.engine_trial import drawn_images, fastest_engine, try_engines
from xsaga.model.engines import EngineName
from xsaga.model.inference import BatchedNetworks
from xsaga.model.scoring import ScoreFlag, Scorer, scorers_for
from xsaga.model.weights import Model, load_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return toy_model()


@pytest.fixture(scope="module")
def converted(model: Model) -> Scorer:
    pytest.importorskip("openvino")
    return Scorer(model, device="cpu", precision="float32", engine="openvino", batch_size=4)


def ready(model: Model, name: EngineName) -> BatchedNetworks:
    return BatchedNetworks(
        model.networks,
        model.card.stretch,
        device=CPU,
        precision="float32",
        engine=name,
        size=model.card.size,
        batch_size=8,
    )


def test_openvino_gives_the_scores_of_torch_with_distances_and_photometry() -> None:
    pytest.importorskip("openvino")
    model = load_model("simulated")
    images = drawn_images(model.card, 6)
    images[4, 0, 3, 3] = np.inf
    images[5] = 0
    photometry = np.random.default_rng(1).normal(20, 2, (6, 7))
    photometry[1, 2:] = np.nan
    eager, other = (
        Scorer(model, device="cpu", precision="float32", engine=name, batch_size=3).score(
            images, photometry=photometry
        )
        for name in ("eager", "openvino")
    )
    assert np.isfinite(eager.logit[:4]).all()
    np.testing.assert_allclose(other.logit, eager.logit, atol=1e-4)
    np.testing.assert_allclose(other.distance, eager.distance, rtol=1e-4)
    np.testing.assert_array_equal(other.flags, eager.flags)
    assert eager.distance[5] == np.inf
    assert eager.flags[4] & ScoreFlag.NOT_FINITE


def test_scores_are_the_same_bytes_whatever_the_slot_and_the_caller(converted: Scorer) -> None:
    assert converted.engine == "openvino"
    images = toy_cutouts(22, 48, seed=2)[0]
    first = converted.score(images)
    backwards = converted.score(images[::-1])
    np.testing.assert_array_equal(backwards.logit[::-1], first.logit)
    with ThreadPoolExecutor(3) as threads:
        for scores in threads.map(converted.score, [images] * 3):
            np.testing.assert_array_equal(scores.logit, first.logit)


def test_openvino_resamples_and_takes_any_float(model: Model, converted: Scorer) -> None:
    images = toy_cutouts(5, 96, seed=3, dtype=np.float64)[0]
    scores = converted.score(images, pixel_scale=0.131)
    wanted = Scorer(model, device="cpu", precision="float32").score(images, pixel_scale=0.131)
    np.testing.assert_allclose(scores.logit, wanted.logit, atol=1e-4)


class Noted:
    """Images that note how they are read, and may end before their time."""

    def __init__(self, images: np.ndarray, ends: int = 10**9) -> None:
        self.images, self.ends = images, ends
        self.shape, self.dtype = images.shape, images.dtype

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        assert isinstance(rows, slice)
        if rows.stop > self.ends:
            raise ModelError("fetching was stopped")
        return self.images[rows]


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_reading_that_fails_leaves_an_engine_that_works(
    model: Model, converted: Scorer, engine: EngineName
) -> None:
    scorer = converted if engine == "openvino" else Scorer(model, device="cpu", batch_size=4)
    images = toy_cutouts(16, 48, seed=4)[0]
    wanted = scorer.score(images)
    with pytest.raises(ModelError, match="fetching was stopped"):
        scorer.score(Noted(images, ends=13))
    np.testing.assert_array_equal(scorer.score(Noted(images)).logit, wanted.logit)


def test_images_without_pixels_are_not_run_and_have_no_score(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = ready(model, "eager")
    images = toy_cutouts(24, 48, seed=5)[0]
    wanted = networks.logits(images)
    images[8:16] = 0
    images[23] = 0
    images[17] = 0
    images[17, 1, 5, 7] = 0.01  # a single pixel
    started = []
    start = networks.engine.start
    monkeypatch.setattr(
        networks.engine, "start", lambda *given: (started.append(given[0]), start(*given))
    )
    logits = networks.logits(images)
    assert len(started) == 2
    empty = np.isin(np.arange(24), [*range(8, 16), 23])
    np.testing.assert_array_equal(np.isnan(logits).all(axis=1), empty)
    same = ~empty & (np.arange(24) != 17)
    np.testing.assert_array_equal(logits[same], wanted[same])


def test_engines_that_cannot_be_used_are_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="'fast': use auto, eager, openvino"):
        Scorer(model, engine="fast")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="give the size"):
        BatchedNetworks(
            model.networks, model.card.stretch, device=CPU, precision="float32", engine="openvino"
        )
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.setattr("xsaga.model.openvino_engine.find_spec", lambda _: None)
    monkeypatch.setattr("xsaga.model.engines.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'xsaga\[openvino\]'"):
        Scorer(model, device="cpu", engine="openvino")
    assert Scorer(model, device="cpu", engine="auto").engine == "eager"


@pytest.mark.parametrize(("eager", "other", "best"), [(2, 1, "openvino"), (1, 2, "eager")])
def test_a_trial_takes_the_fastest(model: Model, eager: float, other: float, best: str) -> None:
    pytest.importorskip("openvino")
    # Two engines begin in no time, the limit is asked for, and between rounds, too; each round is
    # two times of two engines.
    ticks = chain([0.0] * 5, clock_ticks(eager, other))
    trial = try_engines(
        model,
        lambda name: ready(model, name),
        ("eager", "openvino"),
        device=CPU,
        precision="float32",
        clock=lambda: next(ticks),
    )
    assert trial.engine == best
    assert trial.rates["eager"] / trial.rates["openvino"] == pytest.approx(other / eager, rel=0.01)


def test_an_engine_that_takes_long_to_begin_must_make_up_for_it(model: Model) -> None:
    def best(beginning: float) -> str:
        # Of 64 images in 2 s and in 1 s: MANY take 625 s and 312 s.
        ticks = chain([0.0, 0.0, 0.0, beginning, 0.0], clock_ticks(2, 1))
        trial = try_engines(
            model,
            lambda _: ready(model, "eager"),
            ("eager", "openvino"),
            device=CPU,
            precision="float32",
            clock=lambda: next(ticks),
        )
        assert trial.beginnings == {"eager": 0, "openvino": beginning}
        return trial.engine

    assert best(250) == "openvino"
    assert best(350) == "eager"


def clock_ticks(eager: float, other: float) -> Iterator[float]:
    """Times of a clock that is asked for ever: never all of them at once."""
    now = 0.0
    while True:
        for step in (eager, other):
            yield now
            now += step
            yield now
        yield now


def test_an_engine_that_gives_other_scores_is_out(model: Model) -> None:
    wrong = dataclasses.replace(model, networks=toy_model(TINY, 48, 3).networks[1:])

    def make(name: EngineName) -> BatchedNetworks:
        return ready(wrong if name == "openvino" else model, "eager")

    trial = try_engines(model, make, ("eager", "openvino"), device=CPU, precision="float32")
    assert trial.engine == "eager"
    assert trial.rates.keys() == {"eager"}


def test_what_a_trial_found_is_remembered_for_the_same_setting(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_trial, "installed_engines", lambda _: ("eager", "openvino"))
    made: list[str] = []

    def make(name: EngineName) -> BatchedNetworks:
        made.append(name)
        return ready(model, "eager")

    def find(batch_size: int | None = None) -> str:
        return fastest_engine(
            model, make, device=CPU, precision="float32", batch_size=batch_size, folder=tmp_path
        )

    found = find()
    assert made == ["eager", "openvino"]
    assert find() == found
    assert len(made) == 2
    (path,) = tmp_path.iterdir()
    other = next(name for name in ("eager", "openvino") if name != found)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"engine": other}))
    assert find() == other
    find(batch_size=8)
    assert len(made) == 4
    for damaged in ("{", "[]", json.dumps(content | {"engine": "rm"}), '{"key": 1}'):
        path.write_text(damaged)
        before = len(made)
        find()
        assert len(made) == before + 2
        assert json.loads(path.read_text())["key"] == content["key"]


def test_there_is_one_scorer_for_each_gpu_else_one(model: Model) -> None:
    scorers = scorers_for(model, device="auto")
    assert len(scorers) == max(1, torch.cuda.device_count())
    assert len(scorers_for(model, device="cpu")) == 1


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_photometry_that_is_not_given_is_not_that_of_before(name: str) -> None:
    if name == "openvino":
        pytest.importorskip("openvino", reason="needs the extra [openvino]")
    model = load_model("simulated")
    images = drawn_images(model.card, 2)
    scorer = Scorer(model, device="cpu", precision="float32", engine=name, batch_size=2)  # type: ignore[arg-type]
    before = scorer.score(images).logit
    quantities = model.card.architecture.photometry
    scorer.score(images, photometry=np.full((2, quantities), 1.5, np.float32))
    assert np.array_equal(scorer.score(images).logit, before)
