"""A made sky and its labels, for the commands that judge a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluated_runs import MadeSky, labels_of, make_catalog


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> MadeSky:
    return make_catalog(tmp_path_factory.mktemp("sky") / "made", seed=1, ra=10.0)


@pytest.fixture
def labels(sky: MadeSky, tmp_path: Path) -> Path:
    return labels_of(sky.truth, tmp_path / "labels.parquet")
