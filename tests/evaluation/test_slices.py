from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xsaga.evaluation.slices import slice_all


def population(count: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    r = rng.uniform(19, 21, count)
    return pd.DataFrame(
        {
            "mag_r": r,
            "mag_g": r + rng.uniform(0.0, 1.0, count),
            "sb_r": rng.uniform(19, 26, count),
            "psfsize_r": rng.uniform(1.0, 1.5, count),
            "labelled": np.arange(count) % 10 != 0,
            "lowz": (np.arange(count) % 7 == 0) & (np.arange(count) % 10 != 0),
        }
    )


def test_slices_add_up_to_the_whole_list() -> None:
    sources = population()
    probability = np.where(sources["lowz"], 0.8, np.linspace(0, 0.9, 600))
    chosen = (probability >= 0.6) & sources["labelled"]
    for sliced in slice_all(sources, probability, 0.6, (19.0, 21.0), ""):
        assert sum(s.labelled for s in sliced.slices) == sources["labelled"].sum()
        assert sum(s.lowz for s in sliced.slices) == sources["lowz"].sum()
        assert sum(s.selected for s in sliced.slices) == chosen.sum()
        assert all(s.completeness.value == 1.0 for s in sliced.slices)
    r = slice_all(sources, probability, 0.6, (19.0, 21.0), "")[0]
    assert [(s.low, s.high) for s in r.slices] == [(19, 19.5), (19.5, 20), (20, 20.5), (20.5, 21)]


def test_one_slice_by_hand() -> None:
    sources = population(40).assign(mag_r=19.2, lowz=np.arange(40) < 4, labelled=True)
    probability = np.concatenate([[0.9, 0.9, 0.9, 0.1], [0.9], np.full(35, 0.2)])
    bright = slice_all(sources, probability, 0.5, (19.0, 21.0), "")[0].slices[0]
    assert (bright.labelled, bright.lowz, bright.selected) == (40, 4, 4)
    assert bright.purity.value == pytest.approx(3 / 4)
    assert bright.completeness.value == pytest.approx(3 / 4)
    assert bright.base_rate.value == pytest.approx(0.1)
    assert bright.mean_probability == pytest.approx(probability.mean())


def test_without_seeing_the_reason_is_kept() -> None:
    sources = population().assign(psfsize_r=np.nan)
    seeing = slice_all(sources, np.full(600, 0.5), 0.1, (19.0, 21.0), "no bricks table")[-1]
    assert seeing.slices == ()
    assert seeing.skipped == "no bricks table"


def test_one_value_of_seeing_is_no_range() -> None:
    sources = population().assign(psfsize_r=1.2)
    seeing = slice_all(sources, np.full(600, 0.5), 0.1, (19.0, 21.0), "")[-1]
    assert seeing.slices == ()
    assert seeing.skipped
