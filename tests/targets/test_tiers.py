from __future__ import annotations

import re

import numpy as np
import pytest

from xsaga.errors import ConfigError
from xsaga.targets.density import PixelAreas
from xsaga.targets.tiers import TierChoice, TierRule, Tiers, parse_tier

CUTS = ("none", "saga2", "desi-lowz")


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("20/deg2", {"per_deg2": 20.0}),
        ("2.5 per deg2", {"per_deg2": 2.5}),
        ("0.5", {"p_min": 0.5}),
        ("p>=0.05", {"p_min": 0.05}),
        ("p_lowz >= 5e-2", {"p_min": 0.05}),
        ("saga2", {"cuts": ("saga2",)}),
        (
            "saga2, r>=19, r<=21, p>=0.1, 50/deg2",
            {"cuts": ("saga2",), "r_min": 19, "r_max": 21, "p_min": 0.1, "per_deg2": 50},
        ),
        ("all", {}),
    ],
)
def test_rules_are_read(words: str, rule: dict[str, object]) -> None:
    assert parse_tier(words, CUTS) == TierRule(words, **rule)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("saga5", "did you mean 'saga2'?"),
        ("-3/deg2", "above 0"),
        ("nan/deg2", "above 0"),
        ("many/deg2", "many must be a number"),
        ("1.5", "between 0 and 1"),
        ("0", "between 0 and 1"),
        ("p<=0.5", "lower limit, p>=0.5"),
        ("0.5, p>=0.1", "two conditions of one kind"),
        ("", "unknown condition ''"),
        ("20/deg2; import os", "unknown condition"),
    ],
)
def test_rules_that_make_no_sense_are_refused(words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as info:
        parse_tier(words, CUTS)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("words", "priorities", "message"),
    [
        ((), (80,), "no tier"),
        (("0.1", "0.5"), (80, 70), "descending"),
        (("0.5", "p>=0.5"), (80, 70), "descending"),
        (("0.5", "0.1", "all"), (80, 70), "3 tiers"),
        (("0.5", "all"), (80, -1), "0 or more"),
        (("0.5", "all"), (2**31, 0), "0 or more"),
        (("0.5", "all"), (60, 70), "better tier"),
    ],
)
def test_tiers_that_make_no_sense_are_refused(
    words: tuple[str, ...], priorities: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Tiers.parse(words, priorities, CUTS)


def choice(**changes: object) -> TierChoice:
    """Six sources, best first, over two square degrees."""
    values = {
        "probability": np.array([0.9, 0.7, 0.5, 0.2, 0.1, 0.05], dtype=np.float32),
        "mag_r": np.array([18.0, 19.5, np.nan, 20.5, 20.0, 21.0], dtype=np.float32),
        "trusted": np.ones(6, dtype=bool),
        "passes": {"saga2": np.array([1, 0, 0, 1, 1, 0], dtype=bool)},
        "pixel": np.zeros(6, dtype=np.int64),
        "areas": PixelAreas(0, np.array([0]), np.array([2.0])),
    }
    return TierChoice(**(values | changes))  # type: ignore[arg-type]


def tiers_of(*words: str, among: TierChoice | None = None) -> list[int]:
    tiers = Tiers.parse(words, (90, 80, 70, 60), CUTS)
    return (among or choice()).tiers(tiers, np.ones(6, dtype=bool)).tolist()


def test_a_source_goes_into_the_first_tier_that_takes_it() -> None:
    assert tiers_of("1/deg2", "saga2", "all") == [1, 1, 3, 2, 2, 3]
    assert tiers_of("saga2", "1/deg2") == [1, 2, 2, 1, 1, 0]


def test_limits_are_compared_in_the_precision_of_the_scores() -> None:
    assert tiers_of("0.7", "p>=0.1", "all") == [1, 1, 2, 2, 2, 3]


def test_conditions_with_commas_must_all_hold() -> None:
    assert tiers_of("saga2, p>=0.2") == [1, 0, 0, 1, 0, 0]
    assert tiers_of("r>=19, r<=20.5") == [0, 1, 0, 1, 1, 0]  # nothing without a magnitude
    assert tiers_of("r>=20, 0.5/deg2") == [0, 0, 0, 1, 0, 0]


def test_a_score_that_is_not_trusted_decides_nothing() -> None:
    unfamiliar = choice(trusted=np.array([0, 1, 1, 1, 1, 1], dtype=bool))
    assert tiers_of("0.5", "1/deg2", "saga2", among=unfamiliar) == [3, 1, 1, 2, 2, 0]


def test_a_density_needs_an_area() -> None:
    with pytest.raises(ConfigError, match="area is not known"):
        tiers_of("1/deg2", among=choice(areas=None))
