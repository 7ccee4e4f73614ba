from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.small_runs import xsaga
from tests.toy_labels import ToyLabels, make_toy_labels


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> ToyLabels:
    return make_toy_labels(tmp_path_factory.mktemp("toys"), count=80)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--recipe", "xsaga2023"], 1, "did you mean 'xsaga2022'"),
        (["--epochs", "0"], 1, "out of range"),
        (["--members", "5"], 1, "5 members need as many folds"),
        (["--folds", "100"], 1, "groups cannot make 100 folds"),
        (["--bricks", "somewhere"], 2, "give one of"),
        (["--device", "abacus"], 1, "device 'abacus'"),
        (["--precision", "float16"], 1, "float16"),
        (["--release", ""], 2, "give --release NAME"),
        (["--labels", "nowhere.parquet"], 1, "make it with `xsaga labels`"),
        (["--min-coverage", "2"], 2, "--min-coverage 2.0"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    toys: ToyLabels, tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    result = xsaga("train", *toys.options, *options, "--out", tmp_path / "out")
    assert result.exit_code == code, result.output + result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("xsaga: ")]
    assert len(told) == 1
    assert words in told[0]


def test_a_file_that_holds_no_labels_is_named(toys: ToyLabels, tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pd.DataFrame({"ra": [1.0]}).to_parquet(path)
    result = xsaga("train", *toys.options, "--labels", path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{path}: not a file of labels" in result.stderr


def test_a_folder_that_holds_something_else_is_left_alone(toys: ToyLabels, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    result = xsaga("train", *toys.options, "--out", tmp_path)
    assert result.exit_code == 1
    assert "holds thesis.tex" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_imaging_may_be_configured_in_a_file(toys: ToyLabels, tmp_path: Path) -> None:
    config = tmp_path / "imaging.toml"
    config.write_text(f'[imaging]\nfiles = "{toys.files.as_posix()}"\nsize = 32\nrelease = "toy"\n')
    options = [
        word
        for pair in zip(toys.options[::2], toys.options[1::2], strict=True)
        if pair[0] not in ("--files", "--size", "--release")
        for word in pair
    ]
    result = xsaga("train", config, *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out" / "model" / "card.json").is_file()
