"""Losses for a rare class.

Cross-entropy is a proper scoring rule: its optimum is the probability itself. A weight on the
rare class moves that optimum by a constant in the log odds, which calibration takes back. The
focal loss (Lin et al. 2017, arXiv:1708.02002) is customary for rare objects, but its optimum is
not the probability (Charoenphakdee et al. 2021, arXiv:2011.09172); it is here to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch.nn import functional

LossName = Literal["bce", "focal", "weighted"]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From logits and truth (0 or 1), both float32 of shape (N,), to a scalar."""


def focal_loss(logits: torch.Tensor, truth: torch.Tensor, gamma: float) -> torch.Tensor:
    """Mean focal loss, (1 − p_t)^γ · cross-entropy (Lin et al. 2017, eq. 4, without α).

    Parameters
    ----------
    logits, truth : Tensor of float32, shape (N,)
        Log odds and 0 or 1.
    gamma : float
        How little the easy images count; 0 is cross-entropy.

    Returns
    -------
    Tensor
        Scalar, in nats.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    missed = torch.sigmoid(torch.where(truth > 0, -logits, logits))
    return (missed**gamma * entropy).mean()


def make_loss(
    name: LossName, *, positive_rate: float, focal_gamma: float, positive_weight: float
) -> Loss:
    """Give a loss by its name.

    Parameters
    ----------
    name : {'bce', 'focal', 'weighted'}
        Cross-entropy, focal loss, or cross-entropy with a weight on z < 0.03.
    positive_rate : float
        Fraction of z < 0.03 among the images that will be seen, in (0, 1).
    focal_gamma : float
        γ of the focal loss.
    positive_weight : float
        Weight of a z < 0.03 image in the weighted loss; 0 makes both classes weigh the same.

    Returns
    -------
    callable
    """
    if name == "bce":
        return functional.binary_cross_entropy_with_logits
    if name == "focal":
        return lambda logits, truth: focal_loss(logits, truth, focal_gamma)
    weight = positive_weight or (1 - positive_rate) / positive_rate

    def weighted(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(
            logits, truth, pos_weight=torch.tensor(weight, device=logits.device)
        )

    return weighted
