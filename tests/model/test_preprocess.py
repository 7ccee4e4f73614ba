from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xsaga.errors import ModelError
from xsaga.model.preprocess import Stretch, resample

STRETCH = Stretch()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_stretch_is_asinh_per_band(dtype: torch.dtype) -> None:
    images = (torch.randn(20, 3, 9, 9) * torch.logspace(-4, 3, 9)).to(dtype)
    softening = torch.tensor(STRETCH.softening)[:, None, None]
    wanted = torch.asinh(images.double() / softening)
    got = STRETCH.apply(images)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), wanted, rtol=1e-6, atol=1e-6)


def test_pixels_without_data_stay_zero_and_bad_ones_are_not_hidden() -> None:
    images = torch.randn(2, 3, 4, 4)
    images[0, 1, 2, 3] = 0
    images[1, 0, 0, 0] = torch.nan
    images[1, 0, 0, 1] = -torch.inf
    stretched = STRETCH.apply(images)
    assert stretched[0, 1, 2, 3] == 0
    assert torch.equal(torch.isfinite(stretched), torch.isfinite(images))


def test_the_result_can_go_to_given_memory_in_half_precision() -> None:
    images = torch.randn(3, 3, 8, 8)
    out = torch.empty(3, 3, 8, 8, dtype=torch.bfloat16)
    assert STRETCH.apply(images, torch.bfloat16, out=out) is out
    torch.testing.assert_close(out.float(), STRETCH.apply(images), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("softening", [(), (0.1, 0.0, 0.1), (0.1, float("nan"), 0.1)])
def test_a_softening_that_is_not_positive_is_refused(softening: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="softening"):
        Stretch(softening)


@given(
    from_size=st.integers(8, 40),
    from_scale=st.floats(0.1, 1),
    to_scale=st.floats(0.1, 1),
    seed=st.integers(0, 99),
)
def test_resampling_conserves_flux(
    from_size: int, from_scale: float, to_scale: float, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, from_size, from_size, generator=random)
    to_size = int(np.ceil(from_size * from_scale / to_scale)) + 1
    result = resample(images, from_scale, to_scale, to_size)
    assert result.shape == (2, 3, to_size, to_size)
    torch.testing.assert_close(result.sum((2, 3)), images.sum((2, 3)), rtol=1e-4, atol=1e-5)


def test_resampling_keeps_centre_orientation_and_surface_brightness() -> None:
    place = torch.arange(60) - 29.5
    image = torch.exp(-0.5 * ((place[:, None] - 6) ** 2 + (place + 3) ** 2) / 36)[None, None]
    finer = resample(image, 0.262, 0.131, 120)
    assert finer.shape == (1, 1, 120, 120)
    place_finer = (torch.arange(120) - 59.5) * 0.5
    total = finer.sum()
    assert float((finer.sum((0, 1, 3)) * place_finer).sum() / total) == pytest.approx(6, abs=0.01)
    assert float((finer.sum((0, 1, 2)) * place_finer).sum() / total) == pytest.approx(-3, abs=0.01)
    assert float(finer.max()) == pytest.approx(float(image.max()) / 4, rel=1e-3)


def test_resampling_to_the_same_grid_changes_nothing_and_a_smaller_one_crops() -> None:
    images = torch.randn(1, 3, 20, 20)
    torch.testing.assert_close(resample(images, 0.262, 0.262, 20), images)
    torch.testing.assert_close(resample(images, 0.262, 0.262, 12), images[..., 4:16, 4:16])
