from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.toy_model import TINY, toy_model
from xsaga.model.measure import cost_of, measure_scoring
from xsaga.model.scoring import Scorer


def ticks() -> Iterator[float]:
    """Every work takes two seconds."""
    now = 0.0
    while True:
        yield now
        now += 2


def test_rates_are_images_over_seconds() -> None:
    model, clock = toy_model(), ticks()
    scorers = {"one": Scorer(model, device="cpu", batch_size=8)}
    plain, rates = measure_scoring(scorers, model, images=20, rounds=2, clock=lambda: next(clock))
    # The plain networks run one batch at most; the clock ticks once in each work that counts.
    assert plain == pytest.approx(10)
    assert rates["one"].bare == rates["one"].memory == rates["one"].disk == pytest.approx(10)
    assert measure_scoring(scorers, model, images=4, rounds=1, baseline=False)[0] is None


def test_the_cost_of_members_adds_up() -> None:
    one, two = (cost_of(toy_model(TINY, 48, members)) for members in (1, 2))
    assert two.flops == 2 * one.flops
    assert two.bytes == 2 * one.bytes
    stem = 2 * 3 * 25 * TINY.stem_channels * 24 * 24  # 5×5, at half of the resolution
    assert stem < one.flops < 20 * stem
