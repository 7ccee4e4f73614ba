"""DESI tiles: the fields of view of the DESI focal plane at the pointings of a survey."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from xsaga.errors import FootprintError
from xsaga.fits_structure import checked_fits
from xsaga.reading import parsing, shortened
from xsaga.sky.positions import check_radius, chord, unit_vectors, valid_positions
from xsaga.sky.region import Shape, digest
from xsaga.text_tables import read_ecsv

DEFAULT_TILE_RADIUS = 1.6
"""Degrees; the DESI focal plane reaches about this far from the centre of a tile."""

NAMED_AT_MOST = 10
"""Unknown tile ids that an error lists before it only counts them."""


@dataclass(frozen=True, eq=False)
class DesiTiles(Shape):
    """All positions within `radius` of the centre of a tile.

    Parameters
    ----------
    tile_ids : ndarray of int64, shape (T,)
        TILEID of each tile.
    ra, dec : ndarray of float64, shape (T,)
        Centres in degrees.
    radius : float
        Radius of the field of view in degrees.

    Raises
    ------
    FootprintError
        When there is no tile, a centre is not on the sky, or the radius is out of range.
    """

    tile_ids: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    radius: float = DEFAULT_TILE_RADIUS

    def __post_init__(self) -> None:
        check_radius(self.radius, "DESI tiles")
        if len(self.tile_ids) == 0:
            raise FootprintError("DESI tiles: the table is empty: give at least one tile")
        wrong = np.flatnonzero(~valid_positions(self.ra, self.dec))
        if len(wrong) > 0:
            row = wrong[0]
            raise FootprintError(
                f"DESI tile {self.tile_ids[row]}: RA {self.ra[row]:g}, Dec {self.dec[row]:g} is "
                "not on the sky: give degrees"
            )

    @classmethod
    def from_file(
        cls, path: Path, ids: Sequence[int] = (), radius: float = DEFAULT_TILE_RADIUS
    ) -> DesiTiles:
        """Read tiles from a table with the columns TILEID, RA and DEC.

        Parameters
        ----------
        path : Path
            ECSV when its name ends in ``.ecsv``, else FITS. Column names in any case.
        ids : sequence of int
            The tiles to take; all when there are none.
        radius : float
            Radius of the field of view in degrees.

        Raises
        ------
        FootprintError
            When the table is missing, unreadable, lacks a column or one of the `ids`, or holds a
            value that is no number.
        """
        table = _read_table(path)
        tile_ids = _numbers(table, "TILEID", path, kinds="iu").astype(np.int64)
        ra, dec = (_numbers(table, name, path).astype(np.float64) for name in ("RA", "DEC"))
        if len(ids) > 0:
            rows = np.isin(tile_ids, ids)
            unknown = sorted(set(ids) - set(tile_ids.tolist()))
            if unknown:
                named = ", ".join(map(str, unknown[:NAMED_AT_MOST]))
                more = f" and {len(unknown) - NAMED_AT_MOST} more" * (len(unknown) > NAMED_AT_MOST)
                raise FootprintError(
                    f"DESI tiles {path}: it has no tile {named}{more}: check the tile ids"
                )
            tile_ids, ra, dec = tile_ids[rows], ra[rows], dec[rows]
        try:
            return cls(tile_ids, ra, dec, radius)
        except FootprintError as error:
            raise FootprintError(f"{error} ({path})") from None

    def inside(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `Region.inside`."""
        return self._within(unit_vectors(ra, dec), chord(self.radius))

    def near(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], distance: float
    ) -> NDArray[np.bool_]:
        """See `Shape.near`."""
        return self._within(unit_vectors(ra, dec), chord(self.radius + distance))

    def describe(self) -> dict[str, object]:
        """See `Region.describe`."""
        by_id = np.lexsort((self.dec, self.ra, self.tile_ids))
        return {
            "kind": "desi-tiles",
            "tiles": len(self.tile_ids),
            "radius": self.radius,
            "sha256": digest(self.tile_ids[by_id], self.ra[by_id], self.dec[by_id]),
        }

    @cached_property
    def _centres(self) -> cKDTree:
        return cKDTree(unit_vectors(self.ra, self.dec))

    def _within(self, vectors: NDArray[np.float64], length: float) -> NDArray[np.bool_]:
        """Which unit vectors have a centre no farther than a chord's length."""
        nearest, _ = self._centres.query(vectors, distance_upper_bound=np.nextafter(length, np.inf))
        return np.asarray(nearest <= length, dtype=np.bool_)


def _read_table(path: Path) -> Table:
    def describe(reason: str) -> FootprintError:
        return FootprintError(
            f"DESI tiles {path}: cannot be read ({reason}): give a table in FITS or ECSV with the "
            "columns TILEID, RA and DEC"
        )

    with parsing(describe), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on units and the like: they do not concern positions
        if path.suffix.lower() == ".ecsv":
            return read_ecsv(path)
        return Table.read(checked_fits(path), format="fits")


def _numbers(table: Table, name: str, path: Path, kinds: str = "iuf") -> NDArray[np.generic]:
    """Numbers of one column, whose dtype must be of one of the given kinds."""
    found = [column for column in table.colnames if column.upper() == name]
    if not found:
        raise FootprintError(
            f"DESI tiles {path}: column {name} is missing "
            f"(it has {shortened(', '.join(table.colnames))}): give a table with TILEID, RA and DEC"
        )
    column = table[found[0]]
    if column.dtype.kind not in kinds or column.ndim != 1:
        wanted = "numbers" if "f" in kinds else "integers"
        raise FootprintError(
            f"DESI tiles {path}: column {found[0]} does not hold {wanted}: give one a row"
        )
    if np.ma.is_masked(column):
        row = int(np.ma.getmaskarray(column).argmax())
        raise FootprintError(
            f"DESI tiles {path}: column {found[0]}, row {row + 1} is empty: fill it in"
        )
    return np.asarray(column)
