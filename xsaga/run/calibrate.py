"""From a finished run and labels to the same model with another calibration."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga import __version__
from xsaga.errors import ConfigError, EvaluationError, ModelError
from xsaga.evaluation.intervals import LEVEL
from xsaga.evaluation.recalibration import Recalibration, calibration_sample, recalibrate
from xsaga.evaluation.truth import Labels
from xsaga.model.calibration import Calibration
from xsaga.model.card import (
    CALIBRATED_FILE,
    CARD_FILE,
    ModelCard,
    TrainingSet,
    is_model_name,
    read_card,
)
from xsaga.model.metrics import held_out_metrics
from xsaga.model.scoring import ScoreFlag
from xsaga.model.weights import copy_model, model_folder
from xsaga.run.base_rates import list_rate, without_list_rates
from xsaga.run.finished import FinishedRun, read_finished_run
from xsaga.run.tile import LOGIT
from xsaga.run.training_area import refuse_learnt, write_area
from xsaga.targets.provenance import sha256_of

_SINCE = "; recalibrated since: "
_KIND = ", recalibrated"

_OF_TRAINING = ("held_out", "auc", "average_precision", "purity_at_90")
"""Metrics of the training that hold for any calibration: they rest on the order of the scores."""

_CERTAIN = 6e-7
"""A probability in single precision nearer to 1 than this has log odds uncertain by 0.1."""


@dataclass(frozen=True)
class CalibratedModel:
    """A model with a new calibration.

    Parameters
    ----------
    folder : Path
        Where it is.
    card : ModelCard
        Its card.
    result : Recalibration
        The fit.
    """

    folder: Path
    card: ModelCard
    result: Recalibration


def calibrate_run(folder: Path, labels: Labels, out: Path, name: str | None) -> CalibratedModel:
    """Calibrate the model of a finished run on its labelled sources; write it as a new model.

    Parameters
    ----------
    folder : Path
        The run folder.
    labels : Labels
        Of some of its sources, not of those that the model learnt from.
    out : Path
        Folder of the new model, absent or empty.
    name : str or None
        Of the new model; that of its folder if None.

    Raises
    ------
    ConfigError
        `out` holds something, or the name cannot be one.
    RunError
        The folder is no run folder.
    EvaluationError
        The run is not scored; the labels are of another sky, of another class, of where the model
        learnt or too few; or one of labels and model is simulated and the other is not.
    FootprintError
        The file that tells where the model learnt is damaged.
    ModelError
        The model is no longer that of the run, or the run's scores do not tell the logits.
    """
    called = _check_out(out, name)
    run = read_finished_run(folder)
    source = model_folder(run.config.model.weights)
    card = _card_of(run, source)
    _refuse_mismatch(card, labels)
    scored = run.sources[run.sources["p_lowz"].notna()]
    refuse_learnt(source, card.simulated, scored, labels)
    scored = scored.assign(**{LOGIT: _logits(scored, card.calibration, folder)})
    sample = calibration_sample(scored, labels, f"{folder}")
    result = recalibrate(sample)
    familiar = (scored["score_flags"].to_numpy(np.int64) & ScoreFlag.UNFAMILIAR) == 0
    listed = result.calibration.probability(scored[LOGIT].to_numpy()[familiar]).mean()
    rates = list_rate(run.config.cuts, float(listed))
    new = _new_card(card, result, run, labels, called, rates)
    write_area(out / CALIBRATED_FILE, sample.positions)
    copy_model(source, out, new)
    return CalibratedModel(out, new, result)


def format_calibrated(model: CalibratedModel) -> str:
    """Tell what a calibration was fitted on and what it does there."""
    sample, before, after = model.result.sample, model.result.before, model.result.after
    left_out = [f"{count:,} {reason}" for reason, count in sample.left_out.items() if count]
    title = (
        f"{'SIMULATED sky: ' if model.card.simulated else ''}calibrated on "
        f"{len(sample.positive):,} scored sources, {int(sample.positive.sum()):,} of them near"
    )
    if left_out:
        title += f"; left out: {', '.join(left_out)}"
    errors = (
        f"expected calibration error {before.expected_calibration_error:.4f} before, "
        f"{after.expected_calibration_error:.4f} after, on the same sources that it was fitted on"
    )
    heads = f"{'p_lowz':>11} {'predicted':>10} {'found':>7} {f'{LEVEL:.0%}':>15} {'n':>8}"
    lines = [title, errors, heads]
    lines += [
        f"{each.low:5.2f} - {each.high:.2f} {each.mean_probability:10.4f} "
        f"{each.observed.value:7.4f} {each.observed.low:6.4f} - {each.observed.high:.4f} "
        f"{each.sources:8,}"
        for each in after.bins
    ]
    return "\n".join(lines)


def _check_out(out: Path, name: str | None) -> str:
    """Give the new model's name."""
    called = name or out.resolve().name
    if not is_model_name(called):
        raise ConfigError(
            f"{called!r} cannot name a model: give --name of letters, digits, '.', '_' and '-'"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} exists and is not an empty folder: choose another")
    return called


def _card_of(run: FinishedRun, source: Path) -> ModelCard:
    """Read the card of the run's model, as it was."""
    path = source / CARD_FILE
    card = read_card(path)
    recorded = run.record.inputs[-1].sha256  # the card is the last of the inputs
    if sha256_of(path) != recorded or card.sha256 != run.record.weights.sha256:
        raise ModelError(
            f"{path}: not the model that {run.folder} was scored with: restore it, or score anew "
            "with `xsaga run --restart`"
        )
    return card


def _refuse_mismatch(card: ModelCard, labels: Labels) -> None:
    if card.simulated != labels.simulated:
        kinds = {True: "simulated", False: "real"}
        raise EvaluationError(
            f"{labels.path}: {kinds[labels.simulated]} labels for model {card.name} of "
            f"{kinds[card.simulated]} images: give {kinds[card.simulated]} labels"
        )
    limit = card.training_set.numbers.get("z_limit", labels.z_limit)
    if limit != labels.z_limit:
        raise EvaluationError(
            f"{labels.path}: labels of z < {labels.z_limit:g} for model {card.name} of "
            f"z < {limit:g}: make them anew with `xsaga labels --z-limit {limit:g}`"
        )


def _logits(scored: pd.DataFrame, calibration: Calibration, folder: Path) -> NDArray[np.float64]:
    """Give the stored logits; where scores lack them, those that gave the probabilities."""
    logits = scored[LOGIT].to_numpy(np.float64, copy=True)
    absent = np.isnan(logits)
    p = scored["p_lowz"].to_numpy(np.float64)[absent]
    lost = (1 - p < _CERTAIN) | (p < np.finfo(np.float32).tiny)
    if lost.any():
        raise ModelError(
            f"{folder}: {int(lost.sum()):,} scores are too near 0 or 1 to tell their logit, which "
            "was not kept then: score anew with `xsaga run --restart`"
        )
    logits[absent] = calibration.logits(p)
    return logits


def _new_card(
    card: ModelCard,
    result: Recalibration,
    run: FinishedRun,
    labels: Labels,
    name: str,
    rates: dict[str, float],
) -> ModelCard:
    sample = result.sample
    near, count = int(sample.positive.sum()), len(sample.positive)
    run_name = run.folder.resolve().name
    before, _, _ = card.training_set.description.partition(_SINCE)
    told = (
        f"{before}{_SINCE}calibration and metrics on {count} {'SIMULATED ' * card.simulated}"
        f"sources ({near} at z < {labels.z_limit:g}) of the run {run_name} "
        f"({run.record.fingerprint[:12]}) with the labels {labels.path.name} "
        f"(SHA-256 {sha256_of(labels.path)})"
    )
    numbers = without_list_rates(card.training_set.numbers) | {
        "calibration_sources": float(count),
        "calibration_low_redshift": float(near),
        **rates,
    }
    in_sample = held_out_metrics(
        sample.logit.astype(np.float32), sample.positive, result.calibration
    )
    in_sample["sources"] = in_sample.pop("held_out")  # they are not, from the calibration
    # The date is the run's: the same run and labels give the same bytes.
    return dataclasses.replace(
        card,
        name=name,
        kind=card.kind.removesuffix(_KIND) + _KIND,
        training_set=TrainingSet(told, numbers),
        metrics={
            **{key: card.metrics[key] for key in _OF_TRAINING if key in card.metrics},
            **{f"{key}_in_sample": value for key, value in in_sample.items()},
            "calibration_error_before": result.before.expected_calibration_error,
            "calibration_error_in_sample": result.after.expected_calibration_error,
        },
        calibration=result.calibration,
        xsaga_version=__version__,
        created=run.record.created[:10],
    )
