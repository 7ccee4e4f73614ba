from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared_data import shared
from xsaga.catalog import partition as partition_module
from xsaga.catalog.cuts import named_cuts
from xsaga.catalog.partition import PartitionSummary, partition_catalog
from xsaga.catalog.readers import Catalog
from xsaga.catalog.schema import SOURCE_SCHEMA
from xsaga.catalog.sources import read_sources
from xsaga.errors import CatalogError
from xsaga.json_values import from_json
from xsaga.paths import RunPaths
from xsaga.sky.footprint import Footprint, make_footprint
from xsaga.sky.tiles import tile_pixels

ARCSEC = 1 / 3600
ALL_SKY = make_footprint(circle=["0,90,180"])


def split(
    inputs: list[Path],
    folder: Path,
    footprint: Footprint = ALL_SKY,
    order: int = 6,
    cuts: str = "none",
    **options: object,
) -> tuple[PartitionSummary, pd.DataFrame, pd.DataFrame]:
    """Summary, all sources of all tiles (with their tile), rejected rows."""
    run = RunPaths(folder)
    summary = partition_catalog(
        Catalog.of(inputs),  # type: ignore[arg-type]
        footprint,
        order,
        lambda pixel: run.tile(order, pixel).sources,
        run.rejected,
        folder / "spool",
        named_cuts(cuts),
        **options,  # type: ignore[arg-type]
    )
    assert not (folder / "spool").exists()
    frames = [
        read_sources(run.tile(order, tile.pixel).sources).assign(tile=tile.pixel)
        for tile in summary.tiles
    ]
    assert [len(frame) for frame in frames] == [tile.n_sources for tile in summary.tiles]
    sources = pd.concat(frames) if frames else pd.DataFrame(columns=[*SOURCE_SCHEMA.names, "tile"])
    rejected = pd.read_parquet(run.rejected)
    n_rejected = sum(summary.n_rejected.values()) + sum(summary.n_duplicates.values())
    assert len(rejected) == n_rejected
    assert summary.n_read == summary.n_outside_footprint + n_rejected + summary.n_sources
    assert from_json(PartitionSummary, json.loads(json.dumps(summary.to_json()))) == summary
    return summary, sources, rejected


def csv(folder: Path, file: str = "a.csv", **columns: object) -> Path:
    path = folder / file
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


positions = st.tuples(
    st.one_of(st.floats(-200, 380), st.sampled_from([0.0, 360.0, 359.9999, np.nan])),
    st.one_of(st.floats(-95, 95), st.sampled_from([90.0, -90.0, np.nan])),
)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(positions, min_size=1, max_size=25),
    st.lists(st.integers(0, 24), max_size=5),
    st.integers(3, 10),
    st.integers(1, 8),
)
def test_every_row_is_accounted_for(
    rows: list[tuple[float, float]], repeats: list[int], order: int, batch_rows: int
) -> None:
    rows = rows + [rows[index % len(rows)] for index in repeats]
    ra, dec = np.array(rows).T
    with TemporaryDirectory() as name:
        folder = Path(name)
        pd.DataFrame({"ra": ra, "dec": dec}).to_parquet(folder / "a.parquet")
        footprint = make_footprint(box=["300,60,-90,90"])
        summary, sources, rejected = split(
            [folder / "a.parquet"], folder / "run", footprint, order, batch_rows=batch_rows
        )
    assert summary.n_read == len(rows)
    kept, left = set(sources["input_row"]), set(rejected["input_row"])
    assert not kept & left
    assert len(kept) + len(left) + summary.n_outside_footprint == len(rows)
    assert ((sources["ra"] >= 0) & (sources["ra"] < 360)).all()
    if len(sources):
        tiles = tile_pixels(sources["ra"].to_numpy(float), sources["dec"].to_numpy(float), order)
        assert (sources["tile"] == tiles).all()
    assert sources["source_id"].is_unique


@settings(deadline=None, max_examples=6)
@given(st.permutations(range(40)), st.integers(1, 50))
def test_order_of_rows_does_not_matter(order: list[int], batch_rows: int) -> None:
    rng = np.random.default_rng(3)
    ra = np.r_[rng.uniform(0, 360, 20), rng.normal(0, 1e-3, 20) % 360]
    dec = np.r_[np.degrees(np.arcsin(rng.uniform(-1, 1, 20))), rng.normal(90, 1e-3, 20)]
    dec = np.where(dec > 90, 180 - dec, dec)
    frame = pd.DataFrame({"id": np.arange(40), "ra": ra, "dec": dec})
    with TemporaryDirectory() as name:
        frame.iloc[order].to_parquet(Path(name) / "a.parquet")
        _, sources, _ = split(
            [Path(name) / "a.parquet"],
            Path(name) / "run",
            batch_rows=batch_rows,
            dedupe_radius=0.01,
        )
    assert sorted(sources["source_id"]) == list(range(40))


def test_same_bytes_whatever_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    n = 2000
    common = {"flux_r": rng.exponential(5, n), "type": rng.choice(["PSF", "EXP", "DUP"], n)}
    ra, dec = rng.uniform(356, 364, n) % 360, rng.uniform(-3, 3, n)
    csv(tmp_path, "a.csv", ra=ra, dec=dec, **common)
    # The second input has another set of columns and repeats some positions.
    near = dec + rng.uniform(-0.6, 0.6, n) * ARCSEC
    csv(tmp_path, "b.csv", ra=ra, dec=near, shape_r=rng.exponential(1, n), ref_cat="L3")
    inputs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    first, _, _ = split(inputs, tmp_path / "one", cuts="desi-lowz")
    monkeypatch.setattr(partition_module, "_GROUP_ROWS", 500)
    second, _, _ = split(inputs, tmp_path / "two", cuts="desi-lowz", batch_rows=97, workers=1)
    assert first == second
    assert first.n_duplicates["duplicate position"] > n // 2
    assert len(digests(tmp_path / "one")) > 40
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_duplicates_across_tiles_and_files(tmp_path: Path) -> None:
    # 0.2 arcsec across RA = 0, where tiles meet; the same identifier far away.
    csv(tmp_path, "a.csv", id=[1, 2, 3], ra=[0.00003, 50, 60], dec=[0.0, 10, 10])
    csv(tmp_path, "b.csv", id=[4, 2, 5], ra=[359.99998, 120, 60.1], dec=[0.0, 10, 10])
    summary, sources, rejected = split([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "run")
    assert summary.n_duplicates == {"duplicate identifier": 1, "duplicate position": 1}
    assert sorted(sources["source_id"]) == [1, 2, 3, 5]
    assert sources.set_index("source_id").loc[2, "ra"] == 50
    assert rejected["source_id"].tolist() == [4, 2]
    assert rejected["input_file"].tolist() == [1, 1]
    assert any("identifier of another source" in warning for warning in summary.warnings)


def test_a_dropped_source_drops_nothing(tmp_path: Path) -> None:
    # The second row goes for its identifier; the third, on top of it, must stay.
    path = csv(tmp_path, id=[1, 1, 2], ra=[10.0, 20, 20], dec=[0.0, 0, 0.1 * ARCSEC])
    _, sources, _ = split([path], tmp_path / "run")
    assert sorted(sources["source_id"]) == [1, 2]


def test_radius_zero_keeps_close_sources(tmp_path: Path) -> None:
    path = csv(tmp_path, id=[1, 2], ra=[10.0, 10.0], dec=[0.0, 0.0])
    _, sources, _ = split([path], tmp_path / "run", dedupe_radius=0.0)
    assert len(sources) == 2


def test_files_are_sorted_complete_and_flagged(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    flux = np.r_[0.0, -1.0, np.nan, rng.exponential(5, 97)]
    path = csv(
        tmp_path,
        id=rng.permutation(100),
        ra=rng.uniform(10, 11, 100),
        dec=rng.uniform(0, 1, 100),
        flux_r=flux,
        flux_ivar_r=1.0,
        shape_r=1.0,
    )
    summary, sources, _ = split([path], tmp_path / "run", cuts="saga2")
    for tile in summary.tiles:
        file = RunPaths(tmp_path / "run").tile(6, tile.pixel).sources
        assert pq.read_schema(file).equals(SOURCE_SCHEMA)
        assert read_sources(file)["source_id"].is_monotonic_increasing
    by_row = sources.set_index("input_row")["photometric_flags"]
    assert by_row.loc[[0, 1, 2]].tolist() == [1, 1, 1]
    assert summary.n_candidates == (sources["photometric_flags"] == 0).sum()
    assert summary.cut_flow.n_in[0] == 100
    assert summary.cut_flow.n_passed[0] == 97
    assert summary.cut_flow.n_passed[-1] == summary.n_candidates
    assert any("not dereddened" in warning for warning in summary.warnings)


def test_shreds_near_a_bright_galaxy_outside_the_footprint(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        id=[1, 2, 3],
        ra=[10.0, 10.0, 10.0],
        dec=[-0.001, 0.005, 0.05],
        flux_r=[1000.0, 20, 20],
        shape_r=[10.0, 1, 1],
    )
    footprint = make_footprint(box=["9,11,0,1"])
    _, sources, _ = split([path], tmp_path / "run", footprint, cuts="desi-lowz")
    near = sources.set_index("source_id")["photometric_flags"] & 32768
    assert (near.loc[2], near.loc[3]) == (32768, 0)


def test_nothing_inside_is_told(tmp_path: Path) -> None:
    path = csv(tmp_path, ra=[10.0], dec=[0.0])
    summary, _, _ = split([path], tmp_path / "run", make_footprint(circle=["200,0,1"]))
    assert (summary.n_read, summary.n_outside_footprint, summary.n_sources) == (1, 1, 0)
    assert "no source of the catalog is inside the footprint" in summary.warnings


def test_a_bad_input_leaves_no_spool(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", ra=[10.0], dec=[0.0])
    csv(tmp_path, "b.csv", ra=["x"], dec=[0.0])
    with pytest.raises(CatalogError, match=r"b\.csv: row 0: ra is 'x'"):
        split([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "run")
    assert not (tmp_path / "run" / "spool").exists()


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    path = csv(tmp_path, ra=[10.0], dec=[0.0])
    (tmp_path / "run").write_text("a file where the run folder should be")
    with pytest.raises(CatalogError, match="cannot write the tiles"):
        split([path], tmp_path / "run")


def test_damaged_tile_is_named(tmp_path: Path) -> None:
    (tmp_path / "sources.parquet").write_bytes(b"PAR1")
    with pytest.raises(CatalogError, match=r"sources\.parquet: cannot be read"):
        read_sources(tmp_path / "sources.parquet")


def test_progress(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int | None]] = []
    path = csv(tmp_path, ra=[10.0, 100.0], dec=[0.0, 0.0])
    split([path], tmp_path / "run", progress=lambda *call: calls.append(call))
    assert calls == [("read", 2, None), ("write", 2, 2)]


def test_real_sky_through_ra_zero(tmp_path: Path) -> None:
    sweep = shared("realsky", "sweep", "sweep-realsky.fits")
    footprint = make_footprint(circle=["0,0.7,0.1"])
    summary, sources, _ = split([sweep], tmp_path / "run", footprint, cuts="xsaga")
    assert summary.n_read == 122
    assert (sources["ra"] > 359).any()
    assert (sources["ra"] < 1).any()
    assert summary.n_outside_footprint == 58
    assert summary.cut_flow.n_passed == (64, 57, 23, 2, 0)


def test_names_of_sources_are_kept(tmp_path: Path) -> None:
    path = csv(tmp_path, name=["NGC 1", "", "dw 7"], ra=[1.0, 2.0, 3.0], dec=[0.0, 0.0, 0.0])
    _, sources, _ = split([path], tmp_path / "run")
    assert sources.sort_values("ra")["name"].tolist() == ["NGC 1", "", "dw 7"]
