from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from mocpy import MOC

from tests.survey_lists import SETTINGS, survey_list
from xsaga.errors import TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.moc import check_moc
from xsaga.targets.target_list import TargetList

# the sample's targets lie within 0.15 degrees of RA 0, Dec 0
WHOLE = MOC.from_cone(0 * units.deg, 0 * units.deg, radius=0.5 * units.deg, max_depth=10)


def listed_with(folder: Path, area: MOC | None, **columns: object) -> TargetList:
    listed = survey_list(folder, **columns)
    if area is not None:
        area.save(folder / "area.moc.fits", overwrite=True)
    return listed


def test_all_forms_cover_the_area_of_the_ranking(tmp_path: Path) -> None:
    listed = listed_with(tmp_path, WHOLE)
    export(listed, "moc", tmp_path / "out", SETTINGS)
    out = tmp_path / "out"
    assert MOC.load(out / "area.moc.fits", "fits") == WHOLE
    assert MOC.load(out / "area.moc.json", "json") == WHOLE
    assert MOC.load(out / "area.moc.txt", "ascii") == WHOLE
    header = fits.getheader(out / "area.moc.fits", 1)
    assert header["NTARGETS"] == 6
    assert header["NEDGE"] == 0
    assert header["MOCORD_S"] == 10


def test_without_the_area_the_remedy_is_named(tmp_path: Path) -> None:
    listed = listed_with(tmp_path, None)
    with pytest.raises(TargetsError, match=r"moc: no area\.moc\.fits .*rank the run again"):
        export(listed, "moc", tmp_path / "out", SETTINGS)


def test_an_area_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    listed = listed_with(tmp_path, WHOLE)
    path = tmp_path / "area.moc.fits"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(TargetsError, match="rank the run again") as info:
        export(listed, "moc", tmp_path / "out", SETTINGS)
    assert "\n" not in str(info.value)


def test_a_target_outside_is_refused_by_name(tmp_path: Path) -> None:
    listed = listed_with(tmp_path, WHOLE, ra=[0, 0, 0, 9, 0, 0], dec=[0, 0, 0, 0, 0, 0])
    source = listed.targets["source_id"][3]
    with pytest.raises(TargetsError, match=f"source {source} .* outside"):
        export(listed, "moc", tmp_path / "out", SETTINGS)


def test_a_target_in_the_next_cell_is_counted(tmp_path: Path) -> None:
    cells = WHOLE.extended().difference(WHOLE).flatten()
    centre = _centre(10, int(cells[0]))
    listed = listed_with(
        tmp_path, WHOLE, ra=[centre[0], 0, 0, 0, 0, 0], dec=[centre[1], 0, 0, 0, 0, 0]
    )
    export(listed, "moc", tmp_path / "out", SETTINGS)
    assert fits.getheader(tmp_path / "out" / "area.moc.fits", 1)["NEDGE"] == 1


def _centre(order: int, pixel: int) -> tuple[float, float]:
    import healpy

    ra, dec = healpy.pix2ang(2**order, pixel, nest=True, lonlat=True)
    return float(ra), float(dec)


@pytest.mark.parametrize("name", ["area.moc.fits", "area.moc.json", "area.moc.txt"])
def test_a_form_that_covers_another_area_is_refused(tmp_path: Path, name: str) -> None:
    listed = listed_with(tmp_path, WHOLE)
    export(listed, "moc", tmp_path / "out", SETTINGS)
    form = {"fits": "fits", "json": "json", "txt": "ascii"}[name.rpartition(".")[2]]
    WHOLE.extended().save(tmp_path / "out" / name, format=form, overwrite=True)
    with pytest.raises(TargetsError, match=name):
        check_moc(listed, tmp_path / "out", SETTINGS)


def test_targets_at_all_right_ascensions_are_found(tmp_path: Path) -> None:
    whole_sky = MOC.from_healpix_cells(np.arange(12), 0, 0)
    listed = listed_with(tmp_path, whole_sky, ra=[0, 360, 359.9999, 180, 90, 1], dec=[89.9] * 6)
    export(listed, "moc", tmp_path / "out", SETTINGS)
