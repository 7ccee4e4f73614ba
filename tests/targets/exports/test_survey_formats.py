"""What all formats for other surveys and tools have in common."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from mocpy import MOC

from tests.survey_lists import SETTINGS, survey_list
from xsaga.errors import TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.target_list import TargetList

WITHOUT_EXTRAS = ["4most", "pfs", "sdssv-too", "moc", "regions"]

needs_hats = pytest.mark.skipif(find_spec("hats") is None, reason="needs the extra [hats]")

FORMATS = [*WITHOUT_EXTRAS, pytest.param("hats", marks=needs_hats)]

SAYS_SIMULATED = {
    "4most": ("4most-targets.fits", b"COMMENT SIMULATED WEIGHTS"),
    "pfs": ("pfs-targets.ecsv", b"{SIMULATED WEIGHTS:"),
    "sdssv-too": ("SIMULATED-WEIGHTS.txt", b"SIMULATED WEIGHTS"),
    "hats": ("hats.properties", b"obs_description=SIMULATED WEIGHTS"),
    "moc": ("area.moc.fits", b"COMMENT SIMULATED WEIGHTS"),
    "regions": ("targets.reg", b"# SIMULATED WEIGHTS"),
}
"""Where each format says that the weights are simulated; SDSS's table has no room for it."""


def with_area(listed: TargetList) -> TargetList:
    """Write the area that a ranking leaves beside a list."""
    ra, dec = listed.targets["ra"].to_numpy(), listed.targets["dec"].to_numpy()
    area = MOC.from_cone(0 * units.deg, 0 * units.deg, radius=0.5 * units.deg, max_depth=10)
    if len(ra):
        area = area.union(MOC.from_lonlat(ra * units.deg, dec * units.deg, max_norder=10))
    area.save(listed.path.parent / "area.moc.fits", overwrite=True)
    return listed


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_list_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    listed = with_area(survey_list(tmp_path, 40))
    export(listed, name, tmp_path / "a", SETTINGS)
    export(listed, name, tmp_path / "b", SETTINGS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_simulated_weights_are_said_with_the_targets(
    tmp_path: Path, name: str, simulated: bool
) -> None:
    listed = with_area(survey_list(tmp_path, simulated=simulated))
    export(listed, name, tmp_path / "out", SETTINGS)
    file, mark = SAYS_SIMULATED[name]
    path = tmp_path / "out" / file
    assert (path.is_file() and mark in path.read_bytes()) is simulated


@pytest.mark.parametrize("name", WITHOUT_EXTRAS)
def test_a_list_without_targets_is_written(tmp_path: Path, name: str) -> None:
    listed = with_area(survey_list(tmp_path, 0))
    assert export(listed, name, tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("name", FORMATS)
def test_nan_in_any_column_is_no_traceback(tmp_path: Path, name: str) -> None:
    listed = with_area(survey_list(tmp_path, 8))
    for column in listed.targets.columns:
        if listed.targets[column].dtype.kind == "f" and column not in {"ra", "dec"}:
            listed.targets.loc[:3, column] = np.nan
    export(listed, name, tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_position_that_is_none_is_refused_with_its_source(tmp_path: Path, name: str) -> None:
    listed = with_area(survey_list(tmp_path, 4))
    listed.targets.loc[2, "dec"] = np.nan
    source = listed.targets["source_id"][2]
    with pytest.raises(TargetsError, match=f"{name}: .*{source}"):
        export(listed, name, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_right_ascension_360_is_0(tmp_path: Path, name: str) -> None:
    listed = with_area(survey_list(tmp_path, 3, ra=[360.0, 0.01, 359.99], dec=[0.0, 0.0, 0.0]))
    export(listed, name, tmp_path / "out", SETTINGS)
    texts = {"pfs": "pfs-targets.ecsv", "sdssv-too": "sdssv-too.csv", "regions": "targets.reg"}
    if name in texts:
        text = (tmp_path / "out" / texts[name]).read_text()
        assert ",360" not in text
        assert "(360" not in text
