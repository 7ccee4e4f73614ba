"""Choosing targets from a run: tiers, density, exclusions, and that nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from mocpy import MOC

from tests.small_runs import SmallSky, status_of, targets_of, xsaga
from xsaga.targets.target_list import read_target_list

DEFAULT = ("--tier", "20/deg2", "--tier", "saga2", "--tier", "desi-lowz")


@pytest.fixture(scope="module")
def run(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranked") / "RUN"
    result = xsaga("run", *sky.options, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def rank(run: Path, *options: object) -> str:
    """Rank anew; what an earlier test asked for is undone."""
    plain = ("--exclude-maskbit", "31", "--min-separation", "0", "--redshifts", run / "none-*.fits")
    tiers = () if "--tier" in options else ("--tier", "all")
    result = xsaga("rank", run, *(() if "--redshifts" in options else plain), *tiers, *options)
    assert result.exit_code == 0, result.output
    return result.output


def all_ids(run: Path) -> list[int]:
    rest = pd.read_parquet(run / "not-targets.parquet")
    return sorted([*targets_of(run)["source_id"], *rest["source_id"]])


def test_every_scored_source_is_in_one_of_two_files_whatever_the_tiers(run: Path) -> None:
    rank(run)
    everyone = all_ids(run)
    assert len(everyone) == status_of(run)["counts"]["scored"] > 50
    output = rank(run, *DEFAULT, "--exclude-maskbit", "1", "--min-separation", "200")
    assert all_ids(run) == everyone
    counts = status_of(run)["counts"]
    assert sum(counts["targets"].values()) == len(targets_of(run)) < len(everyone)
    assert counts["not_targets"]["in no tier"] > 0
    assert counts["not_targets"]["too close to a better target"] > 0
    assert "no target: in no tier" in output
    assert "tier 2, saga2" in output
    targets = targets_of(run)
    assert targets["rank"].tolist() == list(range(1, len(targets) + 1))
    assert (np.diff(targets["tier"]) >= 0).all()


def test_a_density_is_kept_over_the_area_that_has_sources(run: Path) -> None:
    rank(run, "--tier", "500/deg2", "--shred-radii", "0")
    listed = read_target_list(run)
    area = listed.provenance.area_deg2
    assert area is not None
    assert len(listed.targets) == round(500 * area) < len(all_ids(run))
    assert listed.provenance.tiers == ("500/deg2",)
    moc = MOC.from_fits(run / "area.moc.fits")
    assert moc.sky_fraction * 41252.96 == pytest.approx(area, rel=1e-3)
    ra, dec = (listed.targets[name].to_numpy() * u.deg for name in ("ra", "dec"))
    assert moc.contains_lonlat(ra, dec).all()


def test_the_map_holds_a_bright_galaxy_within_its_own_mask(run: Path) -> None:
    rank(run, "--shred-radii", "40", "--shred-r", "19")
    targets = targets_of(run)
    assert (targets["mag_r"] < 19).any()
    ra, dec = (targets[name].to_numpy() * u.deg for name in ("ra", "dec"))
    assert MOC.from_fits(run / "area.moc.fits").contains_lonlat(ra, dec).all()
    assert xsaga("export", run, "--format", "moc").exit_code == 0
    rank(run, "--shred-radii", "0")


def test_lists_of_a_ranking_that_was_stopped_are_not_handed_on(run: Path) -> None:
    rank(run)
    (run / "ranked.json").unlink()  # as a ranking does before it changes a list
    result = xsaga("export", run, "--format", "regions")
    assert result.exit_code == 1
    assert "`xsaga rank" in result.stderr
    rank(run)
    assert xsaga("export", run, "--format", "regions").exit_code == 0


def test_known_redshifts_are_no_targets_and_are_traced(run: Path, tmp_path: Path) -> None:
    rank(run)
    best = targets_of(run).head(3)
    path = tmp_path / "known.ecsv"
    Table({"ra": best["ra"], "dec": best["dec"], "z": [0.01, 0.2, -9.0]}).write(path)
    output = rank(run, "--redshifts", path)
    assert "every redshift in it counts as good" in output
    assert "no target: good redshift" in output
    rest = pd.read_parquet(run / "not-targets.parquet").set_index("source_id")
    known = rest.loc[best["source_id"][:2]]
    assert known["reason"].tolist() == ["good redshift"] * 2
    assert known["detail"].tolist() == [
        "z = 0.0100, known.ecsv row 0",
        "z = 0.2000, known.ecsv row 1",
    ]
    assert best["source_id"][2] in targets_of(run)["source_id"].to_numpy()
    used = read_target_list(run).provenance.inputs[-1]
    assert used.path.endswith("known.ecsv")
    assert used.size == path.stat().st_size
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "known.ecsv" in page
    assert "● 1</span>" in page
    assert ">tier 1</span>, " in page
    # the choice stays with the run: what `xsaga run` does next excludes them too
    assert "good redshift" in xsaga("run", run).output


def test_a_broken_redshift_file_leaves_the_old_list_in_place(run: Path, tmp_path: Path) -> None:
    rank(run)
    before = (run / "targets.parquet").read_bytes()
    broken = tmp_path / "zcat.fits"
    broken.write_bytes(b"SIMPLE  =                    T" + b" " * 100)
    result = xsaga("rank", run, "--redshifts", broken)
    assert result.exit_code == 1
    assert "zcat.fits" in result.stderr
    assert "Traceback" not in result.stderr
    assert (run / "targets.parquet").read_bytes() == before
    assert status_of(run)["stage"] == "done"
    assert "zcat.fits" not in (run / "run.toml").read_text()
    assert xsaga("rank", run).exit_code == 0


def test_an_empty_option_takes_back_a_list(run: Path, tmp_path: Path) -> None:
    rank(run)
    best = int(targets_of(run)["source_id"][0])
    hand = tmp_path / "hand.txt"
    hand.write_text(f"{best} # a satellite trail\n")
    rank(run, "--exclude", hand)
    assert best not in set(targets_of(run)["source_id"])
    assert "no target" in xsaga("rank", run).output
    rank(run, "--exclude", "")
    assert best in set(targets_of(run)["source_id"])


def test_an_area_masked_by_file_and_by_bits_is_taken_off_once(run: Path, tmp_path: Path) -> None:
    sources = pd.concat(
        pd.read_parquet(path, columns=["ra", "dec", "maskbits"])
        for path in sorted((run / "tiles").rglob("sources.parquet"))
    )
    maskbits = sources["maskbits"].to_numpy()
    bits = [bit for bit in range(31) if ((maskbits >> bit) & 1).any()]
    assert bits
    masked = sources[maskbits != 0]
    every_bit = [item for bit in bits for item in ("--exclude-maskbit", bit)]
    # Circles that hold all masked sources and little else: the bits then take nothing more.
    stars = tmp_path / "stars.fits"
    Table({"ra": masked["ra"], "dec": masked["dec"], "radius": np.full(len(masked), 5.0)}).write(
        stars
    )
    areas = []
    for options in (("--exclude-maskbit", 31), every_bit):
        rank(run, *options, "--bright-stars", stars)
        areas.append(read_target_list(run).provenance.area_deg2)
    rank(run, "--bright-stars", "")
    assert areas[0] == areas[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tier", "saga9"), "did you mean"),
        (("--tier", "20/deg"), "N/deg2"),
        (("--even-order", "12"), "from 0 to 8"),
        (("--min-separation", "-1"), "0 or more"),
        (("--exclude-maskbit", "40"), "bits from 0 to 31"),
        (("--tier", "all", "--priority", "-5"), "0 or more"),
    ],
)
def test_a_ranking_that_makes_no_sense_is_refused(
    run: Path, options: tuple[str, ...], words: str
) -> None:
    result = xsaga("rank", run, *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_same_ranking_gives_the_same_bytes(run: Path) -> None:
    contents = []
    for _ in range(2):
        rank(run, *DEFAULT)
        names = ("targets.parquet", "targets.fits", "not-targets.parquet", "area.moc.fits")
        contents.append([(run / name).read_bytes() for name in names])
    assert contents[0] == contents[1]


def test_tiers_travel_in_all_formats(run: Path) -> None:
    rank(run, "--tier", "0.2", "--tier", "all", "--format", "parquet", "--format", "fits")
    metadata = json.loads(pq.read_schema(run / "targets.parquet").metadata[b"xsaga.provenance"])
    assert metadata["tiers"] == ["0.2", "all"]
    header = fits.getheader(run / "targets.fits", "TARGETS")
    assert header["TIER1"] == "0.2"
    assert header["TIER2"] == "all"
    assert header["AREA"] == pytest.approx(metadata["area_deg2"])
