"""Fitting an ensemble of networks to labelled cutouts.

The members differ in their starting weights and in what they do not see: member k is trained on
all folds but fold k. The images of fold k, scored by member k, are the held-out data that
calibration and metrics come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from xsaga import __version__
from xsaga.errors import ModelError
from xsaga.model.calibration import Calibration, fit_calibration
from xsaga.model.card import ModelCard, TrainingSet
from xsaga.model.checkpoints import Checkpoints
from xsaga.model.device import PrecisionChoice, resolve_device, resolve_precision
from xsaga.model.fit_settings import FitSettings
from xsaga.model.folds import assign_folds, check_folds
from xsaga.model.images import ImageArray, check_images
from xsaga.model.inference import BatchedNetworks
from xsaga.model.member import MemberTraining
from xsaga.model.metrics import (
    area_under_curve,
    average_precision,
    held_out_metrics,
    purity_at_completeness,
)
from xsaga.model.network import Architecture, CutoutNetwork
from xsaga.model.novelty import FeatureSpace, Novelty, fit_feature_space
from xsaga.model.photometry import checked_photometry
from xsaga.model.preprocess import Stretch
from xsaga.model.side_tasks import standardised

FEWEST_FOR_NOVELTY = 100
"""Images of each kind, seen and unseen, that it takes to know what is unfamiliar."""

FEWEST_OF_SKY = 20
"""Held-out objects of a class, as the sky has them, that it takes to calibrate on these alone."""

_LOGITS = "held_out.logits"


@dataclass(frozen=True)
class EpochRecord:
    """How training went in one epoch of one member.

    Parameters
    ----------
    member, epoch : int
        Which, from 0.
    loss : float
        Mean training loss of the epoch.
    held_out_loss : float
        Mean cross-entropy (nats, not calibrated) on the member's own held-out fold.
    held_out_auc : float
        Area under the ROC curve there.
    held_out_average_precision : float
        Average precision there, at the mix of the training data.
    held_out_purity_at_90 : float
        Purity at 90 % completeness there, at that mix.
    images_per_second : float
        Images learnt from in a second; it plays no part in comparisons.
    """

    member: int
    epoch: int
    loss: float
    held_out_loss: float
    held_out_auc: float
    held_out_average_precision: float
    held_out_purity_at_90: float
    images_per_second: float = field(compare=False)


@dataclass(frozen=True)
class Fit:
    """What `fit` gives.

    Parameters
    ----------
    networks : tuple of CutoutNetwork
        Trained members, on the CPU.
    architecture, stretch : Architecture, Stretch
        As given.
    calibration : Calibration
        Fitted on the held-out logits.
    metrics : dict of str to float
        Of `xsaga.model.metrics.held_out_metrics`, at the mix of the data as the sky has them.
    fold : ndarray of int64, shape (N,)
        Fold of each image; folds from `members` on are held out by no member.
    held_out_logit : ndarray of float32, shape (N,)
        Logit of each image by the member that did not see it; NaN where none did not.
    history : tuple of EpochRecord
        In order.
    novelty : (FeatureSpace, Novelty) or None
        What tells unfamiliar cutouts from those that were learnt from; None where there were too
        few to find out.
    added_judged : bool
        Whether calibration and metrics rest on objects that were added to learn from too, as fewer
        than `FEWEST_OF_SKY` of a class that the sky has of itself were held out. The calibration
        is for the share of z < 0.03 that the sky has of itself all the same.
    """

    networks: tuple[CutoutNetwork, ...]
    architecture: Architecture
    stretch: Stretch
    calibration: Calibration
    metrics: dict[str, float]
    fold: NDArray[np.int64]
    held_out_logit: NDArray[np.float32]
    history: tuple[EpochRecord, ...]
    novelty: tuple[FeatureSpace, Novelty] | None
    added_judged: bool

    def card(
        self,
        *,
        name: str,
        version: str,
        kind: str,
        simulated: bool,
        bands: tuple[str, ...],
        pixel_scale: float,
        size: int,
        image_release: tuple[str, ...],
        training_set: TrainingSet,
        created: str,
    ) -> ModelCard:
        """Describe the ensemble for `xsaga.model.weights.save_model`.

        Parameters
        ----------
        name, version, kind, simulated, bands, pixel_scale, size, image_release, training_set
            As in `ModelCard`.
        created : str
            Date, ISO 8601.

        Returns
        -------
        ModelCard
            Its hash is set when the weights are written.

        Raises
        ------
        ModelError
            If values contradict each other.
        """
        return ModelCard(
            name=name,
            version=version,
            kind=kind,
            simulated=simulated,
            architecture=self.architecture,
            members=len(self.networks),
            bands=bands,
            pixel_scale=pixel_scale,
            size=size,
            field_of_view=size * pixel_scale,
            stretch=self.stretch,
            image_release=image_release,
            training_set=training_set,
            metrics=self.metrics,
            calibration=self.calibration,
            xsaga_version=__version__,
            created=created,
        )


def fit(
    images: ImageArray,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    in_sky: ArrayLike | None = None,
    only_judged: ArrayLike | None = None,
    side_tasks: ArrayLike | None = None,
    strange: ArrayLike | None = None,
    photometry: NDArray[np.floating] | None = None,
    architecture: Architecture | None = None,
    stretch: Stretch | None = None,
    settings: FitSettings | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    checkpoints: Checkpoints | None = None,
    progress: Callable[[EpochRecord], None] | None = None,
) -> Fit:
    """Train an ensemble and calibrate it on what each member did not see.

    Parameters
    ----------
    images : ImageArray, shape (N, bands, size, size)
        Nanomaggies per pixel; a `numpy.memmap` is read batch by batch.
    labels : array_like of bool, shape (N,)
        True where z < 0.03.
    groups : array_like of int, shape (N,), optional
        Images of one group (a host, a patch of sky) are never split between training and
        held-out data. Best in the order of the sky.
    in_sky : array_like of bool, shape (N,), optional
        Images of objects as the sky has them. The others, added to learn from, play no part in
        calibration and metrics. All of them if not given.
    only_judged : array_like of bool, shape (N,), optional
        Images that are not learnt from: members are judged and calibrated on those of their own
        fold. None of them if not given.
    side_tasks : array_like, shape (N, quantities), optional
        What is known of the objects beside their class (log redshift, magnitudes …), NaN where it
        is not; see `xsaga.model.side_tasks`.
    strange : array_like of bool, shape (N,), optional
        Images that are to count as unfamiliar although they are learnt from: artefacts, pieces of
        galaxies. None of them if not given.
    photometry : ndarray, shape (N, architecture.photometry), optional
        What the catalog tells of the objects, as `xsaga.model.photometry.catalog_photometry`
        gives it; needed by an architecture that takes it.
    architecture : Architecture, optional
        The network; the default one if not given.
    stretch : Stretch, optional
        Preprocessing; the default one if not given.
    settings : FitSettings, optional
        How to train.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:<number>``.
    precision : {'auto', 'float32', 'bf16'}
        Of the convolutions; the weights themselves are kept in float32.
    checkpoints : Checkpoints, optional
        Where to put a checkpoint after each epoch, and to go on from where one is found. The
        weights are then the same, bit for bit, as those of a training that never stopped.
    progress : callable, optional
        Called after each epoch, once its checkpoint is in place.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If shapes do not match, a fold holds one class only, an image is not finite, training
        diverges or a checkpoint is damaged or of another training.
    """
    architecture = architecture or Architecture()
    stretch = stretch or Stretch()
    settings = settings or FitSettings()
    check_images(images, architecture.bands)
    if len(stretch.softening) != architecture.bands:
        raise ModelError(
            f"training: {len(stretch.softening)} softenings for {architecture.bands} bands"
        )
    positive = np.asarray(labels, dtype=bool)
    if positive.shape != (images.shape[0],):
        raise ModelError(
            f"training: labels of shape {positive.shape} for {images.shape[0]} images: give one "
            "for each"
        )
    where = resolve_device(device)
    chosen = resolve_precision(precision, where)
    if chosen == "float16":
        raise ModelError("training in float16 is not supported: use bf16 or float32")
    fold = assign_folds(positive.size, groups, settings.folds, settings.seed)
    learnt = np.ones(positive.size, dtype=bool)
    if only_judged is not None:
        learnt = ~np.asarray(only_judged, dtype=bool)
    check_folds(fold[learnt], positive[learnt], settings.members)

    side = standardised(np.empty((positive.size, 0)), positive.size)
    if side_tasks is not None and settings.side_weight > 0:
        side = standardised(side_tasks, positive.size)

    known_photometry = checked_photometry(photometry, positive.size, architecture.photometry)
    if architecture.photometry and known_photometry is None:
        raise ModelError(
            f"training: the network takes {architecture.photometry} quantities of the catalog: "
            "give the photometry, or choose an architecture without"
        )

    networks: list[CutoutNetwork] = []
    history: list[EpochRecord] = []
    held_out_logit = np.full(positive.size, np.nan, dtype=np.float32)
    for member in range(settings.members):
        held_out = np.flatnonzero(fold == member)
        trainer = MemberTraining(
            images,
            positive,
            np.flatnonzero(learnt & (fold != member)),
            architecture=architecture,
            stretch=stretch,
            settings=settings,
            side=side,
            photometry=known_photometry,
            member=member,
            device=where,
            bf16=chosen == "bf16",
        )
        records, logits = _restore(trainer, checkpoints, member)
        while trainer.epochs < settings.epochs:
            begun = time.monotonic()
            loss = trainer.epoch()
            rate = np.count_nonzero(learnt & (fold != member)) / (time.monotonic() - begun)
            scorer = BatchedNetworks([trainer.network], stretch, device=where, precision=chosen)
            beside = None if known_photometry is None else known_photometry[held_out]
            logits = scorer.logits(images, rows=held_out, photometry=beside)[:, 0]
            _refuse_not_finite(logits, held_out)
            record = _measured(member, trainer.epochs - 1, loss, logits, positive[held_out], rate)
            records.append(record)
            if checkpoints is not None:
                tensors = trainer.state() | {_LOGITS: torch.from_numpy(logits)}
                notes = {"history": [asdict(each) for each in records]}
                checkpoints.save(member, trainer.epochs, tensors, notes)
            if progress is not None:
                progress(record)
        held_out_logit[held_out] = logits
        history += records
        networks.append(trainer.network.cpu().eval())

    novelty = None
    good = np.ones(positive.size, dtype=bool) if strange is None else ~np.asarray(strange, bool)
    seen, unseen = np.flatnonzero(good & (fold != 0)), np.flatnonzero(good & (fold == 0))
    if min(len(seen), len(unseen)) >= FEWEST_FOR_NOVELTY:
        novelty = fit_feature_space(
            networks[0],
            stretch,
            images,
            reference=seen,
            held_out=unseen,
            device=where,
            precision=chosen,
            seed=settings.seed,
        )
    known = np.isfinite(held_out_logit)
    target_rate = settings.target_rate
    natural = known if in_sky is None else known & np.asarray(in_sky, dtype=bool)
    near, far = np.count_nonzero(positive[natural]), np.count_nonzero(~positive[natural])
    added_judged = bool(min(near, far) < FEWEST_OF_SKY and not np.array_equal(natural, known))
    if not added_judged:
        known = natural
    elif target_rate is None and near and far:
        target_rate = near / (near + far)
    calibration = fit_calibration(held_out_logit[known], positive[known], target_rate)
    return Fit(
        networks=tuple(networks),
        architecture=architecture,
        stretch=stretch,
        calibration=calibration,
        metrics=held_out_metrics(held_out_logit[known], positive[known], calibration),
        fold=fold,
        held_out_logit=held_out_logit,
        history=tuple(history),
        novelty=novelty,
        added_judged=added_judged,
    )


def _restore(
    trainer: MemberTraining, checkpoints: Checkpoints | None, member: int
) -> tuple[list[EpochRecord], NDArray[np.float32]]:
    """Bring a member to where its checkpoint is; give its history and held-out logits there."""
    checkpoint = checkpoints.load(member) if checkpoints is not None else None
    if checkpoint is None:
        return [], np.empty(0, dtype=np.float32)
    tensors = dict(checkpoint.tensors)
    logits = tensors.pop(_LOGITS).numpy()
    trainer.restore(tensors, checkpoint.epochs)
    return [EpochRecord(**each) for each in checkpoint.notes["history"]], logits


def _measured(
    member: int,
    epoch: int,
    loss: float,
    logits: NDArray[np.float32],
    truth: NDArray[np.bool_],
    images_per_second: float,
) -> EpochRecord:
    odds = np.where(truth, -logits, logits).astype(np.float64)
    return EpochRecord(
        member,
        epoch,
        loss,
        held_out_loss=float(np.logaddexp(0, odds).mean()),
        held_out_auc=area_under_curve(logits, truth),
        held_out_average_precision=average_precision(logits, truth),
        held_out_purity_at_90=purity_at_completeness(logits, truth, 0.9),
        images_per_second=images_per_second,
    )


def _refuse_not_finite(logits: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    if not np.isfinite(logits).all():
        raise ModelError(
            f"training: image {rows[np.argmin(np.isfinite(logits))]} holds values that are not "
            "finite: leave it out"
        )
