"""A network with a sharp centre and a coarse surround, as an eye has.

The targets are centred and mostly small: their knots, bars and edges want the full resolution, but
only in the middle. What is around them (the large galaxy a shred belongs to, a star's halo, a
host) wants the whole field, but not the resolution. A first convolution at half the cutout's
resolution (0.52 arcsec, which still samples the point spread function) is shared; from there the
central part goes on as it is, and all of it is averaged to a quarter of the resolution.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from xsaga.errors import ModelError
from xsaga.model.architecture import Architecture
from xsaga.model.layers import (
    ApertureLight,
    ConvNorm,
    CutoutNetwork,
    PhotometryBranch,
    centred_mean,
    residual_stages,
)
from xsaga.model.photometry import NO_PHOTOMETRY

_COARSE = 4
"""How much coarser the surround is than the centre."""

_LIGHT = 64
"""Quantities that follow from the light in apertures."""

_CATALOG = 64
"""Quantities that follow from the catalog's photometry."""


class FovealNetwork(CutoutNetwork):
    """Residual stages on the central part of the cutout, and others on all of it, coarser.

    Parameters
    ----------
    architecture : Architecture
        What to build.
    """

    def __init__(self, architecture: Architecture) -> None:
        centre, surround = architecture.stage_channels, architecture.surround_channels
        super().__init__(architecture, architecture.features)
        narrow = architecture.stem_channels
        self.stem = nn.Sequential(
            ConvNorm(architecture.bands, narrow, 5, stride=2), nn.ReLU(inplace=True)
        )
        self.centre = residual_stages(narrow, centre, architecture.stage_blocks)
        self.surround = residual_stages(narrow, surround, (1,) * len(surround))
        self.light = ApertureLight(architecture.bands, architecture.apertures, _LIGHT)
        pooled = 3 * centre[-1] + 2 * surround[-1] + _LIGHT
        if architecture.photometry:
            self.photometry = PhotometryBranch(architecture.photometry, _CATALOG)
            pooled += _CATALOG
        self.join = nn.Linear(pooled, architecture.features)

    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """Give what is pooled from centre and surround, and the light in apertures."""
        maps = self.stem(images)
        # Features leave the convolutions in whatever precision these run in; the sums over the
        # map and the last layer are cheap and always done in float32.
        centre = self.centre(self._middle(maps)).float()
        coarse = functional.avg_pool2d(maps, _COARSE, ceil_mode=True, count_include_pad=False)
        surround = self.surround(coarse).float()
        pooled = [
            centre.mean((2, 3)),
            centre.amax((2, 3)),
            centred_mean(centre, self.architecture.centre_width),
            surround.mean((2, 3)),
            surround.amax((2, 3)),
        ]
        with torch.autocast(images.device.type, enabled=False):
            pooled.append(self.light(self._middle(images)))
            return torch.cat(pooled, dim=1)

    def joined(self, seen: torch.Tensor, photometry: torch.Tensor | None = None) -> torch.Tensor:
        """Join what is seen with what follows from the photometry, if the network takes any."""
        with torch.autocast(seen.device.type, enabled=False):
            if self.photometry is not None:
                if photometry is None:
                    shape = (len(seen), self.architecture.photometry)
                    photometry = torch.full(shape, torch.nan, device=seen.device)
                seen = torch.cat([seen, self.photometry(photometry)], dim=1)
            elif photometry is not None:
                raise ModelError(NO_PHOTOMETRY)
            return functional.relu(self.join(seen))

    def _middle(self, maps: torch.Tensor) -> torch.Tensor:
        """Cut the central part out."""
        size = int(maps.shape[-1])  # a constant, also where the network is traced
        side = min(size, max(1, round(size * self.architecture.centre_share)))
        start = (size - side) // 2
        return maps[..., start : start + side, start : start + side]
