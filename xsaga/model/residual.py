"""The network: a small residual CNN for centred galaxy cutouts, one logit each.

The coadds sample a typical point spread function (FWHM 1.1 to 1.5 arcsec) with about five
pixels, so the stem halves the resolution twice at little loss and the residual stages work on
maps a sixteenth of the cutout's area. The targets are centred, so beside the mean and the maximum
over the whole map the head sees a mean weighted to the centre: it can tell the target from its
neighbours.
"""

from __future__ import annotations

import torch
from torch import nn

from xsaga.model.architecture import Architecture
from xsaga.model.layers import ConvNorm, CutoutNetwork, centred_mean, residual_stages


class ResidualNetwork(CutoutNetwork):
    """Residual network with averaged, largest and centred features.

    Parameters
    ----------
    architecture : Architecture
        What to build.
    """

    def __init__(self, architecture: Architecture) -> None:
        channels = architecture.stage_channels
        super().__init__(architecture, 3 * channels[-1])
        self.stem = nn.Sequential(
            ConvNorm(architecture.bands, architecture.stem_channels, 5, stride=2),
            nn.ReLU(inplace=True),
            ConvNorm(architecture.stem_channels, channels[0], 3, stride=2),
            nn.ReLU(inplace=True),
        )
        self.body = residual_stages(channels[0], channels, architecture.stage_blocks)

    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """Give mean, maximum and centred mean of the last maps, (N, 3 · channels)."""
        # Features leave the convolutions in whatever precision these run in; the sums over the
        # map and the last layer are cheap and always done in float32.
        maps = self.body(self.stem(images)).float()
        centred = centred_mean(maps, self.architecture.centre_width)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3)), centred], dim=1)
