"""Whether a FITS file is all there, told without warnings.

astropy warns of a truncated file when it opens it and fails later, or reads short. Warnings are
per process, and cutouts are read from several threads, so the sizes are checked here first.
"""

from __future__ import annotations

import io
import math
import os
import zlib
from typing import BinaryIO

from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException

BLOCK = 2880
"""Bytes: headers and data of FITS files are padded to multiples of it."""


class IncompleteFitsError(ValueError):
    """Not a FITS file, or not all of one; the message says which."""


DAMAGE = (
    IncompleteFitsError,
    fits.VerifyError,
    CfitsioException,  # broken compressed data; astropy exports it under no other name
    OSError,
    EOFError,
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    zlib.error,
)
"""What reading a damaged FITS file raises, from the check here or from astropy."""


def check_complete(stream: BinaryIO) -> None:
    """Walk the headers of a FITS file and compare the sizes they state with the file's.

    Parameters
    ----------
    stream : binary file
        Seekable; its position is 0 afterwards.

    Raises
    ------
    IncompleteFitsError
        When it is empty, not FITS, has a broken header or ends early.
    """
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if length == 0:
        raise IncompleteFitsError("empty file")
    if stream.read(9) != b"SIMPLE  =":
        raise IncompleteFitsError("not a FITS file")
    end = 0
    while end < length:
        stream.seek(end)
        try:
            header = fits.Header.fromstring(_header_text(stream))
            end = stream.tell() + -(-_data_bytes(header) // BLOCK) * BLOCK
        except DAMAGE as error:
            raise IncompleteFitsError(
                f"truncated or broken FITS header ({one_line(error)})"
            ) from error
        if end > length:
            raise IncompleteFitsError(f"truncated FITS file: {length} of {end} bytes")
    stream.seek(0)


def complete_stream(content: bytes) -> io.BytesIO:
    """Give a stream over the content of a FITS file after `check_complete`."""
    stream = io.BytesIO(content)
    check_complete(stream)
    return stream


def one_line(error: BaseException) -> str:
    """Give the message of an error without line breaks; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _header_text(stream: BinaryIO) -> str:
    """Read whole blocks until one holds the END card (FITS standard 4.0, section 3.3.1)."""
    blocks = b""
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            raise EOFError("it has no end")
        blocks += block
        if any(block[card : card + 80].strip() == b"END" for card in range(0, BLOCK, 80)):
            break
    text = blocks.decode("ascii")
    if not text.isprintable():
        raise ValueError("it holds other characters than text")
    return text


def _data_bytes(header: fits.Header) -> int:
    """Size of the data that follow a header (FITS standard 4.0, equations 1 and 2)."""
    axes = [int(header[f"NAXIS{axis}"]) for axis in range(1, int(header["NAXIS"]) + 1)]
    groups, parameters = int(header.get("GCOUNT", 1)), int(header.get("PCOUNT", 0))
    if min([groups, parameters, *axes]) < 0:
        raise ValueError("it states a negative size")
    elements = math.prod(axes) + parameters if axes else 0
    return abs(int(header["BITPIX"])) // 8 * groups * elements
