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
    for sliced in slice_all(sources, probability, probability >= 0.6, (19.0, 21.0), ""):
        assert sum(s.labelled for s in sliced.slices) == sources["labelled"].sum()
        assert sum(s.lowz for s in sliced.slices) == sources["lowz"].sum()
        assert sum(s.selected for s in sliced.slices) == chosen.sum()
        assert all(s.completeness.value == 1.0 for s in sliced.slices)
    r = slice_all(sources, probability, probability >= 0.6, (19.0, 21.0), "")[0]
    assert [(s.low, s.high) for s in r.slices] == [(19, 19.5), (19.5, 20), (20, 20.5), (20.5, 21)]


def test_one_slice_by_hand() -> None:
    sources = population(40).assign(mag_r=19.2, lowz=np.arange(40) < 4, labelled=True)
    probability = np.concatenate([[0.9, 0.9, 0.9, 0.1], [0.9], np.full(35, 0.2)])
    bright = slice_all(sources, probability, probability >= 0.5, (19.0, 21.0), "")[0].slices[0]
    assert (bright.labelled, bright.lowz, bright.selected) == (40, 4, 4)
    assert bright.purity.value == pytest.approx(3 / 4)
    assert bright.completeness.value == pytest.approx(3 / 4)
    assert bright.base_rate.value == pytest.approx(0.1)
    assert bright.mean_probability == pytest.approx(probability.mean())


def test_without_seeing_the_reason_is_kept() -> None:
    sources = population().assign(psfsize_r=np.nan)
    seeing = slice_all(
        sources, np.full(600, 0.5), np.ones(600, bool), (19.0, 21.0), "no bricks table"
    )[-1]
    assert seeing.slices == ()
    assert seeing.skipped == "no bricks table"


def test_one_value_of_seeing_is_no_range() -> None:
    sources = population().assign(psfsize_r=1.2)
    seeing = slice_all(sources, np.full(600, 0.5), np.ones(600, bool), (19.0, 21.0), "")[-1]
    assert seeing.slices == ()
    assert seeing.skipped


def test_no_source_falls_out_of_the_slices() -> None:
    """Values beyond all edges are in the open slices, those that are not known in their own."""
    sources = population().assign(labelled=True)
    sources.loc[:4, "mag_g"] = sources["mag_r"] - 0.8
    sources.loc[5:9, "mag_g"] = sources["mag_r"] + 2.5
    sources.loc[10:16, ["mag_g", "sb_r"]] = np.nan
    sources.loc[17:18, "sb_r"] = [15.0, 29.0]
    everything = np.ones(600, bool)
    _, brightness, colour, seeing = slice_all(
        sources, np.full(600, 0.5), everything, (19.0, 21.0), ""
    )
    gr = sources["mag_g"] - sources["mag_r"]
    assert [s.label for s in colour.slices] == [
        *("< 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "≥ 0.8"),
        "not known",
    ]
    assert colour.slices[0].labelled == (gr < 0.2).sum()
    assert colour.slices[-2].labelled == (gr >= 0.8).sum()
    assert colour.slices[-1].labelled == brightness.slices[-1].labelled == 7
    assert brightness.slices[0].labelled == (sources["sb_r"] < 21).sum()
    for sliced in (brightness, colour, seeing):
        assert sum(s.labelled for s in sliced.slices) == 600
        assert sum(s.lowz for s in sliced.slices) == sources["lowz"].sum()
    assert "not known" not in {s.label for s in seeing.slices}  # there are none
