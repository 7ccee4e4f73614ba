"""Whether a FITS file is all there, and asks for no more than it holds, told before it is read.

astropy warns of a truncated file when it opens it and fails later, or reads short; and it takes
the sizes in a header for true: it makes room for an image of 10¹² pixels, decodes tiles with
parameters that never end, reads compressed data from wherever a descriptor points. Warnings are
per process, and files are read from several threads. So headers are walked here first.
"""

from __future__ import annotations

import io
import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from xsaga.reading import GZIP_MAGIC, MAX_UNPACKED, printable, read_bytes, reason_of

BLOCK: Final = 2880
"""Bytes: headers and data of FITS files are padded to multiples of it."""

MAX_HEADER_BLOCKS: Final = 1000
"""Blocks of one header: 36,000 cards, where a coadd with its history has some hundreds."""

MAX_HDUS: Final = 1000
"""Parts of a file: a raw exposure of the largest cameras has about 200."""

MAX_AXES: Final = 32
"""Axes of an image; numpy takes no more than 64."""

MAX_FIELDS: Final = 999
"""Columns of a table (FITS standard 4.0, section 7.3.1)."""

MAX_PIXELS: Final = 1 << 26
"""Pixels of a tile-compressed image: 8192 on a side, 256 MB of float32. A brick has 3600."""

SMALL_GZIP_TILE: Final = 64 << 10
"""Bytes of a gzip tile that need no look: they unpack to 64 MB at most, and astropy gives up at the
first tile that has other than its own pixels. The tiles of public coadds have 40 kB at most."""

TILE_SLACK: Final = 4096
"""Bytes that an unpacked gzip tile may have beyond its pixels."""

_SIZES = re.compile(r"Z?NAXIS\d*|Z?BITPIX|PCOUNT|GCOUNT|TFIELDS|TFORM\d+|THEAP|ZTILE\d+|ZCMPTYPE")
"""Cards that sizes follow from: once each."""

_BITPIX = (8, 16, 32, 64, -32, -64)
_TFORM = re.compile(r"\s*(\d{0,18})([LXBIJKAEDCMPQ])(.*)")
_BITS = {
    letter: bits
    for letters, bits in (("X", 1), ("LBA", 8), ("I", 16), ("JE", 32), ("KDCP", 64), ("MQ", 128))
    for letter in letters
}
"""Bits of an element of each TFORM (FITS standard 4.0, table 18)."""

_TILE_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
_GZIP, _RICE = ("GZIP_1", "GZIP_2"), ("RICE_1", "RICE_ONE")
_BLOCK_SIZES, _BYTE_PIX = (16, 32), (1, 2, 4, 8)
_SEEDS = (1, 10_000)


_VALUE = re.compile(
    r" *(?:(?P<whole>[+-]?\d{1,19})|(?P<logical>[TF])|'(?P<text>(?:[^']|'')*)'|(?P<other>[^/ ]*))"
    r" *(?:/.*)?"
)
"""Value of a card and its comment; what is none of the first three is no value that counts here."""

Cards = Mapping[str, int | str | bool]
"""Values of the cards of a header; those that are no whole number, text or logical as text."""


class IncompleteFitsError(ValueError):
    """Not a FITS file, not all of one, or one that lies about sizes; the message says which."""


def checked_fits(path: Path) -> Path | io.BytesIO:
    """Walk the headers of a file, see `check_complete`, and give what astropy is to read.

    Returns
    -------
    Path or BytesIO
        The file itself, or its unpacked content where it is gzip-compressed.

    Raises
    ------
    IncompleteFitsError
        It is not a sound FITS file.
    TooLargeError
        It is gzip-compressed and too large to be unpacked into memory.
    OSError, EOFError, zlib.error
        It cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) != GZIP_MAGIC:
            check_complete(file)
            return path
    content = io.BytesIO(read_bytes(path, MAX_UNPACKED))
    check_complete(content)
    return content


def check_complete(stream: BinaryIO) -> None:
    """Walk the headers of a FITS file and compare the sizes they state with the file's.

    Of tables the row length must be that of the columns; of tile-compressed images the number of
    tiles, their places in the file and the parameters of the compression are looked at too.

    Parameters
    ----------
    stream : binary file
        Seekable; its position is 0 afterwards.

    Raises
    ------
    IncompleteFitsError
        When it is empty, not FITS, has a broken header, ends early or states sizes that do not
        fit each other.
    """
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if length == 0:
        raise IncompleteFitsError("empty file")
    if stream.read(9) != b"SIMPLE  =":
        raise IncompleteFitsError("not a FITS file")
    end = parts = 0
    while end < length:
        stream.seek(end)
        parts += 1
        if parts > MAX_HDUS:
            raise IncompleteFitsError(f"more than {MAX_HDUS} parts in this FITS file")
        try:
            header = _cards(_header_text(stream))
            start = stream.tell()
            size = _data_bytes(header)
            end = start + -(-size // BLOCK) * BLOCK
        except Exception as error:
            raise IncompleteFitsError(
                f"truncated or broken FITS header ({reason_of(error)})"
            ) from error
        if end > length:
            raise IncompleteFitsError(f"truncated FITS file: {length} of {end} bytes")
        try:
            _check_part(stream, header, start, size)
        except IncompleteFitsError:
            raise
        except Exception as error:
            raise IncompleteFitsError(f"broken FITS header ({reason_of(error)})") from error
    stream.seek(0)


def _header_text(stream: BinaryIO) -> str:
    """Read whole blocks until one holds the END card (FITS standard 4.0, section 3.3.1)."""
    blocks = bytearray()
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            raise EOFError("it has no end")
        blocks += block
        if any(block[card : card + 80].strip() == b"END" for card in range(0, BLOCK, 80)):
            break
        if len(blocks) >= MAX_HEADER_BLOCKS * BLOCK:
            raise ValueError(f"it has more than {MAX_HEADER_BLOCKS} blocks")
    text = blocks.decode("ascii")
    if not text.isprintable():
        raise ValueError("it holds other characters than text")
    return text


def _cards(text: str) -> Cards:
    """Take a header apart; astropy would, but it warns of what it does not like, to all threads."""
    cards: dict[str, int | str | bool] = {}
    for place in range(0, len(text), 80):
        card = text[place : place + 80]
        key = card[:8].rstrip()
        if key == "END":
            break
        if card[8:10] != "= ":
            if _SIZES.fullmatch(key):
                raise ValueError(f"{key} has no value")
            continue
        match = _VALUE.fullmatch(card[10:])
        if key in cards and _SIZES.fullmatch(key):
            raise ValueError(f"{key} is there twice")
        if match is None:
            cards.setdefault(key, "")
        elif match["whole"] is not None:
            cards.setdefault(key, int(match["whole"]))
        elif match["logical"] is not None:
            cards.setdefault(key, match["logical"] == "T")
        else:
            cards.setdefault(key, (match["text"] or match["other"] or "").rstrip())
    return cards


def _whole(header: Cards, key: str, default: int | None = None) -> int:
    """Value of a card that must be a whole number."""
    value = header[key] if default is None else header.get(key, default)
    if type(value) is not int:
        raise ValueError(f"{key} is no whole number")
    return value


def _data_bytes(header: Cards) -> int:
    """Size of the data that follow a header (FITS standard 4.0, equations 1 and 2)."""
    bitpix, count = _whole(header, "BITPIX"), _whole(header, "NAXIS")
    if bitpix not in _BITPIX:
        raise ValueError(f"BITPIX is {bitpix}")
    if not 0 <= count <= MAX_AXES:
        raise ValueError(f"it states {count} axes")
    axes = [_whole(header, f"NAXIS{axis}") for axis in range(1, count + 1)]
    groups, parameters = _whole(header, "GCOUNT", 1), _whole(header, "PCOUNT", 0)
    if min([groups, parameters, *axes]) < 0:
        raise ValueError("it states a negative size")
    elements = math.prod(axes) + parameters if axes else 0
    if axes and not axes[0] and math.prod(axes[1:]) > 1:
        raise ValueError(f"it states {math.prod(axes[1:])} rows of no bytes")
    return abs(bitpix) // 8 * groups * elements


def _check_part(stream: BinaryIO, header: Cards, start: int, size: int) -> None:
    """Compare what a header says of its columns and tiles with each other and with the data."""
    if str(header.get("XTENSION", "")).strip().upper() not in ("BINTABLE", "A3DTABLE"):
        return
    if _whole(header, "NAXIS") != 2 or _whole(header, "BITPIX") != 8:
        raise IncompleteFitsError("a FITS table that is no table of bytes")
    offsets, formats, width = {}, {}, 0
    fields = _whole(header, "TFIELDS")
    if not 0 <= fields <= MAX_FIELDS:
        raise IncompleteFitsError(f"a FITS table of {fields} columns")
    for number in range(1, fields + 1):
        match = _TFORM.fullmatch(str(header[f"TFORM{number}"]).upper())
        if match is None:
            raise IncompleteFitsError(
                f"column {number} has no known TFORM ({printable(str(header[f'TFORM{number}']))})"
            )
        name = str(header.get(f"TTYPE{number}", "")).strip().upper()
        offsets[name], formats[name] = width, (match[2], match[3].strip())
        width += (int(match[1] or 1) * _BITS[match[2]] + 7) // 8
    if width != _whole(header, "NAXIS1"):
        raise IncompleteFitsError(
            f"rows of {_whole(header, 'NAXIS1')} bytes, but columns of {width}"
        )
    heap = _whole(header, "THEAP", width * _whole(header, "NAXIS2"))
    if not 0 <= heap <= size:
        raise IncompleteFitsError("THEAP lies outside the table")
    if header.get("ZIMAGE"):
        _check_tiles(stream, header, (start, size, heap), offsets, formats)


def _check_tiles(
    stream: BinaryIO,
    header: Cards,
    place: tuple[int, int, int],
    offsets: dict[str, int],
    formats: dict[str, tuple[str, str]],
) -> None:
    """Look at a tile-compressed image (FITS standard 4.0, section 10.1)."""
    axes = _whole(header, "ZNAXIS")
    if not 1 <= axes <= MAX_AXES:
        raise IncompleteFitsError(f"a compressed image of {axes} axes")
    if _whole(header, "ZBITPIX") not in _BITPIX:
        raise IncompleteFitsError(f"ZBITPIX is {_whole(header, 'ZBITPIX')}")
    shape = [_whole(header, f"ZNAXIS{axis}") for axis in range(1, axes + 1)]
    whole_rows = [shape[0], *[1] * (axes - 1)]
    tile = [_whole(header, f"ZTILE{axis}", whole_rows[axis - 1]) for axis in range(1, axes + 1)]
    if min([*shape, *tile]) < 1:
        raise IncompleteFitsError(f"a compressed image of {_by(shape)} pixels in tiles {_by(tile)}")
    if math.prod(shape) > MAX_PIXELS or math.prod(tile) > MAX_PIXELS:
        raise IncompleteFitsError(
            f"a compressed image of {_by(shape)} pixels in tiles {_by(tile)}: "
            f"more than {MAX_PIXELS:,} pixels are not read"
        )
    tiles = math.prod(-(-side // step) for side, step in zip(shape, tile, strict=True))
    rows, width = _whole(header, "NAXIS2"), _whole(header, "NAXIS1")
    if tiles != rows:
        raise IncompleteFitsError(
            f"{rows} compressed tiles, but {_by(shape)} pixels in tiles {_by(tile)} are {tiles}"
        )
    kind = str(header["ZCMPTYPE"]).strip().upper()
    _check_compression(header, kind)
    if "COMPRESSED_DATA" not in offsets:
        raise IncompleteFitsError("a compressed image without COMPRESSED_DATA")
    start, size, heap = place
    stream.seek(start)
    table = np.frombuffer(stream.read(rows * width), np.uint8).reshape(rows, width)
    for name in _TILE_COLUMNS:
        if name not in offsets:
            continue
        counts, places, itemsize = _descriptors(table, offsets[name], *formats[name])
        ends = places + counts * itemsize
        bad = (counts < 0) | (places < 0) | (counts > size) | (places > size)
        bad |= heap + ends > size
        if (bad & (counts != 0)).any():
            row = int(np.flatnonzero(bad & (counts != 0))[0])
            raise IncompleteFitsError(f"compressed tile {row + 1} lies outside the file")
        if name == "GZIP_COMPRESSED_DATA" or (name == "COMPRESSED_DATA" and kind in _GZIP):
            limit = 8 * math.prod(tile) + TILE_SLACK
            for row in np.flatnonzero(counts * itemsize > SMALL_GZIP_TILE).tolist():
                stream.seek(start + heap + int(places[row]))
                _check_gzip_tile(stream.read(int(counts[row]) * itemsize), limit, row)


def _check_compression(header: Cards, kind: str) -> None:
    """Refuse methods and parameters that the decoders of astropy are not sound with."""
    if kind not in (*_GZIP, *_RICE):
        raise IncompleteFitsError(
            f"compressed by {printable(kind)}: known are {', '.join((*_RICE, *_GZIP))}"
        )
    for number in range(1, MAX_FIELDS):
        name = header.get(f"ZNAME{number}")
        if name is None:
            break
        known = {"BLOCKSIZE": _BLOCK_SIZES, "BYTEPIX": _BYTE_PIX}.get(str(name).strip().upper())
        if known is not None and (value := _whole(header, f"ZVAL{number}")) not in known:
            raise IncompleteFitsError(f"compressed with {printable(str(name))} {value}")
    dithered = str(header.get("ZQUANTIZ", "")).strip().upper().startswith("SUBTRACTIVE")
    if not _SEEDS[0] <= _whole(header, "ZDITHER0", 0 if dithered else 1) <= _SEEDS[1]:
        raise IncompleteFitsError(f"ZDITHER0 is {_whole(header, 'ZDITHER0', 0)}")


def _descriptors(
    table: NDArray[np.uint8], offset: int, code: str, rest: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Read counts and offsets of a column of array descriptors, and the bytes of an element."""
    if code not in "PQ" or rest[:1] not in _BITS or rest[:1] in ("X", "P", "Q"):
        raise IncompleteFitsError("the compressed data are no arrays of variable length")
    bytes_each = 4 if code == "P" else 8
    part = np.ascontiguousarray(table[:, offset : offset + 2 * bytes_each])
    pairs = part.view(f">i{bytes_each}").astype(np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], _BITS[rest[:1]] // 8


def _check_gzip_tile(packed: bytes, limit: int, row: int) -> None:
    """Refuse a tile that unpacks to more than its pixels; one that is damaged fails later."""
    try:
        unpacked = zlib.decompressobj(wbits=31).decompress(packed, limit + 1)
    except zlib.error as error:
        raise IncompleteFitsError(f"compressed tile {row + 1} is damaged ({error})") from error
    if len(unpacked) > limit:
        raise IncompleteFitsError(f"compressed tile {row + 1} unpacks to more than its pixels")


def _by(sides: list[int]) -> str:
    return " x ".join(map(str, sides))
