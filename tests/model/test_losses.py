from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xsaga.model.batches import epoch_rows, read_ahead
from xsaga.model.losses import focal_loss, make_loss
from xsaga.model.metrics import average_precision, purity_at_completeness
from xsaga.model.optimizers import Lookahead, one_cycle

LOGITS = torch.tensor([2.0, -1.0, 0.5, -3.0])
TRUTH = torch.tensor([1.0, 1.0, 0.0, 0.0])


def test_the_focal_loss_is_that_of_its_equation() -> None:
    p = torch.sigmoid(LOGITS)
    of_truth = torch.where(TRUTH > 0, p, 1 - p)
    wanted = (-((1 - of_truth) ** 2) * of_truth.log()).mean()
    torch.testing.assert_close(focal_loss(LOGITS, TRUTH, 2.0), wanted)


def test_without_focus_it_is_cross_entropy() -> None:
    names = {"positive_rate": 0.1, "focal_gamma": 0.0, "positive_weight": 0.0}
    focal, plain = (make_loss(name, **names)(LOGITS, TRUTH) for name in ("focal", "bce"))  # type: ignore[arg-type]
    torch.testing.assert_close(focal, plain)


def test_the_weighted_loss_gives_both_classes_the_same_weight_or_the_one_asked_for() -> None:
    logits = torch.zeros(100)
    truth = torch.zeros(100)
    truth[:10] = 1
    for asked, weight in ((0.0, 9.0), (4.0, 4.0)):
        loss = make_loss("weighted", positive_rate=0.1, focal_gamma=0, positive_weight=asked)
        logits = torch.zeros(100, requires_grad=True)
        loss(logits, truth).backward()
        assert logits.grad is not None
        push = logits.grad.abs()
        assert float(push[0] / push[-1]) == pytest.approx(weight)


@given(
    positives=st.integers(1, 40),
    negatives=st.integers(1, 40),
    sampling=st.sampled_from(["natural", "balanced"]),
    seed=st.integers(0, 5),
)
def test_an_epoch_has_as_many_images_and_draws_a_class_evenly(
    positives: int, negatives: int, sampling: str, seed: int
) -> None:
    positive = np.arange(positives + negatives + 7) < positives
    rows = np.arange(positives + negatives)
    drawn = epoch_rows(rows, positive, sampling, np.random.default_rng(seed))  # type: ignore[arg-type]
    assert len(drawn) == len(rows)
    times = np.bincount(drawn, minlength=len(rows))
    if sampling == "natural":
        assert (times == 1).all()
        return
    assert positive[drawn].sum() == len(rows) // 2
    for some in (times[:positives], times[positives:]):
        assert some.max() - some.min() <= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_batches_that_are_read_ahead_come_in_order(dtype: type[np.floating]) -> None:
    images = np.arange(50, dtype=dtype)[:, None, None, None] * np.ones((1, 3, 4, 4), dtype)
    batches = [np.array([1, 5]), np.array([0, 2, 49]), np.array([7]), np.array([8, 9])]
    seen = list(read_ahead(images, batches, torch.device("cpu")))
    assert [rows.tolist() for rows, _ in seen] == [rows.tolist() for rows in batches]
    for rows, pixels in seen:
        assert pixels.dtype == (torch.float16 if dtype is np.float16 else torch.float32)
        assert pixels[:, 2, 3, 1].tolist() == rows.tolist()


def test_a_reader_that_fails_is_heard() -> None:
    with pytest.raises(IndexError):
        list(read_ahead(np.zeros((3, 3, 4, 4)), [np.array([9])], torch.device("cpu")))


def test_the_cycle_begins_low_peaks_at_a_quarter_and_ends_near_nothing() -> None:
    course = [one_cycle(share)[0] for share in np.linspace(0, 1, 101)]
    assert course[0] == pytest.approx(1 / 25)
    assert np.argmax(course) == 25
    assert course[25] == pytest.approx(1)
    assert course[100] == pytest.approx(1e-5)
    assert (np.diff(course[:26]) > 0).all()
    assert (np.diff(course[25:]) < 0).all()
    assert [one_cycle(share)[1] for share in (0, 0.25, 1)] == pytest.approx([0.95, 0.85, 0.95])


def test_slow_weights_are_pulled_half_the_way_every_few_steps() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    lookahead = Lookahead([weight], every=3, share=0.5)
    seen = []
    for _ in range(6):
        with torch.no_grad():
            weight += 1
        lookahead.step()
        seen.append(float(weight.detach()))
    assert seen == [1, 2, 1.5, 2.5, 3.5, 3.0]


def test_average_precision_and_purity_of_a_small_list() -> None:
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    labels = [True, False, True, False, True]
    assert average_precision(scores, labels) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert purity_at_completeness(scores, labels, 2 / 3) == pytest.approx(2 / 3)
    assert purity_at_completeness(scores, labels, 0.9) == pytest.approx(3 / 5)


def test_equal_scores_are_taken_together() -> None:
    assert average_precision([1.0, 1.0, 1.0, 0.0], [True, False, False, True]) == pytest.approx(
        (1 / 3 + 2 / 4) / 2
    )


def test_a_cut_that_is_purer_at_higher_completeness_counts() -> None:
    assert purity_at_completeness([4, 3, 2, 1], [False, True, True, False], 0.5) == pytest.approx(
        2 / 3
    )
