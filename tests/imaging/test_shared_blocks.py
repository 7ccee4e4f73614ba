from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xsaga.imaging import shared_blocks
from xsaga.imaging.shared_blocks import clear_abandoned, new_block

SCRIPT = """
import os, signal
from xsaga.imaging.shared_blocks import new_block
block = new_block(4096)
print(block.name, flush=True)
os.killpg(os.getpid(), signal.SIGKILL)  # with it goes the process that would give the block back
"""

pytestmark = pytest.mark.skipif(
    not shared_blocks.FOLDER.is_dir(), reason="shared memory is no folder here"
)


def test_the_block_of_a_killed_group_is_removed_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    abandoned = shared_blocks.FOLDER / killed.stdout.strip()
    assert killed.returncode == -9
    assert abandoned.is_file()
    own = new_block(4096)
    try:
        assert not abandoned.exists()
        assert (shared_blocks.FOLDER / own.name).is_file()
    finally:
        own.close()
        own.unlink()
    assert list(tmp_path.iterdir()) == []


def test_blocks_of_others_are_left_alone(tmp_path: Path) -> None:
    here, there = shared_blocks._namespace(), 1
    gone = 2**22 + 1  # no process has so large a number
    names = [
        f"xsaga-{here}-{os.getpid()}-00000000",
        f"xsaga-{there}-{gone}-00000000",
        f"xsaga-{here}-1-00000000",
        "xsaga-notes",
        "psm_12345678",
    ]
    for name in (*names, f"xsaga-{here}-{gone}-00000000"):
        (tmp_path / name).touch()
    clear_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_block_that_finds_no_room_is_refused_at_once() -> None:
    """Else whoever writes to it is killed."""
    own = f"xsaga-*-{os.getpid()}-*"
    before = set(shared_blocks.FOLDER.glob(own))
    with pytest.raises(OSError, match="No space left"):
        new_block(2 * shutil.disk_usage(shared_blocks.FOLDER).total)
    assert set(shared_blocks.FOLDER.glob(own)) == before
