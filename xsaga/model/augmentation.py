"""Random changes to training images that leave their class alone, on the device."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from xsaga.errors import ModelError

_ORIENTATIONS = 8
"""Of a square: turned by quarters, and mirrored."""

_LANCZOS = 3
_PAIR = 2
"""Pixels between the two of a pair whose difference tells the noise; nearer ones share it."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image, each anew every time it is seen.

    Every image is turned to one of the eight orientations of a square, which the sky does not
    tell apart, and shifted by whole pixels: an eighth of the batch, every eighth image, together,
    as that takes no time. Every second image is also made worse: shifted by a fraction of a pixel
    and blurred, with the noise put back that this takes away, so that it looks as if the seeing
    had been worse, not the exposure longer; and then more noise and another sky level. A batch is
    best in an order that has nothing to do with what is to be learnt.

    Parameters
    ----------
    shift : float
        Largest shift in pixels along each axis: catalog positions are not exact. What moves in
        from outside has no data (0).
    blur : float
        Largest standard deviation of the Gaussian that widens the point spread function, pixels,
        drawn for each band; 1.5 makes 1.3 arcsec FWHM (5 pixels) 1.6.
    noise : float
        Largest standard deviation of added noise in units of that of the image's own pixels:
        1 is half the exposure time. Pixels without data stay so.
    background : float
        Largest offset of each band's sky level, in the same units.

    Raises
    ------
    ModelError
        If a value is negative.
    """

    shift: float = 3.0
    blur: float = 1.5
    noise: float = 1.0
    background: float = 0.2

    def __post_init__(self) -> None:
        if not all(0 <= value < math.inf for value in dataclasses.astuple(self)):
            raise ModelError(f"augmentation: a value must not be negative in {self}")

    def apply(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augment a batch.

        Parameters
        ----------
        images : Tensor of float, shape (N, bands, size, size)
            Nanomaggies per pixel.
        generator : Generator
            Of randomness, on the device of `images`.

        Returns
        -------
        Tensor of float32, shape of `images`
        """
        moved = self._moved(images, generator)
        worse = moved[self._draw(2, generator) :: 2]
        if not len(worse) or (self.blur == self.noise == self.background == 0 and not self._part):
            return moved
        count, bands = worse.shape[:2]
        level = pixel_noise(worse)
        strength = torch.rand((count, 1), generator=generator, device=moved.device) * self.noise
        variance = (strength**2).expand(count, bands)
        offset = torch.rand((count, bands), generator=generator, device=moved.device) * 2 - 1
        noise = torch.empty_like(worse).normal_(generator=generator)
        if self.blur > 0 or self._part:
            kernels = self._kernels((count, bands), generator)
            variance = variance + (1 - (kernels**2).sum(-1).prod(-1)).clamp_(min=0)
            worse.copy_(smear(worse, kernels))
        noise.mul_((variance.sqrt() * level)[:, :, None, None])
        noise.add_((offset * self.background * level)[:, :, None, None])
        worse.add_(noise.mul_(worse != 0))
        return moved

    @property
    def _part(self) -> bool:
        """Whether images are shifted by parts of a pixel where nothing else is done to them."""
        return self.shift != int(self.shift)

    @staticmethod
    def _draw(count: int, generator: torch.Generator) -> int:
        """Draw a number from 0 to `count` - 1."""
        return int(torch.randint(count, (), generator=generator, device=generator.device))

    def _kernels(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw kernels (N, bands, 2, length): one shift an image, one blur an image and band."""
        device = generator.device
        fraction = torch.rand((shape[0], 1, 2), generator=generator, device=device) - 0.5
        if self.shift == 0:
            fraction.zero_()
        width = torch.rand((*shape, 1), generator=generator, device=device) * self.blur
        return shift_and_blur(fraction.expand(*shape, 2), width.expand(*shape, 2), self.blur)

    def _moved(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Turn, mirror and shift by whole pixels; what moves in from outside is 0."""
        moved = torch.zeros(images.shape, dtype=torch.float32, device=images.device)
        size, most = images.shape[-1], int(self.shift)
        first = self._draw(_ORIENTATIONS, generator)
        for number in range(min(_ORIENTATIONS, len(images))):
            seen = images[number::_ORIENTATIONS]
            orientation = (first + number) % _ORIENTATIONS
            turned = seen.mT if orientation & 1 else seen
            flipped = [axis for axis, bit in ((-1, 2), (-2, 4)) if orientation & bit]
            down, right = (self._draw(2 * most + 1, generator) - most for _ in range(2))
            from_row, to_row = _overlap(down, size)
            from_column, to_column = _overlap(right, size)
            moved[number::_ORIENTATIONS, :, to_row, to_column] = turned.flip(flipped)[
                :, :, from_row, from_column
            ]
        return moved


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where pixels come from and go to along an axis."""
    forward, back = max(shift, 0), max(-shift, 0)
    return slice(back, size - forward), slice(forward, size - back)


def pixel_noise(images: torch.Tensor) -> torch.Tensor:
    """Estimate the noise of a pixel from differences of pixels near each other.

    Half the median of pairs is blind to sources as long as these cover less than half the image.

    Parameters
    ----------
    images : Tensor of float, shape (N, bands, size, size)
        At least 8 pixels on a side.

    Returns
    -------
    Tensor of float, shape (N, bands)
        Standard deviation, in the units of `images`.
    """
    rows = images[..., ::4, :]
    pairs = (rows[..., _PAIR:] - rows[..., :-_PAIR])[..., ::2]
    return pairs.abs().flatten(2).median(-1).values / (0.6745 * math.sqrt(2))


def shift_and_blur(fraction: torch.Tensor, width: torch.Tensor, widest: float) -> torch.Tensor:
    """Kernels that shift by a fraction of a pixel (Lanczos-3) and blur (Gaussian).

    Parameters
    ----------
    fraction : Tensor, any shape
        Pixels.
    width : Tensor, shape of `fraction`
        Standard deviation, pixels.
    widest : float
        Of all widths; decides the length.

    Returns
    -------
    Tensor, shape (*fraction.shape, length)
        Odd length, sum 1.
    """
    reach = math.ceil(3 * widest)
    device = fraction.device
    at = torch.arange(-reach - _LANCZOS, reach + _LANCZOS + 1, device=device)
    steps = torch.arange(-reach, reach + 1, device=device)
    gauss = torch.exp(-0.5 * (steps / width[..., None].clamp(min=1e-3)) ** 2)
    away = at - steps[:, None] - fraction[..., None, None]
    lanczos = torch.sinc(away) * torch.sinc(away / _LANCZOS) * (away.abs() < _LANCZOS)
    kernel = (gauss[..., None, :] @ lanczos).squeeze(-2)
    return kernel / kernel.sum(-1, keepdim=True)


def smear(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Convolve each image and band with its own separable kernel, turned by 180 degrees.

    As a product of matrices: that is fast for kernels that differ from image to image, and the
    turn, which comes for free, does not matter where the orientation is random. Pixels without
    data stay so.

    Parameters
    ----------
    images : Tensor of float32, shape (N, bands, size, size)
        Nanomaggies per pixel.
    kernels : Tensor of float32, shape (N, bands, 2, length)
        For rows and columns; odd length.

    Returns
    -------
    Tensor of float32, shape of `images`
    """
    size, length = images.shape[-1], kernels.shape[-1]
    room = size - 1 - length // 2
    if room < 0:
        kernels, room = kernels[..., -room : length + room], 0
    # Row i of the matrix weighs input j by kernel[j + i]: rising i moves it down the input.
    spread = torch.nn.functional.pad(kernels, (room, room)).unfold(-1, size, 1)
    vertical, horizontal = spread[:, :, 0], spread[:, :, 1]
    smeared = vertical @ images @ horizontal.mT
    return smeared * (images != 0).flip(-1, -2)
