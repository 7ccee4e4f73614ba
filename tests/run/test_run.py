from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from tests.small_runs import SmallSky, status_of, targets_of, xsaga
from xsaga.imaging.brick_tree import LocalTree
from xsaga.paths import RunPaths


@pytest.fixture(scope="module")
def finished(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "RUN"
    result = xsaga("run", *sky.options, "--out", run)
    assert result.exit_code == 0, result.output
    return run


def test_every_row_is_accounted_for(sky: SmallSky, finished: Path) -> None:
    n_rows = sum(len(Table.read(path)) for path in (sky.tree / "sweep").rglob("*.fits"))
    counts = status_of(finished)["counts"]
    assert counts["read"] == n_rows
    assert counts["sources"] == n_rows  # no footprint: all of the catalog
    assert counts["sources"] == counts["failed_cuts"] + counts["candidates"]
    assert counts["candidates"] == counts["scored"] == len(targets_of(finished))
    assert counts["candidates"] > 20
    assert "all done" in xsaga("status", finished).output


def test_targets_are_ranked_and_complete(finished: Path) -> None:
    targets = targets_of(finished)
    assert targets["rank"].tolist() == list(range(1, len(targets) + 1))
    assert (np.diff(targets["p_lowz"]) <= 0).all()
    assert targets["source_id"].is_unique
    assert targets["mag_r"].max() <= 23
    assert (targets["photometric_flags"] == 0).all()
    assert targets["p_lowz"].between(0, 1).all()
    assert targets["cutout_origin"].str.startswith("south/").all()
    fits_table = Table.read(finished / "targets.fits", hdu="TARGETS", unit_parse_strict="silent")
    assert fits_table["TARGETID"].tolist() == targets["source_id"].tolist()


def test_scores_are_those_of_the_stored_cutouts(finished: Path) -> None:
    """The first target's score, computed again from its stored pixels alone."""
    from xsaga.imaging.store import read_cutouts
    from xsaga.model.scoring import Scorer
    from xsaga.model.weights import load_model
    from xsaga.run.folder import read_run_config
    from xsaga.sky.tiles import tile_pixels

    config = read_run_config(RunPaths(finished))
    best = targets_of(finished).iloc[0]
    (pixel,) = tile_pixels([best["ra"]], [best["dec"]], config.footprint.order)
    cutouts = read_cutouts(RunPaths(finished).tile(config.footprint.order, int(pixel)))
    row = cutouts.index.set_index("source_id").loc[int(best["source_id"]), "row"]
    scorer = Scorer(load_model(config.model.weights), device="cpu", precision="float32")
    again = scorer.score(np.asarray(cutouts.images[int(row) : int(row) + 1]))
    assert again.p_lowz[0] == pytest.approx(best["p_lowz"], abs=1e-5)


def test_stages_one_at_a_time_give_the_same_targets(
    sky: SmallSky, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "RUN"
    for stage in (["tile", *sky.options, "--out", run], ["fetch", run], ["score", run]):
        assert xsaga(*stage).exit_code == 0
        assert not (run / "targets.parquet").exists()
    assert status_of(run)["stage"] == "rank"
    assert xsaga("rank", run).exit_code == 0
    pd.testing.assert_frame_equal(targets_of(run), targets_of(finished))


def test_stages_out_of_order_say_what_to_do_first(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    xsaga("tile", *sky.options, "--out", run)
    result = xsaga("score", run)
    assert result.exit_code == 1
    assert f"`xsaga fetch {run}` first" in result.stderr
    result = xsaga("rank", run)
    assert result.exit_code == 1
    assert "tiles are not scored yet" in result.stderr


def test_a_finished_run_does_nothing_again(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("scores.parquet")}
    assert len(before) > 1
    assert xsaga("run", finished).exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("scores.parquet")}


def test_a_resume_with_other_settings_is_refused_with_the_keys(
    sky: SmallSky, finished: Path
) -> None:
    before = (finished / "targets.parquet").read_bytes()
    result = xsaga("run", *sky.options, "--r-max", "22", "--min-coverage", "0.5", "--out", finished)
    assert result.exit_code == 1
    assert "cuts.r_max: was 23.0, now 22.0" in result.stderr
    assert "imaging.min_coverage: was 0.2, now 0.5" in result.stderr
    assert "--restart" in result.stderr
    assert (finished / "targets.parquet").read_bytes() == before


def test_a_changed_catalog_is_noticed(sky: SmallSky, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    shutil.copytree(sky.tree / "sweep", catalog)
    options = [*sky.options, "--catalog", str(catalog), "--out", tmp_path / "RUN"]
    options = options[2:]  # this catalog instead of that of the sky
    assert xsaga("tile", *options).exit_code == 0
    assert xsaga("tile", *options).exit_code == 0
    path = next(catalog.rglob("*.fits"))
    table = Table.read(path, unit_parse_strict="silent")
    table["FLUX_R"][0] *= 2
    table.write(path, overwrite=True)
    result = xsaga("tile", *options)
    assert result.exit_code == 1
    assert f"input {path}: was" in result.stderr


def test_restart_begins_anew(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    assert xsaga("tile", *sky.options, "--r-max", "22", "--restart", "--out", run).exit_code == 0
    assert "r_max = 22.0" in (run / "run.toml").read_text()
    assert not (run / "targets.parquet").exists()
    assert status_of(run)["counts"]["scored"] == 0


def test_cutouts_can_be_discarded(sky: SmallSky, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--no-keep-cutouts", "--out", run).exit_code == 0
    assert not list(run.rglob("cutouts.*"))
    assert list(finished.rglob("cutouts.npy"))
    assert status_of(run)["stage"] == "done"
    pd.testing.assert_frame_equal(targets_of(run), targets_of(finished))


def test_float32_store_changes_scores_by_rounding_only(
    sky: SmallSky, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--store-dtype", "float32", "--out", run).exit_code == 0
    exact, half = (
        targets_of(folder).set_index("source_id")["p_lowz"].sort_index()
        for folder in (run, finished)
    )
    np.testing.assert_allclose(exact, half, atol=2e-3)
    assert not exact.equals(half)


def test_missing_and_broken_bricks_fail_their_sources_only(
    sky: SmallSky, finished: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(sky.tree, tree)
    images = sorted((tree / "south" / "coadd").rglob("*-image-r.fits.fz"))
    broken, emptied = images[0], images[1].parent
    broken.write_bytes(broken.read_bytes()[:5000])
    shutil.rmtree(emptied)
    options = [*sky.options, "--bricks", str(tree), "--out", tmp_path / "RUN"]
    result = xsaga("run", *options)
    assert result.exit_code == 3, result.output
    counts = status_of(tmp_path / "RUN")["counts"]
    assert counts["scored"] + sum(counts["failed"].values()) == counts["candidates"]
    assert counts["failed"]["corrupt"] > 0
    failures = xsaga("status", tmp_path / "RUN", "--failures")
    assert failures.exit_code == 3
    assert broken.name in failures.output
    whole = targets_of(finished).set_index("source_id")["p_lowz"]
    for source, p in targets_of(tmp_path / "RUN").set_index("source_id")["p_lowz"].items():
        assert p == pytest.approx(whole[source], abs=1e-5)


def test_log_is_json_lines_and_record_tells_what_was_used(finished: Path) -> None:
    events = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert {"begin", "tiled", "tile done", "ranked", "end"} <= {event["event"] for event in events}
    record = json.loads((finished / "run.json").read_text())
    assert record["weights"]["simulated"] is True
    assert len(record["weights"]["sha256"]) == 64
    assert all(len(item["sha256"]) == 64 for item in record["inputs"])
    scores = next(finished.rglob("scores.parquet"))
    metadata = pq.read_schema(scores).metadata
    assert metadata[b"xsaga.fingerprint"].decode() == record["fingerprint"]


def test_report_shows_the_targets_with_pictures(finished: Path) -> None:
    page = (finished / "report" / "index.html").read_text(encoding="utf-8")
    best = str(targets_of(finished).iloc[0]["source_id"])
    assert best in page
    assert "data:image/png;base64," in page
    assert "SIMULATED WEIGHTS" in page
    assert "do not add up" not in page


def test_cut_flow_is_printed_and_kept(sky: SmallSky, tmp_path: Path) -> None:
    run = tmp_path / "RUN"
    result = xsaga("tile", *sky.options, "--cuts", "saga2", "--out", run)
    table = pd.read_csv(run / "cutflow.csv")
    assert table["n_in"].iloc[0] == status_of(run)["counts"]["sources"]
    assert (table["n_passed"] <= table["n_in"]).all()
    assert table["n_passed"].iloc[-1] == status_of(run)["counts"]["candidates"]
    for step in table["step"]:
        assert step in result.output


def test_footprint_bounds_the_run_not_its_tiles(sky: SmallSky, tmp_path: Path) -> None:
    catalog = pd.concat(
        [
            Table.read(path, unit_parse_strict="silent")["RA", "DEC"].to_pandas()
            for path in (sky.tree / "sweep").rglob("*.fits")
        ]
    )
    ra, dec = float(catalog["RA"].median()), float(catalog["DEC"].median())
    run = tmp_path / "RUN"
    assert xsaga("tile", *sky.options, "--circle", f"{ra},{dec},0.01", "--out", run).exit_code == 0
    cos = np.cos(np.radians(dec))
    inside = np.hypot((catalog["RA"] - ra) * cos, catalog["DEC"] - dec) < 0.01
    counts = status_of(run)["counts"]
    assert counts["sources"] == inside.sum() > 0
    assert counts["outside_footprint"] == (~inside).sum()


def test_names_of_the_catalog_are_in_the_list(sky: SmallSky, tmp_path: Path) -> None:
    table = Table.read(next((sky.tree / "sweep").rglob("*.fits")), unit_parse_strict="silent")
    table["NAME"] = [f"mine {row}" for row in range(len(table))]
    table.write(tmp_path / "sources.fits")
    options = ["--catalog", str(tmp_path / "sources.fits"), *sky.options[2:]]
    assert xsaga("run", *options, "--out", tmp_path / "RUN").exit_code == 0
    targets = targets_of(tmp_path / "RUN")
    assert (targets["name"] == [f"mine {row}" for row in targets["input_row"]]).all()
    fits_table = Table.read(
        tmp_path / "RUN" / "targets.fits", hdu="TARGETS", unit_parse_strict="silent"
    )
    assert [str(name) for name in fits_table["NAME"]] == targets["name"].tolist()


def test_a_brick_is_opened_once_although_many_tiles_share_it(
    sky: SmallSky, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    fetch = LocalTree.fetch

    def counted(tree: LocalTree, path: str) -> Path | None:
        opened[path] += "coadd" in path
        return fetch(tree, path)

    monkeypatch.setattr(LocalTree, "fetch", counted)
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    bricks = {path.split("-")[1] for path in opened if "coadd" in path}
    tiles = list(run.rglob("scores.parquet"))
    assert len(bricks) == 4
    assert len(tiles) > len(bricks)
    assert max(opened.values()) == 1
    assert not RunPaths(run).set_aside.exists()
    pd.testing.assert_frame_equal(targets_of(run), targets_of(finished))


def test_little_memory_changes_nothing_but_the_time(
    sky: SmallSky, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "RUN"
    assert xsaga("run", *sky.options, "--memory", "2", "--out", run).exit_code == 0
    pd.testing.assert_frame_equal(targets_of(run), targets_of(finished))
    result = xsaga("run", *sky.options, "--memory", "1", "--out", tmp_path / "OTHER")
    assert result.exit_code == 2
    assert "--memory 1.0: give GB, 2 or more" in result.stderr
