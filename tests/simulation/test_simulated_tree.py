from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from filelock import FileLock

from tests.shared_data import shared
from xsaga.errors import SimulationError
from xsaga.simulation import SimulationSummary, simulate_sky
from xsaga.simulation.bricks import brick_at
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import NATIVE_SCALE, Conditions
from xsaga.simulation.drawing.render import render_model
from xsaga.simulation.observing.noise import noise_correlation
from xsaga.simulation.observing.observe import observe
from xsaga.simulation.population.objects import draw_objects
from xsaga.simulation.sky_model import SkyModel
from xsaga.simulation.tree import sweep_name, write_coadd

CENTER = (359.99, 0.7)
PIXELS = 450


def simulate(out: Path, **changes: object) -> SimulationSummary:
    settings = {"center": CENTER, "bricks": 2, "seed": 11, "brick_pixels": PIXELS} | changes
    return simulate_sky(out, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sky") / "sim"
    simulate(out, density=4.0, lowz_boost=5.0)
    return out


@pytest.fixture(scope="module")
def sources(tree: Path) -> pd.DataFrame:
    tables = [Table.read(path).to_pandas() for path in sorted(tree.glob("sweep/9.0/*.fits"))]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def redshifts(tree: Path) -> pd.DataFrame:
    return pd.read_parquet(tree / "redshifts-simulated.parquet")


@pytest.fixture(scope="module")
def truth(tree: Path) -> pd.DataFrame:
    return pd.read_parquet(tree / "truth.parquet")


def test_the_tree_is_laid_out_as_the_survey_lays_it_out(tree: Path) -> None:
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    expected = {
        f"south/coadd/{name[:3]}/{name}/legacysurvey-{name}-{kind}.fits.fz"
        for name in ("3598p007", "0001p007")
        for kind in (
            "image-g",
            "image-r",
            "image-z",
            "invvar-g",
            "invvar-r",
            "invvar-z",
            "maskbits",
        )
    }
    expected |= {"survey-bricks.fits.gz", "south/survey-bricks-sim-south.fits.gz", "truth.parquet"}
    expected |= {"redshifts-simulated.parquet"}
    expected |= {"sweep/9.0/sweep-000p000-010p005.fits", "sweep/9.0/sweep-350p000-360p005.fits"}
    assert files == expected


def test_coadds_read_as_the_surveys_do(tree: Path) -> None:
    name = "0001p007"
    stem = tree / "south/coadd/000" / name / f"legacysurvey-{name}"
    for kind in ("image-r", "invvar-z", "maskbits"):
        path = f"{stem}-{kind}.fits.fz"
        with fits.open(path) as opened:
            header, pixels = opened[1].header, opened[1].data
            assert pixels.shape == (PIXELS, PIXELS)
            assert header["BRICKNAM"] == name
            assert header["SIMULAT"] is True
            assert header["RELEASE"] == "xsaga-sim"
        with fits.open(path, disable_image_compression=True) as opened:
            raw = opened[1].header
            assert (raw["ZCMPTYPE"], raw["ZTILE1"], raw["ZTILE2"]) == ("RICE_1", 100, 100)
        wcs = WCS(header)
        np.testing.assert_allclose(
            wcs.all_pix2world([[(PIXELS - 1) / 2] * 2], 0)[0], [0.125, 0.75], atol=1e-9
        )
        assert header["CD2_2"] * 3600 == pytest.approx(0.262)


def test_compression_keeps_noise_and_zeros(tmp_path: Path) -> None:
    simulate(tmp_path / "sim", bricks=1, density=0.02, brick_pixels=400)
    for band in "grz":
        (image,) = tmp_path.rglob(f"*-image-{band}.fits.fz")
        (invvar,) = tmp_path.rglob(f"*-invvar-{band}.fits.fz")
        pixels, weights = fits.getdata(image), fits.getdata(invvar)
        pulls = pixels[weights > 0] * np.sqrt(weights[weights > 0])
        middle = np.percentile(pulls, [15.87, 84.13])
        # as neighbouring pixels of a coadd are correlated, they scatter less than invvar says
        scatter = noise_correlation(NATIVE_SCALE["south"]["grz".index(band)], 1)[0]
        assert (middle[1] - middle[0]) / 2 == pytest.approx(scatter, rel=0.02)
        assert not pixels[weights == 0].any()


def test_compression_keeps_the_small_weights_of_bright_cores(tmp_path: Path) -> None:
    brick = brick_at(363, 600)
    grid = CoaddGrid(brick.ra, brick.dec, 200)
    conditions = Conditions(fwhm=(1.4, 1.25, 1.15), depth=(24.9, 24.1, 23.2))
    stars = draw_objects(brick, SkyModel(3)).query("kind == 'star'").iloc[:2]
    ra, dec = grid.wcs.all_pix2world([50.0, 150.0], [100.0, 100.0], 0)
    magnitudes = {f"mag_{band}": [12.0, 14.6] for band in "grz"}
    stars = stars.assign(ra=ra, dec=dec, **magnitudes)
    model = render_model(grid, stars, conditions)
    coadd = observe(model, grid, brick, stars, conditions, np.random.default_rng(1))
    write_coadd(tmp_path, brick, grid, coadd, conditions)
    for i, band in enumerate("grz"):
        (path,) = tmp_path.rglob(f"*-invvar-{band}.fits.fz")
        read = fits.getdata(path)
        np.testing.assert_array_equal(read == 0, coadd.invvar[i] == 0)
        assert (read >= 0).all()
        assert (read == 0).any()
        np.testing.assert_allclose(read, coadd.invvar[i], rtol=0.1)


def test_bricks_tables_list_the_bricks(tree: Path) -> None:
    every = Table.read(tree / "survey-bricks.fits.gz")
    covered = Table.read(tree / "south/survey-bricks-sim-south.fits.gz")
    real = Table.read(shared("realsky", "south", "survey-bricks-realsky-south.fits.gz"))
    assert set(real.colnames) <= set(covered.colnames)
    assert set(every["BRICKNAME"]) == {"3598p007", "0001p007"}
    common = {row["brickname"]: row for row in real}
    for row in covered:
        for name in ("brickid", "ra", "dec", "ra1", "ra2", "dec1", "dec2", "area"):
            assert row[name] == pytest.approx(common[row["brickname"]][name], rel=1e-6)


def test_sweeps_have_the_columns_of_real_ones(tree: Path) -> None:
    with fits.open(shared("realsky", "sweep", "sweep-realsky.fits")) as real:
        expected = {c.name: c.format for c in real[1].columns}
    for path in tree.glob("sweep/9.0/*.fits"):
        with fits.open(path) as simulated:
            found = {c.name: c.format for c in simulated[1].columns}
        expected["FIBERFLUX_R"] = "E"  # not measured for the real fields
        assert set(found) == set(expected)
        expected["REF_CAT"] = "2A"  # as in the survey's own sweeps
        assert found == expected


@pytest.mark.parametrize("name", ["sweep-310m005-320p000", "sweep-330m005-340p000"])
def test_sweep_files_are_named_by_their_box(name: str) -> None:
    table = Table.read(shared("sweeps", f"{name}.fits"))
    assert {sweep_name(ra, dec) for ra, dec in zip(table["RA"], table["DEC"], strict=True)} == {
        f"{name}.fits"
    }
    assert sweep_name(359.9, 32.1) == "sweep-350p030-360p035.fits"


def test_every_source_has_a_row_of_what_it_is(
    sources: pd.DataFrame, redshifts: pd.DataFrame, truth: pd.DataFrame
) -> None:
    release, brickid, objid = (
        sources[name].to_numpy(np.int64) for name in ("RELEASE", "BRICKID", "OBJID")
    )
    ids = objid | (brickid << 22) | (release << 42)
    assert redshifts["source_id"].is_unique
    assert set(ids) == set(redshifts["source_id"])
    known = redshifts[redshifts["truth_id"] >= 0]
    assert len(known) > 0.8 * len(redshifts)
    assert (known["z_quality"] == 4).all()
    assert (known.loc[known["kind"] == "star", "z"] == 0).all()
    main = known[known["main"]]
    assert main["truth_id"].is_unique
    found = truth.set_index("source_id")["in_catalog"]
    assert found[main["truth_id"][main["truth_id"].isin(found.index)]].all()
    bright = (truth["mag_r"] < 20) & (truth["mag_r"] > 16)
    assert truth.loc[bright, "in_catalog"].mean() > 0.7  # the others hide behind brighter ones


def test_catalog_values_are_the_truth_within_their_errors(
    sources: pd.DataFrame, redshifts: pd.DataFrame, truth: pd.DataFrame
) -> None:
    release, brickid, objid = (
        sources[name].to_numpy(np.int64) for name in ("RELEASE", "BRICKID", "OBJID")
    )
    measured = sources.assign(source_id=objid | (brickid << 22) | (release << 42))
    known = redshifts.loc[redshifts["main"], ["source_id", "truth_id"]]
    both = measured.merge(known, on="source_id").merge(
        truth, left_on="truth_id", right_on="source_id", suffixes=("", "_true")
    )
    alone = both[(both[[f"FRACFLUX_{b}" for b in "GRZ"]] < 0.01).all(axis=1)]
    star = (alone["kind"] == "star").to_numpy()
    unsaturated = star & (alone["mag_r"] > 17.5).to_numpy()
    for band in "GRZ":
        true = 10 ** (-0.4 * (alone[f"mag_{band.lower()}"] - 22.5))
        true = true * alone[f"MW_TRANSMISSION_{band}"]
        ivar = alone[f"FLUX_IVAR_{band}"]
        pulls = ((alone[f"FLUX_{band}"] - true) * np.sqrt(ivar))[unsaturated & (ivar > 0)]
        assert len(pulls) > 20
        low, middle, high = np.percentile(pulls, [15.87, 50, 84.13])
        assert 0.6 < (high - low) / 2 < 1.6
        assert abs(middle) < 0.7
        # galaxies are no Sérsic profiles, nor of one colour throughout
        ratio = (alone[f"FLUX_{band}"] / true)[~star & alone["mag_r"].between(18, 22)]
        assert len(ratio) > 20
        assert np.median(ratio) == pytest.approx(1, abs=0.08)
    bright = alone[alone["mag_r"].between(15, 20)]
    assert len(bright) > 10
    assert (bright["DEC"] - bright["dec"]).abs().max() * 3600 < 0.7
    stars = both[(both["kind"] == "star") & both["mag_r"].between(15, 20)]
    assert (stars["TYPE"].to_numpy() == b"PSF").mean() > 0.9
    assert (stars["REF_CAT"].to_numpy() == b"G2").all()


def test_truth_records_how_it_was_made(tree: Path, truth: pd.DataFrame) -> None:
    metadata = pq.read_schema(tree / "truth.parquet").metadata
    record = json.loads(metadata[b"xsaga.simulation"])
    assert (record["seed"], record["lowz_boost"], record["density"]) == (11, 5.0, 4.0)
    assert record["release"] == "xsaga-sim"
    assert set(truth["brickname"]) == set(record["bricks"])
    assert truth["source_id"].is_unique


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    summaries = [
        simulate(tmp_path / "one", workers=1, progress=lambda *step: seen.append(step)),
        simulate(tmp_path / "two", workers=2),
    ]
    assert seen == [(1, 2), (2, 2)]
    assert summaries[0].objects == summaries[1].objects > 0
    json.dumps(vars(summaries[0]))
    one, two = (
        {
            path.relative_to(tmp_path / run).as_posix(): path.read_bytes()
            for path in (tmp_path / run).rglob("*")
            if path.is_file()
        }
        for run in ("one", "two")
    )
    assert one == two


def test_another_seed_gives_another_sky(tmp_path: Path, truth: pd.DataFrame) -> None:
    simulate(tmp_path / "sim", seed=12, bricks=1)
    other = pd.read_parquet(tmp_path / "sim" / "truth.parquet")
    assert not np.isin(other["ra"], truth["ra"]).any()


def test_training_targets_are_added_and_marked(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "sim", bricks=1, training=500, brick_pixels=700)
    redshifts = pd.read_parquet(tmp_path / "sim" / "redshifts-simulated.parquet")
    truth = pd.read_parquet(tmp_path / "sim" / "truth.parquet")
    added = truth[truth["training"]]
    assert len(added) > 10
    assert added["in_catalog"].mean() > 0.8
    assert redshifts["training"].sum() >= added["in_catalog"].sum()
    assert summary.shreds == redshifts["shred"].sum()
    assert not (redshifts["is_lowz"] & redshifts["shred"]).any()
    assert redshifts["morphology_bulge"][~redshifts["main"]].isna().all()
    main = redshifts["main"] & (redshifts["kind"] == "galaxy")
    main &= redshifts["truth_id"].isin(truth["source_id"])  # others are of the next brick
    of_truth = truth.set_index("source_id").loc[redshifts["truth_id"][main], "bulge"].to_numpy()
    np.testing.assert_allclose(redshifts["morphology_bulge"][main], of_truth, rtol=1e-6)


def test_the_north_is_simulated_as_the_north(tmp_path: Path) -> None:
    simulate(tmp_path / "sim", center=(205.2, 47.4), bricks=1)
    (sweep,) = tmp_path.glob("sim/sweep/9.0/*.fits")
    sources = Table.read(sweep)
    assert (sources["PHOTSYS"] == "N").all()
    assert (tmp_path / "sim" / "north" / "coadd").is_dir()


def test_an_empty_sky_can_be_simulated(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "sim", bricks=1, density=1e-6, brick_pixels=100)
    assert (summary.objects, summary.sources) == (0, 0)
    assert len(pd.read_parquet(tmp_path / "sim" / "truth.parquet")) == 0
    assert len(pd.read_parquet(tmp_path / "sim" / "redshifts-simulated.parquet")) == 0


def test_leftovers_of_an_interrupted_simulation_are_replaced(tmp_path: Path) -> None:
    leftover = tmp_path / "sim.partial" / "south" / "old.fits"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("half")
    (tmp_path / "sim").mkdir()
    simulate(tmp_path / "sim", bricks=1, brick_pixels=100)
    assert [path.name for path in tmp_path.iterdir()] == ["sim"]
    assert not list((tmp_path / "sim").rglob("old.fits"))


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(SimulationError, match="not an empty folder"):
        simulate(tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_two_simulations_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "sim.partial.lock"),
        pytest.raises(SimulationError, match="another process"),
    ):
        simulate(tmp_path / "sim")
    assert not (tmp_path / "sim").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"center": (10.0, 88.0)}, "Dec"),
        ({"training": -1}, "training"),
        ({"training": 9999}, "training"),
        ({"center": (float("nan"), 0.0)}, "RA nan"),
        ({"bricks": 0}, "bricks"),
        ({"seed": -1}, "seed"),
        ({"density": 0.0}, "density"),
        ({"lowz_boost": float("inf")}, "lowz_boost"),
        ({"workers": 0}, "workers"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(SimulationError, match=message) as error:
        simulate(tmp_path / "sim", **change)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["galsim", "sep"])
def test_without_a_package_the_extra_is_named(tmp_path: Path, package: str) -> None:
    script = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from pathlib import Path\n"
        "from xsaga.simulation import simulate_sky\n"
        "from xsaga.errors import MissingExtraError\n"
        "try: simulate_sky(Path(sys.argv[1]), center=(0.1, 0.1), bricks=1, seed=1)\n"
        "except MissingExtraError as error: print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "sim")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'xsaga[sim]'" in answer.stdout
