"""Putting a finished folder in place of an older one."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from xsaga.errors import TargetsError
from xsaga.paths import TEMPORARY_MARK, flush_folder, flush_names

PREVIOUS_MARK = ".previous-"
"""In the name of an older folder for the moment in which the new one takes its place."""

LOCK_FILE = ".export.lock"


@contextmanager
def placed_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` to write to; on success it takes the place of `folder`.

    The folder above is held meanwhile, and what a killed process left there of `folder` is
    cleared: a half-written folder goes; an older one that was moved aside comes back.

    Parameters
    ----------
    folder : Path
        Where the finished folder belongs; the folder above is made.

    Yields
    ------
    Path
        When the block raises, it is removed and `folder` stays as it was.

    Raises
    ------
    TargetsError
        Another process writes beside `folder`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TargetsError(
            f"{folder.parent}: another export writes here; wait for it, or use another --out"
        ) from None
    try:
        _clear_leftovers(folder)
        temporary = folder.with_name(f"{folder.name}{TEMPORARY_MARK}{uuid.uuid4().hex[:12]}")
        try:
            temporary.mkdir()
            yield temporary
            flush_folder(temporary)
            _swap(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    finally:
        lock.release()


def _clear_leftovers(folder: Path) -> None:
    pattern = re.compile(
        rf"{re.escape(folder.name)}({re.escape(TEMPORARY_MARK)}|{re.escape(PREVIOUS_MARK)})"
        "[0-9a-f]{12}"
    )
    for item in sorted(folder.parent.iterdir()):
        found = pattern.fullmatch(item.name)
        if found is None or not item.is_dir():
            continue
        if found.group(1) == PREVIOUS_MARK and not folder.exists():
            item.rename(folder)
        else:
            shutil.rmtree(item)


def _swap(new: Path, folder: Path) -> None:
    previous = folder.with_name(f"{folder.name}{PREVIOUS_MARK}{uuid.uuid4().hex[:12]}")
    try:
        if folder.exists():
            folder.rename(previous)
        new.rename(folder)
    finally:  # also when Ctrl-C comes between the two
        if previous.exists() and not folder.exists():
            previous.rename(folder)
    flush_names(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)
