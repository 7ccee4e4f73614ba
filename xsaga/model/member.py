"""Training of one member of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from xsaga.errors import ModelError
from xsaga.model.fit_settings import FitSettings
from xsaga.model.inference import ImageArray
from xsaga.model.network import Architecture, build_network
from xsaga.model.preprocess import Stretch


class MemberTraining:
    """One network, its optimizer and its share of the data.

    Parameters
    ----------
    images : ImageArray, shape (N, bands, size, size)
        All images, nanomaggies per pixel.
    positive : ndarray of bool, shape (N,)
        True where z < 0.03.
    rows : ndarray of int64, shape (M,)
        Images to train on.
    architecture, stretch, settings : Architecture, Stretch, FitSettings
        What to build and how to train it.
    member : int
        Number of the member; each draws its own random numbers.
    device : torch.device
        Where to train.
    bf16 : bool
        Whether convolutions run in bfloat16 (autocast).
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
        member: int,
        device: torch.device,
        bf16: bool,
    ) -> None:
        self._images, self._positive, self._rows = images, positive, rows
        self._stretch, self._settings = stretch, settings
        self._device, self._bf16 = device, bf16
        seed = int(np.random.SeedSequence([settings.seed, member]).generate_state(1)[0])
        self._order = np.random.default_rng(seed)
        self._random = torch.Generator(device).manual_seed(seed)
        self._seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = build_network(architecture).to(device)
        self._steps = max(1, len(rows) // settings.batch_size)
        decayed = [weight for weight in self.network.parameters() if weight.ndim > 1]
        plain = [weight for weight in self.network.parameters() if weight.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(
            groups,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=settings.learning_rate,
            total_steps=self._steps * settings.epochs + 1,
        )
        self._weight = torch.tensor(settings.positive_weight, device=device)

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
        shuffled = self._order.permutation(self._rows)[: self._steps * self._settings.batch_size]
        # Dropout draws from torch's own generator: it is set here and given back afterwards.
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self._seed + int(self._order.integers(2**31)))
            batches = np.array_split(shuffled, self._steps)
            losses = [self._step(np.sort(rows)) for rows in batches]
        loss = float(torch.stack(losses).mean())
        if not np.isfinite(loss):
            self._refuse_bad_image()
            raise ModelError(
                f"training diverged: lower the learning rate {self._settings.learning_rate:g}"
            )
        return loss

    def _step(self, rows: NDArray[np.int64]) -> torch.Tensor:
        batch = np.asarray(self._images[rows])
        if batch.dtype != np.float16:
            batch = batch.astype(np.float32, copy=False)
        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
        truth = torch.from_numpy(self._positive[rows].astype(np.float32)).to(self._device)
        augmented = self._settings.augmentation.apply(pixels, self._stretch.softening, self._random)
        stretched = self._stretch.apply(augmented)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            logits = self.network(stretched)
        loss = functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=self._weight)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), max_norm=5.0)
        self._optimizer.step()
        self._schedule.step()
        return loss.detach()

    def _refuse_bad_image(self) -> None:
        for part in np.array_split(self._rows, self._steps):
            pixels = np.asarray(self._images[part])
            finite = np.isfinite(pixels).all(axis=(1, 2, 3))
            if not finite.all():
                raise ModelError(
                    f"training image {part[np.argmin(finite)]} holds values that are not finite: "
                    "leave it out"
                )
