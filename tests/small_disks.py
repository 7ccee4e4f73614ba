"""Small file systems in memory, and what a command may say when one of them fails it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def disk(place: Path, *options: str) -> Iterator[Path]:
    """Mount a file system in memory at `place`, with options such as ``size=64k``."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(options or ("size=50m",)), "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, *options: str) -> None:
    """Change the options of a file system that is mounted."""
    subprocess.run(["mount", "-o", f"remount,{','.join(options)}", str(place)], check=True)


def only_message(errors: str) -> str:
    """Return the one line an error is told in."""
    assert "Traceback" not in errors, errors
    (message,) = [line for line in errors.splitlines() if line.startswith("xsaga: ")]
    return message


def state(folder: Path, name: str) -> dict[Path, tuple[int, int]]:
    """Inode and time of change of all files of a name below a folder."""
    found = {path: path.stat() for path in folder.rglob(name)}
    return {path: (status.st_ino, status.st_mtime_ns) for path, status in found.items()}
