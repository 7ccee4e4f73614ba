"""Regions from the words that the command line and the configuration give.

Every function raises `FootprintError` with one line that repeats the offending words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xsaga.errors import FootprintError
from xsaga.reading import read_text, reason_of, shortened
from xsaga.sky.pixel_regions import HealpixPixels
from xsaga.sky.polygon import Polygon
from xsaga.sky.shapes import Box, Circle

Words = str | Sequence[float]
"""Numbers, or their text with commas between."""

PIXEL_LIST = re.compile(r"\s*\d+/[\d\s,/]*")
"""A list of pixels, as opposed to the name of a file with one."""

PIXEL_WORD = re.compile(r"(?:(?P<order>\d{1,2})/)?(?P<pixel>\d{1,18})", re.ASCII)
"""``ORDER/PIXEL``, or ``PIXEL`` of the order before."""

MAX_PIXEL_LIST = 64 << 20
"""Bytes of a text file of pixels: some five million of them."""


def parse_circle(words: Words) -> Circle:
    """Circle from ``RA,DEC,RADIUS`` (deg)."""
    return Circle(*_numbers(words, "circle", "RA,DEC,RADIUS"))


def parse_box(words: Words) -> Box:
    """Box from ``RA_MIN,RA_MAX,DEC_MIN,DEC_MAX`` (deg)."""
    return Box(*_numbers(words, "box", "RA_MIN,RA_MAX,DEC_MIN,DEC_MAX"))


def parse_polygon(words: str | Sequence[Words]) -> Polygon:
    """Polygon from ``RA,DEC RA,DEC RA,DEC …`` (deg); semicolons may stand for the spaces."""
    if isinstance(words, str):
        pairs: Sequence[Words] = re.sub(r"\s*,\s*", ",", words).replace(";", " ").split()
    else:
        pairs = words
    vertices = (_numbers(pair, "polygon vertex", "RA,DEC") for pair in pairs)
    return Polygon(tuple((ra, dec) for ra, dec in vertices))


def parse_healpix(words: str | Path) -> list[HealpixPixels]:
    """HEALPix pixels from ``ORDER/PIXEL,PIXEL …`` or from a text file of such words.

    Parameters
    ----------
    words : str or Path
        The list, or the path of a file that holds it: NESTED pixel numbers with commas or white
        space between; an order stands until the next one is given. In a file, ``#`` begins a
        comment.

    Returns
    -------
    list of HealpixPixels
        One for each order.
    """
    if isinstance(words, str) and PIXEL_LIST.fullmatch(words):
        return _pixel_regions(words, f"HEALPix pixels '{words}'")
    where = f"HEALPix pixels {words}"
    try:
        text = read_text(Path(words), MAX_PIXEL_LIST)
    except (OSError, ValueError) as error:
        reason = "not a text file" if isinstance(error, UnicodeDecodeError) else reason_of(error)
        raise FootprintError(
            f"{where}: cannot be read ({reason}): give ORDER/PIXEL,PIXEL… or a file of such words"
        ) from error
    return _pixel_regions(re.sub(r"#.*", "", text), where)


def _pixel_regions(text: str, where: str) -> list[HealpixPixels]:
    pixels: dict[int, list[int]] = {}
    order = ""
    for word in text.replace(",", " ").split():
        match = PIXEL_WORD.fullmatch(word)
        if match is None or not (match["order"] or order):
            raise FootprintError(
                f"{where}: '{shortened(word, 40)}' is not understood: give ORDER/PIXEL,PIXEL…"
            )
        order = match["order"] or order
        pixels.setdefault(int(order), []).append(int(match["pixel"]))
    if not pixels:
        raise FootprintError(f"{where}: the list is empty: give ORDER/PIXEL,PIXEL…")
    try:
        return [HealpixPixels(order, np.array(some)) for order, some in pixels.items()]
    except FootprintError as error:
        raise FootprintError(f"{where}: {error}") from None


def _numbers(words: Words, kind: str, form: str) -> list[float]:
    """As many numbers as `form` has names with commas between."""
    text = words if isinstance(words, str) else ",".join(map(str, words))
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise FootprintError(f"{kind} '{text}': {error}: give {form} in degrees") from error
    if len(numbers) != len(form.split(",")):
        raise FootprintError(
            f"{kind} '{text}': it has {len(numbers)} numbers: give {form} in degrees"
        )
    return numbers
