"""The compressed tiles of a coadd, decoded one by one.

What astropy does for each tile in Python takes longer than decoding it: reading the tiles that are
wanted straight from the file halves the time of a brick, and more where few are wanted. Decoding
itself is left to astropy's compiled functions. Only the kinds of compression that public coadds
have are read here (FITS 4.0, section 10: RICE_1 with quantized floats, lossless GZIP_1 and GZIP_2);
any other file is left to astropy as a whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io.fits import Header
from astropy.io.fits.hdu.compressed import _compression as codecs
from numpy.typing import NDArray

from xsaga.imaging.brick_cells import CELL

_KINDS = {"P": (">i4", (2,)), "Q": (">i8", (2,)), "E": (">f4", ()), "D": (">f8", ())}
"""Types of the columns of such files (TFORM without its repeat count)."""

_DITHER = {"NO_DITHER": -1, "SUBTRACTIVE_DITHER_1": 1, "SUBTRACTIVE_DITHER_2": 2}

_WHOLE_HEAP = 0.3
"""Share of the tiles beyond which all are read from the disk at once."""

_GZIP = 47
"""Of zlib: a gzip or zlib header, whichever there is."""


@dataclass(frozen=True)
class CoaddTiles:
    """Where the tiles of a coadd lie in its file, and how they are compressed.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    method : str
        ZCMPTYPE.
    block : int
        Pixels in a block of RICE_1.
    dither, seed : int
        How quantized values are dithered (−1 not at all), and ZDITHER0.
    table : ndarray, shape (tiles,)
        Rows of the table.
    heap : int
        Byte of the file where the compressed bytes begin.
    heap_bytes : int
        Their number.
    """

    shape: tuple[int, int]
    method: str
    block: int
    dither: int
    seed: int
    table: NDArray[np.void]
    heap: int
    heap_bytes: int

    def read(
        self,
        file: BinaryIO,
        cells: NDArray[np.int64],
        take: Callable[[tuple[slice, slice], NDArray[np.float32]], None],
    ) -> None:
        """Decode tiles.

        Parameters
        ----------
        file : file
            The coadd.
        cells : ndarray of int64, shape (N, 2)
            Row and column of each tile among the tiles.
        take : callable
            Given the place of each tile in the image, and its pixels.

        Raises
        ------
        ValueError, zlib.error, OSError
            The bytes of a tile are damaged.
        """
        across = -(-self.shape[1] // CELL)
        content = None
        if len(cells) > _WHOLE_HEAP * len(self.table):
            file.seek(self.heap)
            content = file.read(self.heap_bytes)

        def stored(column: str, number: int) -> bytes:
            if column not in (self.table.dtype.names or ()):
                return b""
            length, offset = self.table[column][number].tolist()
            if not 0 <= offset <= offset + length <= self.heap_bytes:
                raise ValueError("a compressed tile lies beyond the end of the file")
            if content is not None:
                return content[offset : offset + length]
            file.seek(self.heap + offset)
            return file.read(length)

        for row, column in cells.tolist():
            number = row * across + column
            place = (
                slice(row * CELL, min((row + 1) * CELL, self.shape[0])),
                slice(column * CELL, min((column + 1) * CELL, self.shape[1])),
            )
            size = (place[0].stop - place[0].start, place[1].stop - place[1].start)
            pixels = size[0] * size[1]
            compressed = stored("COMPRESSED_DATA", number)
            if not compressed:
                values = _unzipped(stored("GZIP_COMPRESSED_DATA", number), pixels, "GZIP_1")
            elif self.method == "RICE_1":
                values = self._from_rice(compressed, number, pixels)
            else:
                values = _unzipped(compressed, pixels, self.method)
            take(place, values.reshape(size))

    def _from_rice(self, compressed: bytes, number: int, pixels: int) -> NDArray[np.float32]:
        quantized = codecs.decompress_rice_1_c(compressed, self.block, 4, pixels)
        scale, zero = float(self.table["ZSCALE"][number]), float(self.table["ZZERO"][number])
        if self.dither < 0:
            plain = np.frombuffer(quantized, np.int32)[:pixels] * scale + zero
            return plain.astype(np.float32)
        row = number + self.seed
        values = codecs.unquantize_float_c(
            quantized, row, pixels, scale, zero, self.dither, 0, 0, 0.0, 4
        )
        return np.frombuffer(values, np.float32)[:pixels]


def _unzipped(compressed: bytes, pixels: int, method: str) -> NDArray[np.float32]:
    """Float pixels that were compressed without loss."""
    content = zlib.decompressobj(_GZIP).decompress(compressed, 4 * pixels + 1)
    if len(content) != 4 * pixels:
        raise ValueError(f"a compressed tile holds {len(content)} bytes, not {4 * pixels}")
    if method == "GZIP_2":  # the first byte of all pixels, then the second
        content = np.frombuffer(content, np.uint8).reshape(4, pixels).T.tobytes()
    return np.frombuffer(content, ">f4").astype(np.float32)


def find_tiles(path: Path, file: BinaryIO) -> CoaddTiles | None:
    """Find the tiles of a coadd; None where it is not of a kind that is read here.

    Parameters
    ----------
    path : Path
        The file, by name.
    file : file
        The file, opened; its headers are complete (`xsaga.imaging.fits_check`).
    """
    if path.suffix != ".fz":
        return None
    file.seek(0)
    primary = Header.fromfile(file)
    if primary.get("NAXIS") != 0:
        return None
    header = Header.fromfile(file)
    begin = file.tell()
    rows, width = header.get("NAXIS2", 0), header.get("NAXIS1", 0)
    described = _columns(header)
    shape = (header.get("ZNAXIS2", 0), header.get("ZNAXIS1", 0))
    settings = {
        str(header.get(f"ZNAME{number}")): header.get(f"ZVAL{number}") for number in range(1, 9)
    }
    quantized = "ZSCALE" in (described.names or ()) if described is not None else False
    common = (
        header.get("ZIMAGE") is True
        and header.get("ZBITPIX") == -32
        and header.get("ZNAXIS") == 2
        and (header.get("ZTILE1"), header.get("ZTILE2")) == (CELL, CELL)
        and not {"ZBLANK", "BLANK", "BSCALE", "BZERO"} & set(header)
        and header.get("ZQUANTIZ", "NO_DITHER") in _DITHER
        and described is not None
        and "COMPRESSED_DATA" in (described.names or ())
        and described.itemsize == width
        and rows == -(-shape[0] // CELL) * -(-shape[1] // CELL)
    )
    method = header.get("ZCMPTYPE")
    if method == "RICE_1":
        common = common and quantized and settings.get("BYTEPIX", 4) == 4
    else:
        common = common and method in ("GZIP_1", "GZIP_2") and not quantized
    if not common or described is None:
        return None
    table = np.fromfile(file, described, rows)
    if len(table) != rows:
        return None
    start = header.get("THEAP", rows * width)
    return CoaddTiles(
        shape=shape,
        method=method,
        block=int(settings.get("BLOCKSIZE") or 32),
        dither=_DITHER[header.get("ZQUANTIZ", "NO_DITHER")],
        seed=int(header.get("ZDITHER0", 0)),
        table=table,
        heap=begin + start,
        heap_bytes=int(header.get("PCOUNT", 0)) - (start - rows * width),
    )


def _columns(header: Header) -> np.dtype[np.void] | None:
    """Type of the rows of the table; None where it has columns of other kinds."""
    fields = []
    for number in range(1, int(header.get("TFIELDS", 0)) + 1):
        kind = str(header.get(f"TFORM{number}", "")).lstrip("1")[:1]
        if kind not in _KINDS:
            return None
        fields.append((str(header.get(f"TTYPE{number}")), *_KINDS[kind]))
    if len({name for name, *_ in fields}) != len(fields):
        return None
    return np.dtype(fields)
