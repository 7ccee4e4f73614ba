"""Batches on a CPU through OpenVINO: all members in one graph, one stream for each thread.

A stream runs its batch with one thread, where nothing is shared and nothing waits: this is faster
than all threads on one batch, and the scores do not depend on the number of threads.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.errors import MissingExtraError
from xsaga.model.batch_step import BatchStep
from xsaga.model.device import Precision
from xsaga.model.preprocess import Grid, resample

_HINTS: dict[Precision, str] = {"float32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """OpenVINO on a CPU.

    Parameters
    ----------
    step : BatchStep
        What to run; in float32, whatever the precision.
    precision : {'float32', 'bf16'}
        Of the arithmetic.
    size : int
        Pixels on a side that the networks see.
    batch_size : int, optional
        Images in a batch.

    Raises
    ------
    MissingExtraError
        OpenVINO is not installed.
    """

    BATCH = 16
    """Few enough that what lies between the layers stays in the cache of one core."""

    MAX_STREAMS = 32
    """Each holds the maps between the layers of a batch, some 100 MB."""

    def __init__(
        self, step: BatchStep, *, precision: Precision, size: int, batch_size: int | None = None
    ) -> None:
        if find_spec("openvino") is None:
            raise MissingExtraError("openvino", "openvino")
        self.batch_size = batch_size or self.BATCH
        streams = min(torch.get_num_threads(), self.MAX_STREAMS)
        self.slots = streams + 1  # one is filled while the others are computed
        self._step, self._size, self._precision = step, size, precision

    @cached_property
    def _requests(self) -> list[tuple[Any, list[torch.Tensor]]]:
        """For each slot a request and its inputs; converted at the first batch, in seconds."""
        import openvino

        step = self._step
        inputs = [torch.zeros(self.batch_size, step.bands, self._size, self._size)]
        if step.quantities:
            inputs.append(torch.full((self.batch_size, step.quantities), torch.nan))
        options = {
            "INFERENCE_NUM_THREADS": self.slots - 1,
            "NUM_STREAMS": self.slots - 1,
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            "ENABLE_CPU_PINNING": False,
        }
        graph = _converted(step, tuple(inputs))
        compiled = openvino.Core().compile_model(graph, "CPU", options)
        requests = []
        for _ in range(self.slots):
            request, own = compiled.create_infer_request(), [each.clone() for each in inputs]
            for number, tensor in enumerate(own):
                shared = openvino.Tensor(tensor.numpy(), shared_memory=True)
                request.set_input_tensor(number, shared)
            requests.append((request, own))
        return requests

    def start(
        self, slot: int, pixels: torch.Tensor, photometry: torch.Tensor | None, grid: Grid | None
    ) -> None:
        """Begin a batch; see `Engine.start`."""
        request, (images, *known) = self._requests[slot]
        images.copy_(pixels if grid is None else resample(pixels, *grid))
        if photometry is not None:
            known[0].copy_(photometry)
        request.start_async()

    def finish(self, slot: int) -> NDArray[np.float32]:
        """Wait for a batch; see `Engine.finish`."""
        request, _ = self._requests[slot]
        request.wait()
        answer: NDArray[np.float32] = np.array(request.get_output_tensor(0).data)
        return answer


def _converted(step: BatchStep, inputs: tuple[torch.Tensor, ...]) -> Any:
    """Convert to an OpenVINO model of fixed shapes.

    By the frontend itself: `openvino.convert_model` around it reports its use to Intel, unless
    the user has objected.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch, about tracing
        decoder = TorchScriptPythonDecoder(step, example_input=inputs)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape({number: list(each.shape) for number, each in enumerate(inputs)})
    return model
