"""Tables of what makes sources unfit as targets: stars, large galaxies, lists of objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xsaga.catalog.columns import ColumnMap, shown_columns
from xsaga.catalog.formats import MRT_SUFFIXES, open_table
from xsaga.catalog.readers import BATCH_ROWS
from xsaga.catalog.standard import Origin, Piece
from xsaga.errors import CatalogError
from xsaga.reading import read_text, reason_of, shortened
from xsaga.sky.ellipses import Ellipses
from xsaga.sky.positions import valid_positions

BRIGHT_STAR_MAG = 13.0
"""Stars fainter than this mask nothing, as for bit BRIGHT of MASKBITS (legacypipe, reference.py,
DR9: ``isbright``)."""

MAX_LIST = 128 << 20
"""Bytes of a list of ids in text: some six million."""

_RA, _DEC = ("ra", "target_ra", "raj2000", "ra_deg"), ("dec", "target_dec", "dej2000", "dec_deg")
_STARS = {
    "ra": _RA,
    "dec": _DEC,
    "radius": ("radius", "mask_radius"),
    "mag": ("mag", "phot_g_mean_mag", "gaia_phot_g_mean_mag", "mag_vt", "vtmag", "g"),
}
_GALAXIES = {
    "ra": _RA,
    "dec": _DEC,
    "diameter": ("d26", "diam", "d25"),
    "ba": ("ba",),
    "pa": ("pa",),
}
_OBJECTS = {
    "id": ("source_id", "targetid"),
    "ra": _RA,
    "dec": _DEC,
    "reason": ("reason", "comment", "note"),
}


def star_mask_radius(mag: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radius (deg) that the Legacy Surveys mask around a star of Gaia G or Tycho-2 V magnitude.

    ``min(1800, 150 · 2.5^((11 − mag) / 3)) · 0.262"`` (legacypipe, reference.py,
    ``mask_radius_for_mag``, DR9).
    """
    radius: NDArray[np.float64] = np.minimum(1800.0, 150.0 * 2.5 ** ((11.0 - mag) / 3))
    return radius * 0.262 / 3600


def read_bright_stars(path: Path) -> Ellipses:
    """Read circles around stars: their ``radius`` (arcsec), else by magnitude.

    By magnitude only stars brighter than `BRIGHT_STAR_MAG` mask anything.

    Raises
    ------
    CatalogError
        The file cannot be read or lacks a column.
    """
    columns = _read(path, _STARS, need=("ra", "dec"))
    if "radius" in columns:
        radius = columns["radius"] / 3600
    elif "mag" in columns:
        bright = columns["mag"] < BRIGHT_STAR_MAG
        radius = np.where(bright, star_mask_radius(columns["mag"]), 0)
    else:
        raise _lacking(path, "radius (arcsec) or a magnitude", _STARS["radius"] + _STARS["mag"])
    return _ellipses(path, columns, radius, None, None)


def read_large_galaxies(path: Path) -> Ellipses:
    """Read ellipses of galaxies: diameter (arcmin), axis ratio and position angle, as SGA-2020.

    Without an axis ratio or position angle (NaN too) a galaxy is taken to be round.

    Raises
    ------
    CatalogError
        The file cannot be read or lacks a column.
    """
    columns = _read(path, _GALAXIES, need=("ra", "dec", "diameter"))
    nothing = np.full(len(columns["ra"]), np.nan)
    return _ellipses(
        path,
        columns,
        columns["diameter"] / 2 / 60,
        columns.get("ba", nothing),
        columns.get("pa", nothing),
    )


@dataclass(frozen=True)
class ListedObjects:
    """Some rows of a list of objects.

    Parameters
    ----------
    source_id : ndarray of int64, shape (N,)
        −1 where the list has none.
    ra, dec : ndarray of float64, shape (N,)
        Degrees; NaN where the list has no position.
    reason : list of str
        What the list says of each; empty where it says nothing.
    first_row : int
        Row of the file, counted from 0, of the first.
    """

    source_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    reason: list[str]
    first_row: int


def read_listed(path: Path) -> Iterator[ListedObjects]:
    """Read a list of objects in pieces: ids, positions or both.

    Parameters
    ----------
    path : Path
        A table with ``source_id`` or ``TARGETID``, or with ``ra`` and ``dec``; or a text file
        (``.txt``) of one id a line, ``#`` for comments.

    Raises
    ------
    CatalogError
        The file cannot be read, or has neither ids nor positions.
    """
    if path.name.lower().endswith(MRT_SUFFIXES):
        yield _read_lines(path)
        return
    table = open_table(path)
    found = ColumnMap("list", _OBJECTS).resolve(table.columns)
    by_position = "ra" in found and "dec" in found
    if "id" not in found and not by_position:
        raise CatalogError(
            f"{path}: neither source_id or TARGETID nor ra and dec among its columns "
            f"{shown_columns(table.columns)}: name them so"
        )
    row = 0
    for raw in table.tables(list(found.values()), BATCH_ROWS):
        piece = Piece(raw, found, Origin(str(path), 0, row))
        nothing = np.full(len(piece), np.nan)
        source_id = np.full(len(piece), -1, np.int64)
        if "id" in found:
            given, known = piece.integers("id")
            source_id = np.where(known, given, -1)
        ra, dec = (
            np.asarray(piece.floats(name, np.float64), np.float64) if by_position else nothing
            for name in ("ra", "dec")
        )
        yield ListedObjects(
            source_id,
            ra,
            dec,
            piece.texts("reason").to_pylist() if "reason" in found else [""] * len(piece),
            row,
        )
        row += len(piece)


def _read_lines(path: Path) -> ListedObjects:
    ids, reasons = [], []
    try:
        lines = read_text(path, MAX_LIST).splitlines()
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: cannot be read ({reason_of(error)})") from None
    for number, line in enumerate(lines, start=1):
        words, _, reason = line.partition("#")
        if not words.strip():
            continue
        try:
            ids.append(np.int64(int(words)))
        except (ValueError, OverflowError):
            raise CatalogError(
                f"{path}: line {number}: {shortened(words.strip(), 80)!r} is no source_id: one "
                "whole number "
                "(of at most 63 bits) a line, a reason after #"
            ) from None
        reasons.append(reason.strip())
    nothing = np.full(len(ids), np.nan)
    return ListedObjects(np.array(ids, np.int64), nothing, nothing, reasons, 0)


def _read(
    path: Path, names: Mapping[str, tuple[str, ...]], need: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    table = open_table(path)
    found = ColumnMap("exclusions", names).resolve(table.columns)
    for name in need:
        if name not in found:
            raise _lacking(path, name, names[name], table.columns)
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in found}
    row = 0
    for raw in table.tables(list(found.values()), BATCH_ROWS):
        piece = Piece(raw, found, Origin(str(path), 0, row))
        try:
            for name, values in parts.items():
                values.append(np.asarray(piece.floats(name, np.float64), np.float64))
        except pa.ArrowException as error:
            raise CatalogError(f"{path}: rows from {row}: {error}") from None
        row += len(piece)
    return {name: np.concatenate([np.empty(0), *values]) for name, values in parts.items()}


def _ellipses(
    path: Path,
    columns: Mapping[str, NDArray[np.float64]],
    radius: NDArray[np.float64],
    axis_ratio: NDArray[np.float64] | None,
    position_angle: NDArray[np.float64] | None,
) -> Ellipses:
    valid = valid_positions(columns["ra"], columns["dec"])
    if not valid.all():
        row = int(np.flatnonzero(~valid)[0])
        raise CatalogError(
            f"{path}: row {row}: RA {columns['ra'][row]:g}, Dec {columns['dec'][row]:g} is not on "
            "the sky: give degrees"
        )
    far = radius > 10
    if far.any():
        row = int(np.flatnonzero(far)[0])
        raise CatalogError(
            f"{path}: row {row} masks a radius of {radius[row]:g} degrees: check its unit"
        )
    kept = radius > 0  # NaN masks nothing
    ra, dec, radius = columns["ra"][kept], columns["dec"][kept], radius[kept]
    if axis_ratio is None or position_angle is None:
        return Ellipses.circles(ra, dec, radius)
    ratio, angle = axis_ratio[kept], position_angle[kept]
    round_ = ~((ratio > 0) & (ratio < 1) & np.isfinite(angle))
    return Ellipses(ra, dec, radius, np.where(round_, 1.0, ratio), np.where(round_, 0.0, angle))


def _lacking(
    path: Path, what: str, names: Sequence[str], columns: Sequence[str] = ()
) -> CatalogError:
    its = f" (it has {shown_columns(columns)})" if columns else ""
    return CatalogError(f"{path}: no column for {what}{its}: name it {' or '.join(names)}")
