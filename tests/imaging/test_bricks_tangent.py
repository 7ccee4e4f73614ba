from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from tests.brick_trees import grid_header
from xsaga.imaging.tangent import TangentGrid, cd_matrix

PIXELS = st.lists(
    st.tuples(st.floats(-200, 3800), st.floats(-200, 3800)), min_size=1, max_size=5
).map(np.array)


@st.composite
def grids(draw: st.DrawFn) -> TangentGrid:
    ra, dec = draw(st.floats(0, 359.999)), draw(st.floats(-89.9, 89.9))
    angle = np.radians(draw(st.floats(-180, 180)))
    scale = draw(st.floats(0.1, 2)) / 3600
    flip = draw(st.sampled_from([-1, 1]))
    cd = (
        flip * scale * np.cos(angle),
        -scale * np.sin(angle),
        flip * scale * np.sin(angle),
        scale * np.cos(angle),
    )
    return TangentGrid(ra, dec, 1799.5, 1799.5, cd, 3600, 3600)


@given(grids(), PIXELS)
def test_agrees_with_astropy_both_ways(grid: TangentGrid, pixels: np.ndarray) -> None:
    wcs = WCS(grid_header(grid))
    ra, dec = grid.to_sky(*pixels.T)
    expected_ra, expected_dec = wcs.wcs_pix2world(pixels, 0).T
    assert ((ra >= 0) & (ra < 360)).all()
    apart = (ra - expected_ra + 180) % 360 - 180
    assert np.abs(apart * np.cos(np.radians(dec))).max() < 1e-10
    assert np.abs(dec - expected_dec).max() < 1e-10
    x, y = grid.to_pixel(ra, dec)
    expected = wcs.wcs_world2pix(np.stack([ra, dec], axis=1), 0).T
    assert np.abs(x - expected[0]).max() < 1e-5
    assert np.abs(y - expected[1]).max() < 1e-5


@given(grids(), PIXELS)
def test_there_and_back(grid: TangentGrid, pixels: np.ndarray) -> None:
    x, y = grid.to_pixel(*grid.to_sky(*pixels.T))
    assert np.allclose(np.stack([x, y], axis=1), pixels, rtol=0, atol=1e-5)


def test_positions_on_both_sides_of_ra_zero_lie_side_by_side() -> None:
    grid = TangentGrid(0.0, 40.0, 99.5, 99.5, (-1e-4, 0.0, 0.0, 1e-4), 200, 200)
    x, _ = grid.to_pixel([0.001, 359.999], [40.0, 40.0])
    assert x[0] < 99.5 < x[1]
    assert x[1] - x[0] < 20


def test_positions_behind_the_tangent_plane_have_no_pixel() -> None:
    grid = TangentGrid(10.0, 80.0, 0.0, 0.0, (-1e-4, 0.0, 0.0, 1e-4), 10, 10)
    x, y = grid.to_pixel([190.0, 10.0], [-80.0, 80.0])
    assert np.isnan([x[0], y[0]]).all()
    assert (x[1], y[1]) == (0.0, 0.0)


def test_cd_matrix_from_either_convention() -> None:
    assert cd_matrix({"CD1_1": -2e-4, "CD2_2": 2e-4}) == (-2e-4, 0.0, 0.0, 2e-4)
    assert cd_matrix({"CDELT1": -2e-4, "CDELT2": 1e-4}) == (-2e-4, 0.0, 0.0, 1e-4)
    rotated = cd_matrix(
        {"CDELT1": -2.0, "CDELT2": 1.0, "PC1_1": 0.0, "PC1_2": 1.0, "PC2_1": -1.0, "PC2_2": 0.0}
    )
    assert rotated == (0.0, -2.0, -1.0, 0.0)
    assert cd_matrix({"NAXIS": 2}) is None


@pytest.mark.parametrize("header", [{"CD1_1": 0.0, "CD2_2": 1e-4}, {"CD1_1": "x", "CD2_2": 1e-4}])
def test_unusable_pixel_scale_is_refused(header: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"pixel scale|not a number"):
        cd_matrix(header)
