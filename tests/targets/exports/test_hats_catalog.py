from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from tests.survey_lists import SETTINGS, survey_list
from xsaga.errors import MissingExtraError, TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.hats_catalog import check_hats, partitions
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import HatsSettings
from xsaga.targets.target_list import TargetList

needs_hats = pytest.mark.usefixtures("_hats")


@pytest.fixture(scope="module")
def _hats() -> Any:
    return pytest.importorskip("hats", reason="needs the extra [hats]")


def all_over_the_sky(folder: Path, count: int = 300) -> TargetList:
    random = np.random.default_rng(3)
    return survey_list(
        folder,
        count,
        ra=random.uniform(0, 360, count),
        dec=np.degrees(np.arcsin(random.uniform(-1, 1, count))),
    )


def small(max_rows: int) -> ExportSettings:
    return ExportSettings(hats=HatsSettings(max_rows=max_rows))


@needs_hats
def test_hats_reads_every_row_and_value(tmp_path: Path) -> None:
    import hats

    listed = all_over_the_sky(tmp_path)
    export(listed, "hats", tmp_path / "out", small(20))
    catalog: Any = hats.read_hats(tmp_path / "out")
    assert len(catalog) == len(listed.targets)
    assert catalog.catalog_info.ra_column == "ra"
    assert len(catalog.get_healpix_pixels()) > 12
    frame = pq.read_table(tmp_path / "out" / "dataset").to_pandas()
    frame = frame.set_index("source_id").loc[listed.targets["source_id"]].reset_index()
    for name in listed.targets:
        assert frame[name].equals(listed.targets[name]), name


@needs_hats
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_lsdb_counts_rows_and_finds_those_in_a_cone(tmp_path: Path) -> None:
    lsdb = pytest.importorskip("lsdb", reason="needs lsdb")
    import dask

    listed = all_over_the_sky(tmp_path)
    export(listed, "hats", tmp_path / "out", small(50))
    catalog = lsdb.open_catalog(tmp_path / "out")
    assert len(catalog) == len(listed.targets)
    with dask.config.set(scheduler="synchronous"):
        found = catalog.cone_search(ra=10.0, dec=-5.0, radius_arcsec=40 * 3600).compute()
    positions = SkyCoord(listed.targets["ra"], listed.targets["dec"], unit="deg")
    near = positions.separation(SkyCoord(10.0, -5.0, unit="deg")) < 40 * units.deg
    assert near.sum() > 10
    assert sorted(found["source_id"]) == sorted(listed.targets["source_id"][near])
    assert {"ra", "dec", "rank", "p_lowz"} <= set(found.columns)


@needs_hats
def test_units_descriptions_and_provenance_stay(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    export(listed, "hats", tmp_path / "out", SETTINGS)
    (file,) = (tmp_path / "out" / "dataset").rglob("Npix=*.parquet")
    for path in (file, tmp_path / "out" / "dataset" / "_common_metadata"):
        schema = pq.read_schema(path)
        assert schema.field("flux_r").metadata[b"unit"] == b"nanomaggy"
        assert b"as observed" in schema.field("flux_r").metadata[b"description"]
        assert b"xsaga.provenance" in schema.metadata
        assert b"<FIELD" in schema.metadata[b"IVOA.VOTable-Parquet.content"]
    properties = (tmp_path / "out" / "hats.properties").read_text()
    assert "hats_creation_date=2024-05-06T07:08:09Z" in properties
    assert f"xsaga_weights_sha256={'ab' * 32}" in properties
    assert "secret" not in properties


@needs_hats
@pytest.mark.filterwarnings("ignore:In merged column")
def test_astropy_reads_a_partition_with_its_units(tmp_path: Path) -> None:
    export(survey_list(tmp_path), "hats", tmp_path / "out", SETTINGS)
    (file,) = (tmp_path / "out" / "dataset").rglob("Npix=*.parquet")
    table = Table.read(file, format="parquet.votable")
    assert table.colnames[0] == "_healpix_29"
    assert table["radius"].unit == units.arcsec


@needs_hats
def test_a_list_without_targets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match="hats: the list has no targets"):
        export(survey_list(tmp_path, 0), "hats", tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


@needs_hats
def test_a_catalog_that_reads_back_otherwise_is_refused(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    export(listed, "hats", tmp_path / "out", SETTINGS)
    listed.targets.loc[1, "p_lowz"] = 0.123
    with pytest.raises(TargetsError, match="column p_lowz"):
        check_hats(listed, tmp_path / "out", SETTINGS)
    (tmp_path / "out" / "partition_info.csv").write_text("Norder,Npix\n0,1\n")
    with pytest.raises(TargetsError, match="not valid"):
        check_hats(listed, tmp_path / "out", SETTINGS)


def test_without_the_library_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hats", None)
    with pytest.raises(MissingExtraError, match=r"xsaga\[hats\]"):
        export(survey_list(tmp_path), "hats", tmp_path / "out", SETTINGS)


@given(
    index=st.lists(st.integers(0, 12 * 4**29 - 1), min_size=1, max_size=60, unique=True),
    max_rows=st.integers(1, 20),
)
def test_partitions_are_the_largest_pixels_that_hold_no_more(
    index: list[int], max_rows: int
) -> None:
    rows = np.sort(np.array(index, np.int64))
    orders, pixels, starts = partitions(rows, max_rows)
    assert starts[0] == 0
    assert starts[-1] == len(rows)
    for order, pixel, start, stop in zip(orders, pixels, starts[:-1], starts[1:], strict=True):
        assert 0 < stop - start <= max_rows
        assert (rows[start:stop] >> 2 * (29 - order) == pixel).all()
        assert (rows >> 2 * (29 - order) == pixel).sum() == stop - start
        if order > 0:
            assert (rows >> 2 * (30 - order) == pixel >> 2).sum() > max_rows


def test_more_targets_at_one_position_than_a_partition_holds_are_refused() -> None:
    with pytest.raises(TargetsError, match="--hats-max-rows"):
        partitions(np.array([7, 7, 7], np.int64), 2)
