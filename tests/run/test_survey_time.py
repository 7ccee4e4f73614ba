from __future__ import annotations

import pytest

from xsaga.imaging.brick_speed import BrickSpeed
from xsaga.run.survey_time import Speeds, Survey, duration, survey_time

SURVEY = Survey(sources=20_000, bricks=100)
BRICKS = BrickSpeed((20, 200, 2000), (0.2, 0.5, 0.8), 2)


def test_processors_take_turns() -> None:
    time = survey_time(SURVEY, Speeds(scored=200, stored=5000, bricks=BRICKS))
    assert time.parts == {
        "storing": 4.0,
        "decoding and cutting bricks": pytest.approx(50),
        "scoring": 100.0,
    }
    assert time.total == pytest.approx(154)
    assert time.bottleneck == "scoring"


def test_a_gpu_scores_while_bricks_are_decoded() -> None:
    time = survey_time(SURVEY, Speeds(scored=20_000, stored=5000, bricks=BRICKS, on_gpu=True))
    assert time.total == pytest.approx(54)
    assert time.bottleneck == "decoding and cutting bricks"


def test_a_server_is_waited_for_while_others_work() -> None:
    time = survey_time(SURVEY, Speeds(scored=200, stored=5000, served=8.0))
    assert time.total == pytest.approx(2500)
    assert time.bottleneck == "waiting for the service"
    time = survey_time(SURVEY, Speeds(scored=200, stored=5000, bricks=BRICKS, downloaded=10))
    assert time.total == pytest.approx(1000)
    assert time.bottleneck == "downloading bricks"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2.34, "2.3 s"),
        (61, "61 s"),
        (150, "2 min 30 s"),
        (7300, "2 h 1 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
