from __future__ import annotations

import typing
from dataclasses import fields

import pytest

from xsaga.errors import ConfigError
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import (
    GROUPS,
    FormatSettings,
    FourmostSettings,
    HatsSettings,
    PfsSettings,
    RegionsSettings,
    SdssvSettings,
)


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (FourmostSettings, {"subsurvey": "low z"}, "--4most-subsurvey 'low z'"),
        (FourmostSettings, {"ruleset": "1st"}, "--4most-ruleset '1st': write a letter"),
        (FourmostSettings, {"template": "x" * 257}, "256 characters"),
        (FourmostSettings, {"redshift": 11.0}, "--4most-redshift 11 is out of range"),
        (FourmostSettings, {"completeness": float("nan")}, "--4most-completeness nan"),
        (FourmostSettings, {"cadence": 2**22}, "--4most-cadence"),
        (PfsSettings, {"exptime": 0.0}, "--pfs-exptime 0"),
        (SdssvSettings, {"exposures": 0}, "--sdssv-exposures 0"),
        (HatsSettings, {"name": ""}, "--hats-name"),
        (HatsSettings, {"max_rows": 0}, "--hats-max-rows 0"),
        (RegionsSettings, {"radius": -1.0}, "--regions-radius -1"),
    ],
)
def test_a_wrong_value_is_refused_with_its_option(
    kind: type[FormatSettings], values: dict[str, typing.Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        kind(**values)


def test_every_setting_has_help_and_its_group_a_field() -> None:
    of_export = typing.get_type_hints(ExportSettings)
    for name, group in GROUPS.items():
        assert of_export[name] is group
        for each in fields(group):
            assert each.metadata["help"]


def test_the_record_of_an_export_holds_the_settings_of_its_format() -> None:
    settings = ExportSettings(pfs=PfsSettings(exptime=1200.0))
    assert settings.record("pfs")["exptime"] == 1200.0
    assert settings.record("moc") == {}
    assert "exptime" not in settings.record("desi-targets")
    assert settings.record("desi-targets")["known_ids"] == 0
