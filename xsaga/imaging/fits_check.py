"""What is checked of FITS images before they are read, and what a damaged one raises."""

from __future__ import annotations

import io
import zlib

from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException
from astropy.utils.exceptions import AstropyWarning

from xsaga.fits_structure import BLOCK, IncompleteFitsError, check_complete
from xsaga.reading import printable

__all__ = [
    "BLOCK",
    "DAMAGE",
    "MAX_COADD_SIDE",
    "IncompleteFitsError",
    "check_complete",
    "check_image_size",
    "complete_stream",
    "one_line",
]

MAX_COADD_SIDE = 6000
"""Pixels on a side of a coadd; a brick has 3600, and three planes of this size take 540 MB."""

DAMAGE = (
    IncompleteFitsError,
    fits.VerifyError,
    AstropyWarning,  # where warnings are made errors
    CfitsioException,  # broken compressed data; astropy exports it under no other name
    OSError,
    EOFError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
    zlib.error,
)
"""What reading a damaged FITS file raises, from the check here or from astropy."""


def check_image_size(header: fits.Header) -> None:
    """Refuse a coadd that is larger than any is, before there is made room for it.

    Parameters
    ----------
    header : Header
        Of the image (not of the table that holds its tiles).

    Raises
    ------
    IncompleteFitsError
        A side is not 1 to `MAX_COADD_SIDE` pixels long.
    """
    sides = [header.get("NAXIS1"), header.get("NAXIS2")]
    if not all(type(side) is int and 1 <= side <= MAX_COADD_SIDE for side in sides):
        raise IncompleteFitsError(
            f"an image of {sides[0]} x {sides[1]} pixels: coadds of 1 to "
            f"{MAX_COADD_SIDE} on a side are read"
        )


def complete_stream(content: bytes) -> io.BytesIO:
    """Give a stream over the content of a FITS file after `check_complete`."""
    stream = io.BytesIO(content)
    check_complete(stream)
    return stream


def one_line(error: BaseException) -> str:
    """Give the message of an error in one line that is safe to show; its kind where it has none."""
    return printable(str(error)) or type(error).__name__
