"""The ledger of targets of opportunity, read by desitarget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from tests.desi_lists import THIRD_PARTY, WHOLE, desi_targets, desitarget, listed, with_gaps
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.export import export
from xsaga.targets.exports.settings import ExportSettings

pytestmark = [pytest.mark.filterwarnings(each) for each in THIRD_PARTY]


def written(folder: Path, targets: pd.DataFrame, settings: ExportSettings = WHOLE) -> Path:
    export(listed(folder, targets), "desi-too", folder / "desi-too", settings)
    return folder / "desi-too"


def test_desitarget_makes_targets_of_the_ledger(tmp_path: Path) -> None:
    too = desitarget("ToO")
    targets = with_gaps(desi_targets(30))
    place = written(tmp_path, targets.sample(frac=1, random_state=1))
    assert Path(too.get_filename(str(place))) == place / "ToO-input.ecsv"
    (tmp_path / "out").mkdir()
    found = too.ledger_to_targets(str(place), outdir=str(tmp_path / "out"))
    best_first = targets.sort_values(["tier", "rank"])
    np.testing.assert_array_equal(found["RA"], best_first["ra"] % 360)
    np.testing.assert_array_equal(found["DEC"], best_first["dec"])
    assert (found["REF_EPOCH"] == 2015.5).all()
    assert found["TOOID"].tolist() == list(range(1, 31))
    assert set(found["OCLAYER"]) == {"DARK"}
    assert set(found["MJD_END"]) == {61100.5}
    assert len(np.unique(found["TARGETID"])) == 30


def test_the_ledger_has_the_columns_of_desitarget(tmp_path: Path) -> None:
    model = desitarget("ToO").indatamodel.dtype
    settings = ExportSettings(
        checker="SEVENLT",
        mjd_begin=61000,
        mjd_end=61001,
        obsconditions="BRIGHT",
        too_type="TILE",
        too_prio="HI",
    )
    ledger = Table.read(written(tmp_path, desi_targets(4), settings) / "ToO-input.ecsv")
    assert ledger.colnames == list(model.names)
    for name in model.names:
        if model[name].kind == "U":
            assert ledger[name].dtype.itemsize <= model[name].itemsize
        else:
            assert ledger[name].dtype == model[name].newbyteorder("=")
    assert ledger.meta["simulated"].startswith("SIMULATED WEIGHTS")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mjd_begin": None}, "give --mjd-begin"),
        ({"mjd_end": 60000.0}, "must be before mjd_end 60000"),
        ({"mjd_end": float("inf")}, "must be before"),
        ({"checker": "J"}, "at least 2 letters"),
        ({"too_prio": "HI"}, "main survey forbids it"),
        ({"obsconditions": "DARK|GRAY"}, "are DARK or BRIGHT"),
    ],
)
def test_what_the_ledger_cannot_hold_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    from dataclasses import replace

    with pytest.raises(ConfigError, match=words):
        written(tmp_path, desi_targets(3), replace(WHOLE, **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "desi-too").exists()


def test_no_targets_are_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match="holds no target"):
        written(tmp_path, desi_targets(0))
