"""From tables as SAGA publishes them and bricks of real sky to a model and a list of targets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from tests.saga_files import write_saga_tables
from tests.shared_data import needs_shared, shared
from tests.small_runs import EVERYONE, status_of, targets_of, xsaga
from tests.survey_server import survey_server
from tests.toy_labels import make_toy_labels
from xsaga.catalog.label_file import read_labels
from xsaga.catalog.saga_tables import SAGA_TABLES
from xsaga.model.weights import load_model
from xsaga.run.training_cutouts import OUTSIDE

pytestmark = needs_shared

RELEASE = "ls-dr9"
R_MAX = 21.3
CPU = ("--device", "cpu", "--precision", "float32")
ENGINE = ("--engine", "eager")
FEW_STEPS = ("--folds", 2, "--epochs", 3, "--batch-size", 8, "--learning-rate", 0.01)
UNMEASURED = 4
"""So many galaxies have no redshift."""


@dataclass(frozen=True)
class Saga:
    """What SAGA knows of a few fields of real sky, the labels made of it and what was said."""

    galaxies: pd.DataFrame
    hosts: pd.DataFrame
    labels: Path
    said: str

    @property
    def measured(self) -> pd.DataFrame:
        """Galaxies with a redshift."""
        return self.galaxies[self.galaxies["z"] > 0]

    @property
    def bright(self) -> pd.DataFrame:
        """Those that are learnt from."""
        return self.measured[self.measured["rmag"] <= R_MAX]


def sweep() -> Path:
    return shared("realsky", "sweep", "sweep-realsky.fits")


@contextmanager
def imaging(kind: str) -> Iterator[tuple[object, ...]]:
    """Options for the same pixels from a brick tree or from a cutout service."""
    if kind == "bricks":
        yield ("--bricks", shared("realsky"), "--release", RELEASE)
        return
    with survey_server(shared("realsky")) as server:
        yield ("--service", server.cutout_url, "--rate", 1000)


def printed_by_saga() -> pd.DataFrame:
    """Sources of the sweep with r < 21.7 as SAGA prints them, a host to a field; bright is near."""
    rows = Table.read(sweep(), unit_parse_strict="silent").to_pandas()
    rows = rows[(rows["FLUX_R"] > 2) & (rows["FLUX_G"] > 0)].reset_index(drop=True)
    g, r = (22.5 - 2.5 * np.log10(rows[f"FLUX_{b}"] / rows[f"MW_TRANSMISSION_{b}"]) for b in "GR")
    ellipticity = np.hypot(rows["SHAPE_E1"], rows["SHAPE_E2"])
    ba = (1 - ellipticity) / (1 + ellipticity)
    field = ((rows["RA"] + 180) % 360).round(1).astype(str) + rows["DEC"].round().astype(str)
    galaxies = pd.DataFrame(
        {
            "host": "pgc" + pd.Series(pd.factorize(field)[0]).astype(str),
            "ra": rows["RA"],
            "dec": rows["DEC"],
            "rmag": r,
            "e_rmag": 0.01,
            "gr": g - r,
            "rfiber": 21.0,
            "sb": r + 2.5 * np.log10(2 * np.pi * ba * rows["SHAPE_R"] ** 2),  # circularised
            "ba": ba,
            "pa": 10.0,
            "sersic": rows["SERSIC"],
            "tel": "AAT",
            "logmstar": 9.0,
            "sample": 0,
        }
    )
    galaxies["z"] = np.where(r < 19.8, 0.012, 0.05 + 0.003 * galaxies.index)
    galaxies.loc[galaxies.index[5 : 5 + UNMEASURED], "z"] = -1.0
    return galaxies


@pytest.fixture(scope="module")
def saga(tmp_path_factory: pytest.TempPathFactory) -> Saga:
    folder = tmp_path_factory.mktemp("saga")
    galaxies = printed_by_saga()
    fields = galaxies.groupby("host", sort=False)[["ra", "dec"]].first().reset_index()
    fields["dec"] += 0.2  # hosts are a few arcminutes from any pixels
    hosts = fields.set_axis(["HOSTID", "RAdeg", "DEdeg"], axis=1).assign(HRV=2000.0)
    near = galaxies[galaxies["z"].between(0, 0.03)]
    tables = write_saga_tables(folder, hosts, galaxies, near.iloc[::2])
    labels = folder / "labels.parquet"
    result = xsaga("labels", *tables, "--out", labels)
    assert result.exit_code == 0, result.stderr
    return Saga(galaxies, fields, labels, result.stdout)


@pytest.fixture(scope="module", params=["bricks", "service"])
def training(
    request: pytest.FixtureRequest, saga: Saga, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The recipe of this package, learnt from either kind of imaging."""
    out = tmp_path_factory.mktemp("training") / str(request.param)
    options = ("--labels", saga.labels, "--r-max", R_MAX, *FEW_STEPS, *CPU, "--out", out)
    with imaging(request.param) as images:
        result = xsaga("train", *options, *images)
    assert result.exit_code == 0, result.stderr
    left_out = len(saga.measured) - len(saga.bright) + len(saga.hosts)
    assert f"learnt from {len(saga.bright)} objects, {left_out} left out" in result.stdout
    return out


def run_over(catalog: Path, model: Path, out: Path, *options: object) -> pd.DataFrame:
    """Targets of a run, by identifier."""
    words = (
        "--catalog",
        catalog,
        "--weights",
        model,
        "--cuts",
        "none",
        *EVERYONE,
        *CPU,
        *ENGINE,
        *options,
    )
    result = xsaga("run", *words, "--out", out)
    assert result.exit_code == 0, result.stderr
    return targets_of(out).set_index("source_id").sort_index()


@pytest.fixture(scope="module")
def finished(training: Path) -> Path:
    """A run with what was learnt."""
    out = training.parent / "RUN"
    with imaging("bricks") as images:
        run_over(sweep(), training / "model", out, "--r-max", 21, *images)
    return out


def at_places(rows: pd.DataFrame, of: pd.DataFrame) -> pd.DataFrame:
    """Rows at the places of others, in their order; all must be there."""
    offset = rows["ra"].to_numpy() - of["ra"].to_numpy()[:, None]
    away = np.hypot(
        (offset + 180) % 360 - 180, rows["dec"].to_numpy() - of["dec"].to_numpy()[:, None]
    )
    assert (away.min(axis=1) < 0.1 / 3600).all()
    return rows.iloc[away.argmin(axis=1)]


def test_each_measured_galaxy_is_one_label_of_its_class(saga: Saga) -> None:
    galaxies, near = saga.measured, saga.measured["z"] < 0.03
    assert len(galaxies) > 40
    assert near.sum() > 12
    assert f"{UNMEASURED} without redshift" in saga.said
    file = read_labels(saga.labels)
    assert file.record["simulated"] is False
    labels = file.table
    assert len(labels) == len(galaxies) + len(saga.hosts)
    assert labels["is_lowz"].sum() == near.sum() + len(saga.hosts)
    assert set(labels["source"]) == {Path(table.name).stem for table in SAGA_TABLES[:2]}
    assert labels["mag_z"].isna().all()
    found = at_places(labels, galaxies)
    assert found["is_lowz"].tolist() == near.tolist()
    assert found["host"].tolist() == galaxies["host"].tolist()
    assert found["n_matched"].sum() == len(galaxies) + (near.sum() + 1) // 2  # again in C3


def test_all_that_has_imaging_is_learnt_from(saga: Saga, training: Path) -> None:
    held_out = pd.read_parquet(training / "held-out.parquet")
    assert len(held_out) == len(saga.bright) > 30
    found = at_places(held_out, saga.bright)
    near = saga.bright["z"] < 0.03
    assert found["is_lowz"].tolist() == near.tolist()
    assert np.isfinite(found["logit"]).all()
    fields = found.groupby(saga.bright["host"].to_numpy())["fold"]
    assert fields.nunique().eq(1).all()
    left_out = pd.read_parquet(training / "left-out.parquet")
    reasons = at_places(left_out, saga.hosts)["reason"]
    assert not reasons.isin(["", OUTSIDE]).any()
    assert left_out["reason"].eq(OUTSIDE).sum() == len(left_out) - len(saga.hosts)

    card = load_model(training / "model").card
    assert (card.kind, card.size, card.members) == ("recipe xsaga", 144, 2)
    assert (card.image_release, card.z_limit, card.simulated) == ((RELEASE,), 0.03, False)
    assert card.training_set.description.startswith(f"cutouts of {len(saga.bright)} labelled")
    assert card.training_set.numbers["low_redshift"] == near.sum()
    assert card.calibration.target_rate == pytest.approx(near.mean())


def test_what_was_learnt_ranks_a_sweep(finished: Path) -> None:
    targets, counts = targets_of(finished), status_of(finished)["counts"]
    rows = Table.read(sweep(), unit_parse_strict="silent")
    assert counts["read"] == counts["sources"] == len(rows)
    assert counts["sources"] == counts["failed_cuts"] + counts["candidates"]
    assert counts["candidates"] == counts["scored"] == len(targets) == 36
    assert targets["p_lowz"].between(0, 1).all()
    assert targets["p_lowz"].nunique() > 30
    assert targets["rank"].tolist() == list(range(1, len(targets) + 1))
    assert targets["mag_z"].notna().all()


def test_what_is_scored_with_is_what_was_learnt_from(saga: Saga, finished: Path) -> None:
    """SAGA prints the same photometry in other words."""
    galaxies = saga.bright[saga.bright["rmag"] < 20.99]
    learnt = at_places(read_labels(saga.labels).table, galaxies)
    known = at_places(targets_of(finished), galaxies)
    for name in ("mag_g", "mag_r", "sb_r", "radius", "ba"):
        np.testing.assert_allclose(known[name], learnt[name], rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("training", ["bricks"], indirect=True)
def test_scores_do_not_depend_on_what_saga_does_not_measure(
    training: Path, finished: Path, tmp_path: Path
) -> None:
    plain = targets_of(finished).set_index("source_id").sort_index()
    table = Table.read(sweep(), unit_parse_strict="silent")
    number = np.arange(len(table))
    table["FLUX_Z"] *= np.choose(number % 3, [5.0, 0.2, -1.0])  # one in three has no z at all
    redder = number % 2 == 1
    table["FLUX_G"][redder] *= 0.2
    table.write(tmp_path / "other.fits")
    with imaging("bricks") as images:
        options = ("--r-max", 21, *images)
        other = run_over(tmp_path / "other.fits", training / "model", tmp_path / "RUN", *options)
    assert other.index.equals(plain.index)
    assert (other["mag_z"].isna() | ((other["mag_z"] - plain["mag_z"]).abs() > 1.7)).all()
    change = (other["p_lowz"] - plain["p_lowz"]).abs()
    same_g = other["mag_g"] == plain["mag_g"]
    assert 10 < same_g.sum() < 26
    assert change[same_g].max() == 0
    assert change[~same_g].max() > 1e-3  # the photometry that SAGA has does count


@pytest.mark.trial
def test_the_published_recipe_makes_a_model_that_runs(tmp_path: Path) -> None:
    """An xresnet34, which learns from images alone; these can be told apart in three epochs."""
    toys = make_toy_labels(tmp_path / "toys", count=72)
    out = tmp_path / "training"
    fit = ("--recipe", "xsaga2022", "--members", 1, "--epochs", 3, "--batch-size", 5)
    result = xsaga("train", *toys.options, *fit, "--out", out)
    assert result.exit_code == 0, result.stderr
    card = load_model(out / "model").card
    assert (card.kind, card.members) == ("recipe xsaga2022, simulated", 1)
    assert (card.architecture.kind, card.architecture.photometry) == ("xresnet", 0)
    assert card.stretch.kind == "viewer"
    table = read_labels(toys.labels).table.set_index("label_id", drop=False)
    catalog = tmp_path / "catalog.csv"
    columns = {"label_id": "id"}
    table[["label_id", "ra", "dec"]].rename(columns=columns).to_csv(catalog, index=False)
    images = ("--files", toys.files, "--size", card.size, "--release", card.image_release[0])
    targets = run_over(catalog, out / "model", tmp_path / "RUN", *images)
    assert sorted(targets.index) == sorted(table.index)
    near = table["is_lowz"][targets.index]
    assert targets["p_lowz"][near].mean() > targets["p_lowz"][~near].mean()
