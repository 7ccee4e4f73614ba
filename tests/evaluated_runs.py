"""A made catalog with known redshifts, a run over it, and labels, with known analytic answers.

Every source passes ``desi-lowz`` unless it is a star. The log odds of the scores are normal with
variance D around ±D/2 shifted by those of the base rate: such probabilities are right by
construction, and purity and completeness have a closed form.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from tests.small_runs import xsaga
from tests.toy_model import TINY, toy_card, toy_model
from xsaga.catalog.label_file import write_labels
from xsaga.model.scoring import ScoreFlag
from xsaga.model.weights import save_model
from xsaga.paths import RunPaths
from xsaga.run.folder import read_partition, read_record, read_run_config
from xsaga.run.tile import FAILURE_COLUMNS, FINGERPRINT_KEY, read_candidates, tile_jobs

SIDE = 2.0
"""Degrees of the patch of sky, in RA and Dec; its bricks are 0.25° wide and as high."""

D = 9.0
BASE_RATE = 0.05


@dataclass(frozen=True)
class MadeSky:
    """A made sky: its catalog file, brick tree and truth."""

    catalog: Path
    tree: Path
    truth: pd.DataFrame


def make_catalog(folder: Path, *, seed: int, ra: float, count: int = 4000) -> MadeSky:
    """Write a sweep-like catalog of galaxies and some stars, and a table of bricks."""
    rng = np.random.default_rng(seed)
    lowz = rng.random(count) < BASE_RATE
    star = ~lowz & (rng.random(count) < 0.2)
    r = rng.uniform(19.1, 20.9, count)
    gr = np.clip(rng.normal(np.where(lowz, 0.3, 0.42), 0.08), 0.0, 0.55)
    rz = rng.normal(np.where(lowz, 0.2, 0.45), 0.1)
    radius = np.exp(rng.normal(np.log(np.where(lowz, 2.6, 1.8)), 0.3))
    x, y = rng.uniform(0, SIDE, (2, count))
    brick = (x // 0.25).astype(int) + 8 * (y // 0.25).astype(int)
    fluxes = {"G": r + gr, "R": r, "Z": r - rz}
    columns: dict[str, NDArray[np.generic]] = {
        "RELEASE": np.full(count, 9010, np.int16),
        "BRICKID": (1000 + brick).astype(np.int32),
        "OBJID": np.arange(count, dtype=np.int32),
        "TYPE": np.where(star, "PSF", "EXP"),
        "RA": ra + x,
        "DEC": y,
        "MASKBITS": np.zeros(count, np.int16),
        "SHAPE_R": np.where(star, 0.0, radius),
        "SHAPE_R_IVAR": np.full(count, 400.0),
        "SHAPE_E1": np.zeros(count),
        "SHAPE_E2": np.zeros(count),
        "SERSIC": np.ones(count),
        "FIBERFLUX_R": 10 ** ((22.5 - r) / 2.5) / (1 + radius),
    }
    for band, mag in fluxes.items():
        columns |= {
            f"FLUX_{band}": 10 ** ((22.5 - mag) / 2.5),
            f"FLUX_IVAR_{band}": np.full(count, 400.0),
            f"MW_TRANSMISSION_{band}": np.ones(count),
            f"FRACFLUX_{band}": np.full(count, 0.01),
            f"RCHISQ_{band}": np.ones(count),
        }
    folder.mkdir(parents=True)
    catalog, tree = folder / "catalog.fits", folder / "tree"
    Table(columns).write(catalog)
    _write_bricks(tree / "south" / "survey-bricks-dr9-south.fits.gz")
    z = np.where(lowz, rng.uniform(0.005, 0.03, count), rng.uniform(0.031, 0.4, count))
    truth = pd.DataFrame(
        {
            "source_id": (9010 << 42) + ((1000 + brick.astype(np.int64)) << 22) + np.arange(count),
            "ra": ra + x,
            "dec": y,
            "z": np.where(star, 0.0, z),
            "is_lowz": lowz,
            "kind": np.where(star, "star", "galaxy"),
        }
    )
    return MadeSky(catalog, tree, truth)


def labels_of(
    truth: pd.DataFrame, path: Path, *, simulated: bool = True, z_limit: float = 0.03
) -> Path:
    """Write truth, with or without ``training`` and ``conflict``, as a file of labels."""
    count = len(truth)
    nothing = {
        name: np.full(count, np.nan, np.float32)
        for name in ("mag_g", "mag_r", "mag_z", "sb_r", "radius", "ba", "sersic")
    }
    table = pd.DataFrame(
        {
            "label_id": truth["source_id"].to_numpy(),
            **{name: truth[name].to_numpy() for name in ("ra", "dec", "z", "is_lowz", "kind")},
            "z_quality": np.full(count, 4, np.int32),
            "shred": np.zeros(count, bool),
            "training": truth.get("training", np.zeros(count, bool)),
            **nothing,
            "source": "made",
            "host": "",
            "group": np.zeros(count, np.int64),
            "n_matched": np.ones(count, np.int32),
            "conflict": truth.get("conflict", np.zeros(count, bool)),
        }
    )
    record = {"z_limit": z_limit, "min_quality": 3, "simulated": simulated, "inputs": []}
    write_labels(path, table, pd.DataFrame(), record)
    return path


def calibrated_scores(lowz: NDArray[np.bool_], seed: int, d: float = D) -> NDArray[np.float64]:
    """Probabilities that are right at the base rate of the sample."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(np.where(lowz, d / 2, -d / 2), np.sqrt(d))
    return np.asarray(expit(shift + logit(lowz.mean())))


def analytic_purity(completeness: float, base_rate: float, d: float = D) -> float:
    """Purity of the list of that completeness of `calibrated_scores`."""
    threshold = norm.isf(completeness, d / 2, np.sqrt(d))
    contaminants = float(norm.sf(threshold, -d / 2, np.sqrt(d))) * (1 - base_rate)
    return completeness * base_rate / (completeness * base_rate + contaminants)


def tile_run(sky: MadeSky, folder: Path, *options: object) -> Path:
    """Begin a run over the catalog; it has sources and no scores."""
    weights = folder.parent / "toy"
    if not weights.exists():
        card = dataclasses.replace(toy_card(TINY, 48), image_release=("dr9",))
        save_model(weights, card, toy_model(TINY, 48).networks)
    result = xsaga(
        "tile",
        *("--catalog", sky.catalog, "--bricks", sky.tree, "--cuts", "none", "--size", 48),
        *("--weights", weights, "--device", "cpu", "--out", folder, *options),
    )
    assert result.exit_code == 0, result.output
    return folder


def put_scores(
    run: Path,
    truth: pd.DataFrame,
    seed: int = 5,
    *,
    steepness: float = 1.0,
    excess: float = 0.0,
    unfamiliar: Collection[int] = (),
) -> None:
    """Write the scores of all tiles as a run does, with `calibrated_scores` in them.

    With another `steepness` and `excess` of the log odds they are not right any more. Sources with
    the ids `unfamiliar` are flagged so.
    """
    paths = RunPaths(run)
    config, record = read_run_config(paths), read_record(paths)
    right = calibrated_scores(truth["is_lowz"].to_numpy(), seed)
    said = expit(steepness * logit(right) + excess)
    score = pd.Series(said, index=truth["source_id"])
    for job in tile_jobs(paths, read_partition(paths), config, record.fingerprint):
        ids = read_candidates(job.paths)["source_id"]
        p = score.reindex(ids).to_numpy(np.float64)
        table = pd.DataFrame(
            {
                "source_id": ids,
                **{f"coverage_{band}": np.ones(len(ids), np.float32) for band in "grz"},
                "p_lowz": p.astype(np.float32),
                "p_lowz_std": np.zeros(len(ids), np.float32),
                "logit": toy_card().calibration.logits(p).astype(np.float32),
                "score_flags": np.where(
                    ids.isin(unfamiliar), np.int32(ScoreFlag.UNFAMILIAR), np.int32(0)
                ),
                "cutout_origin": "",
            }
        )
        _put(job.paths.failures, pd.DataFrame(columns=list(FAILURE_COLUMNS)), job.fingerprint)
        _put(job.paths.scores, table, job.fingerprint)


def _put(path: Path, table: pd.DataFrame, fingerprint: str) -> None:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(arrow.replace_schema_metadata({FINGERPRINT_KEY: fingerprint.encode()}), path)


def _write_bricks(path: Path) -> None:
    number = np.arange(64)
    area = np.full(64, SIDE * np.degrees(np.sin(np.radians(SIDE))) / 64)
    table = Table(
        {
            "brickname": [f"b{n}" for n in number],
            "brickid": (1000 + number).astype(np.int32),
            "ra": 0.125 + 0.25 * (number % 8),
            "dec": 0.125 + 0.25 * (number // 8),
            "area": area,
            "psfsize_r": (1.0 + 0.01 * number).astype(np.float32),
        }
    )
    plain = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table)]).writeto(plain)
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(plain.getvalue(), mtime=0))


def evaluate(run: Path, labels: Path, out: Path, *options: object) -> tuple[int, str]:
    """Run the command: its exit code and what it said."""
    result = xsaga("evaluate", run, "--labels", labels, "--out", out, "--workers", 1, *options)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def content(out: Path) -> dict[str, Any]:
    """Read what an evaluation wrote."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return dict(json.loads((out / "evaluation.json").read_text("utf-8"), parse_constant=refuse))


def error(run: Path, labels: Path, out: Path, *options: object) -> tuple[int, str]:
    """Run to its one-line error."""
    code, said = evaluate(run, labels, out, "--no-baselines", *options)
    lines = [line for line in said.splitlines() if line.startswith("xsaga: ")]
    assert len(lines) == 1, said
    assert not out.exists()
    return code, lines[0]
