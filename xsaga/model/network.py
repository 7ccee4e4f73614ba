"""Building networks, and copying them for scoring."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from xsaga.model.architecture import Architecture
from xsaga.model.foveal import FovealNetwork
from xsaga.model.layers import ConvNorm, CutoutNetwork
from xsaga.model.xresnet import WhitenedConv, XResNet

__all__ = ["Architecture", "CutoutNetwork", "build_network", "inference_copy"]

_NETWORKS: dict[str, type[FovealNetwork] | type[XResNet]] = {
    "foveal": FovealNetwork,
    "xresnet": XResNet,
}


def build_network(architecture: Architecture) -> CutoutNetwork:
    """Build a network with fresh random weights (He et al. 2015) from torch's generator.

    Parameters
    ----------
    architecture : Architecture
        What to build.

    Returns
    -------
    CutoutNetwork
        In training mode, channels last, on torch's default device; without values on ``meta``.
    """
    network = _NETWORKS[architecture.kind](architecture)
    if not network.head.weight.is_meta:  # there torch imports its compiler to fill nothing
        _fill(network)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _fill(network: CutoutNetwork) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(network.head.weight, std=0.1 / math.sqrt(network.head.in_features))
    nn.init.zeros_(network.head.bias)


def inference_copy(
    network: CutoutNetwork, device: torch.device, dtype: torch.dtype
) -> CutoutNetwork:
    """Copy a network for scoring: normalisation and whitening folded into the convolutions.

    Parameters
    ----------
    network : CutoutNetwork
        A trained network; it is left as it is.
    device : torch.device
        Where the copy goes.
    dtype : torch.dtype
        Precision of the convolutions; the head stays in float32.

    Returns
    -------
    CutoutNetwork
        In evaluation mode, channels last; the logits are those of `network` up to rounding.
    """
    fused = copy.deepcopy(network).float().eval().requires_grad_(requires_grad=False)
    for module in list(fused.modules()):
        for name, child in module.named_children():
            if isinstance(child, ConvNorm | WhitenedConv):
                setattr(module, name, child.folded().to(dtype=dtype))
    return fused.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
