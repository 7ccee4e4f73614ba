"""How an ensemble is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

from xsaga.errors import ModelError
from xsaga.model.augmentation import Augmentation
from xsaga.model.batches import Sampling
from xsaga.model.losses import LossName
from xsaga.model.optimizers import OptimizerName


@dataclass(frozen=True)
class FitSettings:
    """How to train.

    Parameters
    ----------
    members : int
        Networks in the ensemble, at most `folds`.
    folds : int
        Parts the data are split into, 2 or more.
    epochs : int
        Passes over the training data.
    batch_size : int
        Images in a step.
    learning_rate : float
        Highest rate of the one-cycle schedule (Smith & Topin 2019, arXiv:1708.07120).
    weight_decay : float
        Decoupled, on convolutions and the head, not on biases and normalisations.
    loss : {'bce', 'focal', 'weighted'}
        See `xsaga.model.losses`.
    focal_gamma : float
        γ of the focal loss.
    positive_weight : float
        Weight of a z < 0.03 image in the weighted loss; 0 makes both classes weigh the same.
    side_weight : float
        Weight of the side tasks in the loss, see `xsaga.model.side_tasks`.
    sampling : {'natural', 'balanced'}
        See `xsaga.model.batches.epoch_rows`.
    optimizer : {'adamw', 'ranger'}
        See `xsaga.model.optimizers`.
    target_rate : float, optional
        Fraction of z < 0.03 among the sources that will be scored; goes into the calibration. That
        of the data if not given.
    augmentation : Augmentation
        What is done to a training image.
    seed : int
        Of folds, starting weights, order and augmentation. On a CPU with a given number of
        threads, the same seed gives the same weights.
    """

    members: int = 3
    folds: int = 3
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    loss: LossName = "bce"
    focal_gamma: float = 2.0
    positive_weight: float = 0.0
    side_weight: float = 3.0
    sampling: Sampling = "natural"
    optimizer: OptimizerName = "adamw"
    target_rate: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.members <= self.folds or self.folds < 2:
            raise ModelError(
                f"training: {self.members} members need as many folds, and 2 or more; there are "
                f"{self.folds}"
            )
        positive = (
            self.epochs,
            self.batch_size - 1,  # batch normalisation needs two
            self.learning_rate,
        )
        not_negative = (
            self.weight_decay,
            self.focal_gamma,
            self.positive_weight,
            self.side_weight,
            self.seed,
        )
        if (
            min(positive) <= 0
            or min(not_negative) < 0
            or (self.target_rate is not None and not 0 < self.target_rate < 1)
        ):
            raise ModelError(f"training: a value is out of range in {self}")
        for name, kind in get_type_hints(type(self)).items():
            known = get_args(kind) if get_origin(kind) is Literal else (getattr(self, name),)
            if getattr(self, name) not in known:
                raise ModelError(
                    f"training: {name} {getattr(self, name)!r} is none of {', '.join(known)}"
                )
