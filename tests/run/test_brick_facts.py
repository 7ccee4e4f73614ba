"""Seeing and area of bricks that are in the north and in the south of the survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from xsaga.errors import CatalogError
from xsaga.run.brick_facts import PSF_SIZE, bricks_tables, read_brick_facts, region_of


def table(path: Path, bricks: dict[int, float]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Table(
        {
            "BRICKID": np.array(list(bricks), np.int32),
            "AREA": np.full(len(bricks), 0.0625),
            "PSFSIZE_R": np.array(list(bricks.values()), np.float32),
        }
    ).write(path)
    return path


def sources(*rows: tuple[int, int, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["brickid", "release", "photsys"])


def test_a_brick_of_both_halves_has_the_seeing_of_the_sources_half(tmp_path: Path) -> None:
    table(tmp_path / "north" / "survey-bricks-dr9-north.fits.gz", {1: 1.9, 2: 1.8})
    table(tmp_path / "south" / "survey-bricks-dr9-south.fits.gz", {2: 1.2, 3: 1.1})
    facts = read_brick_facts(bricks_tables(str(tmp_path)))
    seen = sources(
        (2, 9011, ""),
        (2, 9010, ""),
        (2, 9012, "N"),  # the column goes before the number
        (2, 7777, "S"),
        (2, 0, ""),  # of which half is not known
        (1, 0, ""),
        (3, 9010, "S"),
        (1, 9010, "S"),  # the south does not have it
        (4, 9010, "S"),
    )
    expected = [1.8, 1.2, 1.8, 1.2, np.nan, 1.9, 1.1, np.nan, np.nan]
    np.testing.assert_allclose(facts.psf_size(seen), expected, rtol=1e-6)
    assert facts.area_deg2(seen["brickid"][:-1]) == pytest.approx(3 * 0.0625)  # each brick once
    assert facts.area_deg2(seen["brickid"]) is None


def test_a_table_that_tells_no_half_is_for_all(tmp_path: Path) -> None:
    given = table(tmp_path / "mine.fits", {1: 1.3})
    facts = read_brick_facts([given])
    seen = sources((1, 9011, ""), (1, 9010, "S"), (1, 0, ""))
    np.testing.assert_allclose(facts.psf_size(seen), 1.3, rtol=1e-6)
    assert facts.origin == "mine.fits"


def test_halves_by_photsys_and_release() -> None:
    seen = sources((1, 8001, ""), (1, 8000, " "), (1, 10_000, ""), (1, 9011, "s"), (1, 515, ""))
    assert region_of(seen).tolist() == ["north", "south", "", "south", ""]


def test_without_a_table_nothing_is_known() -> None:
    facts = read_brick_facts(bricks_tables("http://127.0.0.1:9/"))
    assert np.isnan(facts.psf_size(sources((1, 9010, "S")))).all()
    assert facts.area_deg2(pd.Series([1])) is None
    assert "--bricks-table" in facts.origin


def test_a_table_without_ids_is_refused(tmp_path: Path) -> None:
    Table({"AREA": [0.1], PSF_SIZE: [1.0]}).write(tmp_path / "bad.fits")
    with pytest.raises(CatalogError, match="no column brickid"):
        read_brick_facts([tmp_path / "bad.fits"])
