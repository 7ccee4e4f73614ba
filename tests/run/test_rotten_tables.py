"""Tables of finished tiles of which a bit has flipped on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.small_disks import only_message, state
from tests.small_runs import SmallSky, xsaga

RESULTS = ("targets.parquet", "cutflow.csv")


@pytest.fixture(scope="module")
def finished(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "RUN"
    assert xsaga("run", *sky.options, "--out", run).exit_code == 0
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "RUN"))


def flip(path: Path, column: str) -> None:
    """Flip a bit in the values of a column."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    (chunk,) = [chunk for chunk in chunks if chunk.path_in_schema == column]
    content = bytearray(path.read_bytes())
    begins = chunk.dictionary_page_offset or chunk.data_page_offset
    content[begins + chunk.total_compressed_size - 2] ^= 4
    path.write_bytes(bytes(content))


def first(run: Path, name: str) -> Path:
    return min(path for path in run.rglob(name) if pq.read_metadata(path).num_rows)


def lists_of(run: Path) -> list[object]:
    return [pq.read_table(run / "targets.parquet"), (run / "cutflow.csv").read_bytes()]


@pytest.mark.parametrize("column", ["p_lowz", "source_id", "coverage_g"])
def test_rotten_scores_are_told_and_made_again(run: Path, column: str) -> None:
    before, others = lists_of(run), state(run, "scores.parquet")
    scores = first(run, "scores.parquet")
    flip(scores, column)
    message = only_message(xsaga("rank", run).stderr)
    assert f"{scores}: cannot be read" in message
    assert "remove it and start the same command again" in message
    scores.unlink()
    assert xsaga("run", run).exit_code == 0
    assert lists_of(run) == before
    del others[scores]
    assert state(run, "scores.parquet").items() >= others.items()


def test_rotten_sources_are_told_and_made_again(run: Path) -> None:
    before, scored = lists_of(run), state(run, "scores.parquet")
    sources = first(run, "sources.parquet")
    flip(sources, "flux_r")
    message = only_message(xsaga("rank", run).stderr)
    assert f"{sources}: cannot be read" in message
    (run / "partition.json").unlink()
    assert xsaga("run", run).exit_code == 0
    assert lists_of(run) == before
    assert state(run, "scores.parquet") == scored


def test_scores_that_cannot_be_opened_are_made_again(run: Path) -> None:
    before = lists_of(run)
    scores = first(run, "scores.parquet")
    scores.write_bytes(scores.read_bytes()[:-20])
    assert xsaga("run", run).exit_code == 0
    assert lists_of(run) == before
