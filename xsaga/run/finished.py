"""A finished run, read back: all its sources with their scores, and the area they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from xsaga.catalog.formats import open_table
from xsaga.catalog.sources import read_sources
from xsaga.config import FootprintConfig, RunConfig
from xsaga.errors import CatalogError, EvaluationError
from xsaga.evaluation.evaluated_run import EvaluatedRun
from xsaga.paths import RunPaths
from xsaga.run.folder import RunRecord, read_partition, read_record, read_run_config
from xsaga.run.tile import LOGIT, is_scored, tile_jobs
from xsaga.sky.footprint import make_footprint

PSF_SIZE = "psfsize_r"
"""Column of the bricks table by which sources are sorted into bins of seeing."""

SCORE_COLUMNS = ("p_lowz", "p_lowz_std", LOGIT, "score_flags")
"""Columns of ``scores.parquet`` that a finished run is read with."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that is scored.

    Parameters
    ----------
    folder : Path
        The run folder.
    config : RunConfig
        Its resolved configuration.
    record : RunRecord
        What it was made from.
    sources : DataFrame
        Every source that entered a tile, by ascending ``source_id``: columns of
        ``sources.parquet`` and `SCORE_COLUMNS`, NaN without a score; the logit is NaN too where a
        tile was scored before xsaga kept it.
    """

    folder: Path
    config: RunConfig
    record: RunRecord
    sources: pd.DataFrame


def read_finished_run(folder: Path) -> FinishedRun:
    """Read a run that is scored.

    Raises
    ------
    RunError
        The folder is no run folder.
    EvaluationError
        Some of its tiles are not scored, or it has no source to score.
    """
    paths = RunPaths(folder)
    config, record, summary = read_run_config(paths), read_record(paths), read_partition(paths)
    jobs = tile_jobs(paths, summary, config, record.fingerprint)
    undone = sum(not is_scored(job) for job in jobs)
    if undone:
        raise EvaluationError(
            f"{folder}: {undone} of {len(jobs)} tiles are not scored yet: "
            f"`xsaga run {folder}` does all that is missing"
        )
    scores = [
        pd.read_parquet(job.paths.scores).reindex(columns=["source_id", *SCORE_COLUMNS])
        for job in jobs
    ]
    if not scores:
        raise EvaluationError(f"{folder}: no source of this run passed its cuts: nothing to judge")
    order = config.footprint.order
    sources = pd.concat(
        [read_sources(paths.tile(order, tile.pixel).sources) for tile in summary.tiles],
        ignore_index=True,
    ).merge(pd.concat(scores, ignore_index=True), on="source_id", how="left", validate="1:1")
    return FinishedRun(folder, config, record, sources.sort_values("source_id", ignore_index=True))


def read_run(folder: Path, area_deg2: float | None, bricks_table: Path | None) -> EvaluatedRun:
    """Read a run that is to be judged.

    Parameters
    ----------
    folder : Path
        The run folder.
    area_deg2 : float, optional
        Area; else that of the footprint, or of the bricks that hold sources where these are less
        (a footprint may reach beyond the imaging, and may be the catalog's own coverage).
    bricks_table : Path, optional
        Table with ``brickid``, ``area`` and ``psfsize_r``; else those of the run's brick tree, if
        it is on disk.

    Raises
    ------
    RunError
        The folder is no run folder.
    EvaluationError
        Some of its tiles are not scored, or it has no source to score.
    CatalogError
        The table of bricks has no ``brickid``.
    """
    run = read_finished_run(folder)
    sources = run.sources
    tables = [bricks_table] if bricks_table else _bricks_tables(run.config.imaging.bricks)
    bricks, psf_from = _read_bricks(tables)
    sources[PSF_SIZE] = sources["brickid"].map(bricks[PSF_SIZE]).astype(np.float64)
    if sources[PSF_SIZE].isna().all() and not bricks.empty:
        psf_from = f"{psf_from} lists none of the sources' bricks, or no {PSF_SIZE} of them"
    if area_deg2 is None:
        area_deg2, area_from = _area(run.config.footprint, sources, bricks)
    else:
        area_from = "given"
    return EvaluatedRun(
        folder,
        run.record.fingerprint,
        run.record.weights,
        sources,
        area_deg2,
        area_from,
        psf_from,
    )


def _area(
    config: FootprintConfig, sources: pd.DataFrame, bricks: pd.DataFrame
) -> tuple[float | None, str]:
    footprint = make_footprint(
        circle=config.circle,
        box=config.box,
        polygon=config.polygon,
        moc=config.moc,
        desi_tiles=config.desi_tiles or None,
        tile_ids=config.tile_ids,
        tile_radius=config.tile_radius,
        healpix=config.healpix,
    ).area_deg2()
    held = bricks["area"].reindex(sources["brickid"].unique())
    of_bricks = None if held.isna().any() or not len(held) else float(held.sum())
    known = [
        (area, how)
        for area, how in ((footprint, "footprint"), (of_bricks, "bricks that hold sources"))
        if area is not None
    ]
    return min(known) if known else (None, "neither footprint nor bricks table tells: give --area")


def _bricks_tables(tree: str) -> list[Path]:
    root = Path(tree)
    if not tree or not root.is_dir():
        return []
    return sorted(root.glob("*/survey-bricks-*.fits.gz")) or sorted(
        root.glob("survey-bricks*.fits.gz")
    )


def _read_bricks(tables: list[Path]) -> tuple[pd.DataFrame, str]:
    """Read areas and PSF sizes by brickid; NaN where a table lacks them."""
    empty = pd.DataFrame({"area": [], PSF_SIZE: []}, index=pd.Index([], dtype=np.int64))
    if not tables:
        return empty, "no bricks table: give --bricks-table"
    parts = []
    for path in tables:
        reader = open_table(path)
        names = {name.lower(): name for name in reader.columns}
        if "brickid" not in names:
            raise CatalogError(f"{path}: no column brickid: give another --bricks-table")
        wanted = {key: names[key] for key in ("brickid", "area", PSF_SIZE) if key in names}
        table = pa.concat_tables(reader.tables(list(wanted.values()), 1 << 20))
        columns = {
            key: pc.cast(table[name], pa.int64() if key == "brickid" else pa.float64()).to_numpy()
            for key, name in wanted.items()
        }
        parts.append(pd.DataFrame(columns).set_index("brickid"))
    bricks = pd.concat(parts).reindex(columns=["area", PSF_SIZE])
    return bricks[~bricks.index.duplicated()], ", ".join(path.name for path in tables)
