"""`xsaga evaluate`: a finished run against labels, written as ``evaluation.json``.

Keys of ``evaluation.json`` (numbers that cannot be measured are null; an *estimate* is an object
``value, low, high`` whose interval has the content ``settings.interval``):

``format``
    1; changes when a key changes its meaning.
``simulated``
    Whether labels or weights are of a simulated sky; ``simulated_labels``, ``simulated_weights``.
``run``, ``labels``
    Name, fingerprint, weights and base rate of the run, how many of its scored sources are
    ``unfamiliar`` and whether it ranks them last (``unfamiliar_last``); name, SHA-256, rows and
    limit of redshift of the labels, and ``near_z`` (0.02, or the limit where that is lower).
``settings``
    ``r_min, r_max, unlabelled, interval, resamples, patch_order, seed, area_deg2, area_from``.
``join``
    How labels and sources met: see `xsaga.evaluation.truth.JoinCounts`; sources in the range of
    magnitudes that nothing can be judged by, ``left_out`` by reason; and
    ``in_range, in_range_labelled, in_range_unlabelled, in_range_unfamiliar`` of the judged ones.
``populations``
    ``desi-lowz`` (sources that pass that cut) and ``all``: see
    `xsaga.evaluation.populations.PopulationResult`; null where there are no positives.
    ``scorers`` holds ``model`` and the trained baselines.
``headline``
    The population that the rest is about: ``desi-lowz``, or ``all`` where that has no positives.
``thresholds``
    The model's purity and completeness in the headline population against ``p_lowz``, without
    sources that are ranked last.
``reliability``
    Diagrams with bins of equal width and of equal count, and the calibration errors.
``slices``
    By magnitude, surface brightness, colour and PSF, for the list down to ``slice_threshold``
    (null: all scored sources): see `xsaga.evaluation.slices.Sliced`.
``novelty``
    What the model's card says of UNFAMILIAR: see `xsaga.model.novelty.Novelty`; null without.
``published``
    The published ranked lists; ``published_z`` tells below which redshift they are measured.
``baselines``
    What the trained baselines learned from and how; null without them.
``aims``
    See `xsaga.evaluation.aims.Aim`.
``notes``
    What a reader should know first.

Lists are those that the run delivers where one tier takes all scored sources: by probability, with
its own base rate and its own place for UNFAMILIAR sources. What tiers and exclusions make of them
is for `xsaga monitor` to judge.
A threshold below 0 is that of a list which holds all others and UNFAMILIAR sources down to
``p_lowz`` = threshold + 2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga import __version__
from xsaga.catalog.cuts import apply_cuts, named_cuts
from xsaga.catalog.matching import BrightObjects
from xsaga.errors import ConfigError, EvaluationError
from xsaga.evaluation.aims import aims
from xsaga.evaluation.baselines import (
    BaselineScores,
    score_held_out,
    score_in_folds,
)
from xsaga.evaluation.curves import RankedSample, ranking_score, threshold_curve
from xsaga.evaluation.evaluated_run import EvaluatedRun
from xsaga.evaluation.exclusions import left_out_counts, why_left_out
from xsaga.evaluation.intervals import LEVEL, PATCH_ORDER, sky_patches
from xsaga.evaluation.json_types import plain
from xsaga.evaluation.notes import notes
from xsaga.evaluation.populations import (
    HEADLINE_COMPLETENESS,
    MODEL,
    REFERENCE_CUTS,
    Population,
    PopulationResult,
    measure,
)
from xsaga.evaluation.reliability import reliability
from xsaga.evaluation.slices import slice_all
from xsaga.evaluation.training_sky import TrainingSky, read_training_set
from xsaga.evaluation.truth import JoinCounts, Labels, join_labels, refuse_other_sky
from xsaga.evaluation.yardstick import NEAR_Z, PUBLISHED, PUBLISHED_Z
from xsaga.paths import placed
from xsaga.targets.provenance import sha256_of

FORMAT = 1
JSON_NAME = "evaluation.json"
CUTS = (REFERENCE_CUTS, "saga2")
RESAMPLES = 400

Unlabelled = Literal["leave-out", "not-lowz"]
FATES: Mapping[Unlabelled, str] = {
    "leave-out": "say nothing",
    "not-lowz": "count as not at low z",
}


@dataclass(frozen=True)
class EvaluationSettings:
    """How a run is judged.

    Parameters
    ----------
    r_min, r_max : float
        Sources with r_min < r < r_max are judged (dereddened, as the run's catalog has them).
    unlabelled : {'leave-out', 'not-lowz'}
        Sources without a label say nothing of purity, or count as not at low redshift (for labels
        that are complete).
    baselines : bool
        Whether to train baselines.
    seed : int
        Of bootstrap and baselines.
    workers : int
        Threads for the baselines.

    Raises
    ------
    ConfigError
        The range of magnitudes is empty.
    """

    r_min: float = 19.0
    r_max: float = 21.0
    unlabelled: Unlabelled = "leave-out"
    baselines: bool = True
    seed: int = 1
    workers: int = 1

    def __post_init__(self) -> None:
        if not self.r_min < self.r_max:
            raise ConfigError(
                f"no source has {self.r_min:g} < r < {self.r_max:g}: give --r-min below --r-max"
            )


def judge(
    run: EvaluatedRun,
    labels: Labels,
    settings: EvaluationSettings,
    training: TrainingSky | None = None,
) -> dict[str, Any]:
    """Judge a run.

    Parameters
    ----------
    run : EvaluatedRun
        Its sources and scores.
    labels : Labels
        What is known of them.
    settings : EvaluationSettings
        How.
    training : TrainingSky, optional
        What baselines are trained on; else they are trained on the evaluated sources in folds.

    Returns
    -------
    dict
        The content of ``evaluation.json`` in JSON types.

    Raises
    ------
    EvaluationError
        The labels are not of these sources, are positive below another redshift than the
        model's, or hold no positive among the sources.
    """
    _refuse_other_limit(run, labels)
    joined, counts = join_labels(run.sources, labels)
    in_range = ((joined["mag_r"] > settings.r_min) & (joined["mag_r"] < settings.r_max)).to_numpy()
    why = why_left_out(joined)
    left_out, judged = left_out_counts(why[in_range]), in_range & (why == "")
    _refuse_empty(run, labels, settings, joined[judged], counts)
    passes = {name: _passes(joined, name)[judged] for name in CUTS}
    sources = joined[judged].reset_index(drop=True)
    unlabelled = int((~sources["labelled"]).sum())
    if settings.unlabelled == "not-lowz":
        sources["labelled"] = True
    baselines = _baselines(sources, settings, training, labels)
    near_z = min(NEAR_Z, labels.z_limit)
    sources["near"] = sources["lowz"] & (sources["z_true"] < near_z)
    last = sources["unfamiliar"].to_numpy(bool) & run.unfamiliar_last
    scores = {MODEL: ranking_score(sources["p_lowz"].to_numpy(np.float64), last)}
    scores |= baselines.scores if baselines else {}
    span = f"{settings.r_min:g} < r < {settings.r_max:g}"
    everything = Population(f"all sources at {span}", sources, scores, passes)
    reference = _part(everything, passes[REFERENCE_CUTS], f"sources at {span} that pass desi-lowz")
    populations = {REFERENCE_CUTS: reference, "all": everything}
    results = {
        name: measure(population, run.area_deg2, RESAMPLES, settings.seed)
        if population.mask("lowz").any()
        else None
        for name, population in populations.items()
    }
    headline = REFERENCE_CUTS if results[REFERENCE_CUTS] else "all"
    details = _model_details(populations[headline], results[headline], run, settings)
    fate = FATES[settings.unlabelled]
    content = {
        "format": FORMAT,
        "xsaga_version": __version__,
        "simulated": labels.simulated or run.weights.simulated,
        "simulated_labels": labels.simulated,
        "simulated_weights": run.weights.simulated,
        "run": {
            "name": run.folder.resolve().name,
            "fingerprint": run.fingerprint,
            "weights": run.weights,
            "sources": len(joined),
            "scored": int(joined["p_lowz"].notna().sum()),
            "base_rate": run.base_rate,
            "unfamiliar": int(joined["unfamiliar"].sum()),
            "unfamiliar_last": run.unfamiliar_last,
        },
        "labels": {
            "name": labels.path.name,
            "sha256": sha256_of(labels.path),
            "rows": len(labels.table),
            "z_limit": labels.z_limit,
            "near_z": near_z,
        },
        "settings": {
            "r_min": settings.r_min,
            "r_max": settings.r_max,
            "unlabelled": settings.unlabelled,
            "interval": LEVEL,
            "resamples": RESAMPLES,
            "patch_order": PATCH_ORDER,
            "seed": settings.seed,
            "area_deg2": run.area_deg2,
            "area_from": run.area_from,
        },
        "join": {
            **counts.to_dict(),
            "left_out": left_out,
            "in_range": len(sources),
            "in_range_labelled": len(sources) - unlabelled,
            "in_range_unlabelled": unlabelled,
            "in_range_unfamiliar": int(sources["unfamiliar"].sum()),
        },
        "populations": results,
        "headline": headline,
        **details,
        "novelty": run.novelty,
        "published": PUBLISHED,
        "published_z": {"completeness": NEAR_Z, "purity": PUBLISHED_Z},
        "baselines": baselines.facts if baselines else None,
        "aims": aims(
            results[REFERENCE_CUTS],
            () if run.calibrated_on else details["reliability"],
            near_z,
        ),
        "notes": notes(run, labels, counts, left_out, unlabelled / len(sources), fate),
    }
    return {key: plain(value) for key, value in content.items()}


def write_evaluation(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``evaluation.json`` into a folder."""
    with placed(folder / JSON_NAME) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _refuse_other_limit(run: EvaluatedRun, labels: Labels) -> None:
    if run.z_limit not in (None, labels.z_limit):
        raise EvaluationError(
            f"{labels.path}: labels of z < {labels.z_limit:g} for model {run.weights.name} of "
            f"z < {run.z_limit:g}: make them anew with `xsaga labels --z-limit {run.z_limit:g}`"
        )


def _refuse_empty(
    run: EvaluatedRun,
    labels: Labels,
    settings: EvaluationSettings,
    sources: pd.DataFrame,
    counts: JoinCounts,
) -> None:
    span = f"{settings.r_min:g} < r < {settings.r_max:g}"
    refuse_other_sky(labels, counts, f"{run.folder}")
    if not sources["lowz"].any():
        raise EvaluationError(
            f"{labels.path}: no labelled galaxy at z < {labels.z_limit:g} among the sources of "
            f"{run.folder} at {span}: give more labels, or other --r-min and --r-max"
        )
    if not sources["p_lowz"].notna().any():
        raise EvaluationError(
            f"{run.folder}: no source at {span} has a score: "
            "give the range that the run's cuts let through with --r-min and --r-max"
        )


def _passes(sources: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """Which sources pass a named cut, with the bright objects of the same sources."""
    cuts = named_cuts(name)
    bright = BrightObjects.among(sources, cuts.bright_object_limit)
    flags, _ = apply_cuts(sources, cuts, bright)
    passed: NDArray[np.bool_] = flags == 0
    return passed


def _part(population: Population, rows: NDArray[np.bool_], meaning: str) -> Population:
    return Population(
        meaning,
        population.sources[rows].reset_index(drop=True),
        {name: score[rows] for name, score in population.scores.items()},
        {name: passed[rows] for name, passed in population.passes.items()},
    )


def _baselines(
    sources: pd.DataFrame,
    settings: EvaluationSettings,
    training: TrainingSky | None,
    labels: Labels,
) -> BaselineScores | None:
    if not settings.baselines:
        return None
    if training is None:
        return score_in_folds(sources, settings.seed, settings.workers)
    sky = read_training_set(training, (settings.r_min, settings.r_max), sources, labels)
    return score_held_out(sky, sources, settings.seed, settings.workers)


def _model_details(
    population: Population,
    result: PopulationResult | None,
    run: EvaluatedRun,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """Measure what is given of the model only, in the headline population."""
    score, lowz = population.scores[MODEL], population.mask("lowz")
    labelled = population.mask("labelled")
    patch = sky_patches(population.sources["ra"], population.sources["dec"])
    probability = population.sources["p_lowz"].to_numpy(np.float64)
    judged = labelled & np.isfinite(probability)
    threshold = float("nan")
    if result is not None:
        threshold = next(
            at.threshold
            for at in result.scorers[MODEL].purity_at_completeness
            if at.completeness == HEADLINE_COMPLETENESS
        )
    # where that is out of reach, all that has a score
    in_list = np.isfinite(score) if math.isnan(threshold) else score >= threshold
    return {
        "thresholds": threshold_curve(RankedSample.of(score, lowz, labelled, patch)),
        "reliability": [
            reliability(probability[judged], lowz[judged], binning)
            for binning in ("equal width", "equal count")
            if judged.any()
        ],
        "slice_threshold": threshold,
        "slices": slice_all(
            population.sources,
            probability,
            in_list,
            (settings.r_min, settings.r_max),
            run.psf_from,
        ),
    }
