"""Secondary programs, judged by desitarget itself."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from tests.desi_lists import (
    THIRD_PARTY,
    contents,
    desi_targets,
    desitarget,
    listed,
    positioned,
    with_gaps,
)
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.desi_ids import assign_targetids
from xsaga.targets.exports.export import export
from xsaga.targets.exports.settings import ExportSettings

pytestmark = [pytest.mark.filterwarnings(each) for each in THIRD_PARTY]

HONEST = ExportSettings(missing_flux=0.01)


def written(
    folder: Path, targets: pd.DataFrame, name: str, settings: ExportSettings = HONEST
) -> Path:
    export(listed(folder, targets), name, folder / name, settings)
    return folder / name


@pytest.mark.parametrize("positions_only", [False, True])
def test_desitarget_finds_no_fault_in_the_form_of_2024(
    tmp_path: Path, positions_only: bool
) -> None:
    secondary = desitarget("secondary")
    targets = with_gaps(desi_targets(120))
    place = written(tmp_path, positioned(targets) if positions_only else targets, "desi-secondary")
    names = [f"XSAGA_LOWZ_TIER{tier}" for tier in (1, 2, 3)]
    assert sorted(path.stem for path in (place / "indata").iterdir()) == names
    for name in names:
        data, text = place / "indata" / f"{name}.fits", place / "docs" / f"{name}.txt"
        assert secondary.check_file_format(str(data), str(text))


def test_the_form_of_2024_holds_the_list_best_first(tmp_path: Path) -> None:
    targets = desi_targets(60)
    place = written(tmp_path, targets.sample(frac=1, random_state=1), "desi-secondary")
    for tier in (1, 2, 3):
        rows = fits.getdata(place / "indata" / f"XSAGA_LOWZ_TIER{tier}.fits", 1)
        expected = targets[targets["tier"] == tier].sort_values("rank")
        for name in ("RELEASE", "BRICKID", "OBJID", "RA", "DEC", "PMRA", "FLUX_G", "FLUX_Z"):
            np.testing.assert_array_equal(rows[name], expected[name.lower()], err_msg=name)
        assert (rows["REF_EPOCH"] == 2015.5).all()
        assert not rows["OVERRIDE"].any()


def test_sources_of_other_catalogs_have_no_brick(tmp_path: Path) -> None:
    place = written(tmp_path, positioned(desi_targets(30)), "desi-secondary")
    rows = fits.getdata(place / "indata" / "XSAGA_LOWZ_TIER1.fits", 1)
    assert not rows["RELEASE"].any()
    assert not rows["BRICKID"].any()
    assert not rows["OBJID"].any()


def test_desitarget_gives_the_classic_files_the_ids_that_we_give(tmp_path: Path) -> None:
    """desitarget reads our folder as $SCND_DIR and assigns TARGETIDs by its own code."""
    secondary = desitarget("secondary")
    targets = positioned(with_gaps(desi_targets(300)))
    place = written(tmp_path, targets, "desi-secondary-classic")
    home = tmp_path / "main2"  # desitarget reads the survey off the folder's name
    shutil.copytree(place, home)
    found = secondary.select_secondary(None, scxdir=str(home), nomerge=True)
    found = found[np.argsort(found["PRIORITY_INIT"] * -1000 + found["SCND_ORDER"])]
    assert len(found) == len(targets)
    np.testing.assert_array_equal(found["RA"], targets["ra"] % 360)
    np.testing.assert_array_equal(found["PRIORITY_INIT"], targets["priority"])
    np.testing.assert_array_equal(
        found["TARGETID"], assign_targetids(targets, ExportSettings(survey="main2"))
    )


def test_tiers_beyond_the_third_go_to_the_last_bit_or_to_a_file_of_their_own(
    tmp_path: Path,
) -> None:
    targets = desi_targets(40)
    targets["tier"] = np.repeat([1, 2, 3, 4], 10).astype(np.int16)
    classic = written(tmp_path, targets, "desi-secondary-classic")
    rows = fits.getdata(classic / "indata" / "LOW_Z_TIER3.fits", 1)
    np.testing.assert_array_equal(rows["RA"], targets["ra"].iloc[20:])
    text = (classic / "docs" / "LOW_Z_TIER3.txt").read_text()
    assert "Tier 3, chosen by all: 10 targets" in text
    assert "Tier 4: 10 targets" in text
    call = written(tmp_path, targets, "desi-secondary")
    assert len(fits.getdata(call / "indata" / "XSAGA_LOWZ_TIER4.fits", 1)) == 10


def test_values_that_desi_forbids_are_replaced_or_refused(tmp_path: Path) -> None:
    targets = with_gaps(desi_targets(40))
    place = written(tmp_path, targets, "desi-secondary")
    before = contents(place)
    tables = [fits.getdata(path, 1) for path in sorted((place / "indata").iterdir())]
    by_ra = {row["RA"]: row for table in tables for row in table}
    assert targets.loc[0, "ra"] == 360.0
    assert by_ra[0.0]["PMRA"] == targets.loc[0, "pmra"]
    assert by_ra[targets.loc[1, "ra"]]["REF_EPOCH"] == 2015.5
    assert by_ra[targets.loc[2, "ra"]]["FLUX_G"] == np.float32(0.01)
    assert by_ra[targets.loc[3, "ra"]]["FLUX_R"] == np.float32(0.01)
    assert by_ra[targets.loc[4, "ra"]]["FLUX_Z"] == -0.25
    missing = rf"desi-secondary: source_id {targets.loc[2, 'source_id']} has no flux_g \(1 sources"
    with pytest.raises(TargetsError, match=missing):
        written(tmp_path, targets, "desi-secondary", ExportSettings())
    assert contents(place) == before


def test_an_unknown_release_is_refused_or_left_out(tmp_path: Path) -> None:
    targets = desi_targets(20)
    targets["source_id"] += (10002 - 9010) << 42
    with pytest.raises(TargetsError, match="RELEASE 10002"):
        written(tmp_path, targets, "desi-secondary", ExportSettings(unknown_release="refuse"))
    place = written(tmp_path, targets, "desi-secondary")
    assert not fits.getdata(place / "indata" / "XSAGA_LOWZ_TIER1.fits", 1)["RELEASE"].any()


def test_the_text_tells_how_targets_were_chosen(tmp_path: Path) -> None:
    targets = desi_targets(60)
    place = written(tmp_path, targets, "desi-secondary")
    text = (place / "docs" / "XSAGA_LOWZ_TIER2.txt").read_text()
    count = (targets["tier"] == 2).sum()
    assert text.startswith("XSAGA_LOWZ_TIER2\n================\n\nSIMULATED WEIGHTS")
    assert (
        f"\n{count} targets, ordered by their probability to be galaxies at redshift\nz < 0.02,"
        in text
    )
    assert f"\nTier 2, chosen by p>=0.1: {count} targets, priority 70\n" in text
    with_words = listed(tmp_path, targets)
    told = replace(with_words.provenance, tiers=("20/deg2", "saga2", "desi-lowz"), area_deg2=4.0)
    export(replace(with_words, provenance=told), "desi-secondary", tmp_path / "told", HONEST)
    text = (tmp_path / "told" / "docs" / "XSAGA_LOWZ_TIER2.txt").read_text()
    assert f"\nTier 2, chosen by saga2: {count} targets, priority 70\n" in text
    assert f"\nArea: 4.00 deg2, {count / 4:.2f} targets per deg2\n" in text
    assert "A flux of 0.01 stands where none was measured." in text
    assert "secret" not in text
    assert max(map(len, text.splitlines())) < 120


@pytest.mark.parametrize("name", ["desi-secondary", "desi-secondary-classic"])
def test_no_targets_are_no_program(tmp_path: Path, name: str) -> None:
    with pytest.raises(TargetsError, match="holds no target"):
        written(tmp_path, desi_targets(0), name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("XSAGA_NEARBY_DWARFS", "has 25 letters, and DESI takes 20"),
        ("LOW_Z", "LOW_Z_TIER1 is that of a bit that DESI has"),
    ],
)
def test_names_that_desi_does_not_take_are_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        written(tmp_path, desi_targets(20), "desi-secondary", ExportSettings(secondary_name=name))


def test_only_the_bits_of_low_redshift_targets_end_in_a_tier() -> None:
    """The names of the 2024 form can thus clash with no other bit."""
    masks = desitarget("targetmask")
    names = [
        *masks.desi_mask.names(),
        *masks.bgs_mask.names(),
        *masks.mws_mask.names(),
        *masks.scnd_mask.names(),
    ]
    assert {name for name in names if "_TIER" in name} == {f"LOW_Z_TIER{n}" for n in (1, 2, 3)}
