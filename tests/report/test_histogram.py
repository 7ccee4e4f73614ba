from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.report.histogram import probability_histogram


@given(st.lists(st.floats(0, 1), max_size=200))
def test_every_probability_is_in_one_bar(values: list[float]) -> None:
    drawn = probability_histogram(np.array(values))
    counts = [int(bar.label.split(": ")[1].replace(",", "")) for bar in drawn.bars]
    assert sum(counts) == len(values)
    for bar in drawn.bars:
        assert bar.height > 0
        assert 0 <= bar.x <= bar.x + bar.width <= drawn.width
        assert bar.y + bar.height == pytest.approx(drawn.height, abs=0.02)


def test_a_single_source_is_seen_beside_a_million() -> None:
    drawn = probability_histogram(np.append(np.zeros(1_000_000), 0.99))
    assert [bar.label for bar in drawn.bars] == ["0.00 to 0.05: 1,000,000", "0.95 to 1.00: 1"]
    assert drawn.bars[0].height == pytest.approx(drawn.height)
    assert drawn.bars[1].height > 0.04 * drawn.height


def test_ticks_stand_at_the_height_of_their_count() -> None:
    values = np.concatenate([np.full(100, 0.01), np.full(10, 0.5)])
    drawn = probability_histogram(values)
    tick = next(tick for tick in drawn.up if tick.label == "10")
    assert tick.at == pytest.approx(drawn.bars[1].y, abs=0.02)
