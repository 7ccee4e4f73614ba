"""Files of some kilobytes that ask for gigabytes are refused before memory is taken."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from benchmarks.fuzz_bombs import BOMBS, Bomb
from xsaga.cli.edge import error_line
from xsaga.errors import XsagaError

SLOW_TO_WRITE = ("rows of the same", "lines", "word of 4 MB", "of 4 MB each")
HARMLESS = ("YAML references",)
"""What has a result: references are kept as references."""

MEBIBYTES = 700


@pytest.mark.parametrize(
    "bomb",
    [bomb for bomb in BOMBS if not bomb.name.endswith(SLOW_TO_WRITE + HARMLESS)],
    ids=lambda bomb: bomb.name,
)
def test_a_bomb_is_refused(bomb: Bomb, tmp_path: Path) -> None:
    bomb.write(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(XsagaError) as refused:
        bomb.read(tmp_path / bomb.file)
    line = error_line(refused.value)
    assert str(tmp_path) in line
    assert line.isprintable()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEBIBYTES << 10


def test_references_of_yaml_are_not_expanded(tmp_path: Path) -> None:
    (bomb,) = (bomb for bomb in BOMBS if bomb.name in HARMLESS)
    bomb.write(tmp_path)
    bomb.read(tmp_path / bomb.file)


def test_nothing_of_them_was_run() -> None:
    assert not Path("/tmp/xsaga-owned").exists()  # noqa: S108 - what one of them would make
