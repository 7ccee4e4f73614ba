from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord, search_around_sky
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.sky_positions import angles, positions_around, positions_over_sky, unhurried
from xsaga.catalog import crossmatch
from xsaga.catalog.crossmatch import Matcher, nearest_within, pairs_between
from xsaga.catalog.matching import pairs_within
from xsaga.errors import CatalogError

ARCSEC = 1 / 3600
Floats = NDArray[np.float64]

CENTRES = [(0.0, 0.0), (-180.0, 20.0), (360.0, -45.0), (123.0, 90.0), (5.0, -90.0), (77.0, 89.9999)]


@st.composite
def neighbourhoods(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Positions within an arcsecond or two of places where coordinates are awkward, or NaN."""
    count = draw(st.integers(0, 12))
    steps = st.integers(-20, 20).map(lambda step: step * 0.1 * ARCSEC)
    ra, dec = np.empty(count), np.empty(count)
    for row in range(count):
        lon, lat = draw(st.sampled_from(CENTRES))
        lon, lat = lon + draw(steps), lat + draw(steps)
        if abs(lat) > 90:  # over the pole
            lon, lat = lon + 180, np.sign(lat) * 180 - lat
        ra[row] = draw(st.sampled_from([np.nan, lon, *([(lon + 180) % 360 - 180] * 3), lon % 360]))
        dec[row] = lat
    ra[(ra > 360) | (ra < -180)] %= 360
    return ra, dec


def separations(ra: Floats, dec: Floats, other_ra: Floats, other_dec: Floats) -> Floats:
    """All angles (arcsec), shape (N, M), by another formula; NaN where a position is NaN."""
    rows = [angles(other_ra, other_dec, (lon, lat)) for lon, lat in zip(ra, dec, strict=True)]
    return np.array(rows).reshape(len(ra), len(other_ra)) / ARCSEC


@given(neighbourhoods(), neighbourhoods(), st.sampled_from([0.05, 0.25, 1.05, 3.05]))
@settings(unhurried, max_examples=60)
def test_every_pair_and_the_nearest_are_those_of_all_angles(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], radius: float
) -> None:
    apart = separations(*first, *second)
    pairs = pairs_between(*first, *second, radius)
    at_edge = np.abs(apart - radius) < 1e-7  # there the two formulas may disagree
    is_pair = np.zeros(apart.shape, bool)
    is_pair[pairs[:, 0], pairs[:, 1]] = True
    assert (is_pair | at_edge).tolist() == ((apart <= radius) | at_edge).tolist()
    assert len(pairs) == is_pair.sum()
    assert pairs.tolist() == sorted(pairs.tolist())

    index, separation = nearest_within(*first, *second, radius)
    for row in range(len(apart)):
        among = np.flatnonzero(is_pair[row])
        if len(among) == 0:
            assert index[row] == -1
            assert np.isnan(separation[row])
            continue
        least = apart[row, among].min()
        assert index[row] in among
        assert separation[row] == pytest.approx(apart[row, index[row]], abs=1e-8)
        assert separation[row] == pytest.approx(least, abs=1e-8)
        assert index[row] <= among[apart[row, among] <= least + 1e-10].min()


@given(neighbourhoods(), neighbourhoods(), st.integers(1, 4))
@settings(unhurried, max_examples=60)
def test_neither_strips_nor_batches_change_the_result(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], rows: int
) -> None:
    whole = nearest_within(*first, *second, 1.0)
    pairs = pairs_between(*first, *second, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossmatch, "STRIP_ROWS", rows)
        in_strips = nearest_within(*first, *second, 1.0)
        assert pairs_between(*first, *second, 1.0).tolist() == pairs.tolist()
        matcher = Matcher(*second, 1.0)
        batched = matcher.nearest(*first)
    for other in (in_strips, batched):
        assert other[0].tolist() == whole[0].tolist()
        np.testing.assert_array_equal(other[1], whole[1])
    assert matcher.pairs(*first).tolist() == pairs.tolist()


@pytest.mark.parametrize("rows", [700, 500_000])
def test_the_same_pairs_as_astropy(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(crossmatch, "STRIP_ROWS", rows)
    places = [positions_around(0.0, dec, 0.1, 3000, seed=seed) for seed, dec in enumerate((0, 90))]
    places.append(positions_over_sky(2000, seed=3))
    ra, dec = (np.concatenate(each) for each in zip(*places, strict=True))
    places = [positions_around(0.0, dec, 0.1, 3000, seed=9 + i) for i, dec in enumerate((0, 90))]
    other_ra, other_dec = (np.concatenate(each) for each in zip(*places, strict=True))
    first, second = SkyCoord(ra, dec, unit="deg"), SkyCoord(other_ra, other_dec, unit="deg")

    i, j, *_ = search_around_sky(first, second, 5 * units.arcsec)
    wanted = sorted(zip(i.tolist(), j.tolist(), strict=True))
    assert len(wanted) > 1000
    pairs = pairs_between(np.where(ra > 180, ra - 360, ra), dec, other_ra, other_dec, 5.0)
    assert list(map(tuple, pairs.tolist())) == wanted

    j, separation, _ = first.match_to_catalog_sky(second)
    near = separation.arcsec <= 5
    index, apart = nearest_within(ra, dec, other_ra, other_dec, 5.0, workers=2)
    np.testing.assert_array_equal(index, np.where(near, j, -1))
    np.testing.assert_allclose(apart[near], separation.arcsec[near], atol=1e-8)
    assert np.isnan(apart[~near]).all()


def test_pairs_of_a_list_with_itself_are_those_within_it() -> None:
    ra, dec = positions_around(0.0, -89.99, 0.02, 500)
    both = pairs_between(ra, dec, ra, dec, 5.0)
    one_way = both[both[:, 0] < both[:, 1]]
    within = pairs_within(ra, dec, 5.0)
    assert one_way.tolist() == sorted(within.tolist())


def test_of_equally_near_ones_the_lowest_index_is_taken() -> None:
    # 2 and 4 are one position in two conventions; 1 and 3 are as far away on either side
    other_ra = [90.0, 0.1 * ARCSEC, 0.0, 360 - 0.1 * ARCSEC, 360.0]
    index, separation = nearest_within([0.0, -180.0], [0.0, 0.0], other_ra, np.zeros(5), 1.0)
    assert index.tolist() == [2, -1]
    assert separation[0] == 0
    index, _ = nearest_within([0.0], [0.0], other_ra[:2] + other_ra[3:4], np.zeros(3), 1.0)
    assert index.tolist() == [1]
    index, _ = nearest_within([0.0], [0.0], other_ra[3:2:-1] + other_ra[1:2], np.zeros(2), 1.0)
    assert index.tolist() == [0]


def test_a_position_that_stands_for_not_known_does_no_harm() -> None:
    ra, dec = positions_over_sky(1000)
    ra, dec = np.concatenate([ra, np.zeros(30_000)]), np.concatenate([dec, np.zeros(30_000)])
    index, separation = nearest_within(ra, dec, ra, dec, 1.0)
    assert index.tolist() == [*range(1000), *[1000] * 30_000]
    assert (separation == 0).all()
    with pytest.raises(CatalogError, match=r"about 9e\+08 pairs within 1 arcsec: give a smaller"):
        pairs_between(ra, dec, ra, dec, 1.0)


def test_at_a_pole_every_right_ascension_is_the_same_place() -> None:
    index, separation = nearest_within([200.0], [90.0], [10.0, 20.0], [90.0, 90.0], 0.5)
    assert index.tolist() == [0]
    assert separation[0] == pytest.approx(0, abs=1e-9)
    assert pairs_between([200.0], [-90.0], [10.0, 20.0], [-90.0, 90.0], 0.5).tolist() == [[0, 0]]


def test_what_is_not_on_the_sky_matches_nothing() -> None:
    bad_ra = np.array([np.nan, 10.0, 10.0, np.inf, 400.0])
    bad_dec = np.array([10.0, np.nan, 95.0, 10.0, 10.0])
    everywhere = 180 * 3600.0
    assert (nearest_within(bad_ra, bad_dec, [10.0], [10.0], everywhere)[0] == -1).all()
    assert nearest_within([10.0], [10.0], bad_ra, bad_dec, everywhere)[0].tolist() == [-1]
    assert len(pairs_between(bad_ra, bad_dec, bad_ra, bad_dec, everywhere)) == 0


def test_empty_lists_and_a_radius_of_nothing() -> None:
    nothing: list[float] = []
    assert nearest_within(nothing, nothing, [1.0], [1.0], 1.0)[0].tolist() == []
    assert nearest_within([1.0], [1.0], nothing, nothing, 1.0)[0].tolist() == [-1]
    assert pairs_between([1.0], [1.0], nothing, nothing, 1.0).shape == (0, 2)
    assert Matcher(nothing, nothing, 1.0).pairs([1.0], [1.0]).shape == (0, 2)
    index, separation = nearest_within([1.0, 1.0], [1.0, 1.1], [1.0], [1.0], 0.0)
    assert index.tolist() == [0, -1]
    assert separation[0] == 0


def test_the_whole_sky_is_within_a_radius_of_180_degrees() -> None:
    ra, dec = positions_over_sky(40)
    assert len(pairs_between(ra, dec, ra, dec, 180 * 3600.0)) == 1600


@pytest.mark.parametrize("radius", [-1.0, float("nan"), float("inf")])
def test_radius_that_is_none(radius: float) -> None:
    with pytest.raises(CatalogError, match="is out of range: give arcseconds"):
        nearest_within([1.0], [1.0], [1.0], [1.0], radius)
