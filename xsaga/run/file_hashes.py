"""SHA-256 of files, remembered as long as size and time of change stay."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from xsaga.errors import RunError
from xsaga.paths import placed
from xsaga.reading import read_json
from xsaga.targets.provenance import InputFile, sha256_of

ABSENT = ""
"""What stands for the hash of a file that is not there."""


class FileHashes:
    """Hashes of files, kept in a file from night to night.

    A file counts as unchanged when its size and time of change are those it was hashed with; when
    they differ it is hashed again, so that a file that was only touched stays the same.

    Parameters
    ----------
    store : Path
        JSON file; it need not exist. One that cannot be read is as good as none.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._changed = False
        try:
            known = read_json(store)
            self._known = {
                str(path): (int(size), int(time), str(sha256))
                for path, (size, time, sha256) in known.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            self._known = {}

    def of(self, file: Path) -> str:
        """SHA-256 of a file in hexadecimal; `ABSENT` where there is none.

        Raises
        ------
        RunError
            It is there but cannot be read.
        """
        try:
            return self._input(file).sha256
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror}") from None

    def inputs(self, files: Iterable[Path]) -> tuple[InputFile, ...]:
        """Path, size and hash of files that must be there.

        Raises
        ------
        RunError
            One of them cannot be read.
        """
        try:
            return tuple(self._input(file) for file in files)
        except OSError as error:
            raise RunError(f"cannot read {error.filename}: {error.strerror}") from None

    def _input(self, file: Path) -> InputFile:
        # The status from before the reading: what changes meanwhile is hashed again next time.
        status = file.stat()
        size, time = status.st_size, status.st_mtime_ns
        known = self._known.get(str(file))
        if known is None or known[:2] != (size, time):
            if not file.is_file():
                raise RunError(f"cannot read {file}: it is not a file")
            known = (size, time, sha256_of(file))
            self._known[str(file)] = known
            self._changed = True
        return InputFile(str(file), size, known[2])

    def save(self) -> None:
        """Keep what was learnt."""
        if self._changed:
            with placed(self._store) as temporary:
                temporary.write_text(json.dumps(self._known, indent=0) + "\n", encoding="utf-8")
            self._changed = False
