from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toy_model import toy_model
from xsaga.model.scoring import Scorer
from xsaga.run.scoring_speed import measure_scoring


def ticks() -> Iterator[float]:
    """Every work takes two seconds."""
    now = 0.0
    while True:
        yield now
        now += 2


def test_rates_are_images_over_seconds(tmp_path: Path) -> None:
    model, clock = toy_model(), ticks()
    scorers = {"one": Scorer(model, device="cpu", batch_size=8)}
    speeds = measure_scoring(
        model, scorers, images=20, rounds=2, folder=tmp_path, clock=lambda: next(clock)
    )
    # The plain networks run one batch at most; the clock ticks once in each work that counts.
    assert speeds.plain == speeds.stored == pytest.approx(10)
    one = speeds.scorers["one"]
    assert one.bare == one.memory == one.store == pytest.approx(10)
    assert not list(tmp_path.iterdir())
