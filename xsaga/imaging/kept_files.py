"""Downloaded files and the checksums beside them: bytes that rotted on the disk are found.

The checksum of ``<name>`` lies in the hidden file ``.<name>.sha256`` of the same folder, one line
as ``sha256sum --check`` reads it. Hidden, so that nothing takes it for a file of the survey.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from xsaga.paths import is_leftover, placed

LEFTOVER_AGE = 6 * 3600.0
"""Seconds after which nobody writes to a temporary file any more: far above any deadline."""

_Stamp = tuple[int, int, int]


class KeptFiles:
    """Looks after files that were downloaded; safe to share by threads, and by processes.

    A file that is not sound is left where it is until a good one replaces it: another process may
    have put that there already.

    Parameters
    ----------
    fault : callable
        Says what is wrong with a file that has no checksum yet, nothing if it is good.
    tell : callable
        Takes one line on a file that is not sound.
    now : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        fault: Callable[[Path], str],
        tell: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._fault = fault
        self._tell = tell
        self._now = now
        self._sound: dict[Path, _Stamp] = {}
        self._swept: set[Path] = set()
        self._mutex = threading.Lock()

    def is_sound(self, path: Path) -> bool:
        """Tell whether a file is there and holds what was downloaded.

        It is read once a session, and again when its size, time of change or inode is another. A
        file without a checksum is taken if its structure is complete, and gets one.
        """
        self._sweep(path.parent)
        try:
            stamp = _stamp(path)
            if self._sound.get(path) == stamp:
                return True
            wanted = _read_checksum(path)
            problem = self._fault(path) if wanted is None else ""
            found = "" if problem else _sha256(path)
        except FileNotFoundError:
            return False
        if wanted is not None and found != wanted:
            problem = "its bytes are not those that were downloaded"
        if problem:
            self._tell(f"{path}: {problem}; downloading it again")
            return False
        if wanted is None:
            _write_checksum(path, found)
        self._sound[path] = stamp
        return True

    def sign(self, path: Path) -> None:
        """Keep the checksum of a file that was just put in place."""
        with suppress(FileNotFoundError):
            stamp = _stamp(path)
            _write_checksum(path, _sha256(path))
            self._sound[path] = stamp

    def remove(self, path: Path) -> None:
        """Remove a file that is not sound and cannot be had again, if it is there."""
        path.unlink(missing_ok=True)
        _checksum_path(path).unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        """Remove what killed downloads left in a folder; others may be under way there."""
        with self._mutex:
            if folder in self._swept:
                return
            self._swept.add(folder)
        with suppress(OSError):  # no such folder, or one that cannot be written
            for path in folder.iterdir():
                if is_leftover(path) and self._now() - path.stat().st_mtime > LEFTOVER_AGE:
                    path.unlink(missing_ok=True)


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _read_checksum(path: Path) -> str | None:
    """Checksum that was kept, None where there is none or it is damaged itself."""
    try:
        words = _checksum_path(path).read_text(encoding="ascii").split()
    except (FileNotFoundError, ValueError):
        return None
    is_one = len(words) == 2 and words[1] == path.name and len(words[0]) == 64
    return words[0] if is_one else None


def _write_checksum(path: Path, checksum: str) -> None:
    with suppress(OSError), placed(_checksum_path(path)) as temporary:  # a cache may be read-only
        temporary.write_text(f"{checksum}  {path.name}\n", encoding="ascii")
