from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.evaluation.success import by_night, first_results, gains, surprises, tally


def _rows(*rows: tuple[int, int, bool]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["target", "night", "good"])
    return table.assign(delta_chi2=np.nan, z_quality=4)


def _judged(lowz: list[bool], p: list[float], tier: list[int], good: bool = True) -> pd.DataFrame:
    count = len(lowz)
    return pd.DataFrame(
        {
            "target": range(count),
            "night": 20260101,
            "good": good,
            "lowz": lowz,
            "p_lowz": p,
            "tier": tier,
        }
    )


def test_the_first_night_with_a_good_redshift_decides() -> None:
    spectra = _rows(
        (7, 20260103, True), (7, 20260101, False), (7, 20260102, True), (8, 20260102, False)
    )
    results = first_results(spectra)
    assert results[["target", "night", "good", "last"]].to_numpy().tolist() == [
        [7, 20260101, False, False],
        [7, 20260102, True, True],
        [8, 20260102, False, True],
    ]


def test_a_good_spectrum_stands_for_its_night() -> None:
    results = first_results(_rows((1, 5, False), (1, 5, True), (1, 5, True)))
    assert results[["good", "last"]].to_numpy().tolist() == [[True, True]]


def test_the_most_certain_good_spectrum_of_a_night_is_taken() -> None:
    spectra = _rows((1, 5, False), (1, 5, True), (1, 5, True), (1, 5, True)).assign(
        delta_chi2=[900.0, np.nan, 30.0, 40.0], z=[1.0, 2.0, 3.0, 4.0]
    )
    assert first_results(spectra)["z"].tolist() == [4.0]
    assert first_results(spectra.assign(delta_chi2=np.nan, z_quality=[4, 3, 4, 4]))[
        "z"
    ].tolist() == [3.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), min_size=0, max_size=40
    )
)
def test_each_target_counts_once(rows: list[tuple[int, int, bool]]) -> None:
    results = first_results(_rows(*rows).astype({"target": int, "night": int, "good": bool}))
    totals = results[results["last"]]
    assert sorted(totals["target"]) == sorted({target for target, _, _ in rows})
    for target, night, good in totals[["target", "night", "good"]].itertuples(index=False):
        nights = [n for t, n, g in rows if t == target and g]
        assert good == bool(nights)
        assert night == (min(nights) if nights else max(n for t, n, _ in rows if t == target))
    assert not results.duplicated(["target", "night"]).any()
    assert results["good"].sum() == totals["good"].sum()


def test_shares_are_of_good_redshifts_only() -> None:
    results = _judged([True, False, False, True], [0.4, 0.3, 0.2, 0.9], [1, 1, 1, 1])
    results.loc[3, "good"] = False
    counted = tally(results)
    assert (counted.observed, counted.good, counted.lowz) == (4, 3, 1)
    assert counted.share.value == pytest.approx(1 / 3)
    assert counted.success.value == 0.75
    assert counted.expected == pytest.approx(0.9)


def test_nights_add_up_to_totals() -> None:
    rng = np.random.default_rng(4)
    results = pd.DataFrame(
        {
            "night": rng.integers(20260101, 20260105, 300),
            "tier": rng.integers(1, 3, 300),
            "good": rng.random(300) < 0.8,
            "lowz": rng.random(300) < 0.2,
            "p_lowz": rng.random(300),
        }
    )
    table = by_night(results, [1, 2, 3])
    assert len(table) == 12
    for tier in (1, 2):
        counted = tally(results[results["tier"] == tier])
        last = table[table["tier"] == tier].iloc[-1]
        assert table.loc[table["tier"] == tier, "observed"].sum() == counted.observed
        assert (last["total_good"], last["total_lowz"]) == (counted.good, counted.lowz)
        assert last["total_share_low"] == pytest.approx(counted.share.low)
        assert last["total_expected"] == pytest.approx(counted.expected)
    none = table[table["tier"] == 3]
    assert none["observed"].eq(0).all()
    assert none["share"].isna().all()


def test_gain_is_over_each_reference_tier_and_all_of_them() -> None:
    tallies = {
        1: tally(_judged([True] * 20 + [False] * 80, [0.2] * 100, [1] * 100)),
        2: tally(_judged([True] * 3 + [False] * 197, [0.02] * 200, [2] * 200)),
        3: tally(_judged([True] * 1 + [False] * 199, [0.01] * 200, [3] * 200)),
    }
    found = {gain.over: gain.ratio for gain in gains(tallies, (2, 3))}
    assert found[(2,)].value == pytest.approx(0.2 / 0.015)
    assert found[(3,)].value == pytest.approx(0.2 / 0.005)
    assert found[(2, 3)].value == pytest.approx(20)
    assert found[(2, 3)].low > 5
    assert {gain.tier for gain in gains(tallies, (3,))} == {1, 2}


def test_surprises_are_sorted_by_how_sure_the_list_was() -> None:
    results = _judged(
        [False, False, True, True, False, True],
        [0.9, 0.1, 0.001, 0.8, 0.5, 0.02],
        [1, 2, 3, 1, 1, 2],
    )
    found = surprises(results, 2)
    assert found["surprise"].tolist() == ["far", "far", "near", "near"]
    assert found["p_lowz"].tolist() == [0.9, 0.5, 0.001, 0.02]


def test_near_galaxies_of_tier_one_surprise_only_where_it_is_the_only_tier() -> None:
    only = _judged([True, True], [0.6, 0.5], [1, 1])
    assert surprises(only, 5)["p_lowz"].tolist() == [0.5, 0.6]
    both = _judged([True, True], [0.6, 0.5], [1, 2])
    assert surprises(both, 5)["p_lowz"].tolist() == [0.5]
    assert surprises(_judged([True], [0.1], [1], good=False), 5).empty
