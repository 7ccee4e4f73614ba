"""What images may come as: arrays in memory, on disk, or in parts."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ModelError


class ImageArray(Protocol):
    """What images may come as: an ndarray, a `numpy.memmap`, anything that slices like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, bands, size, size)."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """A float type; half precision is moved as it is, others as float32."""

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[np.floating]:
        """Give some of the images."""


def check_images(images: ImageArray, bands: int) -> None:
    """Refuse what is not a stack of square float images.

    Parameters
    ----------
    images : ImageArray
        What was given.
    bands : int
        Image planes that are needed.

    Raises
    ------
    ModelError
        Saying what was given and what is needed.
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != bands or shape[2] != shape[3] or shape[2] == 0:
        raise ModelError(f"images of shape {shape}: give (N, {bands}, size, size)")
    if np.dtype(images.dtype).kind != "f":
        raise ModelError(f"images of type {images.dtype}: give floats, nanomaggies per pixel")
