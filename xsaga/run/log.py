"""What a run says: plain lines for people, JSON lines for machines."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from xsaga.reading import parse_json, printable


class RunLog:
    """Appends one JSON object per line to ``log.jsonl`` and tells people the lines meant for them.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    say : callable
        Takes one line of text for the terminal.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._mutex = threading.Lock()

    def event(self, kind: str, message: str = "", **details: Any) -> None:
        """Record an event; a non-empty `message` is also shown on the terminal."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": kind}
        line |= {"message": message} if message else {}
        text = json.dumps(line | details, default=str)
        with self._mutex:
            try:
                with self._path.open("ab+") as stream:
                    stream.write(_gap(stream) + text.encode() + b"\n")
            except OSError as error:
                error.filename = error.filename or str(self._path)  # a failed write names none
                raise
        if message:
            self._say(printable(message))

    def events(self) -> Iterator[dict[str, Any]]:
        """Read the events back; a line that a killed process left half-written is passed over."""
        if not self._path.is_file():
            return
        with self._path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    event = parse_json(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event


def _gap(stream: BinaryIO) -> bytes:
    """End a line that was left half-written, by a kill or a full disk."""
    if stream.seek(0, os.SEEK_END) == 0:
        return b""
    stream.seek(-1, os.SEEK_END)
    return b"" if stream.read(1) == b"\n" else b"\n"
