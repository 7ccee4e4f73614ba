from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.table import Table

from tests.small_runs import xsaga
from tests.target_samples import provenance, ranked_targets
from xsaga.targets.formats import write_targets


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a list of 60 targets around RA = 0, and two tiles."""
    folder = tmp_path / "run"
    record = replace(provenance(), tiers=("20/deg2", "saga2", "desi-lowz"))
    write_targets(ranked_targets(60), folder / "targets.parquet", "parquet", record)
    Table({"TILEID": [7, 8, 9], "RA": [0.0, 1.0, 100.0], "DEC": [0.5, 0.0, 0.0]}).write(
        tmp_path / "tiles.ecsv"
    )
    return folder


def test_plan_as_text_json_and_file(run: Path) -> None:
    tiles = run.parent / "tiles.ecsv"
    out = run.parent / "new" / "plan.ecsv"
    said = xsaga("plan", run, "--desi-tiles", tiles, "--fibers", 40, "--out", out)
    assert said.exit_code == 0, said.output
    assert "60 targets, 60 in the field of a tile; 0 in none; 3 tiles of radius 1.6" in said.stdout
    assert "40 fibers" in said.stdout
    assert "tier 1 (20/deg2): " in said.stdout
    table = Table.read(out)
    assert table["new_fibers"].tolist() == [40, 20, 0]
    assert table["tileid"].tolist()[2] == 9

    record = json.loads(xsaga("plan", run, "--desi-tiles", tiles, "--fibers", 40, "--json").stdout)
    assert [tile["tileid"] for tile in record["tiles"]] == table["tileid"].tolist()
    assert record["targets"] == 60
    assert record["expected_observed"] == pytest.approx(record["expected_in_list"])
    assert {tier["tier"]: tier["chosen_by"] for tier in record["tiers"]}.items() <= {
        1: "20/deg2",
        2: "saga2",
        3: "desi-lowz",
    }.items()


def test_chosen_tiles_of_another_radius(run: Path) -> None:
    tiles = run.parent / "tiles.ecsv"
    chosen = ("--tile-id", 8, "--tile-id", 9, "--tile-radius", 0.5, "--tiles", 1)
    record = json.loads(xsaga("plan", run, "--desi-tiles", tiles, *chosen, "--json").stdout)
    assert [tile["tileid"] for tile in record["tiles"]] == [8]
    assert record["targets_in_no_tile"] == 60
    assert record["tile_radius_deg"] == 0.5


def test_a_list_without_targets(run: Path) -> None:
    write_targets(ranked_targets(0), run / "targets.parquet", "parquet", provenance())
    said = xsaga("plan", run, "--desi-tiles", run.parent / "tiles.ecsv")
    assert said.exit_code == 0, said.output
    assert "0 targets, 0 in the field of a tile" in said.stdout


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--fibers", 0), 2, "0 is not in the range x>=1"),
        (("--tiles", 0), 2, "0 is not in the range x>=1"),
        (("--tile-id", 4), 2, "it has no tile 4: check the tile ids"),
        (("--tile-radius", -1), 2, "radius -1 is out of range"),
        (("--out", "plan.txt"), 1, "plan.txt: unknown kind of file: end its name in .csv"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Path, options: tuple[object, ...], code: int, said: str
) -> None:
    result = xsaga("plan", run, "--desi-tiles", run.parent / "tiles.ecsv", *options)
    assert result.exit_code == code
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_files_that_are_not_there(run: Path, tmp_path: Path) -> None:
    result = xsaga("plan", run, "--desi-tiles", tmp_path / "none.fits")
    assert result.exit_code == 2
    assert "none.fits: cannot be read" in result.stderr
    result = xsaga("plan", tmp_path, "--desi-tiles", tmp_path / "tiles.ecsv")
    assert result.exit_code == 1
    assert "no targets.parquet here" in result.stderr
