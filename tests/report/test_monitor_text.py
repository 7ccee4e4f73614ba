from __future__ import annotations

from typing import Any

import pytest

from xsaga.report.monitor_text import drift_words, interval, number, percent


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (13.04, 6.12, 28.3, "13 (6.1 – 28)"),
        (0.0, 0.0, 2.61, "0 (0 – 2.6)"),
        (None, 3.2, None, "> 3.2"),
        (2.0, None, None, "2"),
        (None, None, None, "–"),
    ],
)
def test_an_interval_may_have_no_end(
    value: float | None, low: float | None, high: float | None, words: str
) -> None:
    assert interval({"value": value, "low": low, "high": high}) == words


def test_numbers_have_the_digits_that_matter() -> None:
    assert number(123.4, 3) == "123"
    assert number(12345.6, 3) == "12,346"
    assert number(3.2e9, 3) == "3.2e+09"
    assert (percent(0.2012), percent(0.0091), percent(None)) == ("20.1 %", "0.91 %", "–")


def test_an_alarm_is_told_with_night_direction_and_size() -> None:
    drift: dict[str, Any] = {
        "alpha": 0.01,
        "alarm_level": 100.0,
        "alarm_night": "2026-01-09",
        "direction": "fewer",
        "since": "2026-01-07",
        "odds_factor_since": {"value": 0.4, "low": 0.25, "high": 0.6},
        "nights": [{"night": "2026-01-09", "e_value": 150.0}],
    }
    words = drift_words({"drift": drift})
    assert words.startswith("ALARM on 2026-01-09: fewer found than p_lowz says")
    assert "since about 2026-01-07; odds since then 0.4 (0.25 – 0.6) times" in words
    assert drift_words({"drift": drift | {"alarm_night": None}}).startswith(
        "no alarm: e-value 150, alarm at 100"
    )
    assert drift_words({"drift": None}) == ""
