from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.survey_lists import SETTINGS, survey_list
from xsaga.errors import TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.regions import check_regions, write_regions
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import RegionsSettings
from xsaga.targets.target_list import TargetList


def circles(folder: Path) -> list[str]:
    text = (folder / "targets.reg").read_text()
    return [line for line in text.splitlines() if line.startswith("circle")]


def test_every_target_is_a_circle_with_rank_and_probability(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    chosen = ExportSettings(regions=RegionsSettings(radius=2.5))
    export(listed, "regions", tmp_path / "out", chosen)
    lines = (tmp_path / "out" / "targets.reg").read_text().splitlines()
    assert lines[0] == "# Region file format: DS9 version 4.1"
    assert "icrs" in lines
    assert len(circles(tmp_path / "out")) == 6
    for line, row in zip(circles(tmp_path / "out"), listed.targets.itertuples(), strict=True):
        assert line.startswith(f'circle({row.ra:.7f},{row.dec:.7f},2.5")')
        assert f"text={{{row.rank} p={row.p_lowz:.3g}}}" in line
        assert f"tag={{tier {row.tier}}} tag={{{row.source_id}}}" in line


def test_tiers_have_colours_of_their_own(tmp_path: Path) -> None:
    export(survey_list(tmp_path, 4, tier=[1, 1, 2, 9]), "regions", tmp_path / "out", SETTINGS)
    colours = [re.search(r"color=(\w+)", line)[1] for line in circles(tmp_path / "out")]
    assert colours == ["red", "red", "orange", "red"]


def test_the_catalogs_name_is_in_the_label(tmp_path: Path) -> None:
    listed = survey_list(tmp_path, 2)
    listed.targets["name"] = ["NGC 5055-a", ""]
    export(listed, "regions", tmp_path / "out", SETTINGS)
    assert "NGC 5055-a}" in circles(tmp_path / "out")[0]


@pytest.fixture(scope="module")
def two_targets(tmp_path_factory: pytest.TempPathFactory) -> TargetList:
    return survey_list(tmp_path_factory.mktemp("two"), 2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=60))
def test_no_name_breaks_the_syntax(tmp_path: Path, two_targets: TargetList, name: str) -> None:
    listed = replace(two_targets, targets=two_targets.targets.copy())
    listed.targets["name"] = [name, '} # color=red"\ncircle(0,0,9")']
    write_regions(listed, tmp_path, SETTINGS)
    check_regions(listed, tmp_path, SETTINGS)
    lines = (tmp_path / "targets.reg").read_bytes().split(b"\n")
    assert len([line for line in lines if line.startswith(b"circle(")]) == 2
    assert all(line.count(b"{") == 3 == line.count(b"}") for line in lines if b"circle(" in line)


def test_a_file_that_reads_back_otherwise_is_refused(tmp_path: Path) -> None:
    listed = survey_list(tmp_path)
    export(listed, "regions", tmp_path / "out", SETTINGS)
    path = tmp_path / "out" / "targets.reg"
    text = path.read_text()
    for wrong in (
        text.replace(',5")', ',6")', 1),
        text.replace("circle", "box", 1),
        text + "circle(1,2,3)\n",
        "\n".join(text.splitlines()[:-1]) + "\n",
    ):
        path.write_text(wrong)
        with pytest.raises(TargetsError, match="reads back"):
            check_regions(listed, path.parent, SETTINGS)
