from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.run.list_names import ListName
from xsaga.run.nightly_changes import (
    CHANGES_SCHEMA,
    FAILS_CUTS,
    NO_TIER,
    Causes,
    changes_table,
    list_changes,
)
from xsaga.run.nightly_lists import next_name
from xsaga.run.nightly_summary import (
    MAX_LINES,
    NightSummary,
    TierCount,
    duration,
    loss_warning,
    reasons,
)

NO_CAUSES = Causes(6, {}, base_rate=False, ranking=False, p_tolerance=1e-4)

sources = st.dictionaries(
    st.integers(-(2**62), 2**62),
    st.tuples(st.integers(1, 3), st.floats(0, 1, width=32)),
    max_size=20,
)


def targets(given_: dict[int, tuple[int, float]]) -> pd.DataFrame:
    tiers = [tier for tier, _ in given_.values()]
    return pd.DataFrame(
        {
            "source_id": np.array(list(given_), np.int64),
            "ra": np.full(len(given_), 10.0),
            "dec": np.full(len(given_), 5.0),
            "tier": np.array(tiers, np.int16),
            "priority": np.array([90 - 10 * tier for tier in tiers], np.int32),
            "p_lowz": np.array([p for _, p in given_.values()], np.float32),
        }
    )


def fates(words: dict[int, tuple[str, str]]) -> pd.DataFrame:
    index = pd.Index(list(words), dtype=np.int64, name="source_id")
    return pd.DataFrame(list(words.values()), index=index, columns=["fate", "detail"], dtype=object)


@given(sources, sources)
def test_the_changes_lead_from_one_list_to_the_other(
    before: dict[int, tuple[int, float]], after: dict[int, tuple[int, float]]
) -> None:
    changes = list_changes(targets(before), targets(after), fates({}), fates({}), NO_CAUSES)
    kinds = changes.groupby("what")["source_id"].apply(set).to_dict()
    added, removed = kinds.get("added", set()), kinds.get("removed", set())
    assert (set(before) | added) - removed == set(after)
    assert added == set(after) - set(before)
    moved = {i for i in set(before) & set(after) if before[i][0] != after[i][0]}
    drifted = {i for i in set(before) & set(after) if abs(before[i][1] - after[i][1]) > 1e-4}
    assert kinds.get("changed", set()) == moved | drifted
    table = changes_table(changes, "2026-11-26", "2026-11-26.2")
    assert table.schema == CHANGES_SCHEMA
    values = table.to_pandas().set_index("source_id")
    for number in set(before) & set(values.index):
        assert values.loc[number, "tier_before"] == before[number][0]
    for number in removed:
        assert pd.isna(values.loc[number, "p_lowz_after"])


def test_each_change_has_its_reason() -> None:
    before = targets({1: (1, 0.9), 2: (1, 0.8), 3: (2, 0.5), 4: (2, 0.4), 5: (3, 0.1)})
    after = targets({1: (2, 0.9), 2: (1, 0.7), 6: (1, 0.8), 7: (3, 0.1), 8: (3, 0.05)})
    was = fates({6: (FAILS_CUTS, "FAINT"), 7: ("good redshift", "desi.fits row 3")})
    is_now = fates({3: ("observed", "night.ecsv row 1"), 4: (NO_TIER, "")})
    changes = list_changes(before, after, was, is_now, NO_CAUSES).set_index("source_id")
    assert changes["why"].to_dict() == {
        6: "newly passes",
        7: "no longer: good redshift",
        8: "new in catalog",
        1: "ranking",
        2: "scored again",
        3: "observed",
        4: "pushed out of its tier",
        5: "no longer in catalog",
    }
    assert changes.loc[3, "detail"] == "night.ecsv row 1"
    assert changes.loc[6, "detail"] == "FAINT"


@pytest.mark.parametrize(
    ("causes", "why"),
    [
        (Causes(6, {}, base_rate=True, ranking=True, p_tolerance=1e-4), "base rate"),
        (Causes(0, dict.fromkeys(range(12), "weights"), False, False, 1e-4), "weights"),
        (Causes(0, dict.fromkeys(range(12), "imaging"), False, False, 1e-4), "imaging"),
    ],
)
def test_a_score_changes_for_what_differs(causes: Causes, why: str) -> None:
    before, after = targets({1: (1, 0.9)}), targets({1: (1, 0.8)})
    changes = list_changes(before, after, fates({}), fates({}), causes)
    assert changes["why"].tolist() == [why]


def test_photometry_is_told_from_a_score_that_is_only_made_again() -> None:
    before = targets({1: (1, 0.9), 2: (1, 0.8)}).assign(mag_r=[18.0, np.nan])
    after = targets({1: (1, 0.8), 2: (1, 0.7)}).assign(mag_r=[18.1, np.nan])
    causes = Causes(0, {}, base_rate=False, ranking=False, p_tolerance=1e-4)
    changes = list_changes(before, after, fates({}), fates({}), causes)
    assert changes["why"].tolist() == ["photometry", "scored again"]


@given(st.lists(st.dates(date(2020, 1, 1), date(2030, 1, 1)), max_size=10))
def test_names_follow_each_other_whatever_the_clock_says(nights: list[date]) -> None:
    last = None
    for night in nights:
        name, warning = next_name(last, night)
        assert last is None or name > last
        assert ListName.parse(str(name)) == name
        if last is not None and night < last.night:
            assert str(night) in warning
            assert str(last.night) in warning
        else:
            assert not warning
            assert name.night == night
        last = name


@pytest.mark.parametrize("name", [".next", "2026-11-26.1", "2026-13-01", "2026-11-26.02", "old"])
def test_other_folders_are_no_lists(name: str) -> None:
    assert ListName.parse(name) is None


def test_a_summary_is_short_whatever_happens() -> None:
    many = {f"reason {number}": 1000 - number for number in range(30)}
    night = NightSummary(
        night="2026-11-26",
        list="2026-11-26.2",
        previous="2026-11-26",
        complete=False,
        run="2026-11-26.2-so-far",
        inputs="ab",
        targets=123_456,
        targets_before=1,
        tiers=tuple(TierCount(n, "p>=0.5", 80, n, 0) for n in range(1, 12)),
        added=many,
        changed=many,
        removed=many,
        not_targets=many,
        counts={"candidates": 5, "scored": 4},
        failed=many,
        waiting=3,
        carried_over=2,
        tiles={"kept": 1, "rescored": 0, "scored": 2, "waiting": 3},
        exports=("desi-targets",),
        weights={"name": "toy", "simulated": True},
        ranking={},
        base_rate="",
        area_deg2=None,
        warnings=tuple(f"this {number}\nlooks wrong" for number in range(20)),
        to_do=tuple(f"do {number}" for number in range(20)),
        seconds=7384.0,
        peak_memory_mib=1234.5,
    )
    lines = night.format().splitlines()
    assert len(lines) <= MAX_LINES
    assert lines[0].startswith("xsaga nightly 2026-11-26: 123,456 targets in lists/2026-11-26.2 (+")
    assert lines[-1] == "run time 2 h 03 min, peak memory 1,234 MiB"
    assert "OUT OF TIME: 3 of 6 tiles" in lines[2]
    assert reasons(pd.DataFrame({"what": ["added"], "why": ["x"]}), "added") == {"x": 1}


def test_a_list_that_loses_most_is_warned_of() -> None:
    assert "60 of the 100 targets before are gone" in loss_warning(100, {"x": 60})
    assert not loss_warning(100, {"x": 40})
    assert duration(61) == "1 min 01 s"
