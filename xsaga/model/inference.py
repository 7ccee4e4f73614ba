"""Logits of many cutouts, batch by batch, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.model.batch_step import BatchStep
from xsaga.model.device import Precision
from xsaga.model.engines import Engine, EngineName, Grid, make_engine
from xsaga.model.images import ImageArray
from xsaga.model.network import CutoutNetwork
from xsaga.model.novelty import FeatureSpace
from xsaga.model.photometry import checked_photometry
from xsaga.model.preprocess import Stretch


class BatchedNetworks:
    """The members of an ensemble, ready to run in batches of one fixed size.

    A short last batch is filled up with empty images. So every image goes through the same
    arithmetic, whatever else is scored with it.

    Parameters
    ----------
    engine : Engine
        What runs the members.
    """

    def __init__(self, engine: Engine, step: BatchStep) -> None:
        self.engine = engine
        self._members, self._quantities = step.members, step.quantities
        self._pinned = step.softening.device.type == "cuda"

    @classmethod
    def of(
        cls,
        networks: Sequence[CutoutNetwork],
        stretch: Stretch,
        *,
        device: torch.device,
        precision: Precision,
        batch_size: int | None = None,
        feature_space: FeatureSpace | None = None,
    ) -> BatchedNetworks:
        """Make them ready on torch.

XX    def logits(
        self,
        images: ImageArray,
        *,
        rows: NDArray[np.int64] | None = None,
        to_grid: tuple[float, float, int] | None = None,
        photometry: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Run the members on images, in the order given.

        Parameters and errors are those of `logits_and_distances`.

        Returns
        -------
        ndarray of float32, shape (M or N, members)
            NaN for images that hold a value that is not finite.
        """
        return self.logits_and_distances(images, rows=rows, to_grid=to_grid, photometry=photometry)[
            0
        ]

    def logits_and_distances(
        self,
        images: ImageArray,
        *,
        rows: NDArray[np.int64] | None = None,
        to_grid: tuple[float, float, int] | None = None,
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
            NaN for images that hold a value that is not finite.
        distances : ndarray of float32, shape (M or N,)
            Of `FeatureSpace.distance`; NaN for these images, and for all without a feature space.

        Raises
        ------
        ModelError
            If the members take no photometry, or of another shape.
        """
        count = images.shape[0] if rows is None else len(rows)
        quantities = self._networks[0].architecture.photometry
        given = checked_photometry(photometry, count, quantities)
        size = images.shape[-1] if to_grid is None else to_grid[2]
        stretched = torch.empty(
            (self.batch_size, images.shape[1], size, size),
            dtype=self._dtype,
            device=self.device,
            memory_format=torch.channels_last,
        )
        parts = []
        with torch.inference_mode(), exact_float32(self.device):
            for number, batch in enumerate(self._batches(images, rows, count)):
                pixels = batch if to_grid is None else resample(batch, *to_grid)
                finite = torch.isfinite(pixels.sum((1, 2, 3), dtype=torch.float32))
                self._stretch.apply(pixels, self._dtype, out=stretched)
                known = self._beside(given, number)
                first, *others = self._networks
                seen = first.seen(stretched)
                logits = torch.stack(
                    [
                        first.logits(first.joined(seen, known)),
                        *(network(stretched, known) for network in others),
                    ],
                    dim=1,
                )
                distance = self._distance(seen, pixels)
                usable = torch.isfinite(logits).all(dim=1) & finite
                both = torch.cat([logits, distance[:, None]], dim=1)
                parts.append(torch.where(usable[:, None], both, torch.nan))
            if not parts:
                parts.append(torch.empty((0, len(self._networks) + 1)))
            result: NDArray[np.float32] = torch.cat(parts)[:count].cpu().numpy()
        return result[:, :-1], result[:, -1]

    def _distance(self, seen: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        if self._space is None:
            return torch.full((len(seen),), torch.nan, device=self.device)
        # Features without photometry: whether a cutout is familiar, its pixels alone tell.
        features = self._networks[0].joined(seen)
        return self._space.distance(features, image_statistics(pixels, self._softening))

    def _beside(self, photometry: NDArray[np.float32] | None, number: int) -> torch.Tensor | None:
        """Photometry of a full batch on the device; unknown for the empty images in it."""
        if photometry is None:
            return None
        start = number * self.batch_size
        part = torch.from_numpy(photometry[start : start + self.batch_size])
        full = torch.full((self.batch_size, part.shape[1]), torch.nan)
        full[: len(part)] = part
        return full.to(self.device)

    def _batches(
        self, images: ImageArray, rows: NDArray[np.int64] | None, count: int
    ) -> Iterator[torch.Tensor]:
        """Yield full batches on the device; each is overwritten by a later one."""
        on_gpu = self.device.type == "cuda"
        dtype = torch.float16 if images.dtype == np.float16 else torch.float32
        shape = (self.batch_size, *images.shape[1:])
        # On a GPU the next batch is read while the last one is copied and computed: two pinned
        # buffers, and an event for each that tells when its copy is done.
        buffers = [torch.zeros(shape, dtype=dtype, pin_memory=on_gpu) for _ in range(1 + on_gpu)]
        copied = [torch.cuda.Event() for _ in buffers] if on_gpu else []  # type: ignore[no-untyped-call]
        for turn, start in enumerate(range(0, count, self.batch_size)):
            buffer = buffers[turn % len(buffers)]
            if on_gpu:
                copied[turn % len(buffers)].synchronize()
            chosen = slice(start, min(start + self.batch_size, count))
            filled = chosen.stop - start
            with np.errstate(over="ignore"):  # too large for float32: not finite, found later
                buffer.numpy()[:filled] = images[chosen if rows is None else rows[chosen]]
            buffer[filled:] = 0
            batch = buffer.to(self.device, non_blocking=True)
            if on_gpu:
                copied[turn % len(buffers)].record()
            yield batch
