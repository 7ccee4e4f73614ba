"""Logits of many cutouts, batch by batch, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.errors import ModelError
from xsaga.model.batch_step import BatchStep
from xsaga.model.device import Precision
from xsaga.model.engines import Engine, EngineName, make_engine
from xsaga.model.images import ImageArray
from xsaga.model.network import CutoutNetwork
from xsaga.model.novelty import FeatureSpace
from xsaga.model.photometry import checked_photometry
from xsaga.model.preprocess import Grid, Stretch
from xsaga.reading import reason_of

READERS = 12
"""Threads that read for a GPU: each reads and checks some 10,000 cutouts a second."""

_EMPTY = -1
"""What `BatchStep` says of an image that holds nothing but zeros."""


class BatchedNetworks:
    """The members of an ensemble, ready to run in batches of one fixed size.

    A short last batch is filled up with empty images. So every image goes through the same
    arithmetic, whatever else is scored with it.

    Parameters
    ----------
    networks : sequence of CutoutNetwork
        Members; they are copied.
    stretch : Stretch
        What the members were trained on.
    device : torch.device
        Where to run.
    precision : Precision
        Of the convolutions.
    batch_size : int, optional
        Images in a batch; what suits the engine if not given.
    feature_space : FeatureSpace, optional
        Of the first member, to tell how unfamiliar images are.
    engine : {'eager', 'openvino'}
        What runs the members.
    size : int, optional
        Pixels on a side that the members see; engines other than torch need to know before.

    Attributes
    ----------
    engine : Engine
        What runs the members.

    Raises
    ------
    ModelError
        If the batch size is not positive, or the engine cannot be used.
    MissingExtraError
        If the engine is not installed.
    """

    def __init__(
        self,
        networks: Sequence[CutoutNetwork],
        stretch: Stretch,
        *,
        device: torch.device,
        precision: Precision,
        batch_size: int | None = None,
        feature_space: FeatureSpace | None = None,
        engine: EngineName = "eager",
        size: int | None = None,
    ) -> None:
        step = BatchStep(
            networks,
            stretch,
            device=device,
            # OpenVINO is given float32 and rounds by itself.
            precision="float32" if engine == "openvino" else precision,
            feature_space=feature_space,
        )
        self._members, self._quantities = step.members, step.quantities
        self._one_at_a_time = Lock()  # the slots of an engine are those of one caller
        self._tells_unfamiliar = feature_space is not None
        self._device, self._pinned = device, device.type == "cuda"
        # One thread reads more than a CPU computes; a GPU waits for a dozen.
        self._readers = ThreadPoolExecutor(READERS) if self._pinned else None
        self.engine: Engine = make_engine(
            engine, step, device=device, precision=precision, size=size, batch_size=batch_size
        )

    def logits(
        self,
        images: ImageArray,
        *,
        rows: NDArray[np.int64] | None = None,
        to_grid: Grid | None = None,
        photometry: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Run the members on images, in the order given.

        Parameters and errors are those of `logits_and_distances`.

        Returns
        -------
        ndarray of float32, shape (M or N, members)
            NaN for images that hold no pixels, or a value that is not finite.
        """
        return self.logits_and_distances(images, rows=rows, to_grid=to_grid, photometry=photometry)[
            0
        ]

    def logits_and_distances(
        self,
        images: ImageArray,
        *,
        rows: NDArray[np.int64] | None = None,
        to_grid: Grid | None = None,
        photometry: NDArray[np.floating] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the members on images, in the order given, and tell how unfamiliar these are.

        Parameters
        ----------
        images : ImageArray, shape (N, bands, size, size)
            Nanomaggies per pixel, 0 where there is no data.
        rows : ndarray of int64, shape (M,), optional
            Which images; all if not given.
        to_grid : (from_scale, to_scale, to_size), optional
            Resample first, see `xsaga.model.preprocess.resample`.
        photometry : ndarray, shape (M or N, quantities), optional
            Of the images that are run on, in their order; NaN where a quantity is not known. All
            unknown if not given.

        Returns
        -------
        logits : ndarray of float32, shape (M or N, members)
            NaN for images that hold no pixels, or a value that is not finite.
        distances : ndarray of float32, shape (M or N,)
            Of `FeatureSpace.distance`; infinite for images that hold no pixels, NaN for those that
            are not finite, and for all without a feature space.

        Raises
        ------
        ModelError
            If the members take no photometry, or of another shape.
        """
        count = images.shape[0] if rows is None else len(rows)
        given = checked_photometry(photometry, count, self._quantities)
        if given is None and self._quantities:
            # Said outright: the inputs of an engine would keep what was there before.
            given = np.full((count, self._quantities), np.nan, dtype=np.float32)
        with self._one_at_a_time:
            answers = self._answers(images, rows, count, to_grid, given)
        logits, distance = answers[:, : self._members], answers[:, self._members]
        unusable = (answers[:, -1] != 1) | ~np.isfinite(logits).all(axis=1)
        logits[unusable], distance[unusable] = np.nan, np.nan
        if self._tells_unfamiliar:
            distance[answers[:, -1] == _EMPTY] = np.inf
        return logits, distance

    def _answers(
        self,
        images: ImageArray,
        rows: NDArray[np.int64] | None,
        count: int,
        to_grid: Grid | None,
        given: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Give what the step says of every image, (count, members + 2)."""
        answers = np.full((count, self._members + 2), _EMPTY, dtype=np.float32)
        engine, size = self.engine, self.engine.batch_size
        buffers = [self._buffer(images) for _ in range(engine.slots)]
        in_flight: deque[tuple[int, int]] = deque()

        def finish_first() -> None:
            slot, start = in_flight.popleft()
            answer = engine.finish(slot)[: count - start]
            answers[start : start + len(answer)] = answer

        free = deque(range(engine.slots))
        try:
            for start in range(0, count, size):
                if not free:
                    free.append(in_flight[0][0])
                    finish_first()
                slot = free[0]
                chosen = slice(start, min(start + size, count))
                if not self._read(images, rows, chosen, buffers[slot]):
                    continue  # candidates without a cutout: nothing to run on
                known = None if given is None else self._beside(given, start)
                engine.start(slot, buffers[slot], known, to_grid)
                in_flight.append((free.popleft(), start))
            while in_flight:
                finish_first()
        except RuntimeError as error:
            raise ModelError(
                f"the networks cannot be run on {self._device} ({reason_of(error)}); "
                "use a smaller batch_size, another engine or another device"
            ) from error
        finally:  # nothing is in flight when the buffers go, whatever has failed
            for slot, _ in in_flight:
                with suppress(RuntimeError):  # it is told already
                    engine.finish(slot)
        return answers

    def _read(
        self, images: ImageArray, rows: NDArray[np.int64] | None, chosen: slice, to: torch.Tensor
    ) -> bool:
        """Read a batch into a buffer; False if no image of it holds anything but zeros."""
        count = chosen.stop - chosen.start
        step = count if self._readers is None else -(-count // READERS)

        def read(start: int) -> bool:
            part = slice(chosen.start + start, min(chosen.start + start + step, chosen.stop))
            given = images[part if rows is None else rows[part]]
            with np.errstate(over="ignore"):  # too large for float32: not finite, found later
                to.numpy()[start : start + len(given)] = given
            return _any_pixel(given)

        to[count:] = 0
        mapped = map if self._readers is None else self._readers.map
        return any(list(mapped(read, range(0, count, step))))

    def bare_loop(self, images: NDArray[np.floating]) -> Callable[[], None]:
        """Give a call that runs the engine on images that lie on its device, to measure it.

        Parameters
        ----------
        images : ndarray, shape (N, bands, size, size)
            At least a batch of them is run, and as many batches as they fill.
        """
        engine = self.engine
        buffers = [self._buffer(images) for _ in range(engine.slots)]
        for buffer in buffers:
            self._read(images, None, slice(0, min(len(images), engine.batch_size)), buffer)
        buffers = [buffer.to(self._device) for buffer in buffers]
        batches = -(-len(images) // engine.batch_size)
        unknown = None
        if self._quantities:
            unknown = torch.full((engine.batch_size, self._quantities), torch.nan)
            unknown = unknown.to(self._device)

        def work() -> None:
            for number in range(batches + engine.slots):
                slot = number % engine.slots
                if number >= engine.slots:
                    engine.finish(slot)
                if number < batches:
                    engine.start(slot, buffers[slot], unknown, None)

        return work

    def _buffer(self, images: ImageArray) -> torch.Tensor:
        """Make a place on the host for one batch."""
        dtype = torch.float16 if images.dtype == np.float16 else torch.float32
        shape = (self.engine.batch_size, *images.shape[1:])
        return torch.zeros(shape, dtype=dtype, pin_memory=self._pinned)

    def _beside(self, photometry: NDArray[np.float32], start: int) -> torch.Tensor:
        """Photometry of a full batch; unknown for the empty images in it."""
        part = torch.from_numpy(photometry[start : start + self.engine.batch_size])
        full = torch.full((self.engine.batch_size, part.shape[1]), torch.nan)
        full[: len(part)] = part
        return full


def _any_pixel(images: NDArray[np.floating]) -> bool:
    """Whether any image holds anything but zeros; a few pixels tell of most that do."""
    return bool(images[..., ::16, ::16].any() or images.any())
