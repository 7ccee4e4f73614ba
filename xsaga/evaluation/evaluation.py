"""`xsaga evaluate`: a finished run against labels, written as ``evaluation.json``.

Keys of ``evaluation.json`` (numbers that cannot be measured are null; an *estimate* is an object
``value, low, high`` whose interval has the content ``settings.interval``):

``format``
    1; changes when a key changes its meaning.
``simulated``
    Whether labels or weights are of a simulated sky; ``simulated_labels``, ``simulated_weights``.
``run``, ``labels``
    Name, fingerprint and weights of the run; name, SHA-256, rows and limit of the labels.
``settings``
    ``r_min, r_max, unlabelled, interval, resamples, patch_order, seed, area_deg2, area_from``.
``join``
    How labels and sources met: see `xsaga.evaluation.truth.JoinCounts`; and
    ``in_range, in_range_labelled, in_range_unlabelled`` of the sources.
``populations``
    ``desi-lowz`` (sources that pass that cut) and ``all``: see
    `xsaga.evaluation.populations.PopulationResult`; null where there are no positives.
    ``scorers`` holds ``model`` and the trained baselines.
``headline``
    The population that the rest is about: ``desi-lowz``, or ``all`` where that has no positives.
``thresholds``
    The model's purity and completeness in the headline population against ``p_lowz``.
``reliability``
    Diagrams with bins of equal width and of equal count, and the calibration errors.
``slices``
    By magnitude, surface brightness, colour and PSF, for sources at or above
    ``slice_threshold``: see `xsaga.evaluation.slices.Sliced`.
``published``
    The published ranked lists.
``baselines``
    What the trained baselines learned from and how; null without them.
``aims``
    Each aim with what was reached and whether that meets it.
``notes``
    What a reader should know first.
"""

from __future__ import annotations

import dataclasses
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
from xsaga.evaluation.baselines import (
    BaselineScores,
    score_held_out,
    score_in_folds,
)
from xsaga.evaluation.curves import RankedSample, threshold_curve
from xsaga.evaluation.evaluated_run import EvaluatedRun
from xsaga.evaluation.intervals import LEVEL, PATCH_ORDER, sky_patches
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
from xsaga.evaluation.yardstick import NEAR_Z, PUBLISHED
from xsaga.paths import placed
from xsaga.targets.provenance import sha256_of

FORMAT = 1
JSON_NAME = "evaluation.json"
CUTS = (REFERENCE_CUTS, "saga2")
RESAMPLES = 400
DIGITS = 7
"""Significant digits of the numbers in the file."""

AIM_OVER_CUTS, AIM_OVER_BASELINE, AIM_NEAR = 15.0, 1.5, 0.94
"""Purity over the cuts', over the best baseline's; completeness of the ranked list."""

MANY_UNLABELLED = 0.05

Unlabelled = Literal["leave-out", "not-lowz"]


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
        The labels are not of these sources, or hold no positive among them.
    """
    joined, counts = join_labels(run.sources, labels)
    in_range = ((joined["mag_r"] > settings.r_min) & (joined["mag_r"] < settings.r_max)).to_numpy()
    _refuse_empty(run, labels, settings, joined[in_range], counts)
    passes = {name: _passes(joined, name)[in_range] for name in CUTS}
    sources = joined[in_range].reset_index(drop=True)
    unlabelled = int((~sources["labelled"]).sum())
    if settings.unlabelled == "not-lowz":
        sources["labelled"] = True
    baselines = _baselines(sources, settings, training)
    sources["near"] = sources["lowz"] & (sources["z_true"] < NEAR_Z)
    scores = {MODEL: sources["p_lowz"].to_numpy(np.float64)}
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
        },
        "labels": {
            "name": labels.path.name,
            "sha256": sha256_of(labels.path),
            "rows": len(labels.table),
            "z_limit": labels.z_limit,
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
        "join": counts.to_dict()
        | {
            "in_range": len(sources),
            "in_range_labelled": len(sources) - unlabelled,
            "in_range_unlabelled": unlabelled,
        },
        "populations": results,
        "headline": headline,
        **_model_details(populations[headline], results[headline], run, settings),
        "published": PUBLISHED,
        "baselines": baselines.facts if baselines else None,
        "aims": _aims(results[REFERENCE_CUTS]),
        "notes": _notes(run, labels, settings, counts, unlabelled / len(sources)),
    }
    return {key: _plain(value) for key, value in content.items()}


def write_evaluation(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``evaluation.json`` into a folder."""
    with placed(folder / JSON_NAME) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


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
    bright = None
    if cuts.bright_object_limit is not None:
        near = sources[(sources["mag_r"] < cuts.bright_object_limit) & (sources["radius"] > 0)]
        bright = BrightObjects(
            *(near[column].to_numpy(np.float64) for column in ("ra", "dec", "radius"))
        )
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
    sources: pd.DataFrame, settings: EvaluationSettings, training: TrainingSky | None
) -> BaselineScores | None:
    if not settings.baselines:
        return None
    if training is None:
        return score_in_folds(sources, settings.seed, settings.workers)
    sky = read_training_set(training, (settings.r_min, settings.r_max), sources)
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
    judged = labelled & np.isfinite(score)
    threshold = float("nan")
    if result is not None:
        threshold = next(
            at.threshold
            for at in result.scorers[MODEL].purity_at_completeness
            if at.completeness == HEADLINE_COMPLETENESS
        )
    if math.isnan(threshold):  # out of reach: all that has a score
        threshold = 0.0
    return {
        "thresholds": threshold_curve(RankedSample.of(score, lowz, labelled, patch)),
        "reliability": [
            reliability(score[judged], lowz[judged], binning)
            for binning in ("equal width", "equal count")
            if judged.any()
        ],
        "slice_threshold": threshold,
        "slices": slice_all(
            population.sources, score, threshold, (settings.r_min, settings.r_max), run.psf_from
        ),
    }


def _aims(result: PopulationResult | None) -> list[dict[str, Any]]:
    if result is None:
        return []
    model = result.scorers[MODEL]
    reached = (
        (
            "purity at 90 % completeness over that of desi-lowz",
            model.purity_over_cuts,
            AIM_OVER_CUTS,
        ),
        (
            "purity at 90 % completeness over the best baseline's",
            model.purity_over_best_baseline,
            AIM_OVER_BASELINE,
        ),
        ("completeness at z < 0.02 of 20 targets per deg²", model.headline_completeness, AIM_NEAR),
    )
    return [
        {
            "what": what,
            "aim": aim,
            "reached": estimate,
            "met": None if math.isnan(estimate.value) else estimate.value >= aim,
        }
        for what, estimate, aim in reached
    ]


def _notes(
    run: EvaluatedRun,
    labels: Labels,
    settings: EvaluationSettings,
    counts: JoinCounts,
    unlabelled: float,
) -> list[str]:
    notes = []
    if labels.simulated:
        notes.append("The sky is SIMULATED: nothing here was observed.")
    if run.weights.simulated:
        notes.append(f"The weights ({run.weights.name}) were trained on simulated images.")
    if run.weights.simulated != labels.simulated:
        notes.append("Weights and labels are not of the same kind of sky, simulated or real.")
    if unlabelled > MANY_UNLABELLED:
        fate = "say nothing" if settings.unlabelled == "leave-out" else "count as not at low z"
        notes.append(f"{unlabelled:.0%} of the sources in the range have no label and {fate}.")
    if counts.id_elsewhere:
        notes.append(
            f"{counts.id_elsewhere:,} labels have the id of a source elsewhere on the sky and were "
            "not matched by it."
        )
    if run.area_deg2 is None:
        notes.append(f"No ranked lists: the area is not known ({run.area_from}).")
    return notes


def _plain(value: Any) -> Any:
    """JSON types; null for what is not a finite number."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
