"""The footprint of a run: one region of the sky or the union of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import healpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.errors import FootprintError
from xsaga.sky.desi_tiles import DEFAULT_TILE_RADIUS, DesiTiles
from xsaga.sky.parse import Words, parse_box, parse_circle, parse_healpix, parse_polygon
from xsaga.sky.pixel_regions import MocRegion
from xsaga.sky.region import Region, WholeCatalog, pixel_reach
from xsaga.sky.shapes import near_box
from xsaga.sky.tiles import (
    DEEPEST_ORDER,
    Tile,
    all_pixels,
    check_order,
    child_pixels,
    pixel_centres,
)

AREA_SAMPLES = 1 << 20
"""Most positions at which a footprint's area is sampled."""

TOUCH_ORDER = 9
"""HEALPix order at which the search whether a box touches a footprint ends: about 0.1 degrees."""


@dataclass(frozen=True)
class Footprint:
    """The union of one or more regions.

    Parameters
    ----------
    regions : tuple of Region
        At least one.

    Raises
    ------
    FootprintError
        When there is no region.
    """

    regions: tuple[Region, ...]

    def __post_init__(self) -> None:
        if not self.regions:
            raise FootprintError("the footprint has no region: give at least one")

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        """Which positions are inside one of the regions.

        Parameters
        ----------
        ra, dec : array_like, shape (N,)
            Degrees. Positions that are not on the sky, NaN for one, are not inside.

        Returns
        -------
        ndarray of bool, shape (N,)
        """
        ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
        result = self.regions[0].contains(ra, dec)
        for region in self.regions[1:]:
            rest = np.flatnonzero(~result)
            result[rest] = region.contains(ra[rest], dec[rest])
        return result

    def overlaps(self, order: int, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which NESTED pixels may overlap a region; see `Region.overlaps`."""
        result = self.regions[0].overlaps(order, pixels)
        for region in self.regions[1:]:
            rest = np.flatnonzero(~result)
            result[rest] = region.overlaps(order, pixels[rest])
        return result

    def tiles(self, order: int) -> list[Tile] | None:
        """Tiles that may overlap the footprint.

        Parameters
        ----------
        order : int
            HEALPix order, `MIN_ORDER` to `MAX_ORDER`.

        Returns
        -------
        list of Tile or None
            Sorted, each once; none is missing, a few extra ones may touch the footprint's edge
            only. None when the catalog's own coverage is part of the footprint.

        Raises
        ------
        FootprintError
            When tiles cannot have that order.
        """
        check_order(order)
        if not self.is_known:
            return None
        found = [pixels for region in self.regions if (pixels := region.tiles(order)) is not None]
        return [Tile(order, pixel) for pixel in np.unique(np.concatenate(found)).tolist()]

    @property
    def is_known(self) -> bool:
        """Whether the footprint is known without the catalog."""
        return not any(isinstance(region, WholeCatalog) for region in self.regions)

    def area_deg2(self) -> float | None:
        """Area of the union in square degrees.

        Measured on the finest HEALPix grid that has no more than `AREA_SAMPLES` pixels near the
        footprint; right to about 0.1 per cent for a shape as compact as a circle.

        Returns
        -------
        float or None
            None when the catalog's own coverage is part of the footprint.
        """
        if not self.is_known:
            return None
        order, pixels = 0, all_pixels(0)
        while order < DEEPEST_ORDER and 4 * len(pixels) <= AREA_SAMPLES:
            order, pixels = order + 1, child_pixels(pixels)
            pixels = pixels[self.overlaps(order, pixels)]
        inside = np.count_nonzero(self.contains(*pixel_centres(order, pixels)))
        return float(inside * healpy.nside2pixarea(2**order, degrees=True))

    def touches_box(self, ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> bool:
        """Whether positions in a range of RA and Dec may be inside the footprint.

        Parameters
        ----------
        ra_min, ra_max : float
            Degrees; through RA = 0 when `ra_min` > `ra_max`.
        dec_min, dec_max : float
            Degrees.

        Returns
        -------
        bool
            False only when no position of the range is inside. True may also mean that the range
            ends within a fraction of a degree from the footprint.
        """
        limits = (ra_min, ra_max), (dec_min, dec_max)
        order, pixels = 0, all_pixels(0)
        while True:
            centres = pixel_centres(order, pixels)
            pixels = pixels[near_box(*centres, pixel_reach(order), *limits)]
            pixels = pixels[self.overlaps(order, pixels)]
            if order == TOUCH_ORDER or len(pixels) == 0:
                return len(pixels) > 0
            ra, dec = pixel_centres(order, pixels)
            in_box = near_box(ra, dec, 0.0, *limits)
            if self.contains(ra[in_box], dec[in_box]).any():
                return True
            order, pixels = order + 1, child_pixels(pixels)

    def describe(self) -> dict[str, object]:
        """Tell what the footprint is, in JSON types, for provenance."""
        return {"regions": [region.describe() for region in self.regions]}


def make_footprint(
    circle: Sequence[Words] = (),
    box: Sequence[Words] = (),
    polygon: Sequence[str | Sequence[Words]] = (),
    moc: Sequence[str | Path] = (),
    desi_tiles: str | Path | None = None,
    tile_ids: Sequence[int] = (),
    tile_radius: float = DEFAULT_TILE_RADIUS,
    healpix: Sequence[str | Path] = (),
) -> Footprint:
    """Union of the regions that the command line or a configuration names.

    Parameters
    ----------
    circle : sequence of str or of three floats
        ``RA,DEC,RADIUS`` (deg) of each circle.
    box : sequence of str or of four floats
        ``RA_MIN,RA_MAX,DEC_MIN,DEC_MAX`` (deg) of each box.
    polygon : sequence of str or of vertices
        ``RA,DEC RA,DEC RA,DEC …`` (deg) of each polygon.
    moc : sequence of path
        MOC files, FITS or JSON.
    desi_tiles : path, optional
        A table of DESI tiles, FITS or ECSV.
    tile_ids : sequence of int
        TILEIDs to take from `desi_tiles`; all when there are none.
    tile_radius : float
        Radius (deg) of the field of a DESI tile.
    healpix : sequence of str or path
        ``ORDER/PIXEL,PIXEL…`` (NESTED), or a text file of such words.

    Returns
    -------
    Footprint
        The catalog's own coverage when nothing is given.

    Raises
    ------
    FootprintError
        When any of it is malformed, unreadable or empty.
    """
    regions: list[Region] = [
        *map(parse_circle, circle),
        *map(parse_box, box),
        *map(parse_polygon, polygon),
        *(MocRegion.from_file(Path(path)) for path in moc),
    ]
    if desi_tiles is not None:
        regions.append(DesiTiles.from_file(Path(desi_tiles), tile_ids, tile_radius))
    elif tile_ids:
        raise FootprintError("tile ids without a table of DESI tiles: give the table too")
    for words in healpix:
        regions.extend(parse_healpix(words))
    return Footprint(tuple(regions) or (WholeCatalog(),))
