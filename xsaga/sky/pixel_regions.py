"""Regions made of HEALPix pixels: MOC files and lists of pixels."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import InitVar, dataclass
from functools import cached_property
from pathlib import Path

import healpy
import numpy as np
from astropy.io import fits
from mocpy import MOC
from numpy.typing import NDArray

from xsaga.errors import FootprintError
from xsaga.fits_structure import checked_fits
from xsaga.reading import parsing, printable, read_json
from xsaga.sky.region import Region, digest
from xsaga.sky.tiles import DEEPEST_ORDER, tile_pixels

N_DEEPEST = 12 * 4**DEEPEST_ORDER
"""Pixels of the deepest order."""


class PixelRegion(Region):
    """A region that is a set of HEALPix pixels."""

    @abstractmethod
    def order_29_ranges(self) -> NDArray[np.int64]:
        """NESTED pixels of order 29, shape (M, 2): first and one past the last; sorted, apart."""

    def inside(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `Region.inside`."""
        pixels = tile_pixels(ra, dec, DEEPEST_ORDER)
        return self._shares_pixels(pixels, pixels + 1)

    def overlaps(self, order: int, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Region.overlaps`."""
        return self._shares_pixels(*_at_order_29(order, pixels))

    def _shares_pixels(
        self, first: NDArray[np.int64], past: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which half-open ranges of order-29 pixels have a pixel in common with the region."""
        begins, stops = self.order_29_ranges().T
        candidate = np.searchsorted(stops, first, side="right")
        exists = candidate < len(stops)
        shared: NDArray[np.bool_] = exists & (begins[np.minimum(candidate, len(stops) - 1)] < past)
        return shared


@dataclass(frozen=True, eq=False)
class HealpixPixels(PixelRegion):
    """All positions in some HEALPix pixels of one order.

    Parameters
    ----------
    order : int
        HEALPix order, 0 to 29.
    pixels : ndarray of int64, shape (N,)
        Pixel numbers, in any order; kept as sorted NESTED numbers.
    nested : bool
        Whether `pixels` are NESTED numbers; else RING.

    Raises
    ------
    FootprintError
        When there is no pixel, or the order or a pixel is out of range.
    """

    order: int
    pixels: NDArray[np.int64]
    nested: InitVar[bool] = True

    def __post_init__(self, nested: bool) -> None:
        where = f"HEALPix pixels of order {self.order}"
        if not 0 <= self.order <= DEEPEST_ORDER:
            raise FootprintError(f"{where}: give an order from 0 to {DEEPEST_ORDER}")
        pixels, count = np.unique(self.pixels), 12 * 4**self.order
        if len(pixels) == 0:
            raise FootprintError(f"{where}: the list is empty: give at least one pixel")
        wrong = pixels[(pixels < 0) | (pixels >= count)]
        if len(wrong) > 0:
            raise FootprintError(
                f"{where}: pixel {wrong[0]} does not exist: give numbers from 0 to {count - 1}"
            )
        if not nested:
            pixels = np.sort(healpy.ring2nest(2**self.order, pixels))
        object.__setattr__(self, "pixels", pixels.astype(np.int64))

    def order_29_ranges(self) -> NDArray[np.int64]:
        """See `PixelRegion.order_29_ranges`."""
        return self._ranges

    @cached_property
    def _ranges(self) -> NDArray[np.int64]:
        return np.stack(_at_order_29(self.order, self.pixels), axis=1)

    def describe(self) -> dict[str, object]:
        """See `Region.describe`."""
        return {
            "kind": "healpix",
            "order": self.order,
            "pixels": len(self.pixels),
            "sha256": digest(self.pixels),
        }


@dataclass(frozen=True, eq=False)
class MocRegion(PixelRegion):
    """A multi-order coverage map (MOC, IVOA recommendation 2.0) in ICRS.

    Parameters
    ----------
    name : str
        What to call it: the name of its file.
    ranges : ndarray of int64, shape (M, 2)
        See `PixelRegion.order_29_ranges`.
    """

    name: str
    ranges: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.ranges) == 0:
            raise FootprintError(f"MOC {self.name}: it is empty: give one that covers some sky")

    @classmethod
    def from_file(cls, path: Path) -> MocRegion:
        """Read a MOC.

        Parameters
        ----------
        path : Path
            JSON when its name ends in ``.json``, else FITS.

        Raises
        ------
        FootprintError
            When the file is missing, cannot be read as a MOC, or covers nothing.
        """

        def describe(reason: str) -> FootprintError:
            return FootprintError(
                f"MOC {path}: cannot be read ({reason}): give a MOC in FITS or JSON"
            )

        with parsing(describe), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moc = _read_json(path) if path.suffix.lower() == ".json" else _read_fits(path)
            ranges = np.asarray(moc.to_depth29_ranges, np.int64).reshape(-1, 2)
            _check_ranges(ranges)
        return cls(path.name, ranges)

    def order_29_ranges(self) -> NDArray[np.int64]:
        """See `PixelRegion.order_29_ranges`."""
        return self.ranges

    def describe(self) -> dict[str, object]:
        """See `Region.describe`."""
        return {"kind": "moc", "name": self.name, "sha256": digest(self.ranges)}


def _read_fits(path: Path) -> MOC:
    """Read a MOC from FITS; looked at first because mocpy takes what is left of a cut file.

    Cells and ranges are taken from the table here: mocpy ends the process on some damaged files.
    """
    with fits.open(checked_fits(path), memmap=False) as hdus:
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)), None)
        if table is None or not table.columns.names:
            raise ValueError("no table in this FITS file")
        header, values = table.header, np.asarray(table.data.field(0))
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise ValueError("its first column does not hold whole numbers")
    if str(header.get("MOCDIM", "SPACE")).strip().upper() != "SPACE":
        raise ValueError(f"MOCDIM is {printable(str(header['MOCDIM']))}: not of the sky alone")
    ordering = str(header.get("ORDERING", "NUNIQ")).strip().upper()
    numbers = values.astype(np.int64)
    if ordering == "NUNIQ":
        ranges = _ranges_of_uniq(numbers)
    elif ordering == "RANGE" and len(numbers) % 2 == 0:
        ranges = numbers.reshape(-1, 2)
    else:
        raise ValueError(f"ORDERING {printable(ordering)} of {len(numbers)} numbers")
    _check_ranges(ranges, sorted_=False)
    return MOC.from_depth29_ranges(max_depth=DEEPEST_ORDER, ranges=ranges.astype(np.uint64))


def _ranges_of_uniq(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranges of order-29 pixels of cells 4 · 4^order + pixel (MOC 2.0, section 2.3.1.2)."""
    if len(numbers) and numbers.min() < 4:
        raise ValueError(f"{numbers.min()} is no NUNIQ number")
    order = (np.frexp(numbers.astype(np.float64))[1].astype(np.int64) - 1) // 2 - 1
    # a double rounds numbers just below a power of 4 up to it
    order -= numbers < (4 << 2 * np.minimum(order, DEEPEST_ORDER))
    if len(order) and order.max() > DEEPEST_ORDER:
        raise ValueError(f"{numbers.max()} is no NUNIQ number")
    pixels = numbers - (4 << 2 * order)
    shift = 2 * (DEEPEST_ORDER - order)
    return np.stack([pixels << shift, (pixels + 1) << shift], axis=1)


def _check_ranges(ranges: NDArray[np.int64], *, sorted_: bool = True) -> None:
    """Refuse ranges of order-29 pixels that leave the sky, are empty or overlap."""
    begins, stops = ranges.T
    if len(ranges) and (begins.min() < 0 or stops.max() > N_DEEPEST or (begins >= stops).any()):
        raise ValueError("some of its cells are not on the sky")
    if sorted_ and (begins[1:] < stops[:-1]).any():
        raise ValueError("its cells overlap")


def _read_json(path: Path) -> MOC:
    """Read a MOC from JSON; checked here because mocpy skips or wraps what it cannot use."""
    cells = read_json(path)
    if not isinstance(cells, dict):
        raise ValueError("not an object of lists of pixels by order")
    for name, pixels in cells.items():
        order = int(name) if name.isdecimal() else -1
        if not 0 <= order <= DEEPEST_ORDER or not isinstance(pixels, list):
            raise ValueError(
                f'"{printable(name[:40])}" is not an order from 0 to 29 with a list of pixels'
            )
        for pixel in pixels:
            if type(pixel) is not int or not 0 <= pixel < 12 * 4**order:
                raise ValueError(f"order {order} has no pixel {printable(str(pixel)[:40])}")
    return MOC.from_json(cells)


def _at_order_29(
    order: int, pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one past the last pixel of order 29 in each pixel of a coarser order."""
    shift = 2 * (DEEPEST_ORDER - order)
    return pixels << shift, (pixels + 1) << shift
