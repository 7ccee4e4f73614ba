from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord

from xsaga.simulation.bricks import nearest_bricks
from xsaga.simulation.dust import reddening
from xsaga.simulation.galactic import galactic_coordinates, region_of
from xsaga.simulation.population.stars import BRIGHTEST, FAINTEST, draw_stars, star_counts
from xsaga.simulation.sky_model import SkyModel

BRICK = nearest_bricks(185.0, 10.0, 1)[0]

WHOLE_SKY = {9.0: 3.38, 10.0: 9.28, 11.0: 25.4, 12.0: 71.7}
"""Stars per deg² of the whole sky brighter than V in Tycho-2 and UCAC4 (hnsky.org/star_count)."""


def counts_at(longitude: float, latitude: float, magnitude: float) -> float:
    place = SkyCoord(longitude, latitude, unit="deg", frame="galactic").icrs
    return float(np.interp(magnitude, *star_counts(place.ra.deg, place.dec.deg)))


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    return draw_stars(BRICK, SkyModel(3, density=40.0), np.random.default_rng(1))


def test_the_whole_sky_holds_as_many_bright_stars_as_the_catalogs() -> None:
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    counts = [star_counts(*place) for place in zip(ra, dec, strict=True)]
    for magnitude, real in WHOLE_SKY.items():
        mean = np.mean([np.interp(magnitude, *count) for count in counts])
        assert mean == pytest.approx(real, rel=0.3)


def test_faint_stars_at_high_latitude_are_between_published_counts() -> None:
    # Besançon at b = 60° (Robin et al. 2003) is the lower bound; SDSS has 48 million stars to
    # r = 21.5 in 6,500 deg² of |b| > 25° (Jurić et al. 2008), more than at b = 60° and beyond
    assert 200 < counts_at(90, 60, 16) < 450
    assert 1200 < counts_at(90, 60, 20) < 3500
    assert 2000 < counts_at(90, 60, 21.5) < 48e6 / 6500


def test_stars_crowd_towards_the_plane_and_the_centre() -> None:
    counts = [counts_at(120, b, 20) for b in (90, 60, 40, 25)]
    assert np.all(np.diff(counts) > 0)
    assert counts[3] > 3 * counts[0]
    assert counts_at(30, 40, 20) > 1.3 * counts_at(180, 40, 20)
    assert counts_at(90, 50, 18) == pytest.approx(counts_at(90, -50, 18), rel=0.2)


def test_drawn_stars_follow_the_counts(points: pd.DataFrame) -> None:
    stars = points[points["kind"] == "star"]
    area = BRICK.area_deg2 * 40
    for magnitude in (17.0, 20.0, 23.0):
        expected = float(np.interp(magnitude, *star_counts(BRICK.ra, BRICK.dec))) * area
        assert (stars["mag_r"] < magnitude).sum() == pytest.approx(expected, rel=0.08)
    assert stars["mag_r"].between(BRIGHTEST - 0.5, FAINTEST + 0.5).all()


def test_colours_lie_on_the_locus(points: pd.DataFrame) -> None:
    stars = points[(points["kind"] == "star") & points["mag_r"].between(17, 21)]
    gr, rz = stars["mag_g"] - stars["mag_r"], stars["mag_r"] - stars["mag_z"]
    # Covey et al. 2007: r−z ≈ 0.25 at g−r = 0.55; M dwarfs pile up at g−r = 1.4, r−z above 1
    sunlike = gr.between(0.5, 0.6)
    assert rz[sunlike].median() == pytest.approx(0.25, abs=0.06)
    red = rz > 1.3
    assert 0.1 < red.mean() < 0.6
    assert gr[red].median() == pytest.approx(1.42, abs=0.05)
    assert gr[red].std() < 0.1
    # the turnoff: faint halo stars are bluer than bright ones of the disc
    assert np.percentile(gr, 2) > 0.0
    faint, bright = (
        gr[stars["mag_r"].between(*limits) & (gr < 1)].median() for limits in ((20, 21), (17, 18))
    )
    assert faint < bright


def test_quasars_are_as_many_and_as_blue_as_counted(points: pd.DataFrame) -> None:
    quasars = points[points["kind"] == "quasar"]
    bright = quasars[quasars["mag_r"] < 21]
    assert len(bright) / (BRICK.area_deg2 * 40) == pytest.approx(47, rel=0.25)
    assert (quasars["mag_g"] - quasars["mag_r"]).median() == pytest.approx(0.15, abs=0.1)
    assert quasars["z"].between(0.3, 4.0).all()
    assert (points.loc[points["kind"] == "star", "z"] == 0).all()
    assert not points["is_lowz"].any()


def test_the_same_generator_gives_the_same_stars() -> None:
    draws = [draw_stars(BRICK, SkyModel(3), SkyModel(3).generator(BRICK, 0)) for _ in range(2)]
    pd.testing.assert_frame_equal(*draws)
    other = draw_stars(BRICK, SkyModel(4), SkyModel(4).generator(BRICK, 0))
    assert not np.isin(other["mag_r"], draws[0]["mag_r"]).any()


def test_dust_follows_latitude_with_clouds() -> None:
    pole, low = [], []
    for seed in range(60):
        pole.append(reddening(nearest_bricks(192.0, 27.0, 1)[0], SkyModel(seed)))
        low.append(reddening(nearest_bricks(120.0, 20.0, 1)[0], SkyModel(seed)))
    _, latitude = galactic_coordinates(np.array([120.0]), np.array([20.0]))
    ratio = 1 / np.sin(np.radians(latitude[0]))
    assert np.mean(pole) == pytest.approx(0.015, rel=0.15)
    assert np.mean(low) / np.mean(pole) == pytest.approx(ratio, rel=0.25)
    assert 0.2 < np.std(np.log(pole)) < 0.5


def test_dust_hardly_changes_from_brick_to_brick() -> None:
    near = [reddening(brick, SkyModel(2)) for brick in nearest_bricks(150.0, 2.0, 9)]
    far = [reddening(nearest_bricks(ra, 2.0, 1)[0], SkyModel(2)) for ra in range(120, 240, 12)]
    assert len(set(near)) == 9
    assert np.std(np.log(near)) < 0.8 * np.std(np.log(far))


@pytest.mark.parametrize(
    ("ra", "dec", "region"),
    [(180, 32.3, "south"), (180, 32.5, "north"), (10, 40, "south"), (180, 80.5, "north")],
)
def test_the_north_begins_above_32_degrees_north_of_the_plane(
    ra: float, dec: float, region: str
) -> None:
    assert region_of(ra, dec) == region
