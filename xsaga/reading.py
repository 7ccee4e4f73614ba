"""What all readers of files share: limits, and one line for whatever a parser raises.

Files come from other people and over networks. A damaged or hostile one may make a parser of
another library raise anything, or ask for memory and time out of all proportion to its size.
Readers look at sizes first, by the limits here, and hand over what is left in `parsing`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xsaga.errors import XsagaError

GZIP_MAGIC = b"\x1f\x8b"

MAX_UNPACKED = 384 << 20
"""Bytes of a gzip file that is unpacked into memory: twice the bricks table of a whole release."""

MAX_RATIO = 200
"""How many times larger a gzip file that is read in pieces may become: tables of numbers pack 3 to
20 times, a file of zeros 1000 times."""

RATIO_FROM = 64 << 20
"""Unpacked bytes from which `MAX_RATIO` holds; less does no harm."""

MAX_JSON = 128 << 20
"""Bytes of a JSON file: the largest, of the hashes of all bricks of a survey, has some 100 MB."""

MAX_TOML = 1 << 20
"""Bytes of a TOML file, a thousand times those that are written by hand."""

_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){100}")

SHOWN = 300
"""Characters of another library's message, or of a value, that are worth showing."""

Describe = Callable[[str], XsagaError]
"""Makes the error of a file from the reason why it cannot be read."""


class TooLargeError(ValueError):
    """A file that asks for more than a limit; the message says which."""


def printable(text: str) -> str:
    """Text as one line that is safe to show: control characters as escapes, blanks joined.

    A file can hold terminal escape sequences, line breaks and marks that turn the direction of
    writing; none of them reaches a terminal, a log or a page.
    """
    return escaped(" ".join(text.split()))


def escaped(line: str) -> str:
    """Line with escapes for all characters that are not to be printed; blanks stay."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def shortened(text: str, length: int = SHOWN) -> str:
    """Text cut after some characters, for messages that repeat a value of a file."""
    return text if len(text) <= length else f"{text[:length]}…"


def reason_of(error: BaseException) -> str:
    """First line of an error's message, made safe to show; its kind where it has none."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    lines = str(error).strip().splitlines()
    return shortened(printable(lines[0])) if lines else type(error).__name__


@contextmanager
def parsing(describe: Describe) -> Iterator[None]:
    """Turn whatever a parser of another library raises on a file into one error of ours.

    Parameters
    ----------
    describe : callable
        From the reason to the error; it names the file.

    Raises
    ------
    XsagaError
        Of `describe`, for any other error; ours pass through.
    """
    try:
        yield
    except XsagaError:
        raise
    except FileNotFoundError as error:
        raise describe("no such file") from error
    except Exception as error:
        raise describe(reason_of(error)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of a library written in Rust
            raise describe(reason_of(error)) from error
        raise


def quiet_astropy() -> None:
    """Keep astropy's remarks on the style of other people's files off the terminal, for good.

    For where a process begins: `warnings.catch_warnings` is not for several threads.
    """
    warnings.filterwarnings("ignore", module=r"astropy(\.|$)")


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file, unpacked if it is gzip-compressed.

    Raises
    ------
    TooLargeError
        It is larger than `limit`, packed or unpacked: no more than that is read.
    OSError, EOFError, zlib.error
        It cannot be read, or the gzip stream is damaged.
    """
    size = path.stat().st_size
    if size > limit:
        raise TooLargeError(f"{size:,} bytes are more than the {limit:,} that are read")
    return unpacked(_content(path, limit), limit)


def _content(path: Path, limit: int) -> bytes:
    """Read a file; a pipe, which has no size, no farther than the limit."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLargeError(f"more than the {limit:,} bytes that are read")
    return content


def unpacked(content: bytes, limit: int = MAX_UNPACKED) -> bytes:
    """Unpack gzip-compressed bytes; give others back as they are.

    Raises
    ------
    TooLargeError
        More than `limit` bytes come of it: no more than that is unpacked.
    OSError, EOFError, zlib.error
        The gzip stream is damaged.
    """
    if content[:2] != GZIP_MAGIC:
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        plain = stream.read(limit + 1)
    if len(plain) > limit:
        raise TooLargeError(
            f"its {len(content):,} bytes unpack to more than {limit:,}: unpack it with gunzip first"
        )
    return plain


class MeasuredGzip(io.RawIOBase):
    """A gzip file that is read in pieces, as long as it does not grow out of all proportion.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    TooLargeError
        When reading finds more than `RATIO_FROM` bytes and `MAX_RATIO` times those of the file.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("rb")
        self._limit = max(RATIO_FROM, MAX_RATIO * os.fstat(self._raw.fileno()).st_size)
        self._stream = gzip.GzipFile(fileobj=self._raw)
        self._read = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; see `io.RawIOBase.readinto`."""
        content = self._stream.read(len(buffer))
        self._read += len(content)
        if self._read > self._limit:
            raise TooLargeError(f"it unpacks to more than {MAX_RATIO} times its size")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()
        super().close()


def read_json(path: Path, limit: int = MAX_JSON) -> Any:
    """Read a JSON file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is too large, not UTF-8 or not JSON.
    """
    return parse_json(_content(path, limit))


def parse_json(content: str | bytes) -> Any:
    """Parse JSON.

    Raises
    ------
    ValueError
        It is not UTF-8, not JSON or too deep.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return json.loads(text)
    except RecursionError:
        raise ValueError("too deeply nested") from None


def read_text(path: Path, limit: int) -> str:
    """Read a text file in UTF-8.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is too large or not UTF-8.
    """
    return _content(path, limit).decode("utf-8").replace("\r\n", "\n")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises as `read_text`, and ValueError where it is not TOML or too deep."""
    text = read_text(path, MAX_TOML)
    if _LONG_KEY.search(text):
        raise ValueError("a key of too many parts")  # time and memory go with their square
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("too deeply nested") from None
