"""Tertiary programs by the rules of ``fiberassign.fba_tertiary_io``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from tests.desi_lists import (
    THIRD_PARTY,
    WHOLE,
    desi_targets,
    desitarget,
    listed,
    positioned,
    with_gaps,
)
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.settings import ExportSettings

pytestmark = [
    *(pytest.mark.filterwarnings(each) for each in THIRD_PARTY),
    # units of DESI's that astropy keeps as text
    pytest.mark.filterwarnings("ignore:'.*' did not parse as fits unit"),
]


def written(
    folder: Path, targets: pd.DataFrame, settings: ExportSettings = WHOLE
) -> tuple[Table, Table]:
    place = folder / "desi-tertiary"
    export(listed(folder, targets), "desi-tertiary", place, settings)
    return (
        Table.read(place / f"tertiary-targets-{settings.program:04d}.fits", "TARGETS"),
        Table.read(place / f"tertiary-priorities-{settings.program:04d}.ecsv"),
    )


def test_targets_pass_what_fiberassign_asserts(tmp_path: Path) -> None:
    encode = desitarget("targets").encode_targetid
    targets, _ = written(tmp_path, with_gaps(positioned(desi_targets(90))))
    for key in (
        *("TARGETID", "RA", "DEC", "PMRA", "PMDEC", "REF_EPOCH"),
        *("TERTIARY_TARGET", "CHECKER"),
    ):
        assert key in targets.colnames
    assert targets.meta["FAPRGRM"] == "tertiary42"
    assert targets.meta["OBSCONDS"] in ("BRIGHT", "DARK")
    assert targets.meta["SBPROF"] in ("ELG", "BGS", "PSF", "FLT")
    assert targets.meta["GOALTIME"] == 1000
    expected = encode(release=8888, brickid=42, objid=np.arange(len(targets)))
    np.testing.assert_array_equal(targets["TARGETID"], expected)
    assert ((targets["RA"] >= 0) & (targets["RA"] < 360)).all()
    assert np.isfinite(targets["PMRA"]).all()
    assert np.isfinite(targets["PMDEC"]).all()
    assert (targets["REF_EPOCH"] == 2015.5).all()
    sub = np.asarray(targets["SUBPRIORITY"])
    assert ((sub > 0) & (sub < 1)).all()
    assert len(np.unique(sub)) == len(sub)
    assert set(targets["CHECKER"]) == {"JW"}


@pytest.mark.parametrize("numobs", [1, 3])
def test_priorities_pass_what_fiberassign_asserts(tmp_path: Path, numobs: int) -> None:
    settings = ExportSettings(checker="JW", program=7, numobs=numobs, obsconditions="BRIGHT")
    targets, priorities = written(tmp_path, desi_targets(50), settings)
    assert (targets.meta["SBPROF"], targets.meta["GOALTIME"]) == ("BGS", 180)
    assert set(targets["TERTIARY_TARGET"]) == set(priorities["TERTIARY_TARGET"])
    for tier, first in ((1, 80), (2, 70), (3, 60)):
        rows = priorities[priorities["TERTIARY_TARGET"] == f"XSAGA_LOWZ_TIER{tier}"]
        assert rows["NUMOBS_DONE_MIN"].tolist() == list(range(numobs + 1))
        assert rows["NUMOBS_DONE_MAX"].tolist() == [*range(numobs), 99]
        assert rows["PRIORITY"].tolist() == [*range(first, first + numobs), 1]


def test_rows_are_best_first_and_tell_their_source(tmp_path: Path) -> None:
    listing = desi_targets(40)
    targets, _ = written(tmp_path, listing.sample(frac=1, random_state=2))
    best_first = listing.sort_values(["tier", "rank"])
    np.testing.assert_array_equal(targets["SOURCE_ID"], best_first["source_id"])
    assert targets["TERTIARY_TARGET"].tolist() == [
        f"XSAGA_LOWZ_TIER{tier}" for tier in best_first["tier"]
    ]
    assert (np.diff(targets["SUBPRIORITY"]) < 0).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ExportSettings(checker="JW"), "--program NUMBER"),
        (ExportSettings(program=5), "give --checker"),
        (ExportSettings(program=5, checker="JW", obsconditions="BACKUP"), "DARK or BRIGHT"),
        (ExportSettings(program=5, checker="JW", numobs=99), "counts to 99"),
    ],
)
def test_settings_that_are_missing_are_asked_for(
    tmp_path: Path, settings: ExportSettings, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        written(tmp_path, desi_targets(3), settings)


def test_no_targets_and_mixed_priorities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match="holds no target"):
        written(tmp_path, desi_targets(0))
    targets = desi_targets(30)
    targets.loc[targets.index[targets["tier"] == 3][0], "priority"] = 61
    with pytest.raises(TargetsError, match="tier 3 have the priorities 60 to 61"):
        written(tmp_path, targets)
