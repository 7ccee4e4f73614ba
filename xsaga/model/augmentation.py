"""Random changes to training images that leave their class alone, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from xsaga.errors import ModelError


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image, each anew every time it is seen.

    Every image is turned to one of the eight orientations of a square, which the sky does not
    tell apart.

    Parameters
    ----------
    shift : int
        Largest shift in pixels along each axis: catalog positions are not exact. What moves in
        from outside has no data (0).
    noise : float
        Largest standard deviation of added noise as a fraction of the stretch's softening, which
        is near the noise of a pixel; 0.3 adds 4 % to it. Pixels without data stay so.

    Raises
    ------
    ModelError
        If a value is negative.
    """

    shift: int = 3
    noise: float = 0.3

    def __post_init__(self) -> None:
        if self.shift < 0 or self.noise < 0:
            raise ModelError(f"augmentation: shift and noise must not be negative in {self}")

    def apply(
        self, images: torch.Tensor, softening: Sequence[float], generator: torch.Generator
    ) -> torch.Tensor:
        """Augment a batch.

        Parameters
        ----------
        images : Tensor of float, shape (N, bands, size, size)
            Nanomaggies per pixel.
        softening : sequence of float, length bands
            Of the stretch, nanomaggies per pixel.
        generator : Generator
            Of randomness, on the device of `images`.

        Returns
        -------
        Tensor of float32, shape of `images`, channels last
        """
        moved = self._move(images, generator).float()
        if self.noise == 0:
            return moved
        device = images.device
        count, bands = moved.shape[:2]
        strength = torch.rand((count, 1, 1, 1), generator=generator, device=device) * self.noise
        level = strength * torch.tensor(softening, device=device).view(1, bands, 1, 1)
        noise = torch.empty_like(moved).normal_(generator=generator)
        return moved.addcmul_(noise.mul_(moved != 0), level)

    def _move(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Turn, mirror and shift by looking each output pixel up in the input."""
        device = images.device
        count, _, size, _ = images.shape
        place = torch.arange(size, device=device)
        mirrored = torch.randint(0, 2, (2, count, 1), generator=generator, device=device)
        shift = torch.randint(
            -self.shift, self.shift + 1, (2, count, 1), generator=generator, device=device
        )
        source = torch.where(mirrored == 1, size - 1 - place, place) + shift
        inside = (source >= 0) & (source < size)
        source = source.clamp_(0, size - 1)
        transposed = torch.randint(0, 2, (count, 1, 1), generator=generator, device=device) == 1
        row, column = source[0, :, :, None], source[1, :, None, :]
        present = inside[0, :, :, None] & inside[1, :, None, :]
        row, column = (
            torch.where(transposed, source[0, :, None, :], row),
            torch.where(transposed, source[1, :, :, None], column),
        )
        present = torch.where(transposed, present.transpose(1, 2), present)
        batch = torch.arange(count, device=device)[:, None, None]
        # Advanced indices around a slice put the bands last: channels last without a copy.
        moved = images[batch, :, row, column] * present[..., None]
        return moved.permute(0, 3, 1, 2)
