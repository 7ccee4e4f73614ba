from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.drawn_galaxies import SMOOTH
from tests.measured_galaxies import CONDITIONS, Field, observed_field
from xsaga.simulation.measuring.detection import NOISE_BLOCK, detect, detection_stack, sky_invvar
from xsaga.simulation.measuring.measurement import measure


@pytest.fixture(scope="module")
def field() -> Field:
    rng = np.random.default_rng(8)
    r = np.repeat([18.0, 22.0, 23.0, 25.5], 36)
    objects = pd.DataFrame([SMOOTH] * r.size).assign(
        mag_g=r + 0.6, mag_r=r, mag_z=r - 0.4, radius=0.6, ebv=0.0
    )
    return observed_field(objects, rng)


def test_what_is_bright_enough_is_found_and_nothing_else(field: Field) -> None:
    r = field.objects["mag_r"].to_numpy()
    found = np.isin(np.arange(r.size), field.row)
    assert found[r == 18].all()
    assert found[r == 22].all()
    assert found[r == 23].mean() > 0.9
    assert found[r == 25.5].mean() < 0.1
    assert len(field.detections) == found.sum()


def test_segments_tell_whose_a_pixel_is(field: Field) -> None:
    rows = np.rint(field.y[field.row]).astype(int)
    columns = np.rint(field.x[field.row]).astype(int)
    np.testing.assert_array_equal(field.detections.segments[rows, columns], field.found + 1)


def test_the_stack_is_in_units_of_its_noise(field: Field) -> None:
    stack = detection_stack(field.coadd, CONDITIONS)
    sky = stack[field.detections.segments == 0]
    low, high = np.percentile(sky, [15.87, 84.13])
    assert (high - low) / 2 == pytest.approx(1, rel=0.03)


def test_missing_bands_are_left_out_of_the_stack(field: Field) -> None:
    image, invvar = field.coadd.image.copy(), field.coadd.invvar.copy()
    image[:2, :600], invvar[:2, :600] = 0, 0
    image[:, 900:], invvar[:, 900:] = 0, 0
    coadd = replace(field.coadd, image=image, invvar=invvar)
    stack = detection_stack(coadd, CONDITIONS)
    low, high = np.percentile(stack[:600], [15.87, 84.13])
    assert (high - low) / 2 == pytest.approx(1, rel=0.05)
    assert not stack[900:].any()
    assert detect(coadd, CONDITIONS).y.max() < 905


def test_sky_noise_is_measured_block_by_block() -> None:
    invvar = np.ones((3, 3 * NOISE_BLOCK, 3 * NOISE_BLOCK), dtype=np.float32)
    invvar[:, :NOISE_BLOCK] = 4
    invvar[1, -NOISE_BLOCK:] = 0
    invvar[:, NOISE_BLOCK + 20 : NOISE_BLOCK + 40, 20:40] = 0.01  # a bright source
    blocks = sky_invvar(invvar)
    assert blocks.shape == (3, 3, 3)
    np.testing.assert_array_equal(blocks[0], [[4] * 3, [1] * 3, [1] * 3])
    np.testing.assert_array_equal(blocks[1], [[4] * 3, [1] * 3, [0] * 3])


def test_knots_of_a_large_galaxy_become_shreds_and_a_smooth_one_stays_whole() -> None:
    large = {**SMOOTH, "mag_g": 14.4, "mag_r": 14.0, "mag_z": 13.8, "radius": 14.0, "ba": 0.9}
    knotty = {**large, "knots": 40, "knots_light": 0.2, "knot_size": 0.3, "structure_seed": 3}
    for galaxy, least, most in ((large, 1, 3), (knotty, 6, 200)):
        rng = np.random.default_rng(9)
        # one galaxy in the middle of a field of nine
        faint = {**SMOOTH, "mag_g": 30.0, "mag_r": 30.0, "mag_z": 30.0}
        objects = pd.DataFrame([galaxy if i == 12 else faint for i in range(25)])
        pieces = observed_field(objects.assign(ebv=0.0), rng)
        assert least <= len(pieces.detections) <= most
        if galaxy is large:
            main = pieces.measured.flux[:, 1].max()
            assert main == pytest.approx(pieces.fluxes[12, 1], rel=0.1)


def test_an_image_without_sources_gives_none() -> None:
    rng = np.random.default_rng(10)
    dark = pd.DataFrame([{**SMOOTH, "mag_g": 40.0, "mag_r": 40.0, "mag_z": 40.0}])
    assert len(observed_field(dark.assign(ebv=0.0), rng).detections) == 0


def test_a_saturated_star_does_not_spoil_the_fit_of_a_galaxy_near_it() -> None:
    star = {**SMOOTH, "kind": "star", "mag_g": 12.4, "mag_r": 12.0, "mag_z": 11.8, "radius": 0.0}
    galaxy = {**SMOOTH, "mag_g": 17.9, "mag_r": 17.5, "mag_z": 17.3, "radius": 9.5}
    faint = {**SMOOTH, "mag_g": 30.0, "mag_r": 30.0, "mag_z": 30.0}
    rows = [{12: galaxy, 13: star}.get(i, faint) for i in range(25)]
    field = observed_field(pd.DataFrame(rows).assign(ebv=0.0), np.random.default_rng(12))
    y, x = np.ogrid[: field.coadd.image.shape[1], : field.coadd.image.shape[2]]
    core = np.hypot(x - field.x[13], y - field.y[13]) < 14
    field.coadd.image[:, core] = 3.0  # far less than what the pixels lost
    field.coadd.invvar[:, core] = 0
    detections = detect(field.coadd, CONDITIONS)
    point = np.hypot(detections.x - field.x[13], detections.y - field.y[13]) < 5
    measured = measure(field.coadd, CONDITIONS, detections, point, point)
    distance = np.hypot(measured.x - field.x[12], measured.y - field.y[12])
    source = int(np.argmin(distance))
    assert distance[source] < 4
    np.testing.assert_allclose(measured.flux[source], field.fluxes[12], rtol=0.15)
