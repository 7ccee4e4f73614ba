from __future__ import annotations

import numpy as np
import pytest

from tests.sky_positions import positions_around, positions_over_sky
from xsaga.sky.ellipses import Ellipses
from xsaga.sky.footprint import Footprint, make_footprint
from xsaga.sky.shapes import Circle
from xsaga.sky.tiles import tile_pixels
from xsaga.sky.usable_area import (
    Coverage,
    UsableArea,
    source_counts,
    summed_counts,
    usable_area,
)

CIRCLE = np.pi * 2.0**2
"""Square degrees of a circle of 2 degrees, flat."""


def covered_by(ra: np.ndarray, dec: np.ndarray) -> Coverage:
    return Coverage.of_sources(*source_counts(ra, dec))


def around(radius: float, number: int) -> Coverage:
    return covered_by(*positions_around(359.9, 10.0, radius, number))


def area_of(
    coverage: Coverage, footprint: Footprint | None = None, masks: tuple[Circle, ...] = ()
) -> UsableArea:
    return usable_area(footprint or make_footprint(circle=["359.9,10,2"]), coverage, masks, 5)


def test_a_footprint_full_of_sources_has_its_own_area() -> None:
    found = area_of(around(3, 400_000))
    assert found.area_deg2 == pytest.approx(CIRCLE, rel=2e-3)
    assert found.covered_deg2 == found.area_deg2
    assert found.footprint_deg2 == pytest.approx(CIRCLE, rel=2e-3)
    pixels, areas = found.by_pixel(5)
    assert areas.sum() == pytest.approx(found.area_deg2)
    assert set(pixels) <= set(tile_pixels(*positions_around(359.9, 10.0, 2.2, 5000), 5))
    assert found.moc().sky_fraction * 41252.96 == pytest.approx(found.area_deg2, rel=1e-4)


def test_only_where_the_catalog_has_sources_counts() -> None:
    found = area_of(around(1, 100_000))
    assert found.area_deg2 == pytest.approx(np.pi, rel=0.05)  # coverage is told to 1.7 arcmin
    assert found.footprint_deg2 == pytest.approx(CIRCLE, rel=2e-3)


def test_masks_are_taken_off_once_where_they_overlap() -> None:
    hole = Circle(359.9, 10.0, 1.0)
    found = area_of(around(3, 400_000), masks=(hole, hole))
    assert found.area_deg2 == pytest.approx(CIRCLE - np.pi, rel=3e-3)
    assert found.covered_deg2 == pytest.approx(CIRCLE, rel=2e-3)


def test_many_small_masks_count_right_on_average() -> None:
    ra, dec = positions_around(359.9, 10.0, 2.0, 300, seed=4)
    stars = Ellipses.circles(ra, dec, np.full(300, 1 / 60))
    footprint = make_footprint(circle=["359.9,10,2"])
    found = usable_area(footprint, around(3, 400_000), [stars], 5)
    x, y = positions_around(359.9, 10.0, 2.0, 100_000, seed=5)
    assert found.area_deg2 / CIRCLE == pytest.approx(1 - stars.contains(x, y).mean(), abs=3e-3)


def test_the_catalogs_own_coverage_is_a_footprint_too() -> None:
    found = area_of(around(1, 100_000), make_footprint())
    assert found.area_deg2 == pytest.approx(np.pi, rel=0.08)
    assert found.footprint_deg2 is None


def test_counts_of_parts_are_those_of_the_whole() -> None:
    ra, dec = positions_around(359.9, 10.0, 3.0, 1000)
    whole = source_counts(ra, dec)
    parts = summed_counts([source_counts(ra[:300], dec[:300]), source_counts(ra[300:], dec[300:])])
    for of_parts, of_whole in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(of_parts, of_whole)
    assert [len(each) for each in summed_counts([])] == [0, 0]


def test_coverage_is_told_as_finely_as_the_sources_allow() -> None:
    assert around(2, 400_000).order == 11
    sparse = covered_by(*positions_over_sky(100_000))
    assert sparse.order < 8
    assert len(sparse.pixels) == 12 * 4**sparse.order  # no hole by chance
    assert len(covered_by(np.empty(0), np.empty(0)).pixels) == 0


def test_no_source_in_the_footprint_leaves_no_area() -> None:
    elsewhere = covered_by(*positions_around(100.0, -50.0, 1, 50_000))
    assert area_of(elsewhere).area_deg2 == 0
    assert area_of(covered_by(np.empty(0), np.empty(0))).area_deg2 == 0
