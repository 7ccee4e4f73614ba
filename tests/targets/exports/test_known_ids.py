from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from xsaga.errors import TargetsError
from xsaga.targets.exports.known_ids import read_known_ids, write_known_ids

KNOWN = pd.DataFrame({"source_id": [3, 1, 2**62], "targetid": [7, 8, 9]}, dtype="int64")


def test_a_table_reads_back_as_written(tmp_path: Path) -> None:
    write_known_ids(tmp_path / "ids.parquet", KNOWN)
    pd.testing.assert_frame_equal(read_known_ids(tmp_path / "ids.parquet"), KNOWN)
    again = tmp_path / "again.parquet"
    write_known_ids(again, KNOWN)
    assert again.read_bytes() == (tmp_path / "ids.parquet").read_bytes()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (KNOWN[["source_id"]], "has no int64 columns source_id and targetid"),
        (KNOWN.astype({"targetid": float}), "has no int64 columns source_id and targetid"),
        (None, "cannot be read"),
    ],
)
def test_another_table_is_refused(tmp_path: Path, table: pd.DataFrame | None, words: str) -> None:
    path = tmp_path / "ids.parquet"
    if table is None:
        path.write_text("no Parquet")
    else:
        table.to_parquet(path, index=False)
    with pytest.raises(TargetsError, match=words) as info:
        read_known_ids(path)
    assert "\n" not in str(info.value)
    with pytest.raises(TargetsError, match="cannot be read"):
        read_known_ids(tmp_path / "absent.parquet")
