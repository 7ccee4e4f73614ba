"""Batches on a GPU: copies on a stream of their own, the network as a CUDA graph."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.model.batch_step import BatchStep
from xsaga.model.device import exact_float32
from xsaga.model.preprocess import Grid, resample


class GpuEngine:
    """Torch on a GPU.

    While one batch is computed, the next is copied and the one after it is read: the host never
    waits for the GPU but to get answers.

    Parameters
    ----------
    step : BatchStep
        What to run, on `device`.
    device : torch.device
        Which GPU.
    batch_size : int, optional
        Images in a batch.
    """

    BATCH = 1024
    """Enough to fill a GPU."""

    slots = 3

    def __init__(
        self, step: BatchStep, *, device: torch.device, batch_size: int | None = None
    ) -> None:
        self.batch_size = batch_size or self.BATCH
        self._step, self._device = step, device
        self._copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._computing = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        shape = (self.batch_size, step.members + 2)
        self._answers = [torch.empty(shape, pin_memory=True) for _ in range(self.slots)]
        self._done = [torch.cuda.Event() for _ in range(self.slots)]  # type: ignore[no-untyped-call]
        self._graphs: dict[torch.dtype, _Graph | None] = {}

    def start(
        self, slot: int, pixels: torch.Tensor, photometry: torch.Tensor | None, grid: Grid | None
    ) -> None:
        """Begin a batch; see `Engine.start`. Pixels should be pinned."""
        with (
            torch.inference_mode(),
            exact_float32(self._device),
            torch.cuda.device(self._device),
        ):
            with torch.cuda.stream(self._copying):
                seen = pixels.to(self._device, non_blocking=True)
                known = None if photometry is None else photometry.to(self._device)
            self._computing.wait_stream(self._copying)
            with torch.cuda.stream(self._computing):
                for copied in (seen, known):
                    if copied is not None:  # its memory is not given away before it is used
                        copied.record_stream(self._computing)
                if grid is not None:
                    seen = resample(seen, *grid)
                self._answers[slot].copy_(self._run(seen, known), non_blocking=True)
                self._done[slot].record(self._computing)

    def finish(self, slot: int) -> NDArray[np.float32]:
        """Wait for a batch; see `Engine.finish`."""
        self._done[slot].synchronize()
        answer: NDArray[np.float32] = self._answers[slot].numpy().copy()
        return answer

    def _run(self, seen: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
        if seen.dtype not in self._graphs:
            try:
                self._graphs[seen.dtype] = _Graph(self._step, seen, known, self._computing)
            except RuntimeError:  # something that cannot be captured: launched one by one then
                self._graphs[seen.dtype] = None
        graph = self._graphs[seen.dtype]
        return _stepped(self._step, seen, known) if graph is None else graph(seen, known)


class _Graph:
    """A step captured once: hundreds of small kernels are launched as one."""

    def __init__(
        self,
        step: BatchStep,
        seen: torch.Tensor,
        known: torch.Tensor | None,
        stream: torch.cuda.Stream,
    ) -> None:
        self._seen = seen.clone()
        self._known = None if known is None else known.clone()
        for _ in range(2):  # libraries set themselves up outside of the capture
            _stepped(step, self._seen, self._known)
        stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._answer = _stepped(step, self._seen, self._known)

    def __call__(self, seen: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
        self._seen.copy_(seen)
        if self._known is not None and known is not None:
            self._known.copy_(known)
        self._graph.replay()
        return self._answer


def _stepped(step: BatchStep, seen: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    stretched = step.stretch.of(seen.float()).to(step.dtype, memory_format=torch.channels_last)
    return step.of_stretched(stretched, seen, known)
