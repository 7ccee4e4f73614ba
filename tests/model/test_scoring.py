from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_cutouts import toy_cutouts
from tests.toy_model import toy_model
from xsaga.errors import ModelError
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.model.device import PrecisionChoice, has_native_bf16, resolve_device, resolve_precision
from xsaga.model.network import Architecture
from xsaga.model.preprocess import resample
from xsaga.model.scoring import ScoreFlag, Scorer
from xsaga.model.weights import Model

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(scope="module")
def model() -> Model:
    return toy_model()


@pytest.fixture(scope="module")
def full_model() -> Model:
    return toy_model(Architecture(), size=144)


@pytest.fixture(scope="module")
def full_images() -> np.ndarray:
    return toy_cutouts(64, 144, seed=8)[0]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bf16", 1e-3)])
def test_scores_do_not_depend_on_batch_size_or_order(
    full_model: Model, full_images: np.ndarray, precision: PrecisionChoice, tolerance: float
) -> None:
    images = full_images[: 12 if precision == "bf16" else 64]  # slow on most processors
    reference = Scorer(full_model, device="cpu", precision=precision, batch_size=64).score(images)
    assert reference.p_lowz.std() > 10 * tolerance
    shuffled = np.random.default_rng(1).permutation(len(images))
    for batch_size in (3, 100):
        again = Scorer(full_model, device="cpu", precision=precision, batch_size=batch_size).score(
            images[shuffled]
        )
        for name in ("p_lowz", "p_lowz_std"):
            np.testing.assert_allclose(
                getattr(again, name), getattr(reference, name)[shuffled], rtol=0, atol=tolerance
            )


def test_half_precision_scores_are_near_those_of_float32(
    full_model: Model, full_images: np.ndarray
) -> None:
    exact, rounded = (
        Scorer(full_model, device="cpu", precision=precision).score(full_images[:16])
        for precision in ("float32", "bf16")
    )
    np.testing.assert_allclose(rounded.p_lowz, exact.p_lowz, rtol=0, atol=0.02)


def test_scores_are_what_the_members_say_calibrated(model: Model) -> None:
    images, _ = toy_cutouts(10, 48, seed=2)
    scores = Scorer(model, device="cpu", precision="float32", batch_size=4).score(images)
    stretched = model.card.stretch.apply(torch.from_numpy(images))
    with torch.no_grad():
        logits = np.stack([network(stretched).numpy() for network in model.networks], axis=1)
    calibration = model.card.calibration
    np.testing.assert_allclose(
        scores.p_lowz, calibration.probability(logits.mean(axis=1)), atol=1e-5
    )
    np.testing.assert_allclose(
        scores.p_lowz_std, calibration.probability(logits).std(axis=1), atol=1e-5
    )
    np.testing.assert_allclose(scores.logit, logits.mean(axis=1), rtol=1e-4, atol=1e-5)
    assert scores.p_lowz_std.max() > 1e-3
    assert len(scores) == 10
    assert scores.p_lowz.dtype == scores.p_lowz_std.dtype == np.float32
    assert scores.flags.dtype == np.int32
    assert not scores.flags.any()
    assert np.isnan(scores.distance).all()  # the toy model has no feature space


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", np.float64])
def test_images_may_be_of_any_float_type_and_on_disk(
    model: Model, tmp_path: Path, dtype: type[np.floating]
) -> None:
    images, _ = toy_cutouts(9, 48, seed=3)
    scorer = Scorer(model, device="cpu", precision="float32", batch_size=4)
    np.save(tmp_path / "cutouts.npy", images.astype(dtype))
    on_disk = np.load(tmp_path / "cutouts.npy", mmap_mode="r")
    np.testing.assert_allclose(scorer.score(on_disk).p_lowz, scorer.score(images).p_lowz, atol=1e-6)


def test_an_image_that_is_not_finite_has_no_score_and_spoils_no_other(model: Model) -> None:
    images = toy_cutouts(8, 48, seed=4, dtype=np.float64)[0]
    scorer = Scorer(model, device="cpu", precision="float32", batch_size=4)
    clean = scorer.score(images)
    images[1, 0, 3, 3] = np.nan
    images[2, 2, 40, 3] = np.inf
    images[6, 2, 40, 3] = 1e300
    scores = scorer.score(images)
    bad = np.isin(np.arange(8), [1, 2, 6])
    np.testing.assert_array_equal(scores.flags, np.where(bad, ScoreFlag.NOT_FINITE, 0))
    np.testing.assert_array_equal(np.isnan(scores.p_lowz), bad)
    np.testing.assert_array_equal(np.isnan(scores.p_lowz_std), bad)
    np.testing.assert_allclose(scores.p_lowz[~bad], clean.p_lowz[~bad], atol=1e-6)


def test_no_images_give_no_scores(model: Model) -> None:
    scores = Scorer(model, device="cpu").score(np.empty((0, 3, 48, 48), dtype=np.float16))
    assert len(scores) == len(scores.flags) == len(scores.logit) == 0


def test_cutouts_that_match_the_card_pass(model: Model) -> None:
    scorer = Scorer(model, device="cpu")
    assert scorer.check(CutoutSpec(size=48), "ls-dr9") is False
    assert scorer.check(CutoutSpec(size=48, pixel_scale=0.26201), "simulated") is False


@pytest.mark.parametrize(
    ("spec", "release", "message"),
    [
        (CutoutSpec(size=48, bands=("g", "r")), "ls-dr9", "needs bands grz"),
        (CutoutSpec(size=48, bands=("z", "r", "g")), "ls-dr9", "needs bands grz.*have zrg"),
        (CutoutSpec(size=48), "ls-dr10", "made for images of ls-dr9, simulated.*of ls-dr10"),
        (CutoutSpec(size=48), "", "unnamed release"),
        (CutoutSpec(size=48, pixel_scale=0.3), "ls-dr9", "48 pixels of 0.3 arcsec"),
        (CutoutSpec(size=144), "ls-dr9", "144 pixels of 0.262 arcsec"),
    ],
)
def test_cutouts_that_do_not_match_the_card_are_refused(
    model: Model, spec: CutoutSpec, release: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Scorer(model, device="cpu").check(spec, release)
    assert "\n" not in str(caught.value)


def test_resampling_is_done_on_request_only_and_flagged(model: Model) -> None:
    scorer = Scorer(model, device="cpu", precision="float32")
    fine = CutoutSpec(size=96, pixel_scale=0.131)
    assert scorer.check(fine, "ls-dr9", resample=True) is True
    with pytest.raises(ModelError, match=r"hold only 6\.29"):
        scorer.check(CutoutSpec(size=48, pixel_scale=0.131), "ls-dr9", resample=True)
    with pytest.raises(ModelError, match="needs bands"):
        scorer.check(CutoutSpec(size=96, bands=("g",)), "ls-dr9", resample=True)
    images, _ = toy_cutouts(5, 96, seed=5, dtype=np.float32)
    with pytest.raises(ModelError, match="needs images of 48 pixels, these have 96"):
        scorer.score(images)
    scores = scorer.score(images, pixel_scale=0.131)
    by_hand = scorer.score(resample(torch.from_numpy(images), 0.131, 0.262, 48).numpy())
    np.testing.assert_allclose(scores.p_lowz, by_hand.p_lowz, atol=1e-5)
    assert (scores.flags == ScoreFlag.RESAMPLED).all()
    with pytest.raises(ModelError, match="pixel scale"):
        scorer.score(images, pixel_scale=0.0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 48, 48)), "shape"),
        (np.zeros((2, 4, 48, 48)), "shape"),
        (np.zeros((2, 3, 48, 47)), "shape"),
        (np.zeros((2, 3, 48, 48), dtype=np.int16), "int16"),
    ],
)
def test_what_is_no_stack_of_images_is_refused(
    model: Model, images: np.ndarray, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Scorer(model, device="cpu").score(images)


@pytest.mark.parametrize(
    "options",
    [
        {"device": "gpu"},
        {"device": "mps"},
        {"device": "cuda:99"},
        {"precision": "float8"},
        {"device": "cpu", "precision": "float16"},
        {"batch_size": 0},
    ],
)
def test_options_that_cannot_be_used_are_refused(model: Model, options: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        Scorer(model, **options)  # type: ignore[arg-type]


def test_auto_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for answer, precision in ((True, "bf16"), (False, "float32")):
        for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, probe, lambda answer=answer: answer, raising=False)
        assert has_native_bf16(CPU) is answer
        assert resolve_precision("auto", CPU) == precision


def test_the_bits_of_flags_never_change() -> None:
    assert {flag.name: flag.value for flag in ScoreFlag} == {
        "PARTIAL": 1,
        "LOW_COVERAGE": 2,
        "RESAMPLED": 4,
        "CLIPPED": 8,
        "NOT_FINITE": 16,
        "UNFAMILIAR": 32,
    }


@needs_gpu
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-4), ("bf16", 0.02), ("float16", 0.01)]
)
def test_a_gpu_gives_the_scores_of_the_cpu(
    full_model: Model,
    full_images: np.ndarray,
    precision: PrecisionChoice,
    tolerance: float,
) -> None:
    wanted = Scorer(full_model, device="cpu", precision="float32").score(full_images)
    scorer = Scorer(full_model, device="cuda", precision=precision, batch_size=10)
    scores = scorer.score(full_images)
    np.testing.assert_allclose(scores.p_lowz, wanted.p_lowz, rtol=0, atol=tolerance)
    again = scorer.score(full_images[::-1].copy())
    np.testing.assert_array_equal(again.logit[::-1], scores.logit)


@needs_gpu
def test_a_gpu_reads_rotten_or_missing_images_as_a_cpu_does(full_model: Model) -> None:
    images = np.random.default_rng(3).normal(0, 0.01, (50, 3, 144, 144)).astype(np.float16)
    images[:20] = 0
    images[30, 1, 3, 3] = np.nan
    on_gpu, on_cpu = (
        Scorer(full_model, device=device, precision="float32", batch_size=16).score(images)
        for device in ("cuda", "cpu")
    )
    np.testing.assert_array_equal(np.isnan(on_gpu.logit), np.isnan(on_cpu.logit))
    np.testing.assert_array_equal(on_gpu.flags, on_cpu.flags)
    assert np.isnan(on_gpu.logit).sum() == 21
