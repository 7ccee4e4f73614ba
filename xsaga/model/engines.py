"""The engines that run batches: what they have in common, and torch itself.

An engine has a number of slots, each for one batch in flight. Every batch has the same shape and
goes through the same arithmetic whatever its slot, so a score does not depend on timing.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.errors import ModelError
from xsaga.model.batch_step import BatchStep
from xsaga.model.device import Precision
from xsaga.model.preprocess import Grid, resample

EngineName = Literal["eager", "openvino"]
"""What runs a network: torch, operation by operation; or OpenVINO, on a CPU."""

EngineChoice = Literal["auto", "eager", "openvino"]
"""An engine, or the one that a measured trial finds the fastest (`xsaga.model.engine_trial`)."""


class Engine(Protocol):
    """Runs a `BatchStep` on batches of one size."""

    @property
    def batch_size(self) -> int:
        """Images in a batch."""

    @property
    def slots(self) -> int:
        """Batches that may be in flight."""

    def start(
        self, slot: int, pixels: torch.Tensor, photometry: torch.Tensor | None, grid: Grid | None
    ) -> None:
        """Begin a batch in a slot that is free.

        Parameters
        ----------
        slot : int
            From 0 to `slots` − 1.
        pixels : Tensor of float16 or float32, shape (batch_size, bands, size, size)
            Nanomaggies per pixel, on the host; left alone until the batch is finished.
        photometry : Tensor of float32, shape (batch_size, quantities), or None
            NaN where it is not known; None for members that take none, and for these only.
        grid : Grid, optional
            How to resample.
        """

    def finish(self, slot: int) -> NDArray[np.float32]:
        """Wait for the batch of a slot, which is free then.

        Returns
        -------
        ndarray of float32, shape (batch_size, members + 2)
            Of `BatchStep`.
        """


def installed_engines(device: torch.device) -> tuple[EngineName, ...]:
    """Name the engines that can run here on a device; torch first."""
    if device.type == "cpu" and find_spec("openvino") is not None:
        return ("eager", "openvino")
    return ("eager",)


def make_engine(
    name: EngineName,
    step: BatchStep,
    *,
    device: torch.device,
    precision: Precision,
    size: int | None = None,
    batch_size: int | None = None,
) -> Engine:
    """Prepare an engine.

    Parameters
    ----------
    name : {'eager', 'openvino'}
        Which.
    step : BatchStep
        What it runs, on `device`.
    device : torch.device
        Where.
    precision : Precision
        Of the convolutions.
    size : int, optional
        Pixels on a side that the networks see; OpenVINO needs to know.
    batch_size : int, optional
        Images in a batch; what suits the engine if not given.

    Raises
    ------
    ModelError
        The engine is not known, does not run on the device, or the batch size is not positive.
    MissingExtraError
        The engine is not installed.
    """
    if batch_size is not None and batch_size < 1:
        raise ModelError(f"batch size {batch_size}: it must be 1 or more")
    if name not in get_args(EngineName):
        raise ModelError(f"engine {name!r}: use auto, {', '.join(get_args(EngineName))}")
    if name == "openvino":
        from xsaga.model.openvino_engine import OpenVinoEngine

        if device.type != "cpu":
            raise ModelError(
                f"engine 'openvino' runs on a CPU, not on {device}: "
                "give --device cpu or --engine eager"
            )
        if size is None:
            raise ModelError("engine 'openvino': give the size of the cutouts")
        return OpenVinoEngine(step, precision=precision, size=size, batch_size=batch_size)
    if device.type == "cuda":
        from xsaga.model.gpu_engine import GpuEngine

        return GpuEngine(step, device=device, batch_size=batch_size)
    return EagerEngine(step, batch_size=batch_size)


class EagerEngine:
    """Torch on a CPU, operation by operation.

    Parameters
    ----------
    step : BatchStep
        What to run.
    batch_size : int, optional
        Images in a batch.
    """

    BATCH = 64
    """Few enough for the caches of a CPU."""

    slots = 1

    def __init__(self, step: BatchStep, *, batch_size: int | None = None) -> None:
        self.batch_size = batch_size or self.BATCH
        self._step = step
        self._stretched: torch.Tensor | None = None
        self._answer: torch.Tensor | None = None

    def start(
        self, slot: int, pixels: torch.Tensor, photometry: torch.Tensor | None, grid: Grid | None
    ) -> None:
        """Run a batch; see `Engine.start`."""
        del slot
        with torch.inference_mode():
            seen = pixels if grid is None else resample(pixels, *grid)
            step = self._step
            if self._stretched is None or self._stretched.shape != seen.shape:
                self._stretched = torch.empty(
                    seen.shape, dtype=step.dtype, memory_format=torch.channels_last
                )
            step.stretch.apply(seen, step.dtype, out=self._stretched)
            self._answer = step.of_stretched(self._stretched, seen, photometry)

    def finish(self, slot: int) -> NDArray[np.float32]:
        """Give what was computed; see `Engine.finish`."""
        del slot
        assert self._answer is not None  # noqa: S101
        answer: NDArray[np.float32] = self._answer.numpy()
        return answer
