"""Batches of training images: which, in what order, and read before they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.model.images import ImageArray

Sampling = Literal["natural", "balanced"]

_AHEAD = 2
"""Batches that are read while one is learnt from."""


def epoch_rows(
    rows: NDArray[np.int64],
    positive: NDArray[np.bool_],
    sampling: Sampling,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw the images of an epoch, as many as there are.

    Parameters
    ----------
    rows : ndarray of int64, shape (M,)
        Images to train on.
    positive : ndarray of bool, shape (N,)
        Class of all images.
    sampling : {'natural', 'balanced'}
        Each image once, or the two classes in equal parts: the rarer again and again, a part of
        the other.
    random : Generator
        Of the order.

    Returns
    -------
    ndarray of int64, shape (M,)
    """
    if sampling == "natural":
        return random.permutation(rows)
    of_class = (rows[positive[rows]], rows[~positive[rows]])
    counts = (len(rows) // 2, len(rows) - len(rows) // 2)
    drawn = [_draw(some, count, random) for some, count in zip(of_class, counts, strict=True)]
    return random.permutation(np.concatenate(drawn))


def _draw(rows: NDArray[np.int64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw `count` rows, each as often as any other, give or take one."""
    rounds = [random.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(rounds)[:count]


def read_ahead(
    images: ImageArray, batches: list[NDArray[np.int64]], device: torch.device
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """Yield batches on the device while a thread reads the next ones.

    Parameters
    ----------
    images : ImageArray, shape (N, bands, size, size)
        Where to read; a `numpy.memmap` is read from disk here.
    batches : list of ndarray of int64
        Rows of each batch; sorted, so that a disk is read in one direction.
    device : torch.device
        Where the images go.

    Yields
    ------
    rows, pixels : ndarray, Tensor
        Pixels as stored where that is half precision, else float32.
    """
    with ThreadPoolExecutor(1, "xsaga-read") as reader:
        waiting = [reader.submit(_read, images, rows, device) for rows in batches[:_AHEAD]]
        for number, rows in enumerate(batches):
            pixels = waiting.pop(0).result()
            if number + _AHEAD < len(batches):
                waiting.append(reader.submit(_read, images, batches[number + _AHEAD], device))
            yield rows, pixels.to(device, non_blocking=True)


def _read(images: ImageArray, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    if isinstance(images, np.ndarray):
        batch = images.take(rows, axis=0)  # lets other threads run meanwhile, indexing does not
    else:
        batch = np.asarray(images[rows])
    if batch.dtype != np.float16:
        batch = batch.astype(np.float32, copy=False)
    pixels = torch.from_numpy(np.ascontiguousarray(batch))
    return pixels.pin_memory() if device.type == "cuda" else pixels
