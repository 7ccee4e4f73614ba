from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.evaluated_runs import make_catalog
from xsaga.catalog.readers import Catalog
from xsaga.catalog.sources import complete_sources
from xsaga.evaluation.features import FEATURES, drawn_features, measured_features


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    sky = make_catalog(tmp_path_factory.mktemp("sky") / "made", seed=1, ra=10.0, count=300)
    (batch,) = Catalog.of([sky.catalog]).batches()
    return complete_sources(batch.sources)


def column(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, FEATURES.index(name)]


def test_features_are_the_photometry(sources: pd.DataFrame) -> None:
    values = measured_features(sources)
    assert values.shape == (300, len(FEATURES))
    np.testing.assert_allclose(column(values, "mag_r"), sources["mag_r"], atol=1e-5)
    np.testing.assert_allclose(
        column(values, "g-r"), sources["mag_g"] - sources["mag_r"], atol=1e-5
    )
    np.testing.assert_allclose(column(values, "sb_r"), sources["sb_r"], atol=1e-4)
    star = (sources["type"].astype(str) == "PSF").to_numpy()
    # a galaxy's fiber flux is flux / (1 + radius) in this catalog
    radius = sources["radius"].to_numpy()[~star]
    np.testing.assert_allclose(
        column(values, "fiber_excess")[~star], 2.5 * np.log10(1 + radius), atol=1e-4
    )
    np.testing.assert_array_equal(column(values, "is_psf") == 1, star)
    assert np.isnan(column(values, "log_radius")[star]).all()
    assert np.isfinite(column(values, "log_radius")[~star]).all()


def test_what_is_not_known_is_nan(sources: pd.DataFrame) -> None:
    broken = sources.head(3).copy()
    broken["flux_g"] = np.float32([-1.0, 0.0, np.nan])
    broken["rchisq_r"] = np.float32([np.inf, 1.0, 2.0])
    broken["type"] = ["", "EXP", "DEV"]
    values = measured_features(broken)
    assert np.isnan(column(values, "g-r")).all()
    assert np.isnan(column(values, "rchisq_r")).tolist() == [True, False, False]
    assert np.isnan(column(values, "is_dev")).tolist() == [True, False, False]
    assert column(values, "is_dev")[1:].tolist() == [0, 1]
    assert not np.isinf(values).any()


def test_draws_scatter_as_the_errors_say(sources: pd.DataFrame) -> None:
    galaxies = sources[sources["radius"] > 0].head(1)
    many = galaxies.loc[galaxies.index.repeat(20_000)]
    values = drawn_features(many, np.random.default_rng(2))
    one = galaxies.iloc[0]
    assert column(values, "mag_r").std() == pytest.approx(one["mag_r_err"], rel=0.05)
    assert column(values, "g-r").std() == pytest.approx(
        np.hypot(one["mag_g_err"], one["mag_r_err"]), rel=0.05
    )
    assert (10 ** column(values, "log_radius")).std() == pytest.approx(0.05, rel=0.05)
    assert column(values, "sb_r").std() == pytest.approx(one["sb_r_err"], rel=0.05)
    for name in ("ba", "sersic", "fiber_excess", "fracflux_r"):
        assert np.unique(column(values, name)).size == 1


def test_without_errors_a_draw_is_the_measurement(sources: pd.DataFrame) -> None:
    exact = sources.assign(
        flux_ivar_g=np.float32(0), flux_ivar_r=np.nan, flux_ivar_z=np.inf, radius_err=np.nan
    )
    np.testing.assert_array_equal(
        drawn_features(exact, np.random.default_rng(3)), measured_features(exact)
    )


def test_point_sources_stay_points(sources: pd.DataFrame) -> None:
    star = sources[sources["radius"] == 0]
    assert len(star) > 10
    drawn = drawn_features(star, np.random.default_rng(4))
    assert np.isnan(column(drawn, "log_radius")).all()
