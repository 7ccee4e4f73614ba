from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.target_samples import ranked_targets
from xsaga.errors import TargetsError
from xsaga.targets.exports.left_out import (
    LEFT_OUT_FILE,
    left_out_ids,
    reasons,
    refuse_lost,
    write_left_out,
)


def test_the_first_broken_rule_is_the_reason() -> None:
    rules = [(np.array([True, False, False]), "a: first"), (np.array([True, True, False]), "b")]
    assert reasons(rules, 3).tolist() == ["a: first", "b", ""]
    assert reasons([], 2).tolist() == ["", ""]


def test_targets_left_out_are_listed_with_their_reason(tmp_path: Path) -> None:
    targets = ranked_targets(4)
    write_left_out(tmp_path, targets, np.array(["", "MAG: why, so", "", "DEC"]))
    listed = pd.read_csv(tmp_path / LEFT_OUT_FILE)
    assert listed["source_id"].tolist() == targets["source_id"].iloc[[1, 3]].tolist()
    assert listed["rank"].tolist() == targets["rank"].iloc[[1, 3]].tolist()
    assert listed["reason"].tolist() == ["MAG: why, so", "DEC"]
    assert left_out_ids(tmp_path).tolist() == listed["source_id"].tolist()


def test_there_is_no_file_where_all_are_kept(tmp_path: Path) -> None:
    write_left_out(tmp_path, ranked_targets(2), np.array(["", ""]))
    assert list(tmp_path.iterdir()) == []
    assert len(left_out_ids(tmp_path)) == 0


def test_kept_and_left_out_must_be_the_whole_list(tmp_path: Path) -> None:
    targets = ranked_targets(4)
    ids = targets["source_id"].to_numpy()
    write_left_out(tmp_path, targets, np.array(["", "no", "", ""]))
    refuse_lost(targets, ids[[0, 2, 3]], tmp_path)
    for wrong in (ids[[0, 2]], ids[[0, 3, 2]], ids, np.append(ids[[0, 2, 3]], 5)):
        with pytest.raises(TargetsError, match="of 4 targets"):
            refuse_lost(targets, wrong, tmp_path)
    with pytest.raises(TargetsError, match=f"source {ids[3]}"):
        refuse_lost(targets, ids[[0, 2]], tmp_path)
