"""No patch of sky is on both sides of a split into folds."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.sky_positions import positions_around, positions_over_sky
from xsaga.catalog.label_groups import FIELD_RADIUS_DEG, LabelGroups, label_groups
from xsaga.model.folds import assign_folds
from xsaga.sky.positions import unit_vectors

ARCSEC = 1 / 3600


def groups_of(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    host: NDArray[np.str_] | None = None,
    order: int = 6,
    **more: object,
) -> LabelGroups:
    return label_groups(
        ra, dec, np.full(len(ra), "") if host is None else host, order=order, **more
    )  # type: ignore[arg-type]


def close_pairs(
    ra: NDArray[np.float64], dec: NDArray[np.float64], arcsec: float
) -> NDArray[np.int64]:
    """Indices of all pairs that are so near, by comparing all with all."""
    vectors = unit_vectors(ra, dec)
    sines = np.linalg.norm(np.cross(vectors[:, None], vectors[None]), axis=-1)
    angles = np.degrees(np.arctan2(sines, vectors @ vectors.T)) * 3600
    return np.argwhere(np.triu(angles <= arcsec * (1 - 1e-6), 1))


@st.composite
def skies(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Positions on both sides of corners of HEALPix pixels, and anywhere."""
    order = draw(st.integers(3, 9))
    seed = draw(st.integers(0, 2**31))
    pixels = st.integers(0, 12 * 4**order - 1) | st.sampled_from([0, 4**order, 12 * 4**order - 1])
    parts = [positions_over_sky(12, seed)]
    for pixel in draw(st.lists(pixels, min_size=1, max_size=3)):
        corners = healpy.boundaries(2**order, pixel, nest=True)
        corner = corners[:, draw(st.integers(0, 3))]
        ra, dec = healpy.vec2ang(corner, lonlat=True)
        radius = draw(st.sampled_from([5.0, 40.0, 300.0])) * ARCSEC
        count = draw(st.integers(2, 60))
        parts.append(positions_around(float(ra[0]), float(dec[0]), radius, count, seed))
    return (*map(np.concatenate, zip(*parts, strict=True)), order)  # type: ignore[return-value]


@given(skies(), st.integers(0, 1000), st.integers(2, 5), st.sampled_from([0.0, 0.3, 1.0]))
def test_no_patch_of_sky_is_in_two_folds(
    sky: tuple[NDArray[np.float64], NDArray[np.float64], int],
    seed: int,
    folds: int,
    share_with_host: float,
) -> None:
    ra, dec, order = sky
    random = np.random.default_rng(seed)
    names = np.array([f"pgc{i}" for i in range(8)])
    host = np.where(
        random.uniform(size=len(ra)) < share_with_host, random.choice(names, len(ra)), ""
    )
    favoured = random.uniform(size=len(ra)) < 0.1
    found = groups_of(ra, dec, host, order, favoured=favoured)
    kept = ~found.crowded
    assert not found.crowded[host != ""].any()
    ra, dec, host, group = ra[kept], dec[kept], host[kept], found.group[kept]
    count = len(np.unique(group))
    fold = assign_folds(len(ra), group, min(folds, count), seed)
    pairs = close_pairs(ra, dec, 60.0)
    assert (fold[pairs[:, 0]] == fold[pairs[:, 1]]).all()
    for name in names:
        assert len(set(fold[host == name])) <= 1


@given(skies(), st.integers(0, 1000))
def test_groups_do_not_depend_on_the_order_of_labels(
    sky: tuple[NDArray[np.float64], NDArray[np.float64], int], seed: int
) -> None:
    ra, dec, order = sky
    random = np.random.default_rng(seed)
    host = random.choice(np.array(["", "", "pgc1", "nsa2"]), len(ra))
    shuffled = random.permutation(len(ra))
    one = groups_of(ra, dec, host, order)
    other = groups_of(ra[shuffled], dec[shuffled], host[shuffled], order)
    np.testing.assert_array_equal(one.group[shuffled], other.group)
    np.testing.assert_array_equal(one.crowded[shuffled], other.crowded)


def test_without_hosts_the_group_is_the_pixel() -> None:
    ra, dec = positions_over_sky(500)
    found = groups_of(ra, dec, order=5)
    np.testing.assert_array_equal(found.group, healpy.ang2pix(32, ra, dec, nest=True, lonlat=True))


def test_other_catalogs_join_the_field_of_a_host() -> None:
    ra, dec = positions_around(50.0, 10.0, 0.4, 200)
    other_ra, other_dec = positions_around(50.0, 10.0, 3.0, 500, seed=2)
    host = np.where(np.arange(700) < 200, "pgc7", "")
    found = groups_of(
        np.append(ra, other_ra), np.append(dec, other_dec), host, order=6, separation_arcsec=0
    )
    field = found.group[0]
    assert field >= 12 * 4**6
    assert (found.group[:200] == field).all()
    vectors = unit_vectors(other_ra, other_dec)
    nearest = np.degrees(np.arccos((vectors @ unit_vectors(ra, dec).T).max(axis=1)))
    np.testing.assert_array_equal(found.group[200:] == field, nearest <= FIELD_RADIUS_DEG)


def test_fields_that_touch_are_one() -> None:
    ra = np.array([10.0, 10.0, 10.0, 50.0])
    dec = np.array([0.0, 0.5, 0.5 + 30 * ARCSEC, 0.0])
    host = np.array(["pgc1", "pgc1", "pgc2", "pgc3"])
    found = groups_of(ra, dec, host)
    assert found.group[0] == found.group[1] == found.group[2] != found.group[3]
    assert not found.crowded.any()


@pytest.mark.parametrize("favoured", [[True, False], [False, True]])
def test_of_two_labels_across_an_edge_the_favoured_one_stays(favoured: list[bool]) -> None:
    dec = np.array([-10.0, 10.0]) * ARCSEC  # RA 0 on the equator is a corner of pixels
    found = groups_of(np.zeros(2), dec, favoured=favoured)
    assert found.group[0] != found.group[1]
    assert found.crowded.tolist() == [not keep for keep in favoured]
    assert not groups_of(np.zeros(2), dec, separation_arcsec=0).crowded.any()


def test_a_label_with_a_host_stays_whatever_is_beside_its_field() -> None:
    # the third label is more than a degree from the first, its host; not from the second's field
    ra, dec = np.zeros(3), np.array([0.0, 0.999, 0.999 + 50 * ARCSEC])
    host = np.array(["pgc1", "", ""])
    found = groups_of(ra, dec, host, order=12, favoured=[False, False, True])
    assert found.group[0] == found.group[1] != found.group[2]
    assert found.crowded.tolist() == [False, True, False]


def test_a_covered_sky_loses_only_its_seams() -> None:
    ra, dec = positions_around(180.0, 20.0, 2.0, 20_000)
    found = groups_of(ra, dec, order=6)
    # a seam of 30" on each side of pixels of 55': 4 × 0.5 / 55
    assert 0.005 < found.crowded.mean() < 0.04
    assert len(np.unique(found.group)) > 10


def test_nothing_to_group() -> None:
    found = groups_of(np.empty(0), np.empty(0))
    assert len(found.group) == len(found.crowded) == 0
