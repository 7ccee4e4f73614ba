"""Text tables that astropy reads as a whole (ECSV, VOTable, AAS), looked at before it does.

astropy takes compressed text for text, makes room for what a VOTable says of itself, fetches what
it points to, from the network or from disk, and expands a YAML header as far as it goes. Nothing
of that is needed for a catalog of sources.
"""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Final
from xml.parsers import expat

from astropy.io import ascii as astropy_ascii
from astropy.io import votable
from astropy.table import Table

from xsaga.reading import TooLargeError, printable, read_bytes, read_text

MAX_BYTES: Final = 128 << 20
"""Bytes of a text table: astropy needs some ten times as much memory for a moment."""

MAX_HEADER: Final = 256 << 10
"""Bytes of an ECSV header, which takes seconds to parse: that of 1,000 columns has 100 kB."""

MAX_FIELDS: Final = 5_000
"""Columns of a table."""

MAX_ELEMENTS: Final = 10_000
"""Numbers or characters of fixed length in one cell of a VOTable."""

MAX_ROOM: Final = 1 << 26
"""Numbers or characters of fixed length in all cells of a VOTable: 512 MB at most."""

MAX_DEPTH: Final = 64
"""Elements inside each other in a VOTable."""

_ECSV_START = re.compile(r"#\s*%ECSV\s")
_YAML_MERGE = re.compile(r"<<\s*:|\?\s*<<|!!merge|:merge")


def read_ecsv(path: Path) -> Table:
    """Read an ECSV table.

    Raises
    ------
    ValueError, OSError
        It cannot be read, is too large, is no text, or its header is none of astropy's kind. What
        astropy raises on a damaged table comes on top of that.
    """
    lines = _lines(path)
    if not lines or not _ECSV_START.match(lines[0]):
        raise ValueError("it does not begin with '# %ECSV'")
    header = 0
    for line in lines:
        if not line.startswith("#"):
            break
        header += len(line) + 1
        if header > MAX_HEADER:
            raise TooLargeError(f"its header has more than {MAX_HEADER:,} bytes")
        if _YAML_MERGE.search(line):
            raise ValueError("its header merges keys, which no table needs")
    return astropy_ascii.read(lines, format="ecsv", guess=False)


def read_machine_readable(path: Path) -> Table:
    """Read an AAS machine-readable table; raises as `read_ecsv`."""
    return astropy_ascii.read(_lines(path), format="mrt", guess=False)


def read_votable(path: Path) -> Table:
    """Read the first table of a VOTable.

    Raises
    ------
    ValueError, OSError
        It cannot be read, is too large, is no XML, declares entities, points to data elsewhere, or
        states sizes that its content does not have. What astropy raises comes on top of that.
    """
    content = read_bytes(path, MAX_BYTES)
    _check_votable(content)
    document = votable.parse(io.BytesIO(content), verify="ignore")
    return document.get_first_table().to_table(use_names_over_ids=True)


def _lines(path: Path) -> list[str]:
    text = read_text(path, MAX_BYTES)
    if "\0" in text:
        raise ValueError("it holds zero bytes: not a text file")
    return text.removesuffix("\n").split("\n")


class _VotableSizes:
    """Counts what a VOTable asks for, element by element."""

    def __init__(self, content: bytes) -> None:
        self._bytes = len(content)
        self._fields = self._depth = self._width = self._rows = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        name = tag.rpartition(":")[2].upper()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooLargeError(f"more than {MAX_DEPTH} elements inside each other")
        if name == "STREAM" and any(key.lower() == "href" for key in attributes):
            raise ValueError("its data lie elsewhere (STREAM href): give the table with its data")
        if name == "TABLE":
            self._width, self._rows = 0, _count(attributes.get("nrows", "0"))
            if self._rows > self._bytes:  # the shortest row is <TR/>
                raise TooLargeError(f"it tells of {self._rows:,} rows in {self._bytes:,} bytes")
        elif name == "FIELD":
            self._field(attributes.get("arraysize", ""))
        elif name in ("DATA", "TR"):
            self._rows += name == "TR"
            if self._rows * self._width > 2 * MAX_ROOM:  # rows may be counted twice here
                raise TooLargeError(f"more than {MAX_ROOM:,} elements in its cells")

    def end(self, _tag: str) -> None:
        """Take the end of an element."""
        self._depth -= 1

    def _field(self, arraysize: str) -> None:
        self._fields += 1
        elements = math.prod(_count(number) for number in re.findall(r"\d+", arraysize))
        if self._fields > MAX_FIELDS or elements > MAX_ELEMENTS:
            raise TooLargeError(
                f"column {self._fields} has cells of {printable(arraysize[:40]) or 1}: at most "
                f"{MAX_FIELDS:,} columns and {MAX_ELEMENTS:,} elements a cell are read"
            )
        self._width += elements


def _count(text: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,12}\s*", text):
        raise ValueError(f"a size that is no number: {printable(text[:40])!r}")
    return int(text)


def _check_votable(content: bytes) -> None:
    """Walk the XML; nothing is kept of it."""
    sizes = _VotableSizes(content)
    parser = expat.ParserCreate()
    parser.StartElementHandler = sizes.start
    parser.EndElementHandler = sizes.end
    parser.EntityDeclHandler = _refuse_entity
    parser.Parse(content, True)


def _refuse_entity(*_: object) -> None:
    raise ValueError("it declares XML entities, which no table needs")
