from __future__ import annotations

from typing import Any

import galsim
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_galaxies import galaxy_rows
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.drawing.components import (
    BAND_RADII,
    Galaxy,
    band_shares,
    galaxies_of,
    spots_transform,
)
from xsaga.simulation.drawing.stamps import StampPainter, galaxy_transform
from xsaga.simulation.psf import psf_core

CONDITIONS = Conditions(fwhm=(1.4, 1.25, 1.15), depth=(24.7, 23.9, 23.0), shear=((0.02, 0.01),) * 3)
SCALE = 0.262
FLUXES = np.array([30.0, 50.0, 80.0])
SPIRAL = {
    "radius": 6.0, "ba": 0.9, "bulge": 0.12, "bulge_radius": 1.2, "n_arms": 2, "arms": 0.8,
    "logmstar": 10.5,
}  # fmt: skip
CLUMPY = {"radius": 4.0, "knots": 25, "knots_light": 0.3, "lopsided": 0.4}
MERGER = {"radius": 3.0, "merger": 0.9}
EDGE_ON = {**SPIRAL, "ba": 0.15, "n_arms": 0, "arms": 0.0}
EVERYTHING = {**SPIRAL, **CLUMPY, "bar": 0.1, "bar_radius": 2.0, "nucleus": 0.02, "merger": 0.5}


def galaxy(dx: float = 0.0, dy: float = 0.0, **row: Any) -> Galaxy:
    rows = galaxy_rows(row)
    return next(galaxies_of(rows, band_shares(rows), np.array([dx]), np.array([dy])))


def painted(side: int = 256, fluxes: np.ndarray = FLUXES, **row: Any) -> np.ndarray:
    return StampPainter(CONDITIONS).paint(galaxy(**row), fluxes, side)


def drawn_by_galsim(profile: Any, band: int, side: int, dx: float, dy: float) -> np.ndarray:
    middle = side // 2 + 1
    # the PSF's wings are a thousandth of the light within reach, and too wide for GalSim's grids
    image = galsim.Convolve(profile, psf_core(CONDITIONS, band)).drawImage(
        galsim.ImageD(side, side, scale=SCALE),
        center=galsim.PositionD(middle + dx, middle + dy),
        method="no_pixel",
    )
    return np.asarray(image.array)


@pytest.mark.parametrize("sersic", [0.75, 1.0, 2.5, 4.0])
def test_a_smooth_galaxy_is_what_galsim_draws(sersic: float) -> None:
    row = {"radius": 1.1, "ba": 0.5, "pa": 20.0, "sersic": sersic, "quiescent": True}
    stamps = painted(128, dx=0.3, dy=-0.4, **row)
    turn = 110.0 * galsim.degrees  # from west, as position angles are from north to east
    plain = StampPainter(CONDITIONS).paint_plain(
        np.array([[1.1, 0.5, np.radians(110.0), sersic]]),
        FLUXES[np.newaxis],
        np.array([[0.3, -0.4]]),
        128,
    )[0]
    for band, wider in enumerate(BAND_RADII):
        # a colour gradient in the galaxy that is drawn with all its parts only
        for stamp, radius in ((stamps[band], 1.1 * wider), (plain[band], 1.1)):
            smooth = galsim.Sersic(n=sersic, half_light_radius=radius, flux=FLUXES[band])
            profile = smooth.transform(1, 0, 0, 0.5) / 0.5
            expected = drawn_by_galsim(profile.rotate(turn), band, 128, 0.3, -0.4)
            # light beyond the stamp comes back at its other side
            np.testing.assert_allclose(stamp, expected, atol=0.004 * stamp.max())


def test_spots_are_gaussians_in_their_places() -> None:
    x, y = np.array([1.0, -3.0, 0.0]), np.array([2.0, 0.5, -4.0])
    size, light = np.array([0.3, 0.6, 0.9]), np.array([[0.2, 0.3, 0.5]])
    transform = spots_transform(x, y, size, light, 64)[0]
    for kx, ky in ((0, 0), (3, 5), (10, -7)):
        k = 2 * np.pi * np.array([kx, ky]) / (64 * SCALE)
        expected = sum(
            galsim.Gaussian(sigma=s, flux=f).shift(a, b).kValue(*k)
            for a, b, s, f in zip(x, y, size, light[0], strict=True)
        )
        assert transform[ky, kx] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("row", [{}, SPIRAL, CLUMPY, MERGER, EDGE_ON, EVERYTHING])
def test_light_is_conserved_in_every_band(row: dict[str, Any]) -> None:
    stamps = painted(**row)
    np.testing.assert_allclose(stamps.sum(axis=(1, 2)), FLUXES, rtol=1e-4)
    assert stamps.min() > -2e-3 * stamps.max()


@given(
    bulge=st.floats(0, 0.9),
    knots=st.floats(0, 0.5),
    nucleus=st.floats(0, 0.1),
    colour=st.floats(-0.5, 2.5),
    bulge_gr=st.floats(-0.5, 2.5),
    knots_gr=st.floats(-1.0, 2.5),
)
def test_shares_are_never_negative_and_hold_all_light(
    bulge: float, knots: float, nucleus: float, colour: float, bulge_gr: float, knots_gr: float
) -> None:
    knots = min(knots, 1 - bulge)
    nucleus = min(nucleus, 1 - bulge - knots)
    row = {"bulge": bulge, "knots_light": knots, "nucleus": nucleus, "mag_g": 18 + colour}
    row |= {"bulge_gr": bulge_gr, "bulge_rz": bulge_gr / 2, "knots_gr": knots_gr}
    shares = band_shares(galaxy_rows(row))
    assert shares.min() >= -1e-12
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    # in r the shares are what the truth table says
    np.testing.assert_allclose(shares[0, 1:, 1], [bulge, 0, nucleus, knots], atol=1e-6)


def test_parts_have_the_colours_of_the_truth_table() -> None:
    rows = galaxy_rows({"bulge": 0.2, "knots_light": 0.1, "bulge_gr": 0.8, "knots_gr": 0.1})
    shares = band_shares(rows)[0]
    whole = 0.5  # g-r of the row
    for part, expected in ((1, 0.8), (4, 0.1)):
        colour = whole - 2.5 * np.log10(shares[part, 0] / shares[part, 1])
        assert colour == pytest.approx(expected)
    disc = whole - 2.5 * np.log10(shares[0, 0] / shares[0, 1])
    assert 0.4 < disc < 0.5


def rings(stamp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radius in arcsec and azimuth of the pixels of a stamp."""
    rows, columns = np.indices(stamp.shape) - stamp.shape[0] // 2
    return np.hypot(rows, columns) * SCALE, np.arctan2(rows, columns)


def test_arms_are_as_many_as_asked_and_bluer_than_the_disc() -> None:
    for n_arms in (2, 3):
        row = {**SPIRAL, "n_arms": n_arms, "ba": 1.0, "logmstar": 9.0}
        stamps = painted(**row)
        radius, azimuth = rings(stamps[1])
        # modes of the light in rings, each ring weighed alike
        power = np.zeros(7)
        for inner in np.arange(4.0, 9.0, 0.5):
            ring = (radius > inner) & (radius < inner + 0.5)
            light = stamps[1][ring] / stamps[1][ring].mean()
            modes = [abs(np.mean(light * np.exp(1j * m * azimuth[ring]))) for m in range(7)]
            power += np.square(modes)
        assert np.argmax(power[1:]) + 1 == n_arms
        ring = (radius > 4) & (radius < 9)
        added = stamps / painted(**{**row, "arms": 0.0})
        assert np.corrcoef(added[1][ring], (added[0] / added[2])[ring])[0, 1] > 0.6


def test_bars_are_longer_than_wide_and_the_nucleus_is_a_point() -> None:
    base = {"radius": 8.0, "ba": 1.0, "quiescent": True}
    smooth = painted(**base)[1]
    bar = painted(**{**base, "bar": 0.3, "bar_radius": 5.0})[1] - 0.7 * smooth
    radius, _ = rings(bar)
    rows, columns = (np.indices(bar.shape) - 128) * SCALE
    weight = bar * (radius < 9)
    xx, yy, xy = ((weight * a).sum() for a in (columns**2, rows**2, rows * columns))
    longer, shorter = np.sqrt(np.linalg.eigvalsh([[xx, xy], [xy, yy]])[::-1] / weight.sum())
    assert longer / shorter > 1.8
    nucleus = painted(**{**base, "nucleus": 0.05})[1] - 0.95 * smooth
    point = galsim.Gaussian(sigma=0.02, flux=0.05 * FLUXES[1])
    psf = drawn_by_galsim(point, 1, 256, 0, 0)
    np.testing.assert_allclose(nucleus, psf, atol=0.01 * psf.max())


def test_knots_are_blue_and_their_size_is_their_own() -> None:
    smooth = {"radius": 4.0, "quiescent": True}
    spread = []
    for size in (0.03, 0.08, 2.0):
        knots = {"knots": 1, "knots_light": 0.2, "knot_size": size}
        difference = painted(**smooth, **knots) - 0.8 * painted(**smooth)
        peak = difference[1].max() / difference[1].clip(0).sum()
        spread.append(1 / np.sqrt(peak))
    # what is smaller than the PSF looks much alike, what is larger does not
    assert spread[1] == pytest.approx(spread[0], rel=0.1)
    assert spread[2] > 1.5 * spread[0]
    painter = StampPainter(Conditions(fwhm=(1.2,) * 3, depth=CONDITIONS.depth))
    clumpy, bare = (
        painter.paint(galaxy(**{**CLUMPY, "knots_light": light}), FLUXES, 256)
        for light in (0.3, 0.0)
    )
    excess = clumpy - 0.7 * bare
    brightest = np.unravel_index(excess[1].argmax(), excess[1].shape)
    blue = (clumpy[0] / clumpy[2])[brightest] / (bare[0] / bare[2])[brightest]
    assert blue > 1.1


def test_lopsided_light_has_its_centroid_off_the_centre() -> None:
    offsets = []
    for lopsided in (0.0, 0.6):
        stamp = painted(radius=4.0, ba=1.0, lopsided=lopsided)[1]
        rows, columns = (np.indices(stamp.shape) - 128) * SCALE
        offsets.append(np.hypot((stamp * rows).sum(), (stamp * columns).sum()) / stamp.sum())
    assert offsets[0] < 0.4
    assert offsets[1] > offsets[0] + 0.3


def test_dust_lanes_redden_one_side_of_inclined_discs() -> None:
    row = {**EDGE_ON, "pa": 90.0, "radius": 8.0, "bulge_radius": 1.5, "bulge": 0.2}
    dusty = painted(**row)
    clear = painted(**{**row, "logmstar": 9.0})
    reddening = (dusty[2] / dusty[0]) / (clear[2] / clear[0])
    middle = reddening[118:139, 108:149].mean(axis=1)
    assert middle.max() > 1.1
    assert middle.max() > 1.05 * middle[[0, -1]].max()


def test_mergers_have_a_second_nucleus_and_light_far_out() -> None:
    alone, together = (painted(**{**MERGER, "merger": merger})[1] for merger in (0.0, 0.9))
    radius, _ = rings(alone)
    far = (radius > 1.2 * 3.0) & (radius < 4 * 3.0)
    assert (together / alone)[far].max() > 2
    difference = together - alone
    assert difference.max() > 0.05 * alone.max()
    assert radius.flat[difference.argmax()] > 1.0
    shells = painted(**{**MERGER, "quiescent": True})[1]
    smooth = painted(radius=3.0, quiescent=True)[1]
    assert (shells / smooth)[far].max() > 1.1


def test_structure_follows_from_its_seed_alone() -> None:
    first, again = (galaxy_transform(galaxy(**EVERYTHING), 128) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = galaxy_transform(galaxy(**{**EVERYTHING, "structure_seed": 8}), 128)
    assert np.abs(other - first).max() > 0.02
