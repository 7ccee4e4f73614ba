"""From nanomaggies to what the network sees, on the device the network runs on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from xsaga.errors import ModelError

_CHUNK = 16
"""Images stretched at once on a CPU, so that the intermediate arrays stay in its cache."""


STRETCHES = ("asinh", "viewer")

_VIEWER_SCALES, _VIEWER_OFFSET, _VIEWER_SOFTENING = (6.0, 3.4, 2.2), 0.03, 20.0
"""Of g, r, z; m and Q (legacysurvey.org viewer, ``sdss_rgb``; Lupton et al. 2004)."""


@dataclass(frozen=True)
class Stretch:
    """How nanomaggies become what a network sees.

    ``asinh`` is asinh(pixel / softening) for each band by itself (Lupton, Gunn & Szalay 1999):
    linear in the noise, logarithmic in bright centres. A pixel without data is 0 nanomaggies and
    stays 0.

    ``viewer`` is the colour picture of the Legacy Surveys viewer, red, green and blue from z, r
    and g, in 256 levels from 0 to 1: what the viewer's JPEG cutouts hold, but for what the JPEG
    compression does to them.

    Parameters
    ----------
    softening : tuple of float
        Nanomaggies per pixel at which each band of ``asinh`` turns from linear to logarithmic,
        near the noise of a pixel; ``viewer`` has constants of its own. The default is the noise
        of a 0.262 arcsec pixel at the nominal depth of the Legacy Surveys (5σ g 24.7, r 23.9,
        z 23.0) in a 1.3 arcsec point spread function, whose noise-equivalent area is
        4πσ² = 3.83 arcsec².
    kind : {'asinh', 'viewer'}
        Which.

    Raises
    ------
    ModelError
        If the kind is not known, or a softening is not a positive number.
    """

    softening: tuple[float, ...] = (0.0035, 0.0074, 0.017)
    kind: str = "asinh"

    def __post_init__(self) -> None:
        if not self.softening or not all(
            math.isfinite(value) and value > 0 for value in self.softening
        ):
            raise ModelError(f"stretch: softening must be positive, not {self.softening}")
        if self.kind not in STRETCHES:
            raise ModelError(
                f"stretch: kind {self.kind!r} is none of {', '.join(STRETCHES)}: made by a newer "
                "xsaga, or misspelt"
            )
        if self.kind == "viewer" and len(self.softening) != len(_VIEWER_SCALES):
            raise ModelError("stretch: the viewer's colours need the bands g, r and z")

    def apply(
        self,
        images: torch.Tensor,
        dtype: torch.dtype = torch.float32,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Stretch a batch.

        Parameters
        ----------
        images : Tensor of any float dtype, shape (N, bands, size, size)
            Nanomaggies per pixel; left as they are.
        dtype : torch.dtype
            Of the result; the arithmetic is done in float32.
        out : Tensor of `dtype`, optional
            Where to put the result, to save making a new one for each batch.

        Returns
        -------
        Tensor of `dtype`, channels last, shape of `images`
            For ``asinh``, not finite exactly where `images` is not.
        """
        if out is None:
            out = torch.empty(
                images.shape,
                dtype=dtype,
                device=images.device,
                memory_format=torch.channels_last,
            )
        chunk = _CHUNK if images.device.type == "cpu" else max(len(images), 1)
        for source, target in zip(torch.split(images, chunk), torch.split(out, chunk), strict=True):
            target.copy_(self.of(source.float()))
        return out

    def of(self, images: torch.Tensor) -> torch.Tensor:
        """Stretch images at one go: a pure function, for graphs that are compiled or captured.

        Parameters
        ----------
        images : Tensor of float32, shape (N, bands, size, size)
            Nanomaggies per pixel.

        Returns
        -------
        Tensor of float32, shape of `images`
        """
        if self.kind == "viewer":
            return _viewer(images)
        # Made on the device, band by band: a copy from the host cannot be captured on a GPU.
        bands = [torch.full((1, 1), 1 / value, device=images.device) for value in self.softening]
        scale = torch.stack(bands)
        # asinh written out: torch's own is three times as slow on a CPU. The absolute error,
        # which is what counts after the first convolution, stays below 3e-7.
        scaled = images * scale
        size = scaled.abs()
        stretched = (size * size).add_(1).sqrt_().add_(size).log_()
        return stretched.mul_(scaled.sign())


def _viewer(images: torch.Tensor) -> torch.Tensor:
    """Red, green and blue of the viewer in 256 levels, (N, 3, size, size)."""
    bands = [torch.full((1, 1), value, device=images.device) for value in _VIEWER_SCALES]
    scales = torch.stack(bands)
    raised = images * scales + _VIEWER_OFFSET
    intensity = raised.clamp(min=0).mean(1, keepdim=True)
    softened = _VIEWER_SOFTENING * intensity.clamp(min=1e-6)
    channels = raised * (math.sqrt(_VIEWER_SOFTENING) * torch.asinh(softened) / softened)
    levels = channels.clamp(0, 1).mul_(255).round_().div_(255)
    return levels.flip(1)


Grid = tuple[float, float, int]
"""How to resample: arcseconds per pixel of the images and of the model, pixels of the model."""


def resample(
    images: torch.Tensor, from_scale: float, to_scale: float, to_size: int
) -> torch.Tensor:
    """Resample cutouts to another pixel scale and size about the same centre.

    Each output pixel gathers the flux of the area it covers, every input pixel's flux taken as
    spread evenly over that pixel: the flux inside the field is conserved to rounding, so
    nanomaggies per pixel scale with the pixel's area, and larger pixels average (no aliasing).
    Area outside the input holds no flux.

    Parameters
    ----------
    images : Tensor of float, shape (N, bands, size, size)
        Nanomaggies per pixel of `from_scale`.
    from_scale, to_scale : float
        Arcseconds per pixel.
    to_size : int
        Pixels on a side of the result.

    Returns
    -------
    Tensor of float32, shape (N, bands, to_size, to_size)
        Nanomaggies per pixel of `to_scale`.
    """
    overlap = _overlap(images.shape[-1], to_size, to_scale / from_scale).to(images.device)
    return torch.einsum("yi,ncij,xj->ncyx", overlap, images.float(), overlap)


def _overlap(from_size: int, to_size: int, ratio: float) -> torch.Tensor:
    """Fraction of each input pixel's length inside each output pixel, (to_size, from_size)."""
    sides = torch.arange(from_size, dtype=torch.float64) - from_size / 2
    edges = (torch.arange(to_size, dtype=torch.float64) - to_size / 2)[:, None] * ratio
    upper = torch.minimum(edges + ratio, sides + 1)
    return (upper - torch.maximum(edges, sides)).clamp_(min=0).float()
