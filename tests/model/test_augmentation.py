from __future__ import annotations

import pytest
import torch

from xsaga.errors import ModelError
from xsaga.model.augmentation import Augmentation, pixel_noise, shift_and_blur, smear

PLAIN = {"shift": 0, "blur": 0, "noise": 0, "background": 0}
SIZE = 48


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(sigma: float, row: float, column: float) -> torch.Tensor:
    place = torch.arange(SIZE, dtype=torch.float32)
    profile = [torch.exp(-0.5 * ((place - at) / sigma) ** 2) for at in (row, column)]
    return (profile[0][:, None] * profile[1]).expand(1, 3, SIZE, SIZE).clone()


def width_of(image: torch.Tensor) -> torch.Tensor:
    """Second moment along the columns, for an image that is 0 far out."""
    place = torch.arange(SIZE, dtype=torch.float32)
    profile = image.sum(-2) / image.sum((-2, -1))[..., None]
    mean = (profile * place).sum(-1, keepdim=True)
    return (profile * (place - mean) ** 2).sum(-1)


def test_whole_shifts_and_turns_move_what_is_there_and_change_nothing() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[0, :, 5, 8] = torch.tensor([1.0, 2.0, 3.0])
    only_moved = Augmentation(**{**PLAIN, "shift": 2.0})
    seen = torch.cat(
        [only_moved.apply(image.expand(8, 3, 16, 16), generator(seed)) for seed in range(500)]
    )
    assert torch.equal(seen.sum((2, 3)), torch.tensor([1.0, 2.0, 3.0]).expand(4000, 3))
    at = torch.nonzero(seen[:, 0])[:, 1:]
    # (5, 8) of 16 under the square's symmetries, each moved by up to 2 along both axes.
    corners = {(5, 8), (5, 7), (10, 8), (10, 7), (8, 5), (7, 5), (8, 10), (7, 10)}
    wanted = {
        (row + down, column + right)
        for row, column in corners
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    assert {(int(row), int(column)) for row, column in at} == wanted


def test_without_anything_asked_for_an_image_is_only_turned() -> None:
    image = torch.randn(1, 3, 16, 16).half()
    seen = Augmentation(**PLAIN).apply(image.expand(200, 3, 16, 16), generator(2))
    wanted = {
        tuple(turned.flatten().tolist())
        for mirrored in (image[0], image[0].flip(-1))
        for turned in (torch.rot90(mirrored, quarter, (1, 2)).float() for quarter in range(4))
    }
    assert {tuple(each.flatten().tolist()) for each in seen} == wanted


def test_a_fraction_of_a_pixel_shifts_the_centre_by_it() -> None:
    kernels = shift_and_blur(torch.tensor([[[0.3, -0.4]]]).expand(1, 3, 2), torch.zeros(1, 3, 2), 0)
    image = gaussian(3.0, 20.0, 26.0)
    seen = smear(image, kernels)
    # Turned by 180 degrees about the middle of the pixel grid, 23.5.
    expected = gaussian(3.0, 47 - 20.0 + 0.3, 47 - 26.0 - 0.4)
    torch.testing.assert_close(seen, expected, atol=0.01, rtol=0)
    torch.testing.assert_close(seen.sum(), image.sum(), atol=0, rtol=1e-3)


@pytest.mark.parametrize("width", [0.0, 0.7, 1.5])
def test_blur_adds_its_variance_and_keeps_the_flux(width: float) -> None:
    kernels = shift_and_blur(torch.zeros(1, 3, 2), torch.full((1, 3, 2), width), 1.5)
    image = gaussian(2.5, 23.5, 23.5)
    seen = smear(image, kernels)
    torch.testing.assert_close(
        width_of(seen) - width_of(image), torch.full((1, 3), width**2), atol=0.1, rtol=0.05
    )
    torch.testing.assert_close(seen.sum(), image.sum(), atol=0, rtol=1e-3)


def test_kernels_longer_than_the_image_are_cut() -> None:
    image = torch.randn(2, 3, 8, 8)
    kernels = shift_and_blur(torch.zeros(2, 3, 2), torch.full((2, 3, 2), 1e-6), 3.0)
    torch.testing.assert_close(smear(image, kernels), image.flip(-1, -2))


def test_the_noise_of_an_image_is_found_beside_its_source() -> None:
    noise = torch.randn(20, 3, SIZE, SIZE) * torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    measured = pixel_noise(noise + 50 * gaussian(2.5, 23.5, 23.5))
    torch.testing.assert_close(measured.mean(0), torch.tensor([1.0, 2.0, 4.0]), atol=0, rtol=0.2)


def test_noise_is_added_in_units_of_the_images_own_where_there_is_data() -> None:
    image = torch.randn(100, 3, SIZE, SIZE) * 5
    image[:, 1] *= 2
    image[:, 2] = 0
    image[:, :, :, : SIZE // 4] = 0
    seen = Augmentation(**{**PLAIN, "noise": 1.0}).apply(image, generator(3))
    assert not seen[:, 2].any()
    assert float((seen[:, :2] != 0).float().mean()) == pytest.approx(0.75)
    for band, sigma in ((0, 5.0), (1, 10.0)):
        # Every second image gets noise, of strengths uniform in 0 to 1: the mean variance of these
        # is 1 + 1/3. A quarter of the image has no data, which the estimate of the noise takes
        # for quiet.
        variances = seen[:, band].square().sum((1, 2)) / (seen[:, band] != 0).sum((1, 2))
        of_the_two = sorted(float(variances[at::2].mean()) / sigma**2 for at in (0, 1))
        assert 0.97 < of_the_two[0] < 1.03
        assert 1.1 < of_the_two[1] < 1.5


def test_blurred_images_keep_the_noise_they_had() -> None:
    image = torch.randn(60, 3, 120, 120)
    seen = Augmentation(shift=3.5, blur=2.0, noise=0, background=0).apply(image, generator(4))
    inner = seen[:, :, 8:-8, 8:-8]
    torch.testing.assert_close(inner.std((1, 2, 3)), torch.ones(60), atol=0.1, rtol=0)


def test_the_sky_level_moves_within_what_is_asked_for() -> None:
    image = torch.randn(300, 3, SIZE, SIZE)
    seen = Augmentation(**{**PLAIN, "background": 0.5}).apply(image, generator(5))
    moved = seen.mean((2, 3)) - image.mean((2, 3))
    assert 0.4 < moved.abs().max() < 0.7
    assert moved.mean().abs() < 0.1


def test_the_generator_decides_everything() -> None:
    image = torch.randn(8, 3, SIZE, SIZE)
    first, again, other = (Augmentation().apply(image, generator(seed)) for seed in (6, 6, 7))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["shift", "blur", "noise", "background"])
def test_negative_strengths_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="negative"):
        Augmentation(**{name: -0.1})
