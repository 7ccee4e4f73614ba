from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.evaluated_runs import labels_of
from xsaga.errors import CatalogError
from xsaga.evaluation.truth import Labels, join_labels

ARCSEC = 1 / 3600


def labels(path: Path, rows: list[tuple[int, float, float, float, bool]]) -> Labels:
    table = pd.DataFrame(rows, columns=["source_id", "ra", "dec", "z", "is_lowz"])
    return Labels.read(labels_of(table.assign(kind="galaxy"), path))


def sources(rows: list[tuple[int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source_id", "ra", "dec"])


def test_labels_meet_sources_by_id_then_by_position(tmp_path: Path) -> None:
    known = labels(
        tmp_path / "labels.parquet",
        [
            (1, 10.0, 0.0, 0.01, True),
            (900, 20.0, 0.5 * ARCSEC, 0.2, False),
            (3, 200.0, 0.0, 0.02, True),  # the id of a source elsewhere
            (901, 50.0, 0.0, 0.025, True),
        ],
    )
    joined, counts = join_labels(sources([(1, 10, 0), (2, 20, 0), (3, 30, 0), (4, 40, 0)]), known)
    assert joined["labelled"].tolist() == [True, True, False, False]
    assert joined["lowz"].tolist() == [True, False, False, False]
    assert joined["z_true"].tolist()[:2] == [0.01, 0.2]
    assert counts.to_dict() == {
        "labels": 4,
        "by_id": 1,
        "by_position": 1,
        "id_elsewhere": 1,
        "unmatched": 2,
        "unmatched_lowz": 2,
    }
    assert known.simulated
    assert known.z_limit == 0.03


def test_an_id_beats_a_nearer_position(tmp_path: Path) -> None:
    known = labels(
        tmp_path / "labels.parquet",
        [(1, 10.0, 0.6 * ARCSEC, 0.01, True), (900, 10.0, 0.1 * ARCSEC, 0.3, False)],
    )
    joined, counts = join_labels(sources([(1, 10, 0)]), known)
    assert joined["lowz"].tolist() == [True]
    assert counts.unmatched == 1


def test_a_source_takes_the_nearer_of_two_labels(tmp_path: Path) -> None:
    rows = [(900, 10.0, 0.8 * ARCSEC, 0.3, False), (901, 10.0, 0.2 * ARCSEC, 0.01, True)]
    for number, ordered in enumerate((rows, rows[::-1])):
        known = labels(tmp_path / f"{number}.parquet", ordered)
        joined, counts = join_labels(sources([(1, 10, 0), (2, 80, 0)]), known)
        assert joined["lowz"].tolist() == [True, False]
        assert (counts.by_position, counts.unmatched) == (1, 1)


def test_beyond_an_arcsecond_nothing_meets(tmp_path: Path) -> None:
    known = labels(tmp_path / "labels.parquet", [(900, 0.0, 1.01 * ARCSEC, 0.01, True)])
    joined, counts = join_labels(sources([(1, 0, 0)]), known)
    assert not joined["labelled"].any()
    assert counts.unmatched == 1


def test_a_match_reaches_through_ra_zero(tmp_path: Path) -> None:
    known = labels(tmp_path / "labels.parquet", [(900, 360 - 0.3 * ARCSEC, 0.0, 0.01, True)])
    joined, _ = join_labels(sources([(1, 0.3 * ARCSEC, 0)]), known)
    assert joined["lowz"].tolist() == [True]


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pd.DataFrame({"ra": [1.0]}).to_parquet(path)
    with pytest.raises(CatalogError, match="not a file of labels"):
        Labels.read(path)
