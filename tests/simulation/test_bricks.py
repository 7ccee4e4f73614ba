from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared_data import shared
from xsaga.simulation.bricks import Brick, brick_at, bricks_in_box, nearest_bricks
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.sky.brick_grid import N_ROWS

N_BRICKS = 662174
"""Rows of the survey's own survey-bricks.fits.gz."""


@pytest.mark.parametrize(
    "table",
    ["south/survey-bricks-realsky-south.fits.gz", "dr6-north/survey-bricks.fits.gz"],
)
def test_bricks_are_those_of_the_survey(table: str) -> None:
    for row in Table.read(shared("realsky", *table.split("/"))):
        real = {name.lower(): row[name] for name in row.colnames}
        brick = brick_at(int(real["brickrow"]), int(real["brickcol"]))
        assert brick.name == real["brickname"]
        assert (brick.brickid, brick.brickq) == (real["brickid"], real["brickq"])
        np.testing.assert_allclose(
            [brick.ra, brick.dec, brick.ra1, brick.ra2, brick.dec1, brick.dec2],
            [real[name] for name in ("ra", "dec", "ra1", "ra2", "dec1", "dec2")],
            atol=1e-8,
        )


def test_the_sky_holds_as_many_bricks_as_the_survey_counts() -> None:
    assert brick_at(N_ROWS - 1, 0).brickid == N_BRICKS
    assert (brick_at(0, 0).name, brick_at(N_ROWS - 1, 0).name) == ("1800m900", "1800p900")


def test_a_name_is_not_spoilt_by_the_last_digit_of_the_centre() -> None:
    # the centre comes out as 85.19999999999999
    assert brick_at(125, 177).name == "0852m587"


@settings(max_examples=25, deadline=None)
@given(ra=st.floats(0, 360, exclude_max=True), dec=st.floats(-80, 80), count=st.integers(1, 12))
def test_no_brick_is_nearer_than_the_nearest(ra: float, dec: float, count: int) -> None:
    bricks = nearest_bricks(ra, dec, count)
    centre = SkyCoord(ra, dec, unit="deg")

    def separations(found: list[Brick]) -> np.ndarray:
        positions = SkyCoord([b.ra for b in found], [b.dec for b in found], unit="deg")
        return np.asarray(centre.separation(positions).deg)

    every = separations(bricks_in_box(ra, dec, 1.5, 1.5))
    np.testing.assert_allclose(separations(bricks), np.sort(every)[:count], atol=1e-6)


def test_a_box_across_ra_zero_holds_bricks_of_both_sides() -> None:
    names = {brick.name for brick in bricks_in_box(0.0, 0.7, 0.05, 0.02)}
    assert names == {"3598p007", "0001p007"}


@pytest.mark.parametrize("row_col", [(363, 0), (240, 611), (700, 3)])
def test_a_coadd_holds_its_whole_brick_and_a_rim_of_its_neighbours(
    row_col: tuple[int, int],
) -> None:
    brick = brick_at(*row_col)
    own = CoaddGrid(brick.ra, brick.dec).own_area(brick)
    pixel = (0.262 / 3600) ** 2
    assert own.sum() * pixel == pytest.approx(brick.area_deg2, rel=2e-4)
    assert not own[[0, -1]].any()
    # and the closed form is the projection
    y, x = np.mgrid[40:3600:501, 40:3600:501]
    ra, dec = CoaddGrid(brick.ra, brick.dec).wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    ra = brick.ra + (ra - brick.ra + 180) % 360 - 180
    inside = (ra >= brick.ra1) & (ra < brick.ra2) & (dec >= brick.dec1) & (dec < brick.dec2)
    np.testing.assert_array_equal(own[y.ravel(), x.ravel()], inside)
