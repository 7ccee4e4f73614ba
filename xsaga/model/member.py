"""Training of one member of an ensemble.

What is random in an epoch follows from the seed, the member and the number of the epoch. So the
weights, the optimizer's state and the number of epochs that are done are all that a checkpoint
needs to hold for training to go on as if it had never stopped.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xsaga.errors import ModelError
from xsaga.model.batches import epoch_rows, read_ahead
from xsaga.model.device import exact_float32
from xsaga.model.fit_settings import FitSettings
from xsaga.model.images import ImageArray
from xsaga.model.losses import make_loss
from xsaga.model.network import Architecture, build_network
from xsaga.model.optimizers import make_optimizer, one_cycle, set_rates
from xsaga.model.photometry import DROPPED
from xsaga.model.preprocess import Stretch
from xsaga.model.side_tasks import side_loss

_START = -1
"""Stands for an epoch where starting weights are drawn."""


class MemberTraining:
    """One network, its optimizer and its share of the data.

    Parameters
    ----------
    images : ImageArray, shape (N, bands, size, size)
        All images, nanomaggies per pixel.
    positive : ndarray of bool, shape (N,)
        True where z < 0.03.
    rows : ndarray of int64, shape (M,)
        Images to train on, of both classes.
    architecture, stretch, settings : Architecture, Stretch, FitSettings
        What to build and how to train it.
    side : ndarray of float32, shape (N, quantities)
        What to learn beside the class, of scatter 1; NaN where it is not known. May have no
        columns.
    photometry : ndarray of float32, shape (N, architecture.photometry), or None
        What the catalog tells beside the images; None where the network takes none.
    member : int
        Number of the member; each draws its own random numbers.
    device : torch.device
        Where to train.
    bf16 : bool
        Whether convolutions run in bfloat16 (autocast).

    Attributes
    ----------
    network : CutoutNetwork
        As far as it is trained.
    epochs : int
        Epochs that are done.
    """

    def __init__(
        self,
        images: ImageArray,
        positive: NDArray[np.bool_],
        rows: NDArray[np.int64],
        *,
        architecture: Architecture,
        stretch: Stretch,
        settings: FitSettings,
        side: NDArray[np.float32],
        photometry: NDArray[np.float32] | None,
        member: int,
        device: torch.device,
        bf16: bool,
    ) -> None:
        self._images, self._positive, self._rows, self._side = images, positive, rows, side
        self._stretch, self._settings, self._member = stretch, settings, member
        self._photometry = photometry
        self._device, self._bf16 = device, bf16
        self.epochs = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seeds(_START)[0])
            self.network = build_network(architecture).to(device)
            if photometry is not None:
                self.network.learn_photometry(torch.from_numpy(photometry[rows]))
            self._learnt = nn.ModuleDict({"network": self.network})
            if side.shape[1]:
                width = self.network.head.in_features
                self._learnt["side"] = nn.Linear(width, side.shape[1]).to(device)
        self._steps = max(1, len(rows) // settings.batch_size)
        self._optimizer, self._lookahead = make_optimizer(
            self._learnt, settings.optimizer, settings.learning_rate, settings.weight_decay
        )
        self._loss = make_loss(
            settings.loss,
            positive_rate=0.5 if settings.sampling == "balanced" else float(positive[rows].mean()),
            focal_gamma=settings.focal_gamma,
            positive_weight=settings.positive_weight,
        )

    def _seeds(self, epoch: int) -> tuple[int, int, int]:
        entropy = [self._settings.seed, self._member, epoch - _START]
        one, two, three = np.random.SeedSequence(entropy).generate_state(3)
        return int(one), int(two), int(three)

    def epoch(self) -> float:
        """Pass once over the training data.

        Returns
        -------
        float
            Mean loss.

        Raises
        ------
        ModelError
            If the loss is not finite: a bad image, named, or training that diverged.
        """
        self.network.train()
        order, changes, dropout = self._seeds(self.epochs)
        random = np.random.default_rng(order)
        drawn = epoch_rows(self._rows, self._positive, self._settings.sampling, random)
        batches = [np.sort(rows) for rows in np.array_split(drawn, self._steps)]
        generator = torch.Generator(self._device).manual_seed(changes)
        losses = []
        # Dropout draws from torch's own generator: it is set here and given back afterwards.
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), exact_float32(self._device):
            torch.manual_seed(dropout)
            for step, (rows, pixels) in enumerate(
                read_ahead(self._images, batches, self._device), self.epochs * self._steps
            ):
                share = step / (self._steps * self._settings.epochs)
                losses.append(self._step(pixels, rows, share, generator))
        loss = float(torch.stack(losses).mean())
        if not np.isfinite(loss):
            self._refuse_bad_image()
            raise ModelError(
                f"training diverged: lower the learning rate {self._settings.learning_rate:g}"
            )
        self.epochs += 1
        return loss

    def _step(
        self,
        pixels: torch.Tensor,
        rows: NDArray[np.int64],
        share: float,
        generator: torch.Generator,
    ) -> torch.Tensor:
        truth = torch.from_numpy(self._positive[rows].astype(np.float32)).to(self._device)
        stretched = self._stretch.apply(self._settings.augmentation.apply(pixels, generator))
        beside = self._beside(rows, generator)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            features = self.network.features(stretched, beside)
        loss = self._loss(self.network.logits(features), truth)
        if "side" in self._learnt:
            known = torch.from_numpy(self._side[rows]).to(self._device)
            found = self._learnt["side"](self.network.dropout(features.float()))
            loss = loss + self._settings.side_weight * side_loss(found, known)
        rate, momentum = one_cycle(share)
        set_rates(self._optimizer, rate * self._settings.learning_rate, momentum)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._learnt.parameters(), max_norm=5.0)
        self._optimizer.step()
        if self._lookahead is not None:
            self._lookahead.step()
        return loss.detach()

    def _beside(self, rows: NDArray[np.int64], generator: torch.Generator) -> torch.Tensor | None:
        """Photometry of a batch, that of some images forgotten."""
        if self._photometry is None:
            return None
        given = torch.from_numpy(self._photometry[rows]).to(self._device)
        drawn = torch.rand((len(rows), 1), generator=generator, device=self._device)
        return torch.where(drawn < DROPPED, torch.nan, given)

    def state(self) -> dict[str, torch.Tensor]:
        """Give all that is needed to go on from here, by name; copies on the CPU."""
        tensors = {f"learnt.{name}": each for name, each in self._learnt.state_dict().items()}
        for number, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": each for name, each in values.items()}
        if self._lookahead is not None:
            slow = enumerate(self._lookahead.slow)
            tensors |= {f"lookahead.{number}": each for number, each in slow}
        return {name: each.detach().cpu().clone() for name, each in tensors.items()}

    def restore(self, tensors: dict[str, torch.Tensor], epochs: int) -> None:
        """Go back to what `state` gave after so many epochs.

        Parameters
        ----------
        tensors : dict of str to Tensor
            As `state` gave them.
        epochs : int
            Epochs that were done then.

        Raises
        ------
        ModelError
            If they are not those of such a network and optimizer.
        """
        learnt: dict[str, torch.Tensor] = {}
        optimizer: dict[int, dict[str, torch.Tensor]] = {}
        slow: dict[int, torch.Tensor] = {}
        try:
            for key, each in tensors.items():
                part, _, name = key.partition(".")
                if part == "learnt":
                    learnt[name] = each
                elif part == "optimizer":
                    number, _, quantity = name.partition(".")
                    optimizer.setdefault(int(number), {})[quantity] = each
                else:
                    slow[int(name)] = each
            self._learnt.load_state_dict(learnt)
            groups = self._optimizer.state_dict()["param_groups"]
            self._optimizer.load_state_dict({"state": optimizer, "param_groups": groups})
            if self._lookahead is not None:
                for index, mine in enumerate(self._lookahead.slow):
                    mine.copy_(slow[index])
                self._lookahead.steps = epochs * self._steps
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"not a checkpoint of this training ({reason})") from error
        self.epochs = epochs

    def _refuse_bad_image(self) -> None:
        for part in np.array_split(self._rows, self._steps):
            pixels = np.asarray(self._images[part])
            finite = np.isfinite(pixels).all(axis=(1, 2, 3))
            if not finite.all():
                raise ModelError(
                    f"training image {part[np.argmin(finite)]} holds values that are not finite: "
                    "leave it out"
                )
