from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tests.sky_positions import unhurried
from xsaga.sky.tiles import tile_pixels
from xsaga.targets.density import PixelAreas
from xsaga.targets.ranking import rank_sources
from xsaga.targets.selection import (
    NO_TIER,
    NOT_TARGET_COLUMNS,
    TOO_CLOSE,
    Exclusions,
    Selection,
    select_targets,
)
from xsaga.targets.tiers import TierChoice, Tiers

ARCSEC = 1 / 3600


def row_of_sources(spacing: float, count: int = 6) -> pd.DataFrame:
    """Ranked sources along a parallel through RA = 0, the best at its western end."""
    return rank_sources(
        pd.DataFrame(
            {
                "source_id": np.arange(100, 100 + count, dtype=np.int64),
                "ra": (359.9995 + spacing * ARCSEC * np.arange(count)) % 360,
                "dec": np.zeros(count),
                "p_lowz": np.linspace(0.9, 0.1, count, dtype=np.float32),
            }
        )
    )


def chosen(
    ranked: pd.DataFrame,
    *words: str,
    excluded: dict[int, str] | None = None,
    keeps_place: bool = False,
    min_separation: float = 0.0,
    area: float = 1.0,
) -> Selection:
    count = len(ranked)
    reason, detail = np.full(count, "", object), np.full(count, "", object)
    for row, why in (excluded or {}).items():
        reason[row], detail[row] = why, "told"
    pixel = tile_pixels(ranked["ra"], ranked["dec"], 0)
    choice = TierChoice(
        probability=ranked["p_lowz"].to_numpy(),
        mag_r=np.full(count, 20.0),
        trusted=np.ones(count, bool),
        passes={},
        pixel=np.zeros_like(pixel),
        areas=PixelAreas(0, np.array([0]), np.array([area])),
    )
    return select_targets(
        ranked,
        choice,
        Tiers.parse(words, (80, 70, 60), ()),
        Exclusions(reason, detail, (reason != "") & keeps_place),
        min_separation,
    )


def test_every_source_is_a_target_or_has_a_reason() -> None:
    found = chosen(row_of_sources(60), "3/deg2", excluded={1: "masked"})
    assert found.targets["source_id"].tolist() == [100, 102, 103]
    assert found.targets["rank"].tolist() == [1, 2, 3]
    assert found.targets["priority"].tolist() == [80, 80, 80]
    assert tuple(found.not_targets.columns) == NOT_TARGET_COLUMNS
    assert found.not_targets["source_id"].tolist() == [101, 104, 105]
    assert found.not_targets["reason"].tolist() == ["masked", NO_TIER, NO_TIER]
    assert found.not_targets["detail"].tolist() == ["told", "", ""]
    assert found.reasons() == {"masked": 1, NO_TIER: 2}


def test_what_was_observed_keeps_its_place_unless_it_is_to_be_refilled() -> None:
    kept = chosen(row_of_sources(60), "3/deg2", excluded={0: "observed"}, keeps_place=True)
    assert kept.targets["source_id"].tolist() == [101, 102]
    assert kept.not_targets["tier"].tolist() == [1, 0, 0, 0]
    refilled = chosen(row_of_sources(60), "3/deg2", excluded={0: "observed"})
    assert refilled.targets["source_id"].tolist() == [101, 102, 103]


def test_targets_that_are_too_close_are_thinned_and_the_tier_takes_others() -> None:
    found = chosen(row_of_sources(3), "2/deg2", "all", min_separation=4)
    # 101 is beside 100, 103 beside 102, 105 beside 104
    assert found.targets["source_id"].tolist() == [100, 102, 104]
    assert found.targets["tier"].tolist() == [1, 1, 2]
    close = found.not_targets[found.not_targets["reason"] == TOO_CLOSE]
    assert close["source_id"].tolist() == [101, 103, 105]
    assert close["detail"].tolist() == [f"3.0 arcsec from {i}" for i in (100, 102, 104)]


def test_an_observed_neighbour_keeps_no_fiber_away() -> None:
    found = chosen(
        row_of_sources(3, 2), "all", excluded={0: "observed"}, keeps_place=True, min_separation=4
    )
    assert found.targets["source_id"].tolist() == [101]


def test_no_sources_give_an_empty_list_with_all_columns() -> None:
    found = chosen(row_of_sources(1, 0), "20/deg2", "all")
    assert len(found.targets) == len(found.not_targets) == 0
    assert {"rank", "tier", "priority"} <= set(found.targets.columns)


@unhurried
@given(st.integers(0, 2**32), st.integers(0, 60), st.floats(0, 8), st.floats(0.5, 40))
def test_nothing_is_lost_or_doubled_and_no_two_targets_are_close(
    seed: int, count: int, min_separation: float, per_deg2: float
) -> None:
    random = np.random.default_rng(seed)
    ranked = rank_sources(
        pd.DataFrame(
            {
                "source_id": random.permutation(count).astype(np.int64),
                "ra": (random.uniform(-20, 20, count) * ARCSEC) % 360,
                "dec": random.uniform(-20, 20, count) * ARCSEC,
                "p_lowz": random.uniform(0, 1, count).astype(np.float32),
            }
        )
    )
    excluded = dict.fromkeys(np.flatnonzero(random.uniform(size=count) < 0.2).tolist(), "why")
    found = chosen(
        ranked, f"{per_deg2}/deg2", "0.5", excluded=excluded, min_separation=min_separation
    )
    ids = [*found.targets["source_id"], *found.not_targets["source_id"]]
    assert sorted(ids) == list(range(count))
    x, y = found.targets["ra"].to_numpy(), found.targets["dec"].to_numpy()
    x = np.where(x > 180, x - 360, x)
    apart = np.hypot(x[:, None] - x, y[:, None] - y) * 3600
    np.fill_diagonal(apart, np.inf)
    assert not (apart < min_separation - 1e-6).any()
    assert (np.diff(found.targets["tier"]) >= 0).all()
    for _, tier in found.targets.groupby("tier"):
        assert (np.diff(tier["p_lowz"]) <= 0).all()
