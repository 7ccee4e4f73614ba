"""A sky made by a formula: every pixel of every cutout follows from its position, at no cost.

So that thousands of answers can be checked pixel by pixel, each against its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 2880


def formula_pixels(ra: float, dec: float, size: int, bands: str) -> NDArray[np.float32]:
    """(band, y, x), different in every pixel, band and position; nowhere 0."""
    rows, columns = np.mgrid[0:size, 0:size]
    base = round(ra * 1e5) % 9973 + round(dec * 1e5) % 9967 + 1
    planes = [base + 1e5 * (1 + ord(band)) + 31 * rows + columns for band in bands]
    return np.array(planes, dtype=np.float32)


class FormulaSky:
    """Serves such cutouts everywhere."""

    def fits(self, ra: float, dec: float, size: int, scale: float, bands: str) -> bytes:
        """FITS file as the viewer writes it."""
        step = scale / 3600
        values: dict[str, object] = {"SIMPLE": True, "BITPIX": -32, "NAXIS": 3}
        values |= {"NAXIS1": size, "NAXIS2": size, "NAXIS3": len(bands), "BANDS": bands}
        values |= {f"BAND{number}": band for number, band in enumerate(bands)}
        values |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec}
        values |= {"CRPIX1": size / 2 + 0.5, "CRPIX2": size / 2 + 0.5}
        values |= {"CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step}
        cards = [_card(name, value) for name, value in values.items()] + ["END".ljust(80)]
        header = "".join(cards).encode("ascii")
        data = formula_pixels(ra, dec, size, bands).astype(">f4").tobytes()
        return _padded(header, b" ") + _padded(data, b"\0")


def _card(name: str, value: object) -> str:
    if isinstance(value, bool):
        shown = "T".rjust(20)
    elif isinstance(value, str):
        shown = f"'{value:8}'"
    else:
        shown = repr(value).rjust(20)
    return f"{name:8}= {shown}".ljust(80)


def _padded(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % BLOCK)
