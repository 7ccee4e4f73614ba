"""Good cutouts made bad: what a model must be able to tell that it knows nothing about.

Each function takes nanomaggies per pixel, (N, bands, size, size), and gives new images of that
shape. They stand for faults that were met in practice or that an imaging service can make; which
share of each a model's feature space catches is written on its card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

Fault = Callable[[torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]
"""Of images, softening (bands, 1, 1) and the source of randomness."""

_STAR_LEVEL = 1e4
"""Brightest pixel of a saturated star in softenings: r = 14 in a 1.3 arcsec point spread."""

_STAR_RADIUS = (0.03, 0.08)
"""Of its saturated core, in sides of the cutout."""

_ZERO_POINT_FACTOR = 10.0
"""2.5 magnitudes: pixels in counts of zero point 25 in place of 22.5, or the reverse."""


def blank(images: torch.Tensor, softening: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """No light: nothing at all, or the even grey that a service gives outside its footprint."""
    grey = torch.randint(0, 2, (len(images), 1, 1, 1), generator=random) * 3.0
    return (grey.to(images.device) * softening).expand_as(images).clone()


def saturated(
    images: torch.Tensor, softening: torch.Tensor, random: torch.Generator
) -> torch.Tensor:
    """Put a saturated star over the target: flat core, halo falling as 1/r³, bleed trail."""
    size = images.shape[-1]
    offset = torch.arange(size, device=images.device) - (size - 1) / 2
    low, high = _STAR_RADIUS
    core = _uniform(images, random, low * size, high * size)
    trail_length = _uniform(images, random, 0.1 * size, 0.4 * size)
    distance = torch.hypot(offset[:, None], offset).clamp(min=0.5)
    star = _STAR_LEVEL * softening * (core / distance).clamp(max=1.0) ** 3
    trail = (offset.abs() < 2) & (offset.abs()[:, None] < trail_length)
    return torch.maximum(images + star, trail * _STAR_LEVEL * softening)


def band_missing(
    images: torch.Tensor, _softening: torch.Tensor, random: torch.Generator
) -> torch.Tensor:
    """Take the light of one band away, as a service does that has none."""
    lost = torch.randint(0, images.shape[1], (len(images),), generator=random).to(images.device)
    changed = images.clone()
    changed[torch.arange(len(images), device=images.device), lost] = 0
    return changed


def picture(
    images: torch.Tensor, softening: torch.Tensor, _random: torch.Generator
) -> torch.Tensor:
    """Take a picture for a measurement: row 0 north, values stretched to about 0 to 1."""
    return (torch.asinh(images / softening) / 10).flip(-2)


def inverted(
    images: torch.Tensor, _softening: torch.Tensor, _random: torch.Generator
) -> torch.Tensor:
    """Take light for dark."""
    return -images


def other_zero_point(
    images: torch.Tensor, _softening: torch.Tensor, random: torch.Generator
) -> torch.Tensor:
    """Count in other units: all pixels ten times too bright or too faint."""
    brighter = torch.randint(0, 2, (len(images), 1, 1, 1), generator=random).to(images.device)
    return images * torch.where(brighter == 1, _ZERO_POINT_FACTOR, 1 / _ZERO_POINT_FACTOR)


def finer_pixels(
    images: torch.Tensor, _softening: torch.Tensor, _random: torch.Generator
) -> torch.Tensor:
    """Sample at half the pixel scale: the middle interpolated to the whole size.

    Values stay those of the native pixel, as the viewer's service gives them.
    """
    size = images.shape[-1]
    margin = size // 4
    middle = images[..., margin : size - margin, margin : size - margin]
    return functional.interpolate(middle, size=(size, size), mode="bicubic", align_corners=False)


def coarser_pixels(
    images: torch.Tensor, _softening: torch.Tensor, _random: torch.Generator
) -> torch.Tensor:
    """Sample at twice the pixel scale: two by two averaged; beyond the cutout its mirror image."""
    size = images.shape[-1]
    averaged = functional.avg_pool2d(images, 2)
    low = (size - averaged.shape[-1]) // 2
    high = size - averaged.shape[-1] - low
    return functional.pad(averaged, (low, high, low, high), mode="reflect")


FAULTS: Mapping[str, Fault] = {
    "blank": blank,
    "saturated": saturated,
    "band missing": band_missing,
    "picture": picture,
    "inverted": inverted,
    "other zero point": other_zero_point,
    "finer pixels": finer_pixels,
    "coarser pixels": coarser_pixels,
}
"""All faults, by the names that a card gives them."""


def uncovered(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Take the data of up to half of each image away, from one edge on.

    That is no fault: an image at the edge of the survey is good where it has data, and has a flag
    of its own.

    Parameters
    ----------
    images : Tensor, shape (N, bands, size, size)
        Nanomaggies per pixel.
    random : Generator
        Of randomness, on the CPU.
    """
    size = images.shape[-1]
    place = torch.arange(size, device=images.device)
    edge = _uniform(images, random, 0.05 * size, 0.5 * size)
    turned = torch.randint(0, 2, (len(images), 1, 1, 1), generator=random).to(images.device) == 1
    upper = torch.randint(0, 2, (len(images), 1, 1, 1), generator=random).to(images.device) == 1
    along = torch.where(turned, place[:, None], place)
    return images * torch.where(upper, along < size - edge, along >= edge)


def _uniform(
    images: torch.Tensor, random: torch.Generator, low: float, high: float
) -> torch.Tensor:
    """One number for each image, (N, 1, 1, 1)."""
    drawn = torch.rand((len(images), 1, 1, 1), generator=random)
    return (low + (high - low) * drawn).to(images.device)
