from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from tests.shared_data import shared
from xsaga.imaging.rgb import viewer_rgb, write_png


def test_colours_follow_the_formula_of_the_viewer() -> None:
    g, r, z = 0.02, 0.05, 0.09
    images = np.array([g, r, z], np.float32)[:, np.newaxis, np.newaxis] * np.ones((3, 2, 2))
    raised = np.array([2.2 * z, 3.4 * r, 6.0 * g]) + 0.03
    mean = raised.mean()
    expected = raised * np.arcsinh(20 * mean) / np.sqrt(20) / mean
    assert (expected > 0).all()
    assert (expected < 1).all()
    assert viewer_rgb(images)[0, 0] == pytest.approx(expected * 255, abs=0.51)


def test_extremes_are_clipped_and_sky_is_dark() -> None:
    images = np.zeros((4, 3, 1, 1), np.float32)
    images[1] = 1e6
    images[2] = -1e6
    images[3, 1] = 0.5  # bright in r only
    rgb = viewer_rgb(images)[:, 0, 0]
    assert rgb[0].tolist() == [rgb[0, 0]] * 3
    assert 0 < rgb[0, 0] < 40
    assert rgb[1].tolist() == [255, 255, 255]
    assert rgb[2].tolist() == [0, 0, 0]
    assert rgb[3].argmax() == 1


def test_north_is_at_the_top_and_east_stays_left() -> None:
    images = np.zeros((1, 3, 4, 6), np.float32)
    images[0, :, 0, 0] = 1  # south east
    rgb = viewer_rgb(images)
    assert rgb.shape == (1, 4, 6, 3)
    assert np.unravel_index(rgb[0, :, :, 0].argmax(), (4, 6)) == (3, 0)
    assert np.array_equal(viewer_rgb(images[0]), rgb[0])


def test_png_holds_the_picture(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "new" / "a.png", rgb)
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert np.array_equal(np.asarray(picture), rgb)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_real_galaxies_are_brighter_than_the_sky() -> None:
    image = fits.getdata(shared("realsky", "cutouts", "field-a.fits")).astype(np.float32)
    rgb = viewer_rgb(image)
    assert np.median(rgb) < 40
    assert rgb.max() == 255
    brightest = np.unravel_index(image[1].argmax(), image[1].shape)
    assert rgb[508 - brightest[0], brightest[1], 1] == 255
