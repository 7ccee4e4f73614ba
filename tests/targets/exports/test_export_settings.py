from __future__ import annotations

from typing import Any

import pytest

from xsaga.errors import ConfigError
from xsaga.targets.exports.settings import ExportSettings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"survey": "sv1"}, "survey 'sv1': choose from main"),
        ({"obsconditions": "DARK,GRAY"}, "join several by"),
        ({"obsconditions": ""}, "is none of DARK"),
        ({"numobs": 0}, "must be 1 or more"),
        ({"unknown_release": "drop"}, "choose from refuse, secondary"),
        ({"sbprof": "SER"}, "choose from ELG"),
        ({"too_type": "DISH"}, "choose from FIBER"),
        ({"secondary_name": "lowz"}, "capitals"),
        ({"missing_flux": 0.0}, "takes a flux of 0 for a very bright"),
        ({"missing_flux": float("nan")}, "takes a flux of 0 for a very bright"),
        ({"missing_flux": float("inf")}, "takes a flux of 0 for a very bright"),
        ({"program": 10000}, "1 to 9999"),
        ({"goaltime": -1.0}, "above 0 seconds"),
        ({"checker": "EIGHTLET"}, "at most 7 letters"),
        ({"checker": "J W"}, "at most 7 letters"),
    ],
)
def test_values_that_no_survey_takes_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as info:
        ExportSettings(**settings)
    assert "\n" not in str(info.value)


def test_conditions_become_desi_s_bits() -> None:
    assert ExportSettings().obsconditions_mask == 1
    assert ExportSettings(obsconditions="DARK|BRIGHT|DARK").obsconditions_mask == 5


def test_the_record_is_plain() -> None:
    record = ExportSettings(known_ids={1: 2, 3: 4}, numobs=2).record("desi-targets")
    assert (record["known_ids"], record["numobs"], record["survey"]) == (2, 2, "main")
    assert ExportSettings().record("desi-targets")["known_ids"] == 0
