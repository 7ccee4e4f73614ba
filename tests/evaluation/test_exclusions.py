from __future__ import annotations

import pandas as pd

from xsaga.evaluation.exclusions import (
    CONFLICT,
    TRAINING,
    UNKNOWN,
    left_out_counts,
    why_left_out,
)


def test_why_a_labelled_source_is_left_out() -> None:
    nan = float("nan")
    rows = [
        (True, 0.1, "galaxy", False, False, ""),
        (True, nan, "artefact", False, False, ""),
        (True, nan, "galaxy", True, False, UNKNOWN),
        (True, 0.1, "galaxy", True, True, CONFLICT),
        (True, 0.1, "galaxy", False, True, TRAINING),
        (False, nan, "", False, False, ""),
    ]
    names = ["labelled", "z_true", "kind", "conflict", "training", "why"]
    joined = pd.DataFrame(rows, columns=names)
    why = why_left_out(joined)
    assert why.tolist() == joined["why"].tolist()
    assert left_out_counts(why) == {UNKNOWN: 1, CONFLICT: 1, TRAINING: 1}
