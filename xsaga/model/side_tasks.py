"""What a network learns beside the class, so that its features know more than one bit an image.

Redshift and photometry are known for labelled objects and say much more about an image than
whether it is near. A second linear layer on the same features learns them in training and is then
thrown away (Caruana 1997, "Multitask learning").
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional

from xsaga.errors import ModelError

_LARGEST = 5.0
"""Standard deviations at which values are cut: no odd redshift shall pull at the weights."""


def standardised(quantities: ArrayLike, count: int) -> NDArray[np.float32]:
    """Give quantities mean 0 and scatter 1, so that each weighs the same.

    Parameters
    ----------
    quantities : array_like, shape (N, quantities)
        NaN where one is not known.
    count : int
        N, the number of images.

    Returns
    -------
    ndarray of float32, shape (N, quantities)
        Without columns that are never known or all the same; NaN stays NaN.

    Raises
    ------
    ModelError
        If the shape is another or a value is infinite.
    """
    values = np.asarray(quantities, dtype=np.float64)
    if values.ndim != 2 or len(values) != count or np.isinf(values).any():
        raise ModelError(
            f"training: side tasks of shape {values.shape} for {count} images: give finite numbers "
            "or NaN, one row for each image"
        )
    known = np.isfinite(values)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0) / number
    scatter = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(axis=0) / number)
    varies = scatter > 0
    scaled = (values[:, varies] - mean[varies]) / scatter[varies]
    return np.asarray(np.clip(scaled, -_LARGEST, _LARGEST), dtype=np.float32)


def side_loss(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean Huber loss over the quantities that are known.

    Parameters
    ----------
    found, truth : Tensor of float32, shape (N, quantities)
        NaN in `truth` where a quantity is not known.

    Returns
    -------
    Tensor
        Scalar; 0 where nothing is known.
    """
    known = torch.isfinite(truth)
    each = functional.smooth_l1_loss(found, truth.nan_to_num(), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
