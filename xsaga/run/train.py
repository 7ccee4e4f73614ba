"""From labels and imaging to a trained model: fetch, learn, measure, write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from xsaga import __version__
from xsaga.catalog.label_file import LabelFile, read_labels
from xsaga.config import RunConfig, result_settings
from xsaga.errors import CatalogError, ConfigError, MissingExtraError, ModelError
from xsaga.imaging.cutouts import CutoutSource
from xsaga.model.card import LEARNT_FILE, TrainingSet
from xsaga.model.checkpoints import Checkpoints
from xsaga.model.device import resolve_device, resolve_precision
from xsaga.model.photometry import catalog_photometry, never_known
from xsaga.model.recipes import Recipe
from xsaga.model.training import EpochRecord, Fit, fit
from xsaga.model.weights import save_model
from xsaga.paths import placed
from xsaga.report.training_curves import write_training_curves
from xsaga.run.folder import locked
from xsaga.run.imaging import check_imaging, open_imaging
from xsaga.run.log import RunLog
from xsaga.run.progress import progress
from xsaga.run.training_area import write_area
from xsaga.run.training_cutouts import (
    LabelledCutouts,
    RLimits,
    fetch_parts,
    forget_failed,
    labelled_cutouts,
    only_judged,
    separation_warning,
    side_tasks,
    usable_labels,
)
from xsaga.run.training_folder import (
    FETCHING,
    LEARNING,
    TrainingPaths,
    TrainingRecord,
    begin_or_resume,
    make_record,
)
from xsaga.targets.provenance import sha256_of

HELD_OUT_COLUMNS = (
    "label_id",
    "ra",
    "dec",
    "group",
    "is_lowz",
    "shred",
    "training",
    "kind",
    "z",
    "mag_r",
)
"""Columns of the labels that the held-out logits are written with."""


@dataclass(frozen=True)
class TrainingPlan:
    """What to train, on what, and how.

    Parameters
    ----------
    labels : Path
        File of labels.
    config : RunConfig
        Its sections ``imaging`` and ``store``, and device and precision of ``model``, are used.
    recipe : Recipe
        With the settings that the user replaced.
    name : str
        Of the model.
    r_limits : tuple of float or None
        Range of r magnitude of the objects to learn from; one without r is always in it.
    leave_out : tuple of str
        Hosts, or numbers of groups of the labels, that are not learnt from: to judge on.
    """

    labels: Path
    config: RunConfig
    recipe: Recipe
    name: str
    r_limits: RLimits = (None, None)
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Parameters
    ----------
    paths : TrainingPaths
        Where it is.
    metrics : dict of str to float
        On held-out objects, at the mix of the labels.
    learnt, left_out : int
        Objects that were learnt from and that were not.
    simulated : bool
        Whether they are simulated.
    """

    paths: TrainingPaths
    metrics: dict[str, float]
    learnt: int
    left_out: int
    simulated: bool


class _Imaging:
    """The source of cutouts, opened when it is first needed."""

    def __init__(self, config: RunConfig, tell: Callable[[str], None]) -> None:
        self._config = config
        self._tell = tell

    @cached_property
    def source(self) -> CutoutSource:
        source = open_imaging(self._config.imaging, tell=self._tell)
        if not source.release:
            source.close()
            raise ConfigError(
                "nothing tells which image release the cutouts are of, which a model must know: "
                "give --release NAME, e.g. ls-dr9"
            )
        return source

    def close(self) -> None:
        if "source" in self.__dict__:
            self.source.close()


def train(
    plan: TrainingPlan,
    folder: Path,
    *,
    command: str,
    console: Console,
    restart: bool = False,
    retry_failed: bool = False,
) -> Trained:
    """Train a model, going on where an earlier call stopped.

    Parameters
    ----------
    plan : TrainingPlan
        What to do.
    folder : Path
        Training folder; made if need be.
    command : str
        Command line, for the record.
    console : Console
        Where to show progress.
    restart : bool
        Discard what was learnt before.
    retry_failed : bool
        Try cutouts again that could not be had.

    Returns
    -------
    Trained

    Raises
    ------
    XsagaError
        Labels, imaging, settings or folder cannot be used.
    """
    check_imaging(plan.config.imaging)
    labels = read_labels(plan.labels)
    imaging_section = plan.config.imaging
    side = imaging_section.size * imaging_section.pixel_scale
    warning = separation_warning(labels.record, plan.labels, side)
    device = resolve_device(plan.config.model.device)
    precision = resolve_precision(plan.config.model.precision, device)
    record = make_record(_settings(plan, f"{device}", precision), command, torch.get_num_threads())
    wanted, unusable = usable_labels(labels.table, plan.labels, plan.r_limits, plan.leave_out)
    paths = TrainingPaths(folder)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False)

    imaging = _Imaging(plan.config, say)
    with locked(paths):
        record = begin_or_resume(paths, record, restart=restart)
        log = RunLog(paths.log, say)
        log.event("begin", command=command, fingerprint=record.fingerprint)
        if warning:
            log.event("warning", f"warning: {warning}")
        try:
            if retry_failed:
                again = forget_failed(paths, wanted)
                log.event("retry", f"parts with failures that are fetched again: {again}")
            with progress("fetching cutouts", len(wanted), console) as advance:
                dtype = plan.config.store.dtype
                fetch_parts(paths, wanted, lambda: imaging.source, dtype, advance)
            known = _open(plan, paths, wanted, unusable)
            log.event(
                "fetched",
                f"{len(known.labels):,} {'SIMULATED ' * labels.simulated}objects to learn from, "
                f"{int(known.labels['is_lowz'].sum()):,} of them near; "
                f"{len(known.left_out):,} left out (see {paths.left_out.name})",
            )
            _tell_unknown_photometry(plan, known, log)
            with _threads(record.threads, device, log):
                fitted = _fit(plan, paths, record, known, log)
            if fitted.added_judged:
                log.event(
                    "few held out",
                    "warning: too few objects that the sky has of itself are held out: calibrated "
                    "and judged on added ones too; calibrate anew with `xsaga calibrate`",
                )
        except BaseException as error:
            log.event("stopped", error=type(error).__name__, why=str(error))
            raise
        finally:
            imaging.close()
        _write(plan, paths, record, labels, known, fitted, log)
        log.event("end", metrics=fitted.metrics)
    counts = len(known.labels), len(known.left_out)
    return Trained(paths, fitted.metrics, *counts, labels.simulated)


def _tell_unknown_photometry(plan: TrainingPlan, known: LabelledCutouts, log: RunLog) -> None:
    if plan.recipe.architecture.photometry:
        unknown = never_known(catalog_photometry(known.labels))
        if unknown:
            log.event(
                "photometry",
                f"note: no label has {', '.join(unknown)}: the model will not use it; `xsaga "
                "labels --photometry CATALOG` gives labels the photometry of a catalog",
            )


@contextmanager
def _threads(recorded: int | None, device: torch.device, log: RunLog) -> Iterator[None]:
    """Learn with as many threads as a training began with: sums of another number differ."""
    before = torch.get_num_threads()
    count = before if recorded is None or device.type != "cpu" else recorded
    if count != before:
        log.event("threads", f"note: {count} threads, as this training began with")
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settings(plan: TrainingPlan, device: str, precision: str) -> dict[str, dict[str, Any]]:
    imaging = {
        key: value
        for key, value in result_settings(plan.config).items()
        if key.startswith(("imaging.", "store.")) and key != "imaging.min_coverage"
    }
    recipe = plan.recipe
    learning = {
        "recipe": recipe.name,
        "imaging.min_coverage": plan.config.imaging.min_coverage,
        "device": device,
        "precision": precision,
        "xsaga version": __version__,
        **{f"architecture.{key}": value for key, value in asdict(recipe.architecture).items()},
        **{f"stretch.{key}": value for key, value in asdict(recipe.stretch).items()},
        **asdict(recipe.settings),
    }
    objects = {"r limits": list(plan.r_limits), "leave out": sorted(plan.leave_out)}
    fetching = {"labels": sha256_of(plan.labels), **objects, **imaging}
    return {FETCHING: fetching, LEARNING: learning}


def _open(
    plan: TrainingPlan, paths: TrainingPaths, wanted: pd.DataFrame, unusable: pd.DataFrame
) -> LabelledCutouts:
    if wanted.empty:
        raise CatalogError(f"{plan.labels}: no row has a redshift that can be learnt from")
    known = labelled_cutouts(paths, wanted, unusable, plan.config.imaging.min_coverage)
    with placed(paths.left_out) as temporary:
        known.left_out.to_parquet(temporary, index=False)
    if known.labels.empty:
        raise CatalogError(
            f"none of the {len(known.left_out)} labelled objects has a usable cutout; the reasons "
            f"are in {paths.left_out}"
        )
    return known


def _fit(
    plan: TrainingPlan,
    paths: TrainingPaths,
    record: TrainingRecord,
    known: LabelledCutouts,
    log: RunLog,
) -> Fit:
    # A cutout that could be had at last, or no more, makes it another training.
    judged = only_judged(known.labels)
    objects = known.labels[["label_id", "is_lowz", "group"]].assign(judged=judged)
    content = hashlib.sha256(objects.to_numpy(np.int64).tobytes()).hexdigest()
    checkpoints = Checkpoints(paths.checkpoints, f"{record.fingerprint}-{content}")
    settings = plan.recipe.settings
    resumed = paths.checkpoints.is_dir()
    if not resumed:
        paths.history.unlink(missing_ok=True)

    def tell(epoch: EpochRecord) -> None:
        line = pd.DataFrame([asdict(epoch)])
        line.to_csv(paths.history, mode="a", index=False, header=not paths.history.is_file())
        log.event("epoch", format_epoch(epoch, settings.members, settings.epochs), **asdict(epoch))

    fitted = fit(
        known.images,
        known.labels["is_lowz"],
        groups=known.labels["group"],
        in_sky=~known.labels["training"],
        only_judged=judged,
        side_tasks=side_tasks(known.labels),
        strange=(known.labels["kind"] == "artefact") | known.labels["shred"],
        photometry=(
            catalog_photometry(known.labels) if plan.recipe.architecture.photometry else None
        ),
        architecture=plan.recipe.architecture,
        stretch=plan.recipe.stretch,
        settings=settings,
        device=plan.config.model.device,
        precision=plan.config.model.precision,
        checkpoints=checkpoints,
        progress=tell,
    )
    # Written anew: a process that was killed may have missed an epoch that has its checkpoint.
    with placed(paths.history) as temporary:
        pd.DataFrame([asdict(epoch) for epoch in fitted.history]).to_csv(temporary, index=False)
    return fitted


def _refuse_upside_down(fitted: Fit, paths: TrainingPaths) -> None:
    slope = fitted.calibration.slope
    if slope <= 0:
        raise ModelError(
            f"{paths.folder}: held-out objects with higher scores are not more likely near (slope "
            f"{slope:.3g}): nothing was learnt, no model is written; give more objects or epochs"
        )


def format_epoch(epoch: EpochRecord, members: int, epochs: int) -> str:
    """One line on how an epoch went."""
    return (
        f"member {epoch.member + 1}/{members} epoch {epoch.epoch + 1}/{epochs}: "
        f"loss {epoch.loss:.4f}; held out: loss {epoch.held_out_loss:.4f}, "
        f"AUC {epoch.held_out_auc:.4f}, average precision {epoch.held_out_average_precision:.3f}, "
        f"purity {epoch.held_out_purity_at_90:.3f} at 90 % completeness; "
        f"{epoch.images_per_second:.0f} images/s"
    )


def _write(
    plan: TrainingPlan,
    paths: TrainingPaths,
    record: TrainingRecord,
    labels: LabelFile,
    known: LabelledCutouts,
    fitted: Fit,
    log: RunLog,
) -> None:
    """Write held-out logits, curves and, last, the model."""
    simulated = labels.simulated
    held_out = known.labels[list(HELD_OUT_COLUMNS)].assign(
        fold=fitted.fold, logit=fitted.held_out_logit
    )
    with placed(paths.held_out) as temporary:
        held_out.to_parquet(temporary, index=False)
    try:
        write_training_curves(
            paths.curves, pd.DataFrame([asdict(e) for e in fitted.history]), simulated=simulated
        )
    except MissingExtraError as error:
        log.event("no curves", f"note: no picture of the curves; {error}")
    _refuse_upside_down(fitted, paths)
    imaging = plan.config.imaging
    near = int(known.labels["is_lowz"].sum())
    natural = known.labels[~known.labels["training"]]
    judged = "all of them" if fitted.added_judged else "those that are not added to the sky"
    card = fitted.card(
        name=plan.name,
        version="1",
        kind=f"recipe {plan.recipe.name}{', simulated' if simulated else ''}",
        simulated=simulated,
        bands=("g", "r", "z"),
        pixel_scale=imaging.pixel_scale,
        size=imaging.size,
        image_release=(paths.release.read_text(encoding="utf-8").strip(),),
        training_set=TrainingSet(
            f"{'SIMULATED ' if simulated else ''}cutouts of {len(known.labels)} labelled objects "
            f"({', '.join(sorted(set(known.labels['source'])))}), folds by patch of sky; "
            f"calibration and metrics on {judged}; labels "
            f"{plan.labels.name} (SHA-256 {record.settings[FETCHING]['labels']})",
            {
                "objects": float(len(known.labels)),
                "learnt": float(np.count_nonzero(~only_judged(known.labels))),
                "low_redshift": float(near),
                "natural": float(len(natural)),
                "natural_low_redshift": float(natural["is_lowz"].sum()),
                "left_out": float(len(known.left_out)),
                "groups": float(known.labels["group"].nunique()),
                "z_limit": float(labels.record["z_limit"]),
                "epochs": float(plan.recipe.settings.epochs),
                "seed": float(plan.recipe.settings.seed),
            },
        ),
        created=record.created[:10],
    )
    write_area(paths.model / LEARNT_FILE, known.labels)
    save_model(paths.model, card, fitted.networks, fitted.novelty)
