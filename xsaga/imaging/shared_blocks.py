"""Blocks of shared memory that do not outlive the processes that use them.

Python's resource tracker gives blocks back when a process is killed, but not when it is killed
with it, as a batch system or a closed terminal does. So the name of a block says whose it is, and
whoever makes the next one removes those of processes that are gone.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux keeps it, often small
RESERVE = 64 << 20
"""Bytes that are left to others."""

_NAME = re.compile(r"xsaga-(\d+)-(\d+)-[0-9a-f]{8}")


def new_block(nbytes: int) -> SharedMemory:
    """Make a block of shared memory; its content is not defined.

    Raises
    ------
    OSError
        There is no room.
    """
    clear_abandoned()
    name = f"xsaga-{_namespace()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    block = SharedMemory(name=name, create=True, size=nbytes)
    try:
        _take(name, nbytes)
    except OSError:
        block.close()
        block.unlink()
        raise
    return block


def _take(name: str, nbytes: int) -> None:
    """Take the room now: whoever writes where there is none later dies of it (SIGBUS)."""
    if not (FOLDER / name).is_file():  # the system does not show blocks as files
        return
    opened = os.open(FOLDER / name, os.O_RDWR)
    try:
        os.posix_fallocate(opened, 0, nbytes)
    finally:
        os.close(opened)


def room_to_share(nbytes: int) -> bool:
    """Whether shared memory can take so much: containers often have 64 MB of it."""
    if not FOLDER.is_dir():
        return os.name == "nt" or sys.platform == "darwin"
    return shutil.disk_usage(FOLDER).free > nbytes + RESERVE


def clear_abandoned(folder: Path = FOLDER) -> None:
    """Remove the blocks of processes that are gone, where the system shows blocks as files."""
    if not folder.is_dir():
        return
    for path in folder.glob("xsaga-*"):
        parts = _NAME.fullmatch(path.name)
        # a number of another namespace says nothing of the processes that are seen from here
        if parts and int(parts[1]) == _namespace() and not _is_there(int(parts[2])):
            with suppress(OSError):
                path.unlink()


def _namespace() -> int:
    """Tell which processes see each other: a number, 0 where the system does not say."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
