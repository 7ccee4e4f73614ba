"""Cutouts that anyone can tell apart: extended blobs are positive, compact ones are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xsaga.model.preprocess import Stretch


def toy_cutouts(
    count: int, size: int, seed: int, dtype: type[np.floating] = np.float16
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Give noisy centred Gaussians (count, 3, size, size) in nanomaggies and which are wide."""
    random = np.random.default_rng(seed)
    wide = random.random(count) < 0.4
    sigma = np.where(wide, 0.15, 0.05) * size * random.uniform(0.8, 1.2, count)
    offset = np.arange(size) - (size - 1) / 2
    profile = np.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    noise_level = np.array(Stretch().softening)
    blobs = (
        profile[:, None, :, None]
        * profile[:, None, None, :]
        * random.uniform(5, 50, (count, 1, 1, 1))
    )
    noise = random.normal(size=(count, 3, size, size))
    return ((blobs + noise) * noise_level[:, None, None]).astype(dtype), wide
