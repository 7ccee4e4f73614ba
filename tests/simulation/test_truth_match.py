from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.drawn_galaxies import SMOOTH
from tests.measured_galaxies import CONDITIONS
from xsaga.simulation.drawing.render import observed_fluxes
from xsaga.simulation.measuring.truth_match import Matches, match_truth

SCALE = 0.262


def match(
    sources: list[tuple[float, float, float]], *objects: tuple[float, float, dict[str, Any]]
) -> Matches:
    """Match sources (x, y in arcsec, r) to objects (x, y in arcsec, changes of SMOOTH)."""
    x, y, r = (np.array(column, dtype=np.float64) for column in zip(*sources, strict=True))
    truth = pd.DataFrame([{**SMOOTH, **properties} for _, _, properties in objects])
    places: NDArray[np.float64] = np.array([[a, b] for a, b, _ in objects]) / SCALE
    flux = 10 ** (-0.4 * (r - 22.5))[:, np.newaxis] * np.array([0.6, 1.0, 1.4])
    return match_truth(
        x / SCALE,
        y / SCALE,
        flux,
        0.5 * flux,
        truth,
        places[:, 0],
        places[:, 1],
        observed_fluxes(truth),
        CONDITIONS,
    )


def magnitudes(r: float) -> dict[str, float]:
    return {"mag_g": r + 0.5, "mag_r": r, "mag_z": r - 0.35}


def test_an_object_and_its_source_find_each_other() -> None:
    galaxy, star = magnitudes(19.0), {**magnitudes(20.0), "kind": "star", "radius": 0.0}
    found = match([(0.1, 0, 19), (20, 0.1, 20)], (0, 0, galaxy), (20, 0, star))
    assert found.truth.tolist() == [0, 1]
    assert found.main.tolist() == [True, True]


def test_pieces_of_a_large_galaxy_are_its_shreds() -> None:
    large = {**magnitudes(13.5), "radius": 20.0}
    found = match([(0.5, 0, 13.6), (15, 5, 19.5), (-12, 9, 20.5)], (0, 0, large))
    assert found.truth.tolist() == [0, 0, 0]
    assert found.main.tolist() == [True, False, False]


def test_a_star_before_a_large_galaxy_is_no_shred() -> None:
    large = {**magnitudes(13.5), "radius": 20.0}
    star = {**magnitudes(17.0), "kind": "star", "radius": 0.0}
    found = match([(0, 0, 13.6), (15, 5, 17.1)], (0, 0, large), (15, 5, star))
    assert found.truth.tolist() == [0, 1]
    assert found.main.tolist() == [True, True]


def test_a_blend_belongs_to_the_brighter() -> None:
    found = match([(0.2, 0, 19)], (0, 0, magnitudes(19.2)), (0.8, 0, magnitudes(21.5)))
    assert found.truth.tolist() == [0]


def test_light_that_is_nobodys_is_an_artefact() -> None:
    star = {**magnitudes(12.0), "kind": "star", "radius": 0.0}
    found = match([(0, 0, 12), (20, 0, 18.0), (60, 0, 20)], (0, 0, star), (61, 0, magnitudes(24.5)))
    assert found.truth.tolist() == [0, -1, -1]
    assert found.main.tolist() == [True, False, False]


def test_the_brighter_of_two_near_sources_is_the_main_one() -> None:
    found = match([(0.9, 0, 22.5), (0.1, 0, 19.1)], (0, 0, {**magnitudes(19.0), "radius": 2.0}))
    assert found.truth.tolist() == [0, 0]
    assert found.main.tolist() == [False, True]


@pytest.mark.parametrize("distance", [3.0, 30.0])
def test_a_source_far_from_its_galaxys_centre_is_no_main_one(distance: float) -> None:
    found = match([(distance, 0, 21)], (0, 0, {**magnitudes(16.0), "radius": 2.0}))
    assert not found.main.any()
