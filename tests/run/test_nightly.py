from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from healpy import nside2pixarea
from rich.console import Console

from tests.fault_plans import FaultMix, Outage
from tests.formula_sky import FormulaSky
from tests.small_nights import ORDER, TIERS, Nights, SmallArchive
from tests.small_runs import SIZE
from tests.survey_server import survey_server
from tests.toy_model import TINY, toy_card, toy_network
from xsaga.config import RunConfig
from xsaga.config_file import with_values
from xsaga.errors import ExitCode
from xsaga.imaging.http_faults import UnreachableError
from xsaga.model.weights import save_model
from xsaga.run.nightly import NightSettings, run_night


@pytest.fixture(scope="module")
def first_night(
    archive: SmallArchive, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Nights, Path]:
    place = tmp_path_factory.mktemp("first")
    nights = Nights.over(archive, place / "place", place_rows(archive))
    result = nights.run("2026-11-26")
    assert result.exit_code == ExitCode.OK, result.output
    return nights, place / "place"


def place_rows(archive: SmallArchive):
    """All rows but two of the tile that has most."""
    return archive.rows[~np.isin(archive.ids, late_ids(archive))]


def busiest_tile(archive: SmallArchive) -> int:
    tiles, counts = np.unique(archive.tiles, return_counts=True)
    return int(tiles[counts.argmax()])


def late_ids(archive: SmallArchive) -> np.ndarray:
    return archive.ids[archive.tiles == busiest_tile(archive)][:2]


@pytest.fixture
def nights(first_night: tuple[Nights, Path], tmp_path: Path) -> Nights:
    """A copy of the first night's folder, to go on from."""
    done, place = first_night
    shutil.copytree(place, tmp_path / "place", symlinks=True)
    options = [option.replace(str(place), str(tmp_path / "place")) for option in done.options]
    return Nights(tmp_path / "place" / "N", tmp_path / "place" / "catalog.fits", options)


def test_the_first_night_publishes_a_list(
    first_night: tuple[Nights, Path], archive: SmallArchive
) -> None:
    nights, _ = first_night
    assert nights.names() == ["2026-11-26"]
    assert (nights.folder / "latest").readlink() == Path("lists/2026-11-26")
    summary = nights.summary()
    assert summary["complete"]
    assert summary["targets"] == len(nights.targets()) > 20
    assert summary["tiles"]["scored"] == len(np.unique(archive.tiles))
    assert summary["weights"]["simulated"]
    text = (nights.folder / "latest" / "summary.txt").read_text(encoding="utf-8")
    assert text.startswith(f"xsaga nightly 2026-11-26: {summary['targets']} targets in lists/")
    assert "SIMULATED WEIGHTS" in text
    assert len(text.splitlines()) <= 25
    assert (nights.ledger()["what"] == "added").all()
    nights.assert_ledger_tells_the_lists()


def test_nothing_new_leaves_the_list(nights: Nights) -> None:
    # By content: the catalog of the copy is at another place and was written at another time.
    first = nights.run("2026-11-27")
    assert first.exit_code == ExitCode.OK  # the path of the catalog is a setting that changed
    assert nights.summary()["tiles"]["scored"] == 0
    assert nights.summary()["added"] == nights.summary()["removed"] == {}
    os.utime(nights.catalog, (1e9, 1e9))
    result = nights.run("2026-11-28")
    assert result.exit_code == ExitCode.NOTHING_NEW
    assert "nothing new; the latest list is lists/2026-11-27" in result.stdout
    assert nights.names() == ["2026-11-26", "2026-11-27"]
    as_json = json.loads(nights.run("2026-11-28", "--json").stdout)
    assert as_json["status"] == "nothing new"


def test_new_sources_score_their_tile_only(nights: Nights, archive: SmallArchive) -> None:
    before = nights.targets()
    nights.provide(archive.rows)
    result = nights.run("2026-11-27")
    assert result.exit_code == ExitCode.OK, result.output
    summary = nights.summary()
    assert summary["tiles"]["scored"] == 1
    assert summary["tiles"]["kept"] == len(np.unique(archive.tiles)) - 1
    scored = [event["tile"] for event in nights.events("tile scored")]
    assert scored[-1] == f"Npix={busiest_tile(archive)}"
    assert summary["added"] == {"new in catalog": 2}
    assert summary["removed"] == {}
    ledger = nights.ledger()
    news = ledger[(ledger["list"] == "2026-11-27") & (ledger["what"] == "added")]
    assert sorted(news["source_id"]) == sorted(late_ids(archive))
    kept = nights.targets().set_index("source_id").loc[before["source_id"], "p_lowz"]
    np.testing.assert_allclose(kept, before["p_lowz"], atol=1e-5)
    nights.assert_ledger_tells_the_lists()


def test_gone_sources_are_told_with_the_reason(nights: Nights, archive: SmallArchive) -> None:
    before = nights.targets()
    rows = archive.rows[~np.isin(archive.ids, late_ids(archive))]
    first, second, third = (int(number) for number in before["source_id"].head(3))
    ids = archive.ids[~np.isin(archive.ids, late_ids(archive))]
    gone = rows[ids != first]
    gone["FLUX_R"][ids[ids != first] == second] *= 1e-4  # fainter than the cut below
    nights.provide(gone)
    cutout = archive.cutouts / f"{third}.fits"
    content = cutout.read_bytes()
    try:
        cutout.write_bytes(content[:3000])
        result = nights.run("2026-11-27", "--r-max", "23")
    finally:
        cutout.write_bytes(content)
    assert result.exit_code == ExitCode.SOURCES_FAILED, result.output
    ledger = nights.ledger()
    removed = ledger[ledger["what"] == "removed"].set_index("source_id")
    assert removed["why"].to_dict() == {
        first: "no longer in catalog",
        second: "fails the cuts",
        third: "failed cutout",
    }
    assert removed.loc[second, "detail"] == "FAINT"
    assert removed.loc[first, "tier_before"] == before["tier"].iloc[0]
    assert pd.isna(removed.loc[first, "tier_after"])
    assert "failures.parquet lists the failed sources" in result.stdout
    nights.assert_ledger_tells_the_lists()
    # the file is whole again: the source comes back
    result = nights.run("2026-11-28", "--r-max", "23")
    assert result.exit_code == ExitCode.OK, result.output
    assert nights.summary()["added"] == {"newly scored": 1}
    assert nights.summary()["tiles"]["scored"] == 1


def test_another_footprint_is_told_apart_from_another_catalog(nights: Nights) -> None:
    targets = nights.targets()
    middle = targets["ra"].median()
    box = f"{middle},181,-1,2"
    result = nights.run("2026-11-27", "--box", box)
    assert result.exit_code == ExitCode.OK, result.output
    outside = int((targets["ra"] < middle).sum())
    assert nights.summary()["removed"] == {"outside footprint": outside}
    assert nights.run("2026-11-28").exit_code == ExitCode.OK
    assert nights.summary()["added"] == {"footprint": outside}
    nights.assert_ledger_tells_the_lists()


def test_new_weights_score_anew_without_fetching(nights: Nights, tmp_path: Path) -> None:
    weights = tmp_path / "other"
    card = replace(toy_card(TINY, SIZE, members=1), image_release=("xsaga-sim",), name="other")
    save_model(weights, card, [toy_network(TINY, 7, SIZE)])
    result = nights.run("2026-11-27", "--weights", weights)
    assert result.exit_code == ExitCode.OK, result.output
    summary = nights.summary()
    assert summary["tiles"]["kept"] == summary["tiles"]["scored"] == 0
    assert summary["tiles"]["rescored"] == len(
        pd.read_parquet(nights.folder / "latest/tiles.parquet")
    )
    assert set(summary["changed"]) == {"weights"}
    assert summary["weights"]["name"] == "other"
    nights.assert_ledger_tells_the_lists()


def test_new_images_score_their_tile_only(
    nights: Nights, archive: SmallArchive, tmp_path: Path
) -> None:
    cutouts = tmp_path / "cutouts"
    shutil.copytree(archive.cutouts, cutouts)
    options = ("--files", cutouts)
    assert nights.run("2026-11-27", *options).exit_code == ExitCode.OK
    assert nights.summary()["tiles"]["scored"] == 0  # other place, same content
    number = int(nights.targets()["source_id"].iloc[0])
    with fits.open(cutouts / f"{number}.fits", mode="update") as hdus:
        hdus[0].data = hdus[0].data[:, ::-1, :] * 3
    result = nights.run("2026-11-28", *options)
    assert result.exit_code == ExitCode.OK, result.output
    assert nights.summary()["tiles"]["scored"] == 1
    assert nights.summary()["changed"].get("imaging") == 1
    assert nights.run("2026-11-29", *options).exit_code == ExitCode.NOTHING_NEW


def test_a_second_list_of_a_night_and_a_clock_that_goes_back(
    nights: Nights, archive: SmallArchive
) -> None:
    first = (nights.folder / "lists/2026-11-26/targets.parquet").read_bytes()
    nights.provide(archive.rows)
    assert nights.run("2026-11-26").exit_code == ExitCode.OK
    assert (nights.folder / "latest").readlink() == Path("lists/2026-11-26.2")
    nights.provide(archive.rows[1:])
    result = nights.run("2020-01-01")
    assert result.exit_code == ExitCode.OK
    assert nights.names() == ["2026-11-26", "2026-11-26.2", "2026-11-26.3"]
    assert "the date is 2020-01-01, but the last list is of 2026-11-26" in result.stdout
    assert (nights.folder / "lists/2026-11-26/targets.parquet").read_bytes() == first
    nights.assert_ledger_tells_the_lists()


def test_a_damaged_catalog_keeps_the_list(nights: Nights, archive: SmallArchive) -> None:
    nights.provide(archive.rows)
    whole = nights.catalog.read_bytes()
    nights.catalog.write_bytes(whole[: len(whole) // 2])
    result = nights.run("2026-11-27")
    assert result.exit_code == ExitCode.ERROR
    assert "NO NEW LIST, lists/2026-11-26 stays the latest: " in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert nights.names() == ["2026-11-26"]
    nights.provide(archive.rows)
    assert nights.run("2026-11-28").exit_code == ExitCode.OK
    assert nights.summary()["added"] == {"new in catalog": 2}
    nights.assert_ledger_tells_the_lists()


def test_a_good_redshift_takes_a_target_off(nights: Nights, tmp_path: Path) -> None:
    before = nights.targets()
    known = tmp_path / "redshifts.csv"
    options = ("--redshifts", known)
    best = before.iloc[[0]]
    known.write_text("ra,dec,z,zwarn\n", encoding="utf-8")
    rows = best.assign(z=0.2, zwarn=0)[["ra", "dec", "z", "zwarn"]]
    rows.to_csv(known, index=False)
    result = nights.run("2026-11-27", *options)
    assert result.exit_code == ExitCode.OK, result.output
    summary = nights.summary()
    assert summary["tiles"]["scored"] == summary["tiles"]["rescored"] == 0
    assert sum(summary["removed"].values()) == 1
    assert sum(summary["not_targets"].values()) == 1
    ledger = nights.ledger()
    gone = ledger[ledger["what"] == "removed"].iloc[0]
    assert gone["source_id"] == best["source_id"].iloc[0]
    assert "redshift" in gone["why"]
    assert known.name in gone["detail"]
    assert (nights.folder / "latest" / "not-targets.parquet").is_file()
    assert (nights.folder / "latest" / "area.moc.fits").is_file()
    # a damaged file keeps the list; a good one goes on
    known.write_bytes(b"PAR1\x00\xff")
    result = nights.run("2026-11-28", *options)
    assert result.exit_code == ExitCode.ERROR
    assert "NO NEW LIST, lists/2026-11-27 stays the latest" in result.stdout
    assert known.name in result.stdout
    rows.assign(ra=rows["ra"] + 1).to_csv(known, index=False)
    assert nights.run("2026-11-28", *options).exit_code == ExitCode.OK
    assert sum(nights.summary()["added"].values()) == 1
    nights.assert_ledger_tells_the_lists()
    assert nights.run("2026-11-29", *options).exit_code == ExitCode.NOTHING_NEW


def test_exports_keep_the_identifiers_they_gave(nights: Nights, archive: SmallArchive) -> None:
    options = ("--export", "desi-targets --unknown-release secondary", "--export", "regions")
    result = nights.run("2026-11-27", *options)
    assert result.exit_code == ExitCode.OK, result.output
    given = pd.read_parquet(nights.folder / "targetids.parquet").set_index("source_id")["targetid"]
    assert set(given.index) == set(nights.targets()["source_id"])
    assert (nights.folder / "latest/exports/desi-targets/export.json").is_file()
    nights.provide(archive.rows[5:])
    assert nights.run("2026-11-28", *options).exit_code == ExitCode.OK
    later = pd.read_parquet(nights.folder / "targetids.parquet").set_index("source_id")["targetid"]
    assert later[given.index].equals(given)
    assert later.is_unique
    assert nights.run("2026-11-29", "--export", "dessi").exit_code == ExitCode.USAGE


class ClockOfWork:
    """A clock that stands still until so many tiles are scored, then is late."""

    def __init__(self, nights: Nights, tiles: int) -> None:
        self.nights, self.tiles = nights, tiles

    def __call__(self) -> float:
        done = self.nights.events("tile scored") if self.nights.folder.exists() else []
        return 1e6 if len(done) >= self.tiles else 0.0


def configuration(archive: SmallArchive, nights: Nights) -> RunConfig:
    values = {
        "catalog.path": [str(nights.catalog)],
        "imaging.files": str(archive.cutouts),
        "imaging.release": "xsaga-sim",
        "imaging.size": SIZE,
        "model.weights": str(archive.weights),
        "model.device": "cpu",
        "model.precision": "float32",
        "model.engine": "eager",
        "cuts.name": "none",
        "rank.tiers": TIERS,
        "rank.formats": ["parquet"],
        "exclude.shred_radii": 0.0,
        "footprint.order": ORDER,
    }
    return with_values(RunConfig(), values, "test")


def test_time_runs_out_and_the_next_night_goes_on(archive: SmallArchive, tmp_path: Path) -> None:
    nights = Nights.over(archive, tmp_path)
    config, console = configuration(archive, nights), Console(file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    n_tiles = len(np.unique(archive.tiles))

    def night(day: int, tiles: int, **values: object):
        changed = with_values(config, values, "test")
        clock = ClockOfWork(nights, tiles)
        settings = NightSettings(date(2026, 11, day), max_seconds=3600.0, clock=clock)
        return run_night(changed, nights.folder, settings, console)

    with console.file:
        report = night(26, 1)
        assert report.exit_code == ExitCode.OUT_OF_TIME
        assert "OUT OF TIME: " in report.text
        summary = nights.summary()
        assert summary["tiles"] == {"kept": 0, "rescored": 0, "scored": 1, "waiting": n_tiles - 1}
        assert summary["waiting"] + summary["targets"] == len(archive.rows)
        report = night(27, 10**6)  # the same catalog: what is scored is not scored again
        assert report.exit_code == ExitCode.OK
        assert nights.summary()["tiles"]["kept"] == 1
        assert nights.summary()["targets"] == len(archive.rows)
        assert set(nights.summary()["added"]) == {"newly scored"}
        # A density is for the sky that has scores: a tile that waits has no share to give away.
        more = nights.summary()["area_deg2"] - summary["area_deg2"]
        tile = nside2pixarea(2**ORDER, degrees=True)
        assert more == pytest.approx((n_tiles - 1) * tile, rel=1e-3)
        whole = nights.targets().set_index("source_id")["p_lowz"]
        # Other settings of the scores, and no time: one tile, and last night's scores for the rest.
        report = night(29, n_tiles + 1, **{"imaging.min_coverage": 0.3})
        assert report.exit_code == ExitCode.OUT_OF_TIME
        summary = nights.summary()
        assert summary["targets"] == len(archive.rows)
        assert summary["waiting"] == 0
        assert summary["carried_over"] > 0
        assert not summary["complete"]
        carried = nights.targets().set_index("source_id")["p_lowz"]
        np.testing.assert_allclose(carried, whole[carried.index], atol=1e-5)
        report = night(30, 10**6, **{"imaging.min_coverage": 0.3})
        assert report.exit_code == ExitCode.OK
        assert nights.summary()["carried_over"] == 0
    nights.assert_ledger_tells_the_lists()
    assert len(list((nights.folder / "runs").iterdir())) == 1


def test_a_night_whose_service_goes_away_publishes_what_it_has(
    archive: SmallArchive, tmp_path: Path
) -> None:
    nights = Nights.over(archive, tmp_path)
    _, counts = np.unique(archive.tiles, return_counts=True)
    gone = [Outage(after=int(counts[0]) + 2, seconds=1e6)]
    faults = FaultMix(rate=0, seed=1, outages=tuple(gone))
    (tmp_path / "empty").mkdir()
    config = configuration(archive, nights)

    def night(day: int, url: str, **more: object):
        values = {
            "imaging.files": "",
            "imaging.service": url,
            "imaging.layer": "xsaga-sim",
            "imaging.rate": 1000.0,
            "imaging.connections": 1,
            "imaging.timeout": 2.0,
            "imaging.retries": 1,
            "imaging.max_outage": 0.02,
        }
        settings = NightSettings(date(2026, 11, day), **more)
        with Path(os.devnull).open("w", encoding="utf-8") as file:
            console = Console(file=file)
            return run_night(with_values(config, values, "test"), nights.folder, settings, console)

    with survey_server(
        tmp_path / "empty", faults=faults, layer="xsaga-sim", sky=FormulaSky()
    ) as server:
        report = night(26, server.cutout_url, max_seconds=3600.0)
        assert report.exit_code == ExitCode.OUT_OF_TIME
        summary = nights.summary()
        assert summary["tiles"]["scored"] == 1
        assert summary["tiles"]["waiting"] == len(counts) - 1
        (warning,) = [each for each in nights.events("warning") if "no usable answer" in str(each)]
        assert "start again later to go on" in str(warning)
        with pytest.raises(UnreachableError):  # all the time there is, and it is gone
            night(27, server.cutout_url)
        assert nights.names() == ["2026-11-26"]
        faults.outages = ()
        report = night(27, server.cutout_url, max_seconds=3600.0)
    assert report.exit_code == ExitCode.OK
    assert nights.summary()["tiles"]["kept"] == 1
    assert nights.summary()["targets"] == len(archive.rows)
    nights.assert_ledger_tells_the_lists()


def test_many_nights_reconcile(archive: SmallArchive, tmp_path: Path) -> None:
    chance = np.random.default_rng(20261126)
    nights = Nights.over(archive, tmp_path)
    for day in range(1, 4):
        rows = archive.rows[chance.random(len(archive.rows)) < chance.uniform(0.2, 1)]
        rows["FLUX_R"][chance.random(len(rows)) < 0.2] *= 1e-4  # these fail the cut
        nights.provide(rows)
        result = nights.run(f"2026-11-{day:02d}", "--r-max", "23")
        assert result.exit_code == ExitCode.OK, result.output
        counts = nights.summary()["counts"]
        assert counts["candidates"] == nights.summary()["targets"]
    nights.assert_ledger_tells_the_lists()
    ledger = nights.ledger()
    assert {"new in catalog", "newly passes", "no longer in catalog", "fails the cuts"} <= set(
        ledger["why"]
    )


def test_a_folder_of_other_things_is_left_alone(archive: SmallArchive, tmp_path: Path) -> None:
    nights = Nights.over(archive, tmp_path)
    nights.folder.mkdir()
    (nights.folder / "thesis.tex").write_text("mine", encoding="utf-8")
    result = nights.run("2026-11-26")
    assert result.exit_code == ExitCode.ERROR
    assert "holds thesis.tex: choose another --out" in result.stderr
    assert [path.name for path in nights.folder.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("time", ["2", "0s", "soon", "1h 30m"])
def test_a_time_that_is_none_is_a_wrong_option(
    archive: SmallArchive, tmp_path: Path, time: str
) -> None:
    result = Nights.over(archive, tmp_path).run("2026-11-26", "--max-runtime", time)
    assert result.exit_code == ExitCode.USAGE
    assert "90m, 2h or 3600s" in result.stderr
    assert not (tmp_path / "N").exists()
