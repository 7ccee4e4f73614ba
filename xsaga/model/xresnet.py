"""The network of the published xSAGA recipe, rebuilt: an xresnet whose stem whitens its input.

Residual stages as in He et al. 2015 (arXiv:1512.03385) with the changes of He et al. 2019
(arXiv:1812.01187) that fastai calls xresnet: three 3×3 convolutions in the stem, and averaging
before the 1×1 convolution of a shortcut where the resolution halves. The stem's convolutions are
"network deconvolutions" (Ye et al. 2020, arXiv:1905.11926): the patches under the kernel are
whitened, so neighbouring pixels and bands, which are alike, do not drown what differs.

Where this differs from the code of that paper: the covariance is of whole patches (there, of
blocks of 64 channels; the stem has at most 32 going in, so it comes to the same), taken at every
third position, with a ridge added and its inverse square root by five steps of Newton and Schulz;
in evaluation the running mean of that root is used.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from xsaga.model.architecture import Architecture
from xsaga.model.layers import ConvNorm, CutoutNetwork

_SAMPLING, _RIDGE, _STEPS, _MOMENTUM = 3, 1e-5, 5, 0.1


def inverse_square_root(matrix: torch.Tensor, steps: int = _STEPS) -> torch.Tensor:
    """Approximate A^(−1/2) by coupled iterations of Newton and Schulz (Higham 2008, eq. 6.35).

    Parameters
    ----------
    matrix : Tensor of float, shape (D, D)
        Symmetric and positive definite.
    steps : int
        Iterations; directions of small eigenvalues take more of them.

    Returns
    -------
    Tensor, shape (D, D)
    """
    norm = torch.linalg.matrix_norm(matrix)
    identity = torch.eye(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
    root, inverse = matrix / norm, identity
    for _ in range(steps):
        correction = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ correction, correction @ inverse
    result: torch.Tensor = inverse / norm.sqrt()
    return result


class WhitenedConv(nn.Module):
    """A convolution of whitened patches.

    Parameters
    ----------
    inputs, outputs, kernel, stride : int
        As of a convolution; it is padded by half the kernel.
    """

    mean: torch.Tensor
    whitening: torch.Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        length = inputs * kernel**2
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("whitening", torch.eye(length))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Convolve, (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        with torch.autocast(maps.device.type, enabled=False):
            mean, whitening = self._measured(maps) if self.training else (self.mean, self.whitening)
            weight, bias = self._applied(mean, whitening)
        return functional.conv2d(maps, weight, bias, self.conv.stride, self.conv.padding)

    def folded(self) -> nn.Conv2d:
        """Give the one convolution that does the same in evaluation mode."""
        conv = copy.deepcopy(self.conv)
        weight, bias = self._applied(self.mean, self.whitening)
        conv.load_state_dict({"weight": weight, "bias": bias})
        return conv

    def _applied(
        self, mean: torch.Tensor, whitening: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the whitening into the convolution, which is linear too."""
        weight = self.conv.weight.flatten(1) @ whitening
        assert self.conv.bias is not None  # noqa: S101 (it is made with one)
        return weight.view_as(self.conv.weight), self.conv.bias - weight @ mean

    def _measured(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kernel, padding = self.conv.kernel_size, self.conv.padding
        patches = functional.unfold(maps.float(), kernel, padding=padding, stride=_SAMPLING)  # type: ignore[arg-type]
        vectors = patches.transpose(0, 1).flatten(1)
        mean = vectors.mean(1)
        centred = vectors - mean[:, None]
        covariance = centred @ centred.T / vectors.shape[1]
        ridge = _RIDGE * torch.eye(len(mean), device=mean.device)
        whitening = inverse_square_root(covariance + ridge)
        with torch.no_grad():
            self.mean.lerp_(mean, _MOMENTUM)
            self.whitening.lerp_(whitening, _MOMENTUM)
        return mean, whitening


class _Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut; the first of them strides where it halves."""

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride=2 if halve else 1)
        self.second = ConvNorm(outputs, outputs, 3)
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if halve else nn.Identity()
        self.shortcut = nn.Identity() if inputs == outputs else ConvNorm(inputs, outputs, 1)
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        change = self.second(functional.relu_(self.first(maps)))
        return functional.relu_(change + self.shortcut(self.pool(maps)))


class XResNet(CutoutNetwork):
    """An xresnet with a whitened stem and the mean of the last maps as features.

    Parameters
    ----------
    architecture : Architecture
        What to build; stage_blocks (3, 4, 6, 3) and stage_channels (64, 128, 256, 512) make the
        34 layers of the published one.
    """

    def __init__(self, architecture: Architecture) -> None:
        channels, narrow = architecture.stage_channels, architecture.stem_channels
        super().__init__(architecture, channels[-1])
        self.stem = nn.Sequential(
            WhitenedConv(architecture.bands, narrow, 3, stride=2),
            nn.ReLU(inplace=True),
            WhitenedConv(narrow, narrow, 3),
            nn.ReLU(inplace=True),
            WhitenedConv(narrow, channels[0], 3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        inputs = channels[0]
        for stage, (outputs, count) in enumerate(
            zip(channels, architecture.stage_blocks, strict=True)
        ):
            for block in range(count):
                blocks.append(_Block(inputs, outputs, halve=stage > 0 and block == 0))
                inputs = outputs
        self.body = nn.Sequential(*blocks)

    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """Give the mean of the last maps, (N, channels)."""
        maps: torch.Tensor = self.body(self.stem(images))
        return maps.float().mean((2, 3))
