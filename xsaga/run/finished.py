"""A finished run, read back: all its sources with their scores, and the area they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from xsaga.catalog.sources import read_sources
from xsaga.config import FootprintConfig, RunConfig
from xsaga.errors import EvaluationError, ModelError
from xsaga.evaluation.evaluated_run import EvaluatedRun
from xsaga.evaluation.truth import Labels
from xsaga.model.card import CALIBRATED_FILE, CARD_FILE, ModelCard, read_card
from xsaga.model.scoring import ScoreFlag
from xsaga.model.weights import model_folder
from xsaga.paths import RunPaths
from xsaga.run.base_rates import ESTIMATE, known_list_rate, with_base_rate
from xsaga.run.brick_facts import PSF_SIZE, bricks_tables, read_brick_facts
from xsaga.run.folder import RunRecord, read_partition, read_record, read_run_config
from xsaga.run.session import configured_footprint, last_flags
from xsaga.run.tile import LOGIT, is_scored, read_scores, tile_jobs
from xsaga.run.training_area import labelled_within, refuse_learnt
from xsaga.targets.provenance import sha256_of
from xsaga.targets.ranking import rank_sources

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
    scores = [read_scores(job.paths).reindex(columns=["source_id", *SCORE_COLUMNS]) for job in jobs]
    if not scores:
        raise EvaluationError(f"{folder}: no source of this run passed its cuts: nothing to judge")
    order = config.footprint.order
    sources = pd.concat(
        [read_sources(paths.tile(order, tile.pixel).sources) for tile in summary.tiles],
        ignore_index=True,
    ).merge(pd.concat(scores, ignore_index=True), on="source_id", how="left", validate="1:1")
    return FinishedRun(folder, config, record, sources.sort_values("source_id", ignore_index=True))


def read_run(
    folder: Path, area_deg2: float | None, bricks_table: Path | None, labels: Labels
) -> EvaluatedRun:
    """Read a run that is to be judged, with probabilities and ranks as `xsaga rank` gives them.

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
    labels : Labels
        What it is to be judged by.

    Raises
    ------
    RunError
        The folder is no run folder.
    EvaluationError
        Some of its tiles are not scored, it has no source to score, labelled sources lie where its
        model learnt, or its base rate is an estimate and the model that it was scored with is gone.
    ModelError
        The model's card is damaged.
    CatalogError
        The table of bricks has no ``brickid``.
    """
    run = read_finished_run(folder)
    card, card_missing = _card_of(run)
    calibrated_on = 0
    if card is not None:
        model = model_folder(run.config.model.weights)
        refuse_learnt(model, card.simulated, run.sources, labels)
        area = model / CALIBRATED_FILE
        calibrated_on = labelled_within(area, card.simulated, run.sources, labels)
    sources, base_rate = _as_delivered(run, card, card_missing)
    tables = [bricks_table] if bricks_table else bricks_tables(run.config.imaging.bricks)
    facts = read_brick_facts(tables)
    sources[PSF_SIZE] = facts.psf_size(sources)
    psf_from = facts.origin
    if sources[PSF_SIZE].isna().all() and not facts.table.empty:
        psf_from = f"{psf_from} lists none of the sources' bricks, or no {PSF_SIZE} of them"
    if area_deg2 is None:
        area_deg2, area_from = _area(run.config.footprint, facts.area_deg2(sources["brickid"]))
    else:
        area_from = "given"
    return EvaluatedRun(
        folder=folder,
        fingerprint=run.record.fingerprint,
        weights=run.record.weights,
        sources=sources,
        base_rate=base_rate,
        unfamiliar_last=bool(last_flags(run.config) & ScoreFlag.UNFAMILIAR),
        z_limit=None if card is None else card.training_set.numbers.get("z_limit"),
        novelty=None if card is None else card.novelty,
        card_missing=card_missing,
        calibrated_on=calibrated_on,
        area_deg2=area_deg2,
        area_from=area_from,
        psf_from=psf_from,
    )


def _card_of(run: FinishedRun) -> tuple[ModelCard | None, str]:
    """Read the card that the run was scored with, or tell why it cannot be had."""
    name = run.record.weights.name
    try:
        path = model_folder(run.config.model.weights) / CARD_FILE
    except ModelError:
        return None, f"model {name} is gone"
    if sha256_of(path) != run.record.inputs[-1].sha256:  # the card is the last of the inputs
        return None, f"model {name} is another now than the run was scored with"
    return read_card(path), ""


def _as_delivered(
    run: FinishedRun, card: ModelCard | None, card_missing: str
) -> tuple[pd.DataFrame, str]:
    """Give the run's sources the probabilities of its target list, and the order they make."""
    choice = run.config.rank.base_rate
    if choice == ESTIMATE and card is None:
        raise EvaluationError(
            f"{run.folder}: the base rate of its list cannot be estimated again: {card_missing}; "
            f"restore {run.config.model.weights}"
        )
    sources = run.sources
    scored = sources.loc[sources["p_lowz"].notna(), ["source_id", *SCORE_COLUMNS]]
    scored = scored.astype({"score_flags": np.int32})
    known = None if card is None else known_list_rate(card, run.config.cuts)
    scored, base_rate = with_base_rate(scored, choice, known)
    ranked = rank_sources(scored, last_flags(run.config))
    ranked["unfamiliar"] = (ranked["score_flags"].to_numpy() & ScoreFlag.UNFAMILIAR) != 0
    sources = sources.drop(columns=list(SCORE_COLUMNS)).merge(
        ranked[["source_id", "p_lowz", "rank", "unfamiliar"]],
        on="source_id",
        how="left",
        validate="1:1",
    )
    sources["unfamiliar"] = sources["unfamiliar"].eq(True)
    return sources, base_rate


def _area(config: FootprintConfig, of_bricks: float | None) -> tuple[float | None, str]:
    footprint = configured_footprint(config).area_deg2()
    known = [
        (area, how)
        for area, how in ((footprint, "footprint"), (of_bricks, "bricks that hold sources"))
        if area is not None
    ]
    return min(known) if known else (None, "neither footprint nor bricks table tells: give --area")
