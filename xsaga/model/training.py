"""Fitting an ensemble of networks to labelled cutouts.

The loss is binary cross-entropy, with a weight on the rare class if asked for, rather than the
focal loss that is customary for rare objects: cross-entropy is a proper scoring rule, whose
optimum is the probability itself, and focal scores are not probabilities (Charoenphakdee et
al. 2021, arXiv:2011.09172). What the weight shifts, the calibration on held-out data takes back.

The members differ in their starting weights and in what they do not see: member k is trained on
all folds but fold k. The images of fold k, scored by member k, are the held-out data that
calibration and metrics come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga import __version__
from xsaga.errors import ModelError
from xsaga.model.calibration import Calibration, fit_calibration
from xsaga.model.card import ModelCard, TrainingSet
from xsaga.model.device import PrecisionChoice, resolve_device, resolve_precision
from xsaga.model.fit_settings import FitSettings
from xsaga.model.folds import assign_folds, check_folds
from xsaga.model.inference import BatchedNetworks, ImageArray, check_images
from xsaga.model.member import MemberTraining
from xsaga.model.metrics import area_under_curve, held_out_metrics
from xsaga.model.network import Architecture, CutoutNetwork
from xsaga.model.preprocess import Stretch


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
    """

    member: int
    epoch: int
    loss: float
    held_out_loss: float
    held_out_auc: float


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
        On held-out data at the training mix: ``auc``, ``log_loss``, ``purity`` and
        ``completeness`` at p > 0.5, and the number of images, ``held_out``.
    fold : ndarray of int64, shape (N,)
        Fold of each image; folds from `members` on are held out by no member.
    held_out_logit : ndarray of float32, shape (N,)
        Logit of each image by the member that did not see it; NaN where none did not.
    history : tuple of EpochRecord
        In order.
    """

    networks: tuple[CutoutNetwork, ...]
    architecture: Architecture
    stretch: Stretch
    calibration: Calibration
    metrics: dict[str, float]
    fold: NDArray[np.int64]
    held_out_logit: NDArray[np.float32]
    history: tuple[EpochRecord, ...]

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
    architecture: Architecture | None = None,
    stretch: Stretch | None = None,
    settings: FitSettings | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
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
        held-out data.
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
    progress : callable, optional
        Called after each epoch.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If shapes do not match, a fold holds one class only, an image is not finite or training
        diverges.
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
    check_folds(fold, positive, settings.members)

    networks: list[CutoutNetwork] = []
    history: list[EpochRecord] = []
    held_out_logit = np.full(positive.size, np.nan, dtype=np.float32)
    for member in range(settings.members):
        held_out = np.flatnonzero(fold == member)
        trainer = MemberTraining(
            images,
            positive,
            np.flatnonzero(fold != member),
            architecture=architecture,
            stretch=stretch,
            settings=settings,
            member=member,
            device=where,
            bf16=chosen == "bf16",
        )
        for epoch in range(settings.epochs):
            loss = trainer.epoch()
            scorer = BatchedNetworks([trainer.network], stretch, device=where, precision=chosen)
            logits = scorer.logits(images, rows=held_out)[:, 0]
            _refuse_not_finite(logits, held_out)
            truth = positive[held_out]
            odds = np.where(truth, -logits, logits).astype(np.float64)
            record = EpochRecord(
                member,
                epoch,
                loss,
                held_out_loss=float(np.logaddexp(0, odds).mean()),
                held_out_auc=area_under_curve(logits, truth),
            )
            history.append(record)
            if progress is not None:
                progress(record)
        held_out_logit[held_out] = logits
        networks.append(trainer.network.cpu().eval())

    known = np.isfinite(held_out_logit)
    calibration = fit_calibration(held_out_logit[known], positive[known], settings.target_rate)
    return Fit(
        networks=tuple(networks),
        architecture=architecture,
        stretch=stretch,
        calibration=calibration,
        metrics=held_out_metrics(held_out_logit[known], positive[known], calibration),
        fold=fold,
        held_out_logit=held_out_logit,
        history=tuple(history),
    )


def _refuse_not_finite(logits: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    if not np.isfinite(logits).all():
        raise ModelError(
            f"training: image {rows[np.argmin(np.isfinite(logits))]} holds values that are not "
            "finite: leave it out"
        )
