from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from xsaga.targets.exports.observed import (
    observed_magnitude_errors,
    observed_magnitudes,
    positions_at,
    proper_motions,
)


@pytest.mark.filterwarnings("ignore::erfa.ErfaWarning")
@settings(max_examples=40)
@given(
    ra=st.floats(0, 359.999),
    dec=st.floats(-89.9, 89.9),
    pmra=st.floats(-2000, 2000, width=32),
    pmdec=st.floats(-2000, 2000, width=32),
)
def test_positions_move_as_astropy_says(ra: float, dec: float, pmra: float, pmdec: float) -> None:
    row = {"ra": [ra], "dec": [dec], "pmra": [pmra], "pmdec": [pmdec], "ref_epoch": [2015.5]}
    moved = SkyCoord(*(value * units.deg for value in positions_at(pd.DataFrame(row), 2000.0)))
    start = SkyCoord(
        ra * units.deg,
        dec * units.deg,
        pm_ra_cosdec=pmra * units.mas / units.yr,
        pm_dec=pmdec * units.mas / units.yr,
        distance=1e6 * units.pc,
        radial_velocity=0 * units.km / units.s,
        obstime=Time(2015.5, format="jyear"),
    )
    expected = start.apply_space_motion(Time(2000.0, format="jyear"))
    assert moved.separation(SkyCoord(expected.ra, expected.dec))[0].mas < 0.2


def test_positions_without_motion_are_the_same_to_the_last_bit() -> None:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"ra": random.uniform(0, 360, 1000), "dec": random.uniform(-90, 90, 1000)})
    ra, dec = positions_at(frame, 2000.0)
    assert np.array_equal(ra, frame["ra"])
    assert np.array_equal(dec, frame["dec"])


def test_magnitudes_are_as_observed() -> None:
    frame = pd.DataFrame(
        {
            "flux_r": [1.0, 100.0, 0.0, -1.0, np.nan],
            "flux_ivar_r": [100.0, 0.0, 1.0, 1.0, 1.0],
            "mw_transmission_r": 0.5,
        }
    )
    np.testing.assert_allclose(
        observed_magnitudes(frame, "r"), [22.5, 17.5, np.nan, np.nan, np.nan]
    )
    errors = observed_magnitude_errors(frame, "r")
    assert errors[0] == pytest.approx(0.10857, abs=1e-5)
    assert np.isnan(errors[1:]).all()


def test_motions_that_are_not_known_are_0() -> None:
    pmra, pmdec = proper_motions(pd.DataFrame({"pmra": [np.nan, 3.0]}))
    assert pmra.tolist() == [0.0, 3.0]
    assert pmdec.tolist() == [0.0, 0.0]
