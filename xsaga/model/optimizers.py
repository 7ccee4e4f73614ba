"""Optimizers and the course of the learning rate."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

OptimizerName = Literal["adamw", "ranger"]

_WARM_UP, _FIRST, _LAST = 0.25, 1 / 25, 1e-5
_MOMENTUM = (0.95, 0.85)


def one_cycle(progress: float) -> tuple[float, float]:
    """Learning rate and momentum of the one-cycle schedule (Smith & Topin, arXiv:1708.07120).

    Both follow half a cosine up and half a cosine down, as fastai has it: over the first quarter
    the rate rises from 1/25 of its peak, then it falls to 1e-5; the momentum does the opposite.

    Parameters
    ----------
    progress : float
        Share of all steps that are done, 0 to 1.

    Returns
    -------
    rate, momentum : float
        As a fraction of the highest rate; β₁ of the Adam family.
    """
    if progress < _WARM_UP:
        share, rates, momenta = progress / _WARM_UP, (_FIRST, 1.0), _MOMENTUM
    else:
        share = (progress - _WARM_UP) / (1 - _WARM_UP)
        rates, momenta = (1.0, _LAST), _MOMENTUM[::-1]
    eased = (1 - math.cos(math.pi * share)) / 2
    return rates[0] + (rates[1] - rates[0]) * eased, momenta[0] + (momenta[1] - momenta[0]) * eased


class Lookahead:
    """Slow weights that follow the optimizer's every few steps (Zhang et al., arXiv:1907.08610).

    Parameters
    ----------
    parameters : list of Parameter
        The weights that the optimizer changes.
    every : int
        Steps between pulls.
    share : float
        How far the slow weights go towards the fast ones.
    """

    def __init__(self, parameters: list[nn.Parameter], every: int = 6, share: float = 0.5) -> None:
        self._fast = parameters
        self._every, self._share = every, share
        self.slow = [parameter.detach().clone() for parameter in parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self) -> None:
        """Count a step of the optimizer; pull where it is time."""
        self.steps += 1
        if self.steps % self._every == 0:
            for slow, fast in zip(self.slow, self._fast, strict=True):
                slow.lerp_(fast, self._share)
                fast.copy_(slow)


def make_optimizer(
    network: nn.Module, name: OptimizerName, learning_rate: float, weight_decay: float
) -> tuple[torch.optim.Optimizer, Lookahead | None]:
    """Make an optimizer for a network.

    Parameters
    ----------
    network : nn.Module
        Whose weights to change.
    name : {'adamw', 'ranger'}
        AdamW (Loshchilov & Hutter, arXiv:1711.05101), or Ranger: rectified Adam (Liu et al.,
        arXiv:1908.03265) inside `Lookahead`.
    learning_rate : float
        Highest rate.
    weight_decay : float
        Decoupled; of convolutions and the head, not of biases and normalisations.

    Returns
    -------
    Optimizer, Lookahead or None
    """
    weights = list(network.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in weights if weight.ndim > 1]},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay), None
    rectified = torch.optim.RAdam(
        groups, lr=learning_rate, weight_decay=weight_decay, decoupled_weight_decay=True
    )
    return rectified, Lookahead(weights)


def set_rates(optimizer: torch.optim.Optimizer, rate: float, momentum: float) -> None:
    """Set the learning rate and β₁ of all groups for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
        group["betas"] = (momentum, group["betas"][1])
