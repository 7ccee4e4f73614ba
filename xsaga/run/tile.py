"""From the sources of one tile to its scores: what is fetched, what is scored, what is written.

Local, resumed, nightly and distributed runs all do this through `xsaga.run.pipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from xsaga.catalog.partition_summary import PartitionSummary
from xsaga.catalog.schema import BANDS, SOURCE_SCHEMA
from xsaga.catalog.sources import read_sources
from xsaga.config import RunConfig
from xsaga.errors import RunError
from xsaga.imaging.cutouts import CutoutSource, CutoutSpec, CutoutStatus
from xsaga.imaging.store import ArrivingCutouts, CutoutWriter
from xsaga.model.images import ImageArray
from xsaga.model.photometry import PHOTOMETRY_COLUMNS, catalog_photometry
from xsaga.model.scoring import ScoreFlag, Scorer, Scores
from xsaga.parquet_files import write_table
from xsaga.paths import RunPaths, TilePaths
from xsaga.run.run_tables import read_run_table, run_table_metadata, run_table_rows

FINGERPRINT_KEY = b"xsaga.fingerprint"
COVERAGE = [f"coverage_{band}" for band in BANDS]
LOGIT = "logit"
"""Column of the scores for a later calibration; scores of earlier versions lack it."""

SCORE_SCHEMA: pa.Schema = pa.schema(
    [
        ("source_id", pa.int64()),
        *((name, pa.float32()) for name in (*COVERAGE, "p_lowz", "p_lowz_std", LOGIT)),
        ("score_flags", pa.int32()),
        ("cutout_origin", pa.string()),
    ]
)
FAILURE_SCHEMA: pa.Schema = pa.schema(
    [
        ("source_id", pa.int64()),
        *((name, pa.float64()) for name in ("ra", "dec")),
        *((name, pa.string()) for name in ("status", "reason")),
    ]
)
"""Types of what is read back."""

SCORE_COLUMNS, FAILURE_COLUMNS = SCORE_SCHEMA.names, FAILURE_SCHEMA.names

WAITING = "waiting"
"""Outcome of candidates that no score was made for yet, in lists published before all is done."""

LOW_COVERAGE = 0.5
"""Below this share of pixels with data in any band a score is flagged LOW_COVERAGE."""


@dataclass(frozen=True)
class TileJob:
    """All that is needed to work on one tile.

    Parameters
    ----------
    paths : TilePaths
        Its files.
    fingerprint : str
        Of the run; scores carry it.
    config : RunConfig
        Resolved configuration.
    n_candidates : int
        Sources that passed the photometric cuts.
    """

    paths: TilePaths
    fingerprint: str
    config: RunConfig
    n_candidates: int


def tile_jobs(
    paths: RunPaths, summary: PartitionSummary, config: RunConfig, fingerprint: str
) -> list[TileJob]:
    """Make the jobs of all tiles that have candidates, in order."""
    order = config.footprint.order
    return [
        TileJob(paths.tile(order, tile.pixel), fingerprint, config, tile.n_candidates)
        for tile in summary.tiles
        if tile.n_candidates
    ]


def is_scored(job: TileJob) -> bool:
    """Whether the tile is done: its scores exist and carry the run's fingerprint."""
    if not job.paths.scores.is_file():
        return False
    try:
        metadata = run_table_metadata(job.paths.scores)
    except RunError:  # its bytes rotted: it is made again
        return False
    return metadata.get(FINGERPRINT_KEY, b"") == job.fingerprint.encode()


def read_candidates(
    paths: TilePaths, columns: Sequence[str] = ("source_id", "ra", "dec")
) -> pd.DataFrame:
    """Read the sources of a tile that passed the photometric cuts, in the order of their ids."""
    passed = [("photometric_flags", "==", 0)]
    return read_run_table(paths.sources, columns, passed, SOURCE_SCHEMA)


def count_failed_cuts(paths: TilePaths) -> int:
    """Count the sources of a tile that failed the photometric cuts."""
    table = read_run_table(paths.sources, ["photometric_flags"], schema=SOURCE_SCHEMA)
    return int((table["photometric_flags"] != 0).sum())


def fetch_tile(
    job: TileJob,
    imaging: Callable[[], CutoutSource],
    advance: Callable[[int], None],
    begun: Callable[[ArrivingCutouts], object] = lambda _: None,
) -> None:
    """Get the cutouts of a tile's candidates into its store, in the order of the imaging.

    Parameters
    ----------
    job : TileJob
        The tile.
    imaging : callable
        Gives the source of cutouts.
    advance : callable
        Told how many more candidates have their cutout, or a reason for having none.
    begun : callable
        Given the cutouts before the first of them has come, to read them as they arrive.

    Raises
    ------
    ImagingError
        The imaging as a whole cannot be used, or the disk is full.
    """
    source = imaging()
    candidates = read_candidates(job.paths)
    ra, dec = candidates["ra"].to_numpy(np.float64), candidates["dec"].to_numpy(np.float64)
    source_id = candidates["source_id"].to_numpy(np.int64)
    order = source.order(ra, dec)
    ra, dec, source_id = ra[order], dec[order], source_id[order]
    with CutoutWriter(job.paths, source_id, source.spec, job.config.store.dtype) as writer:
        begun(writer.arriving)
        for batch in source.cutouts(ra, dec, source_id):
            writer.put(batch)
            advance(len(batch))


def score_cutouts(
    job: TileJob, scorer: Scorer, source_id: NDArray[np.int64], spec: CutoutSpec, images: ImageArray
) -> Scores:
    """Score all cutouts of a tile, in their order: batches are the same whatever has failed.

    Parameters
    ----------
    job : TileJob
        The tile.
    scorer : Scorer
        The model.
    source_id : ndarray of int64, shape (N,)
        The candidates, in the order of the images.
    spec : CutoutSpec
        Geometry of the cutouts.
    images : ImageArray, shape (N, bands, size, size)
        Nanomaggies per pixel; read batch by batch, one after the other.
    """
    release = scorer.card.image_release[0]  # the imaging's own was checked before fetching
    resample = scorer.check(spec, release, resample=job.config.model.resample)
    takes_photometry = bool(scorer.card.architecture.photometry)
    return scorer.score(
        images,
        pixel_scale=spec.pixel_scale if resample else None,
        photometry=_photometry(job.paths, source_id) if takes_photometry else None,
    )


def write_scores(job: TileJob, index: pd.DataFrame, result: Scores) -> None:
    """Put what the model says in place; every candidate ends in scores or in failures.

    Failures are put in place before scores, so that a tile with scores is complete.

    Parameters
    ----------
    job : TileJob
        The tile.
    index : DataFrame
        Of its stored cutouts.
    result : Scores
        Of `score_cutouts`, in the order of `index`.
    """
    table = index.assign(
        reason=why_unusable(index, job.config.imaging.min_coverage),
        p_lowz=result.p_lowz,
        p_lowz_std=result.p_lowz_std,
        **{LOGIT: result.logit},
        score_flags=result.flags | _image_flags(index),
        cutout_origin=index["origin"],
    ).sort_values("source_id", ignore_index=True)
    blind = (table["reason"] == "") & table["p_lowz"].isna()
    table.loc[blind, "reason"] = "the image holds no pixels, or some that are not finite"
    unusable = table["reason"] != ""
    failures = table[unusable].merge(
        read_candidates(job.paths), on="source_id", how="left", validate="one_to_one"
    )
    failures["status"] = [CutoutStatus(code).name.lower() for code in failures["status"]]
    _write(job.paths.failures, failures[FAILURE_COLUMNS], job.fingerprint)
    _write(job.paths.scores, table[~unusable][SCORE_COLUMNS], job.fingerprint)


def _photometry(paths: TilePaths, source_id: NDArray[np.int64]) -> NDArray[np.float32]:
    """Give the photometry of some of a tile's candidates, in the order given."""
    sources = read_candidates(paths, ("source_id", *PHOTOMETRY_COLUMNS))
    return catalog_photometry(sources.set_index("source_id").loc[source_id])


def discard_cutouts(paths: TilePaths) -> None:
    """Remove a tile's stored cutouts."""
    paths.cutout_index.unlink(missing_ok=True)  # first: it says that the images are complete
    paths.cutouts.unlink(missing_ok=True)


def take_scores(job: TileJob, made: TilePaths) -> None:
    """Take over scores and failures of the same cutouts from another run, as this job's own.

    Parameters
    ----------
    job : TileJob
        The tile; its candidates, imaging and model are those of the other run.
    made : TilePaths
        Files of the tile there, which is scored.
    """
    _write(job.paths.failures, read_failures(made), job.fingerprint)
    _write(job.paths.scores, read_scores(made), job.fingerprint)


def carry_scores(job: TileJob, made: TilePaths | None) -> tuple[int, int]:
    """Give a tile that is not done yet the older scores that its candidates have.

    Parameters
    ----------
    job : TileJob
        The tile; only its sources need be there.
    made : TilePaths or None
        Files of the tile in an older run; None where it has none.

    Returns
    -------
    carried, waiting : int
        Candidates with an older score, and candidates with neither score nor failure; the latter
        are put among the failures as ``waiting``.
    """
    candidates = read_candidates(job.paths)
    scores, failures = _no_scores(candidates.iloc[:0][["source_id"]]), _no_failures()
    if made is not None and made.scores.is_file():
        scores = _of(read_scores(made), candidates)
        failures = _of(read_failures(made), candidates)
        failures = failures[failures["status"] != WAITING]
    known = pd.concat([scores["source_id"], failures["source_id"]])
    waiting = candidates[~candidates["source_id"].isin(known)]
    waiting = waiting.assign(status=WAITING, reason="not scored yet")
    parts = [part for part in (failures, waiting) if len(part)] or [failures]
    table = pd.concat(parts, ignore_index=True)[list(FAILURE_COLUMNS)]
    _write(job.paths.failures, table, job.fingerprint)
    _write(job.paths.scores, scores, job.fingerprint)
    return len(scores), len(waiting)


def _of(table: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    return table[table["source_id"].isin(candidates["source_id"])].reset_index(drop=True)


def _no_failures() -> pd.DataFrame:
    kinds = {"source_id": np.int64, "ra": np.float64, "dec": np.float64, "status": str}
    return pd.DataFrame(
        {name: pd.Series([], dtype=kinds.get(name, str)) for name in FAILURE_COLUMNS}
    )


def count_scored(paths: TilePaths) -> int:
    """Count the scores of a tile that is scored."""
    return run_table_rows(paths.scores)


def count_unfamiliar(paths: TilePaths) -> int:
    """Count the scores of a tile that are flagged UNFAMILIAR."""
    flags = read_run_table(paths.scores, ["score_flags"], schema=SCORE_SCHEMA)["score_flags"]
    return int(np.count_nonzero(flags.to_numpy() & ScoreFlag.UNFAMILIAR))


def read_failures(paths: TilePaths) -> pd.DataFrame:
    """Read the candidates of a tile that could not be scored, with the reason."""
    return read_run_table(paths.failures, schema=FAILURE_SCHEMA)[list(FAILURE_COLUMNS)]


def read_scores(paths: TilePaths) -> pd.DataFrame:
    """Read the scores of a tile that is scored; scores of earlier versions lack the logit."""
    return read_run_table(paths.scores, schema=SCORE_SCHEMA)


def read_scored(tiles: Sequence[TilePaths]) -> pd.DataFrame:
    """Read the scored sources of tiles, sources and scores side by side.

    Parameters
    ----------
    tiles : sequence of TilePaths
        Tiles that are scored.

    Returns
    -------
    DataFrame
        Columns of ``sources.parquet`` and, but for the logit, of ``scores.parquet``; no rows for
        no tiles.
    """
    parts = [
        read_sources(paths.sources)
        .query("photometric_flags == 0")
        .merge(
            read_scores(paths).drop(columns=LOGIT, errors="ignore"),
            on="source_id",
            validate="one_to_one",
        )
        for paths in tiles
    ]
    no_sources = SOURCE_SCHEMA.empty_table().to_pandas()
    return pd.concat(parts or [_no_scores(no_sources)], ignore_index=True)


def _no_scores(sources: pd.DataFrame) -> pd.DataFrame:
    floats = dict.fromkeys(("p_lowz", "p_lowz_std", *COVERAGE), np.float32)
    columns = {**floats, "score_flags": np.int32, "cutout_origin": str}
    return sources.assign(**{name: pd.Series([], dtype=kind) for name, kind in columns.items()})


def why_unusable(index: pd.DataFrame, min_coverage: float) -> NDArray[np.object_]:
    """Tell why stored cutouts cannot be used; empty where they can.

    Parameters
    ----------
    index : DataFrame
        Of `xsaga.imaging.store.StoredCutouts`, N rows.
    min_coverage : float
        Least share of pixels with data, in every band.

    Returns
    -------
    ndarray of str, shape (N,)
    """
    coverage = index[COVERAGE].to_numpy(np.float32)
    least, worst = coverage.min(axis=1), np.array(BANDS)[coverage.argmin(axis=1)]
    given = index["reason"].to_numpy(object)
    has_pixels = index["status"].isin([CutoutStatus.OK, CutoutStatus.PARTIAL]).to_numpy()
    thin = has_pixels & (least < min_coverage)
    reason = np.where(has_pixels, "", given)
    reason[thin] = [
        f"data in {share:.0%} of the {band} pixels, {min_coverage:.0%} needed"
        + (f" ({why})" if why else "")
        for share, band, why in zip(least[thin], worst[thin], given[thin], strict=True)
    ]
    return reason


def _image_flags(index: pd.DataFrame) -> NDArray[np.int32]:
    least = index[COVERAGE].to_numpy(np.float32).min(axis=1, initial=1.0)
    flags = np.where(least < 1, ScoreFlag.PARTIAL, 0)
    flags |= np.where(least < LOW_COVERAGE, ScoreFlag.LOW_COVERAGE, 0)
    flags |= np.where(index["clipped"], ScoreFlag.CLIPPED, 0)
    return flags.astype(np.int32)


def _write(path: Path, table: pd.DataFrame, fingerprint: str) -> None:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = (arrow.schema.metadata or {}) | {FINGERPRINT_KEY: fingerprint.encode()}
    write_table(path, arrow.replace_schema_metadata(metadata))
