from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sky_positions import unhurried
from tests.target_samples import provenance, ranked_targets
from xsaga.errors import TargetsError
from xsaga.sky.desi_tiles import DesiTiles
from xsaga.targets.tile_plan import TilePlan, plan_tiles
from xsaga.targets.tile_plan_output import format_plan, plan_record, write_plan

CHECKSUMS = {"TGTSHA": "ab" * 32, "TILESHA": "cd" * 32}


def tiles(*centres: tuple[float, float], radius: float = 0.6) -> DesiTiles:
    """Tiles 1, 2, … at the centres."""
    ra, dec = np.array(centres, np.float64).T
    return DesiTiles(np.arange(1, len(ra) + 1), ra, dec, radius)


def targets(*rows: tuple[float, int, float]) -> pd.DataFrame:
    """Targets on the equator by RA, tier and p; rank by row."""
    ra, tier, p = (np.array(column) for column in zip(*rows, strict=True))
    return pd.DataFrame(
        {
            "ra": ra,
            "dec": 0.0,
            "tier": tier.astype(np.int16),
            "priority": (90 - 10 * tier).astype(np.int32),
            "rank": np.arange(1, len(ra) + 1),
            "p_lowz": p,
        }
    )


THREE = tiles((359.9, 0), (0.9, 0), (180, 0))
SIX = targets(
    (0.4, 1, 0.5),  # in tiles 1 and 2
    (359.5, 2, 0.4),  # in tile 1
    (0.0, 2, 0.3),  # in tile 1
    (1.2, 1, 0.1),  # in tile 2
    (1.3, 3, 0.05),  # in tile 2
    (90.0, 1, 0.2),  # in none
)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 2, 0]])
def test_a_case_by_hand(order: list[int]) -> None:
    plan = plan_tiles(SIX.iloc[order], THREE, fibers=2)
    assert plan.tiles["tileid"].tolist() == [1, 2, 3]
    in_field = plan.tiles[[f"in_field_tier{tier}" for tier in (1, 2, 3)]]
    assert in_field.to_numpy().tolist() == [[1, 2, 0], [2, 0, 1], [0, 0, 0]]
    with_fiber = plan.tiles[[f"fiber_tier{tier}" for tier in (1, 2, 3)]]
    assert with_fiber.to_numpy().tolist() == [[1, 1, 0], [2, 0, 0], [0, 0, 0]]
    assert plan.tiles["expected_in_field"].tolist() == pytest.approx([1.2, 0.65, 0])
    assert plan.tiles["expected_with_fibers"].tolist() == pytest.approx([0.9, 0.6, 0])
    # tile 1 has observed the first target, so tile 2 has a fiber for that of tier 3
    assert plan.tiles["new_fibers"].tolist() == [2, 2, 0]
    assert plan.tiles["gain"].tolist() == pytest.approx([0.9, 0.15, 0])
    assert plan.tiles["total"].tolist() == pytest.approx([0.9, 1.05, 1.05])
    assert plan.tiers["tier"].tolist() == [1, 2, 3]
    assert plan.tiers["targets"].tolist() == [3, 2, 1]
    assert plan.tiers["in_no_tile"].tolist() == [1, 0, 0]
    assert plan.tiers["observed"].tolist() == [2, 1, 1]
    assert plan.expected_in_list == pytest.approx(1.55)
    assert plan.expected_in_tiles == pytest.approx(1.35)


def test_only_the_best_tiles() -> None:
    plan = plan_tiles(SIX, THREE, fibers=2, best=1)
    assert plan.tiles["tileid"].tolist() == [1]
    assert plan.n_tiles == 3
    assert plan.tiers["observed"].tolist() == [1, 1, 0]
    assert plan.tiers["in_no_tile"].tolist() == [1, 0, 0]
    assert len(plan_tiles(SIX, THREE, fibers=2, best=7).tiles) == 3


def test_fibers_go_by_priority_then_by_rank() -> None:
    rows = targets((0.0, 2, 0.9), (0.1, 1, 0.1), (0.2, 1, 0.2))
    plan = plan_tiles(rows, tiles((0, 0)), fibers=1)
    assert plan.tiles["gain"].tolist() == pytest.approx([0.1])
    plan = plan_tiles(rows, tiles((0, 0)), fibers=2)
    assert plan.tiles["gain"].tolist() == pytest.approx([0.3])


def test_a_tile_can_gain_more_after_another() -> None:
    rows = targets((0.5, 1, 0.01), (1.2, 2, 0.9))
    plan = plan_tiles(rows, tiles((0, 0), (1, 0)), fibers=1)
    assert plan.tiles["expected_with_fibers"].tolist() == pytest.approx([0.01, 0.01])
    assert plan.tiles["gain"].tolist() == pytest.approx([0.01, 0.9])


def test_a_list_without_targets() -> None:
    plan = plan_tiles(SIX[:0], THREE)
    assert plan.tiles["tileid"].tolist() == [1, 2, 3]
    assert plan.tiles["total"].tolist() == [0.0, 0.0, 0.0]
    assert len(plan.tiers) == 0
    assert "0 targets" in format_plan(plan, provenance())
    assert plan_record(plan, provenance())["targets"] == 0


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3), st.integers(0, 9)), max_size=25),
    st.lists(st.integers(0, 40), min_size=1, max_size=7),
    st.integers(1, 4),
)
@settings(unhurried, max_examples=50)
def test_each_tile_is_the_best_of_those_left(
    rows: list[tuple[int, int, int]], centres: list[int], fibers: int
) -> None:
    places = [(0.1 * ra + 0.03, tier, p / 10) for ra, tier, p in rows]
    frame = targets(*places) if places else SIX[:0]
    fields = tiles(*((0.1 * ra - 1, 0.0) for ra in centres))
    plan = plan_tiles(frame, fields, fibers)
    ordered = frame.sort_values(["priority", "rank"], ascending=[False, True])
    observed: set[int] = set()
    left = list(range(len(fields.tile_ids)))
    for row in plan.tiles.itertuples():
        gains = {}
        for tile in left:
            apart = np.abs((ordered["ra"] - fields.ra[tile] + 180) % 360 - 180)
            near = ordered[(apart <= fields.radius) & ~ordered["rank"].isin(observed)]
            gains[tile] = near.head(fibers)
        chosen = int(row.tileid) - 1
        best = max(each["p_lowz"].sum() for each in gains.values())
        assert row.gain == pytest.approx(best)
        assert row.new_fibers == len(gains[chosen])
        assert gains[chosen]["p_lowz"].sum() == pytest.approx(best)
        observed |= set(gains[chosen]["rank"])
        left.remove(chosen)
    assert left == []
    assert plan.tiers["observed"].sum() == len(observed)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"fibers": 0}, "0 fibers a tile observe nothing"), ({"best": 0}, "a plan of 0 tiles")],
)
def test_nothing_to_plan_with_is_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(TargetsError, match=said):
        plan_tiles(SIX, THREE, **options)


def test_targets_that_cannot_be_planned_are_refused() -> None:
    with pytest.raises(TargetsError, match=r"no column priority, p_lowz: rank the run again"):
        plan_tiles(SIX.drop(columns=["p_lowz", "priority"]), THREE)
    with pytest.raises(TargetsError, match=r"row 1: p_lowz is nan, which is no probability"):
        plan_tiles(SIX.assign(p_lowz=[0.1, np.nan, 0.1, 0.1, 0.1, 0.1]), THREE)


@pytest.fixture
def plan() -> TilePlan:
    return plan_tiles(SIX, THREE, fibers=2)


@pytest.mark.parametrize("name", ["plan.csv", "plan.ecsv", "plan.fits"])
def test_a_file_reads_back_and_has_the_same_bytes_again(
    tmp_path: Path, plan: TilePlan, name: str
) -> None:
    write_plan(tmp_path / name, plan, provenance(), CHECKSUMS)
    first = (tmp_path / name).read_bytes()
    write_plan(tmp_path / name, plan, provenance(), CHECKSUMS)
    assert (tmp_path / name).read_bytes() == first
    table = Table.read(tmp_path / name)
    assert [column.lower() for column in table.colnames] == list(plan.tiles)
    for column in table.colnames:
        np.testing.assert_array_equal(table[column], plan.tiles[column.lower()])
    meta = table.meta
    if name == "plan.csv":
        beside = json.loads((tmp_path / "plan.csv-metadata.json").read_text())
        assert [each["name"] for each in beside["tableSchema"]["columns"]] == list(plan.tiles)
        meta = beside["dc:provenance"]
    expected = {"FIBERS": 2, "NTARGETS": 6, "NOTILE": 1, "SIMULATD": True, "ZLIMIT": 0.02}
    assert {key: meta[key] for key in (*expected, *CHECKSUMS)} == expected | CHECKSUMS
    if name == "plan.fits":
        header = fits.getheader(tmp_path / name, "TILEPLAN")
        assert header["TTYPE3"] == "RA"
        assert header["TUNIT3"] == "deg"
        assert header["TCOMM14"] == "Expected z < 0.02 galaxies among these"
        assert "SIMULATED WEIGHTS" in str(header["COMMENT"])
    assert len(list(tmp_path.iterdir())) == 1 + (name == "plan.csv")


def test_a_model_with_foreign_letters_in_its_name(tmp_path: Path, plan: TilePlan) -> None:
    record = provenance()
    record = replace(record, weights=replace(record.weights, name="Île"))
    write_plan(tmp_path / "plan.fits", plan, record, CHECKSUMS)
    assert fits.getheader(tmp_path / "plan.fits", "TILEPLAN")["WEIGHTS"] == "\\xcele"


def test_a_file_of_unknown_kind_or_no_place_is_refused(tmp_path: Path, plan: TilePlan) -> None:
    with pytest.raises(TargetsError, match=r"plan\.txt: unknown kind of file: end its name in"):
        write_plan(tmp_path / "plan.txt", plan, provenance(), CHECKSUMS)
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetsError, match=r"cannot be written .*; choose another --out"):
        write_plan(tmp_path / "file" / "plan.csv", plan, provenance(), CHECKSUMS)


def test_text_tells_tiers_and_caveats() -> None:
    frame = ranked_targets(50)
    text = format_plan(plan_tiles(frame, tiles((0, 0))), provenance())
    assert text.startswith("SIMULATED WEIGHTS: these probabilities are no basis for observing.")
    assert "no collisions" in text
    assert "expected z < 0.02: " in text
    many = tiles(*((float(ra), 40.0) for ra in range(32)))
    text = format_plan(plan_tiles(frame, many), provenance(simulated=False))
    assert "SIMULATED" not in text
    assert "50 targets, 0 in the field of a tile; 50 in none; 32 tiles" in text
    assert text.endswith("… and 2 tiles more: --out FILE writes all")
