"""What all networks share: the class they belong to and the layers they are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional

from xsaga.errors import ModelError
from xsaga.model.architecture import Architecture
from xsaga.model.photometry import NO_PHOTOMETRY

_FARTHEST = 5.0
"""Scatters from the mean at which photometry is cut: the catalog's outliers are no numbers."""

_LARGEST = 12.0
"""Stretched value above which a pixel counts as this: 80,000 times the softening."""


class CutoutNetwork(nn.Module, ABC):
    """From stretched cutouts to one logit of z < 0.03 each.

    Parameters
    ----------
    architecture : Architecture
        What to build.
    width : int
        Number of features.

    Attributes
    ----------
    head : nn.Linear
        From features to the logit.
    photometry : PhotometryBranch or None
        What the network makes of the catalog's photometry; None where it takes none.
    """

    def __init__(self, architecture: Architecture, width: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.dropout = nn.Dropout(architecture.dropout)
        self.photometry: PhotometryBranch | None = None
        self.head = nn.Linear(width, 1)

    @abstractmethod
    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """Give what follows from the images alone: all the costly arithmetic.

        Parameters
        ----------
        images : Tensor, shape (N, bands, size, size)
            Stretched cutouts.

        Returns
        -------
        Tensor of float32, shape (N, quantities)
        """

    def joined(self, seen: torch.Tensor, photometry: torch.Tensor | None = None) -> torch.Tensor:
        """Give the features that follow from what is seen and from the catalog's photometry.

        Parameters
        ----------
        seen : Tensor of float32, shape (N, quantities)
            From `seen`.
        photometry : Tensor of float32, shape (N, architecture.photometry), optional
            NaN where a quantity is not known; all unknown if not given.

        Returns
        -------
        Tensor of float32, shape (N, head.in_features)

        Raises
        ------
        ModelError
            If photometry is given to a network that takes none.
        """
        if photometry is not None:
            raise ModelError(NO_PHOTOMETRY)
        return seen

    def learn_photometry(self, photometry: torch.Tensor) -> None:
        """Take the scales of photometry from what is going to be learnt from.

        Parameters
        ----------
        photometry : Tensor of float32, shape (M, architecture.photometry)
            Of the sources to learn from, NaN where a quantity is not known.

        Raises
        ------
        ModelError
            If the network takes none.
        """
        if self.photometry is None:
            raise ModelError(NO_PHOTOMETRY)
        self.photometry.learn_scale(photometry)

    def features(
        self, images: torch.Tensor, photometry: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Give the features that the logit is a linear function of.

        Parameters
        ----------
        images : Tensor, shape (N, bands, size, size)
            Stretched cutouts.
        photometry : Tensor of float32, shape (N, architecture.photometry), optional
            NaN where a quantity is not known; all unknown if not given.

        Returns
        -------
        Tensor of float32, shape (N, head.in_features)
        """
        return self.joined(self.seen(images), photometry)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Give the logits that belong to features.

        Parameters
        ----------
        features : Tensor of float32, shape (N, head.in_features)
            From `features`.

        Returns
        -------
        Tensor of float32, shape (N,)
        """
        with torch.autocast(features.device.type, enabled=False):
            logits: torch.Tensor = self.head(self.dropout(features))
        return logits[:, 0]

    def forward(self, images: torch.Tensor, photometry: torch.Tensor | None = None) -> torch.Tensor:
        """Give the logits of a batch.

        Parameters
        ----------
        images : Tensor, shape (N, bands, size, size)
            Stretched cutouts.
        photometry : Tensor of float32, shape (N, architecture.photometry), optional
            NaN where a quantity is not known; all unknown if not given.

        Returns
        -------
        Tensor of float32, shape (N,)
        """
        return self.logits(self.features(images, photometry))


class ConvNorm(nn.Module):
    """A convolution without bias and its batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Convolve and normalise, (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        normed: torch.Tensor = self.norm(self.conv(maps))
        return normed

    def folded(self) -> nn.Conv2d:
        """Give the one convolution that does the same in evaluation mode."""
        return nn.utils.fuse_conv_bn_eval(self.conv, self.norm)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside an identity (1×1 where the channels change).

    Where the resolution halves, the map is averaged before: a shift by one pixel then hardly
    changes the outcome (Zhang 2019, arXiv:1904.11486).
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.first = ConvNorm(inputs, outputs, 3)
        self.second = ConvNorm(outputs, outputs, 3)
        self.shortcut = nn.Identity() if inputs == outputs else ConvNorm(inputs, outputs, 1)
        # A block starts as its shortcut: the deep network begins to learn as a shallow one.
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Give maps (N, outputs, H, W), or half of H and W (rounded up) where it halves."""
        if self.halve:
            maps = functional.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)
        change = self.second(functional.relu_(self.first(maps)))
        return functional.relu_(change.add_(self.shortcut(maps)))


def residual_stages(inputs: int, channels: tuple[int, ...], blocks: tuple[int, ...]) -> nn.Module:
    """Chain stages of residual blocks; each stage but the first halves the resolution.

    Parameters
    ----------
    inputs : int
        Channels that come in.
    channels, blocks : tuple of int
        Channels and number of blocks of each stage.

    Returns
    -------
    nn.Sequential
    """
    chain: list[nn.Module] = []
    for stage, (outputs, count) in enumerate(zip(channels, blocks, strict=True)):
        for block in range(count):
            chain.append(ResidualBlock(inputs, outputs, halve=stage > 0 and block == 0))
            inputs = outputs
    return nn.Sequential(*chain)


class ApertureLight(nn.Module):
    """The light of the central source in Gaussian apertures, and what follows from it.

    Magnitudes, colours and a curve of growth say much about a galaxy's distance. Convolutions of
    compressed pixels would have to learn to add up light; here it is done outright, and a small
    network learns from the sums.

    Parameters
    ----------
    bands : int
        Image planes.
    widths : tuple of float
        Standard deviations of the apertures in pixels.
    outputs : int
        Number of quantities to give.
    """

    def __init__(self, bands: int, widths: tuple[float, ...], outputs: int) -> None:
        super().__init__()
        self.widths = widths
        self.norm = nn.BatchNorm1d(bands * len(widths))
        self.first = nn.Linear(bands * len(widths), outputs)
        self.second = nn.Linear(outputs, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give quantities (N, outputs) of stretched images (N, bands, H, H)."""
        size = int(images.shape[-1])  # a constant, also where the network is traced
        # sinh written out: OpenVINO has a fast exponential, but no fast sinh.
        bounded = images.float().clamp(-_LARGEST, _LARGEST)
        linear = (bounded.exp() - (-bounded).exp()) / 2
        offset = torch.arange(size, device=images.device, dtype=torch.float32) - (size - 1) / 2
        # Width by width: a tensor of them would be copied from the host, which stops a GPU's graph.
        profile = torch.stack([torch.exp(-0.5 * (offset / width) ** 2) for width in self.widths])
        profile = profile / (profile**2).sum(1, keepdim=True).sqrt()  # noise stays that of a pixel
        light = torch.einsum("nbij,ki,kj->nbk", linear, profile, profile)
        measured = self.norm(torch.asinh(light).flatten(1))
        return functional.relu(self.second(functional.relu(self.first(measured))))


class PhotometryBranch(nn.Module):
    """What follows from the catalog's photometry, as far as it is known.

    Parameters
    ----------
    quantities : int
        Quantities of the catalog.
    outputs : int
        Number of quantities to give.

    Attributes
    ----------
    mean, scatter : Tensor of float32, shape (quantities,)
        Of the sources that were learnt from.
    """

    mean: torch.Tensor
    scatter: torch.Tensor

    def __init__(self, quantities: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(quantities))
        self.register_buffer("scatter", torch.ones(quantities))
        self.first = nn.Linear(2 * quantities, outputs)
        self.second = nn.Linear(outputs, outputs)

    def learn_scale(self, photometry: torch.Tensor) -> None:
        """Take mean and scatter from sources (N, quantities), NaN where a quantity is unknown.

        A quantity that none of them has is never learnt about: it gets no weight, so that it plays
        no part where it is known when scoring.
        """
        values = photometry.double()
        known = torch.isfinite(values)
        number = known.sum(0).clamp(min=1)
        mean = torch.where(known, values, 0).sum(0) / number
        scatter = (torch.where(known, values - mean, 0).square().sum(0) / number).sqrt()
        self.mean.copy_(mean)
        self.scatter.copy_(torch.where(scatter > 0, scatter, 1))  # one value tells no scale
        never = ~known.any(0)
        with torch.no_grad():
            self.first.weight[:, torch.cat([never, never])] = 0

    def forward(self, photometry: torch.Tensor) -> torch.Tensor:
        """Give quantities (N, outputs) that follow from photometry (N, quantities)."""
        known = torch.isfinite(photometry)
        scaled = ((photometry - self.mean) / self.scatter).clamp(-_FARTHEST, _FARTHEST)
        inputs = torch.cat([torch.where(known, scaled, 0), known.float()], dim=1)
        return functional.relu(self.second(functional.relu(self.first(inputs))))


def centred_mean(maps: torch.Tensor, width: float) -> torch.Tensor:
    """Mean of maps with a Gaussian weight about their centre.

    Parameters
    ----------
    maps : Tensor of float32, shape (N, channels, H, H)
        Feature maps.
    width : float
        Standard deviation of the weight as a fraction of the side.

    Returns
    -------
    Tensor of float32, shape (N, channels)
    """
    size = int(maps.shape[-1])
    offset = (torch.arange(size, device=maps.device, dtype=torch.float32) + 0.5) / size - 0.5
    profile = torch.exp(-0.5 * (offset / width) ** 2)
    weight = profile[:, None] * profile
    return (maps * (weight / weight.sum())).sum((2, 3))
