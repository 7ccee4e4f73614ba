from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.published_nights import FIRST_ID, made_targets, publish
from xsaga.errors import EvaluationError, RunError, TargetsError
from xsaga.run.observed_targets import ObservedTargets, join_spectra
from xsaga.run.published_lists import PublishedLists

ARCSEC = 1 / 3600


def _spectra(ra: object, dec: object, targetid: object, night: object = 0) -> pd.DataFrame:
    table = pd.DataFrame({"ra": ra, "dec": dec, "targetid": targetid})
    return table.assign(
        night=night, z=0.01, good=True, other=False, why_not="", delta_chi2=np.nan, z_quality=4
    ).astype({"targetid": np.int64, "night": np.int64})


def _join(where: Path, spectra: pd.DataFrame, *, simulated: bool = True) -> ObservedTargets:
    return join_spectra(PublishedLists.of(where), spectra, 1.0, simulated)


def test_a_targetid_wins_and_a_position_does_for_the_rest(tmp_path: Path) -> None:
    targets = made_targets(40)
    where = publish(tmp_path / "targets.parquet", targets)
    ra, dec = targets["ra"].to_numpy(), targets["dec"].to_numpy()
    spectra = _spectra(
        [ra[1] + 5 * ARCSEC, ra[2], ra[3], ra[4] + 3 * ARCSEC, ra[5], np.nan],
        [dec[1], dec[2] + 0.6 * ARCSEC, dec[3], dec[4], dec[5], np.nan],
        [FIRST_ID + 1, -1, 12345, -1, FIRST_ID + 30, FIRST_ID + 6],
    )
    seen = _join(where, spectra)
    # the fifth has the TARGETID of a target degrees away and lies on target 5
    assert seen.spectra["target"].tolist() == [FIRST_ID + n for n in (1, 2, 3, 5, 6)]
    counts = seen.counts
    assert (counts.by_targetid, counts.by_position, counts.unmatched) == (2, 3, 1)
    assert counts.id_elsewhere == 1
    assert seen.targets == {1: 10, 2: 10, 3: 20}
    assert seen.spectra["p_lowz"].to_numpy() == pytest.approx(
        targets["p_lowz"].to_numpy()[[1, 2, 3, 5, 6]]
    )


def test_ids_that_are_no_targetids_match_by_position_only(tmp_path: Path) -> None:
    targets = made_targets(40).assign(id_kind="catalog", source_id=np.arange(40) + 100)
    where = publish(tmp_path / "targets.parquet", targets)
    spectra = _spectra(targets["ra"][:2], targets["dec"][:2], [101, 100])
    seen = _join(where, spectra)
    assert seen.spectra["target"].tolist() == [100, 101]
    assert seen.counts.by_position == 2


def test_exported_targetids_lead_to_their_targets(tmp_path: Path) -> None:
    targets = made_targets(40).assign(id_kind="position", source_id=np.arange(40) + 7)
    publish(tmp_path / "lists" / "2026-01-05" / "targets.parquet", targets)
    made = pa.table({"source_id": np.arange(40) + 7, "targetid": np.arange(40) + 515 * 2**42})
    pq.write_table(made, tmp_path / "targetids.parquet")
    spectra = _spectra(
        targets["ra"][[4, 9]] + 10 * ARCSEC, targets["dec"][[4, 9]], [4 + 515 * 2**42, 999]
    )
    seen = _join(tmp_path, spectra)
    assert seen.spectra["target"].tolist() == [11]
    assert (seen.counts.by_targetid, seen.counts.unmatched) == (1, 1)


def test_each_night_is_judged_by_its_list(tmp_path: Path) -> None:
    first, second = made_targets(40), made_targets(40).assign(p_lowz=np.float32(0.5))
    second["tier"] = np.int16(2)
    publish(tmp_path / "lists" / "2026-01-05" / "targets.parquet", first)
    publish(tmp_path / "lists" / "2026-01-12" / "targets.parquet", second)
    spectra = _spectra(
        [first["ra"][0]] * 3,
        [first["dec"][0]] * 3,
        [FIRST_ID] * 3,
        [20260104, 20260111, 20260112],
    )
    seen = _join(tmp_path, spectra)
    assert seen.counts.before_first_list == 1
    assert seen.spectra["list"].tolist() == [0, 1]
    assert seen.spectra["p_lowz"].tolist() == [pytest.approx(float(first["p_lowz"][0])), 0.5]
    assert seen.spectra["tier"].tolist() == [1, 2]
    assert seen.targets == {2: 40}  # of both lists, each target in its last tier


def test_a_list_that_no_night_needs_is_not_read(tmp_path: Path) -> None:
    publish(tmp_path / "lists" / "2026-01-05" / "targets.parquet", made_targets(40))
    broken = tmp_path / "lists" / "2026-01-12" / "targets.parquet"
    broken.parent.mkdir()
    broken.write_bytes(b"not Parquet")
    spectra = _spectra([150.0], [2.0], [FIRST_ID], 20260106)
    assert len(_join(tmp_path, spectra).spectra) == 1
    with pytest.raises(TargetsError, match=r"2026-01-12/targets\.parquet: "):
        _join(tmp_path, spectra.assign(night=20260113))


def test_what_is_simulated_and_what_is_real_do_not_mix(tmp_path: Path) -> None:
    where = publish(tmp_path / "targets.parquet", made_targets(40), simulated=False)
    spectra = _spectra([150.0], [2.0], [FIRST_ID])
    with pytest.raises(EvaluationError, match="give real redshifts"):
        _join(where, spectra, simulated=True)
    assert len(_join(where, spectra, simulated=False).spectra) == 1


def test_a_damaged_file_of_targetids_is_named(tmp_path: Path) -> None:
    publish(tmp_path / "lists" / "2026-01-05" / "targets.parquet", made_targets(40))
    (tmp_path / "targetids.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match=r"targetids\.parquet: cannot be read .*give a target-ids"):
        _join(tmp_path, _spectra([150.0], [2.0], [FIRST_ID], 20260106))


def test_a_list_without_a_needed_column_is_named(tmp_path: Path) -> None:
    targets = made_targets(40).drop(columns="tier")
    where = publish(tmp_path / "targets.parquet", targets)
    with pytest.raises(TargetsError, match="no column tier"):
        _join(where, _spectra([150.0], [2.0], [FIRST_ID]))


def test_an_empty_list_meets_nothing(tmp_path: Path) -> None:
    where = publish(tmp_path / "targets.parquet", made_targets(40).iloc[:0])
    seen = _join(where, _spectra([150.0], [2.0], [FIRST_ID]))
    assert seen.spectra.empty
    assert seen.targets == {}
    assert seen.counts.unmatched == 1
