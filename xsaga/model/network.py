"""The network: a small residual CNN for centred galaxy cutouts, one logit each.

The coadds sample a typical point spread function (FWHM 1.1 to 1.5 arcsec) with about five
pixels, so the stem halves the resolution twice at little loss and the residual stages work on
maps a sixteenth of the cutout's area. Between stages the maps are averaged, not subsampled, which
keeps a shift by one pixel from changing the logit (Zhang 2019, arXiv:1904.11486). The targets are
centred, so beside the mean and the maximum over the whole map the head sees a mean weighted to
the centre: it can tell the target from its neighbours.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from xsaga.errors import ModelError

_MAX_STAGES, _MAX_BLOCKS, _MAX_CHANNELS = 8, 64, 4096


@dataclass(frozen=True)
class Architecture:
    """What a network is made of; stored in the model's card.

    Parameters
    ----------
    bands : int
        Image planes.
    stem_channels : int
        Channels of the first convolution, at half the cutout's resolution.
    stage_channels : tuple of int
        Channels of each residual stage; each stage after the first halves the resolution.
    stage_blocks : tuple of int
        Residual blocks of each stage.
    centre_width : float
        Standard deviation of the Gaussian weight of the centred mean, as a fraction of the
        cutout's side.
    dropout : float
        Probability with which a pooled feature is dropped in training.

    Raises
    ------
    ModelError
        If a value is out of range.
    """

    bands: int = 3
    stem_channels: int = 16
    stage_channels: tuple[int, ...] = (32, 64, 128, 192)
    stage_blocks: tuple[int, ...] = (1, 1, 2, 1)
    centre_width: float = 0.15
    dropout: float = 0.1

    def __post_init__(self) -> None:
        counts = (self.bands, self.stem_channels, *self.stage_channels)
        if not 1 <= len(self.stage_channels) == len(self.stage_blocks) <= _MAX_STAGES:
            raise ModelError(
                f"architecture: stage_channels and stage_blocks need one entry for each of 1 to "
                f"{_MAX_STAGES} stages, not {len(self.stage_channels)} and {len(self.stage_blocks)}"
            )
        if not all(1 <= count <= _MAX_CHANNELS for count in counts):
            raise ModelError(f"architecture: channels must be 1 to {_MAX_CHANNELS}, not {counts}")
        if not all(1 <= count <= _MAX_BLOCKS for count in self.stage_blocks):
            raise ModelError(
                f"architecture: stage_blocks must be 1 to {_MAX_BLOCKS}, not {self.stage_blocks}"
            )
        if not (0.01 <= self.centre_width <= 10 and 0 <= self.dropout < 1):
            raise ModelError(
                f"architecture: centre_width {self.centre_width} must be 0.01 to 10 and dropout "
                f"{self.dropout} in [0, 1)"
            )


class _ConvNorm(nn.Module):
    """A convolution without bias and its batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(self.conv(maps))
        return normed


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside an identity (1×1 where the channels change)."""

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.first = _ConvNorm(inputs, outputs, 3)
        self.second = _ConvNorm(outputs, outputs, 3)
        self.shortcut = nn.Identity() if inputs == outputs else _ConvNorm(inputs, outputs, 1)
        # A block starts as its shortcut: the deep network begins to learn as a shallow one.
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if self.halve:
            maps = functional.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)
        change = self.second(functional.relu_(self.first(maps)))
        return functional.relu_(change.add_(self.shortcut(maps)))


class CutoutNetwork(nn.Module):
    """Residual network from stretched cutouts to one logit of z < 0.03.

    Parameters
    ----------
    architecture : Architecture
        What to build.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        channels = architecture.stage_channels
        self.stem = nn.Sequential(
            _ConvNorm(architecture.bands, architecture.stem_channels, 5, stride=2),
            nn.ReLU(inplace=True),
            _ConvNorm(architecture.stem_channels, channels[0], 3, stride=2),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        inputs = channels[0]
        for stage, (outputs, count) in enumerate(
            zip(channels, architecture.stage_blocks, strict=True)
        ):
            for block in range(count):
                blocks.append(_ResidualBlock(inputs, outputs, halve=stage > 0 and block == 0))
                inputs = outputs
        self.body = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(3 * inputs, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logits of a batch.

        Parameters
        ----------
        images : Tensor, shape (N, bands, size, size)
            Stretched cutouts.

        Returns
        -------
        Tensor of float32, shape (N,)
        """
        # Features leave the convolutions in whatever precision these run in; the sums over the
        # map and the last layer are cheap and always done in float32.
        maps = self.body(self.stem(images)).float()
        weight = _centre_weight(maps.shape[-1], self.architecture.centre_width, maps.device)
        pooled = [maps.mean((2, 3)), maps.amax((2, 3)), (maps * weight).sum((2, 3))]
        with torch.autocast(maps.device.type, enabled=False):
            logits: torch.Tensor = self.head(self.dropout(torch.cat(pooled, dim=1)))
        return logits[:, 0]


def _centre_weight(size: int, width: float, device: torch.device) -> torch.Tensor:
    offset = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size - 0.5
    profile = torch.exp(-0.5 * (offset / width) ** 2)
    weight = profile[:, None] * profile
    return weight / weight.sum()


def build_network(architecture: Architecture) -> CutoutNetwork:
    """Build a network with fresh random weights (He et al. 2015) from torch's generator.

    Parameters
    ----------
    architecture : Architecture
        What to build.

    Returns
    -------
    CutoutNetwork
        In training mode, channels last, on torch's default device.
    """
    network = CutoutNetwork(architecture)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.normal_(network.head.weight, std=0.1 / math.sqrt(network.head.in_features))
    nn.init.zeros_(network.head.bias)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def inference_copy(
    network: CutoutNetwork, device: torch.device, dtype: torch.dtype
) -> CutoutNetwork:
    """Copy a network for scoring: batch normalisation folded into the convolutions.

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
    for module in fused.modules():
        for name, child in module.named_children():
            if isinstance(child, _ConvNorm):
                setattr(module, name, nn.utils.fuse_conv_bn_eval(child.conv, child.norm))
    fused.stem.to(dtype=dtype)
    fused.body.to(dtype=dtype)
    return fused.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
