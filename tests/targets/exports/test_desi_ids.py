"""TARGETIDs of sources that have none."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsaga.catalog.identifiers import decode_targetid, encode_targetid, position_ids
from xsaga.errors import TargetsError
from xsaga.sky.brick_grid import brick_ids
from xsaga.targets.exports.desi_ids import (
    KNOWN_RELEASES,
    assign_targetids,
    release_of_survey,
    scnd_bits,
)
from xsaga.targets.exports.desi_settings import SURVEYS
from xsaga.targets.exports.settings import ExportSettings

PLAIN = ExportSettings()


def positions(count: int, seed: int = 1, *, width: float = 360.0) -> pd.DataFrame:
    """Sources with ids made from positions, by tier, then by rank."""
    random = np.random.default_rng(seed)
    ra = random.uniform(0, width, count)
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, count))) * width / 360.0
    tier = np.sort(random.integers(1, 4, count)).astype(np.int16)
    return pd.DataFrame(
        {
            "source_id": position_ids(ra, dec),
            "id_kind": "position",
            "ra": ra,
            "dec": dec,
            "tier": tier,
            "rank": np.arange(1, count + 1),
        }
    )


def known_ids(targets: pd.DataFrame, targetid: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"source_id": targets["source_id"], "targetid": targetid})


def test_a_million_positions_never_collide_and_lie_in_their_bricks() -> None:
    targets = positions(1_000_000)
    targetid = assign_targetids(targets, PLAIN)
    release, brickid, _ = decode_targetid(targetid)
    assert len(np.unique(targetid)) == len(targets)
    assert targetid.min() > 0
    np.testing.assert_array_equal(release, 514 + targets["tier"])
    np.testing.assert_array_equal(brickid, brick_ids(targets["ra"], targets["dec"]))


def test_objid_counts_from_zero_within_brick_and_bit_in_the_order_of_the_list() -> None:
    targets = positions(3000, width=2.0)
    shuffled = targets.sample(frac=1, random_state=2)
    targetid = pd.Series(assign_targetids(shuffled, PLAIN), index=shuffled.index).sort_index()
    release, brickid, objid = decode_targetid(targetid)
    blocks = pd.DataFrame({"release": release, "brickid": brickid, "objid": objid})
    assert len(blocks) > 10 * len(blocks.groupby(["release", "brickid"]))
    for _, block in blocks.groupby(["release", "brickid"]):
        assert block["objid"].tolist() == list(range(len(block)))


@pytest.mark.parametrize(
    ("survey", "releases"), [("main", (515, 516, 517)), ("main2", (615, 616, 617))]
)
def test_the_release_tells_survey_and_tier(survey: str, releases: tuple[int, ...]) -> None:
    targets = positions(50)
    targetid = assign_targetids(targets, ExportSettings(survey=survey))
    assert tuple(np.unique(decode_targetid(targetid)[0])) == releases


def test_tiers_beyond_the_third_share_its_bit() -> None:
    assert scnd_bits(np.array([1, 2, 3, 4, 9])).tolist() == [15, 16, 17, 17, 17]
    targets = positions(400, width=2.0)
    targets["tier"] = np.sort(np.tile([3, 4], 200))
    targetid = assign_targetids(targets, PLAIN)
    assert len(np.unique(targetid)) == 400
    assert set(decode_targetid(targetid)[0]) == {517}


def test_releases_of_surveys_stay_apart_and_below_imaging() -> None:
    releases = [release_of_survey(survey) + bit for survey in SURVEYS for bit in range(62)]
    assert len(set(releases)) == len(releases)
    assert max(releases) < 1000


def test_sources_of_the_legacy_surveys_keep_their_targetid() -> None:
    targets = positions(100)
    own = np.arange(0, 100, 2)
    kept = encode_targetid(np.full(50, 9010), brick_ids(targets.ra[own], targets.dec[own]), own)
    targets.loc[own, "source_id"] = kept
    targets.loc[own, "id_kind"] = "targetid"
    targetid = assign_targetids(targets, PLAIN)
    np.testing.assert_array_equal(targetid[own], kept)
    assert (decode_targetid(targetid[1::2])[0] < 1000).all()


# ------------------------------------------------------------------------------- night to night


def test_known_sources_keep_theirs_whatever_their_tier_and_order() -> None:
    first = positions(2000, width=1.0)
    known = known_ids(first, assign_targetids(first, PLAIN))
    second = first.sample(frac=0.7, random_state=3).reset_index(drop=True)
    second["tier"] = np.sort(second["tier"].to_numpy())[::-1].copy()
    second["rank"] = np.arange(1, len(second) + 1)
    found = assign_targetids(second, ExportSettings(known_ids=known))
    expected = known.set_index("source_id")["targetid"].loc[second["source_id"]]
    np.testing.assert_array_equal(found, expected)


def test_new_sources_go_on_behind_the_known_ones() -> None:
    old, new = positions(1000, seed=1, width=1.0), positions(1000, seed=2, width=1.0)
    known = known_ids(old, assign_targetids(old, PLAIN))
    gone = known.sample(frac=0.5, random_state=1)  # sources no longer listed keep their number
    listed = pd.concat([old[~old["source_id"].isin(gone["source_id"])], new], ignore_index=True)
    mapping = dict(zip(known["source_id"].tolist(), known["targetid"].tolist(), strict=True))
    targetid = assign_targetids(listed, ExportSettings(known_ids=mapping))
    assert len(np.unique(np.r_[targetid, gone["targetid"]])) == len(listed) + len(gone)
    fresh = targetid[-1000:]
    old_ids = known["targetid"].to_numpy()
    before = pd.Series(old_ids).groupby(old_ids >> 22).max().reindex(fresh >> 22).to_numpy()
    assert (np.isnan(before) | (fresh > before)).all()
    assert np.isfinite(before).any()


@settings(max_examples=30)
@given(
    nights=st.lists(
        st.lists(
            st.tuples(st.integers(0, 11), st.integers(1, 4)), max_size=12, unique_by=lambda t: t[0]
        ),
        min_size=1,
        max_size=5,
    )
)
def test_no_night_gives_a_number_twice_or_changes_one(
    nights: list[list[tuple[int, int]]],
) -> None:
    """Twelve sources in two bricks come, go and change tier."""
    known: dict[int, int] = {}
    for night in nights:
        rows = sorted(night, key=lambda pair: pair[1])
        source = np.array([source for source, _ in rows], dtype=np.int64)
        targets = pd.DataFrame(
            {
                "source_id": source,
                "id_kind": "catalog",
                "ra": np.where(source % 2, 10.1, 10.4),
                "dec": np.zeros(len(rows)),
                "tier": np.array([tier for _, tier in rows], dtype=np.int16),
                "rank": np.arange(1, len(rows) + 1),
            }
        )
        targetid = assign_targetids(targets, ExportSettings(known_ids=known))
        for each, given_id in zip(source.tolist(), targetid.tolist(), strict=True):
            assert known.setdefault(each, given_id) == given_id
    assert len(set(known.values())) == len(known)


def test_a_source_of_a_secondary_catalog_is_not_given_away_again() -> None:
    targets = positions(2)
    targets["ra"], targets["dec"], targets["tier"] = 10.0, 5.0, 1
    taken = encode_targetid(515, brick_ids(10.0, 5.0), 0)
    targets.loc[0, ["source_id", "id_kind"]] = [int(taken), "targetid"]
    assert assign_targetids(targets, PLAIN).tolist() == [int(taken), int(taken) + 1]


# ------------------------------------------------------------------------------------- refusals


def test_a_brick_that_is_full_is_refused_with_the_source() -> None:
    targets = positions(2)
    targets["ra"], targets["dec"], targets["tier"] = 10.0, 5.0, 1
    last = encode_targetid(515, brick_ids(10.0, 5.0), (1 << 22) - 2)
    both = targets["source_id"].tolist()
    assert assign_targetids(targets.iloc[:1], ExportSettings(known_ids={7: int(last)})) == last + 1
    with pytest.raises(TargetsError, match=f"source_id {both[1]}: OBJID 4194304 .* 22 bits"):
        assign_targetids(targets, ExportSettings(known_ids={7: int(last)}))


def test_a_release_that_desi_does_not_know_is_refused_or_replaced() -> None:
    targets = positions(3)
    targets.loc[1, "source_id"] = int(encode_targetid(10002, 5, 6))
    targets.loc[1, "id_kind"] = "targetid"
    with pytest.raises(TargetsError, match=r"has RELEASE 10002, which .* `--unknown-release sec"):
        assign_targetids(targets, ExportSettings(unknown_release="refuse"))
    targetid = assign_targetids(targets, PLAIN)
    assert (decode_targetid(targetid)[0] < 600).all()


def test_the_table_of_releases_is_that_of_desitarget() -> None:
    io = pytest.importorskip("desitarget.io", reason="compares with desitarget, not installed")
    assert set(io.releasedict) <= set(KNOWN_RELEASES)
    assert set(KNOWN_RELEASES) - set(io.releasedict) == set()


@pytest.mark.parametrize("source_id", [-5, 1 << 58, (1 << 62) - 1])
def test_a_targetid_with_high_bits_is_refused(source_id: int) -> None:
    targets = positions(2)
    targets.loc[1, "source_id"] = source_id
    targets.loc[1, "id_kind"] = "targetid"
    with pytest.raises(TargetsError, match=re.escape(f"source_id {source_id}: as a TARGETID")):
        assign_targetids(targets, PLAIN)


@pytest.mark.parametrize(("ra", "dec"), [(np.nan, 0.0), (0.0, np.nan), (0.0, 90.5)])
def test_no_position_no_brick(ra: float, dec: float) -> None:
    targets = positions(2)
    targets.loc[1, ["ra", "dec"]] = ra, dec
    with pytest.raises(TargetsError, match="is no position"):
        assign_targetids(targets, PLAIN)


def test_known_ids_that_contradict_each_other_are_refused() -> None:
    targets = positions(2)
    first, second = targets["source_id"].tolist()
    with pytest.raises(TargetsError, match="hold targetid 5 more than once"):
        assign_targetids(targets, ExportSettings(known_ids={first: 5, second: 5}))
    table = pd.DataFrame({"source_id": [first], "targetid": [5.0]})
    with pytest.raises(TargetsError, match="no int64 column targetid"):
        assign_targetids(targets, ExportSettings(known_ids=table))
    for foreign in (-5, 1 << 58, int(encode_targetid(65535, 1, 1))):
        with pytest.raises(TargetsError, match=f"hold {foreign}, which is no TARGETID"):
            assign_targetids(targets, ExportSettings(known_ids={first: foreign}))
    targets["id_kind"] = ["position", "targetid"]
    targets.loc[1, "source_id"] = int(encode_targetid(9010, 5, 6))
    with pytest.raises(TargetsError, match="both have TARGETID"):
        assign_targetids(
            targets, ExportSettings(known_ids={first: int(encode_targetid(9010, 5, 6))})
        )


def test_an_empty_list_gets_no_ids() -> None:
    assert assign_targetids(positions(0), PLAIN).shape == (0,)
