"""From the columns of an input to the columns of a table of sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xsaga.catalog import photometry
from xsaga.catalog.identifiers import IdKind, encode_targetid, position_ids
from xsaga.catalog.schema import (
    CATEGORY,
    FIELDS_BY_NAME,
    I_BAND_FIELDS,
    ORIGIN_FIELDS,
    column_kind,
)
from xsaga.errors import CatalogError
from xsaga.reading import shortened
from xsaga.sky.positions import RA_MAX, RA_MIN, normalised_ra, valid_positions

REASONS = (
    "position is not a number",
    "Dec outside -90 to 90",
    "RA outside -180 to 360",
)
"""Why a row can be rejected when it is read."""

REJECTED_SCHEMA: pa.Schema = pa.schema(
    [
        ("input_file", pa.int16()),
        ("input_row", pa.int64()),
        ("source_id", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("reason", pa.dictionary(pa.int8(), pa.string())),
    ]
)
"""Columns of the table of catalog rows that enter no tile; ``source_id`` −1: none could be made."""

UNKNOWN_ID = -1


@dataclass(frozen=True)
class Origin:
    """Where a piece of an input stands.

    Parameters
    ----------
    path : str
        The input, for messages.
    file : int
        Its number in the list of inputs.
    row : int
        Row of the piece's first row in it, from 0.
    """

    path: str
    file: int
    row: int

    def at(self, index: int) -> str:
        """Words for one row of the piece."""
        return f"{self.path}: row {self.row + index}"


@dataclass
class ReadingNotes:
    """What is worth telling about inputs, collected while they are read.

    Parameters
    ----------
    warnings : list of str
        In the order they came up, without repetition.
    """

    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a warning unless it is there."""
        if text not in self.warnings:
            self.warnings.append(text)


def standard_columns(
    raw: pa.Table, columns: Mapping[str, str], origin: Origin, notes: ReadingNotes
) -> tuple[pa.Table, pa.Table]:
    """Translate a piece of an input.

    Parameters
    ----------
    raw : pyarrow.Table
        Columns of the input.
    columns : mapping of str to str
        From names of `xsaga.catalog.schema.INPUT_NAMES` to columns of `raw`.
    origin : Origin
        Where the piece stands.
    notes : ReadingNotes
        Takes warnings.

    Returns
    -------
    sources : pyarrow.Table
        Rows with a valid position: those columns of `SOURCE_FIELDS` that are not derived and that
        the input gives (and the i band), without nulls. ``source_id``, ``id_kind``, ``ra``,
        ``dec``, ``input_file`` and ``input_row`` are always there; RA is in [0, 360).
    rejected : pyarrow.Table
        The other rows, with columns `REJECTED_SCHEMA`.

    Raises
    ------
    CatalogError
        When a value is not a number where one is needed; row and value are named.
    """
    piece = Piece(raw, columns, origin)
    ra, dec = piece.floats("ra", np.float64), piece.floats("dec", np.float64)
    valid = valid_positions(ra, dec)
    ids, kinds = _identifiers(piece, ra, dec, valid, notes)
    rows = np.arange(origin.row, origin.row + len(ra), dtype=np.int64)
    values: dict[str, pa.Array | NDArray[np.generic]] = {
        "source_id": ids,
        "id_kind": pa.DictionaryArray.from_arrays(
            pa.array(kinds, pa.int32()), pa.array([kind.label for kind in IdKind])
        ),
        "ra": normalised_ra(np.where(valid, ra, 0.0)),
        "dec": dec,
        "input_file": np.full(len(ra), origin.file, np.int16),
        "input_row": rows,
    }
    values |= _measured(piece)
    values |= _photometric(piece)
    table = pa.table(
        {
            name: pa.array(value) if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }
    )
    if valid.all():
        return table, REJECTED_SCHEMA.empty_table()
    rejected = rejected_rows(table.filter(pa.array(~valid)), _reasons(ra, dec)[~valid], REASONS)
    rejected = rejected.set_column(3, "ra", pa.array(ra[~valid]))
    return table.filter(pa.array(valid)), rejected


def rejected_rows(
    sources: pa.Table, reason: NDArray[np.integer], reasons: tuple[str, ...]
) -> pa.Table:
    """Table of rows that enter no tile.

    Parameters
    ----------
    sources : pyarrow.Table
        The rows.
    reason : ndarray of int, shape (N,)
        Why each is left out: index into `reasons`.
    reasons : tuple of str

    Returns
    -------
    pyarrow.Table
        With columns `REJECTED_SCHEMA`.
    """
    named = sources.select(["input_file", "input_row", "source_id", "ra", "dec"])
    words = pa.DictionaryArray.from_arrays(pa.array(reason.astype(np.int8)), pa.array(reasons))
    return named.append_column("reason", words).cast(REJECTED_SCHEMA)


class Piece:
    """Columns of a piece of an input under the names of the column map."""

    def __init__(self, raw: pa.Table, columns: Mapping[str, str], origin: Origin) -> None:
        self._raw, self._columns, self.origin = raw, columns, origin

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return int(self._raw.num_rows)

    def is_floating(self, name: str) -> bool:
        """Whether the input stores a column as floating-point numbers."""
        return bool(pa.types.is_floating(self._raw.schema.field(self._columns[name]).type))

    def floats(self, name: str, dtype: type[np.floating] = np.float32) -> NDArray[np.floating]:
        """Values of a column; NaN where there is none."""
        values = self._numbers(name, pa.float64() if dtype is np.float64 else pa.float32())
        if values.null_count:
            values = pc.fill_null(values, np.nan)
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype)

    def integers(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Values of a column and which of them are there (0 stands for the others)."""
        column = self._array(name)
        if pa.types.is_floating(column.type):
            given = column.to_numpy(zero_copy_only=False)
            known = np.isfinite(given)
            if not (given[known] == np.round(given[known])).all():
                raise self._wrong_type(name, column.type, "whole numbers")
            return np.where(known, given, 0).astype(np.int64), known
        values = self._numbers(name, pa.int64())
        known = ~np.asarray(values.is_null().to_numpy(zero_copy_only=False), bool)
        filled = pc.fill_null(values, 0) if values.null_count else values
        return filled.to_numpy(zero_copy_only=False), known

    def texts(self, name: str) -> pa.DictionaryArray:
        """Values of a column as text without surrounding blanks; empty where there is none."""
        column = self._array(name)
        if not pa.types.is_dictionary(column.type):
            column = pc.cast(column, pa.string()).dictionary_encode()
        words = pc.utf8_trim_whitespace(pc.cast(column.dictionary, pa.string()))
        if column.null_count or len(pc.unique(words)) < len(words) or words.null_count:
            plain = pc.fill_null(words.take(column.indices), "")
            return plain.dictionary_encode().cast(CATEGORY)
        return pa.DictionaryArray.from_arrays(pc.cast(column.indices, pa.int32()), words)

    def _array(self, name: str) -> pa.Array:
        chunked = self._raw.column(self._columns[name])
        if chunked.num_chunks == 1:
            return chunked.chunk(0)
        return (
            pa.concat_arrays(chunked.unify_dictionaries().chunks)
            if chunked.num_chunks
            else (pa.array([], chunked.type))
        )

    def _numbers(self, name: str, kind: pa.DataType) -> pa.Array:
        column = self._array(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return self._parsed(name, pc.utf8_trim_whitespace(column), kind)
        if not (pa.types.is_primitive(column.type) or pa.types.is_null(column.type)):
            raise self._wrong_type(name, column.type, "numbers")
        try:
            return pc.cast(column, kind, safe=pa.types.is_integer(kind))
        except pa.ArrowException as error:
            raise self._wrong_type(name, column.type, "numbers") from error

    def _parsed(self, name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
        try:
            return pc.cast(column, kind)
        except pa.ArrowException as error:
            index = _first_unparsable(column, kind)
            value = shortened(column[index].as_py(), 80)
            hint = "; sexagesimal positions must be turned into degrees" if ":" in value else ""
            wanted = "a whole number" if pa.types.is_integer(kind) else "a number"
            raise CatalogError(
                f"{self.origin.at(index)}: {self._columns[name]} is '{value}', not {wanted}{hint}"
            ) from error

    def _wrong_type(self, name: str, kind: pa.DataType, wanted: str) -> CatalogError:
        return CatalogError(
            f"{self.origin.path}: column {self._columns[name]} (for {name}) holds {kind}, "
            f"{wanted} expected; name another with --column {name}=COLUMN"
        )


def _first_unparsable(column: pa.Array, kind: pa.DataType) -> int:
    """Index of the first text that does not convert, found by halving."""
    start, length = 0, len(column)
    while length > 1:
        half = length // 2
        try:
            pc.cast(column.slice(start, half), kind)
        except pa.ArrowException:
            length = half
        else:
            start, length = start + half, length - half
    return start


def _reasons(ra: NDArray[np.floating], dec: NDArray[np.floating]) -> NDArray[np.int8]:
    """Index into `REASONS` of each position that is not valid."""
    not_a_number = ~(np.isfinite(ra) & np.isfinite(dec))
    ra_inside = (ra >= RA_MIN) & (ra <= RA_MAX)
    return np.where(not_a_number, 0, np.where(ra_inside, 1, 2)).astype(np.int8)


def _identifiers(
    piece: Piece,
    ra: NDArray[np.floating],
    dec: NDArray[np.floating],
    valid: NDArray[np.bool_],
    notes: ReadingNotes,
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Find the best identifier that each row has, and its `IdKind`."""
    ids = np.full(len(piece), UNKNOWN_ID, np.int64)
    kinds = np.full(len(piece), IdKind.POSITION, np.int8)
    missing = np.ones(len(piece), bool)
    if "objid" in piece:
        parts = [piece.integers(name) for name in ("release", "brickid", "objid")]
        # RELEASE 0 marks rows that have no Legacy Surveys identity (DESI secondary targets).
        known = parts[0][1] & parts[1][1] & parts[2][1] & (parts[0][0] > 0)
        try:
            ids[known] = encode_targetid(*(values[known] for values, _ in parts))
        except CatalogError as error:
            raise CatalogError(f"{piece.origin.path}: {error}") from error
        kinds[known] = IdKind.TARGETID
        missing &= ~known
    if "id" in piece and missing.any():
        try:
            values, known = piece.integers("id")
        except CatalogError as error:
            notes.warn(f"identifiers are made from positions: {error}")
        else:
            take = missing & known
            ids[take] = values[take]
            kinds[take] = IdKind.CATALOG
            missing &= ~known
    by_position = missing & valid
    if by_position.any():
        ids[by_position] = position_ids(ra[by_position], dec[by_position])
    return ids, kinds


_COPIED = (
    tuple(
        field.name
        for field in FIELDS_BY_NAME.values()
        if not field.derived and field.name not in (*ORIGIN_FIELDS, "ra", "dec")
    )
    + I_BAND_FIELDS
)


def _measured(piece: Piece) -> dict[str, pa.Array | NDArray[np.generic]]:
    """Columns that are taken as they are."""
    values: dict[str, pa.Array | NDArray[np.generic]] = {}
    for name in _COPIED:
        if name not in piece:
            continue
        kind = column_kind(name)
        if pa.types.is_dictionary(kind):
            values[name] = piece.texts(name)
        elif pa.types.is_integer(kind):
            whole, _ = piece.integers(name)
            limits = np.iinfo(np.int32)
            if len(whole) and (whole.min() < limits.min or whole.max() > limits.max):
                index = int(np.argmax((whole < limits.min) | (whole > limits.max)))
                raise CatalogError(
                    f"{piece.origin.at(index)}: {name} {whole[index]} does not fit 32 bits"
                )
            values[name] = whole.astype(np.int32)
        else:
            values[name] = piece.floats(name)
    return values


def _photometric(piece: Piece) -> dict[str, NDArray[np.floating]]:
    """Fluxes, transmissions and sizes that follow from other columns."""
    values: dict[str, NDArray[np.floating]] = {}
    for band in ("g", "r", "i", "z"):
        if f"flux_{band}" not in piece:
            values |= _fluxes_of_magnitudes(piece, band)
        if f"mw_transmission_{band}" not in piece and f"mw_transmission_{band}" not in values:
            if f"extinction_{band}" in piece:
                transmission = photometry.transmission_of_extinction(
                    piece.floats(f"extinction_{band}")
                )
            elif "ebv" in piece and (f"flux_{band}" in piece or f"flux_{band}" in values):
                transmission = photometry.transmission_of_ebv(piece.floats("ebv"), band)
            else:
                continue
            values[f"mw_transmission_{band}"] = transmission
    if "radius" not in piece and "sb_r" in piece and "mag_r" in piece:
        brightness = piece.floats("sb_r")  # within the circularised radius, see schema.INPUT_NAMES
        if "ba" in piece:
            brightness = brightness - photometry.circularisation(piece.floats("ba"))
        values["radius"] = photometry.radius_of_surface_brightness(
            piece.floats("mag_r"), brightness
        )
    if "radius_err" not in piece and "radius_ivar" in piece:
        values["radius_err"] = photometry.errors_of_ivars(piece.floats("radius_ivar"))
    return values


def _fluxes_of_magnitudes(piece: Piece, band: str) -> dict[str, NDArray[np.floating]]:
    """Flux, its inverse variance and, for dereddened magnitudes, a transmission of one."""
    values: dict[str, NDArray[np.floating]] = {}
    if f"observed_mag_{band}" in piece and f"extinction_{band}" in piece:
        mag = piece.floats(f"observed_mag_{band}")
    elif f"mag_{band}" in piece:
        mag = piece.floats(f"mag_{band}")
        values[f"mw_transmission_{band}"] = np.ones(len(piece), np.float32)
    elif band == "g" and "gr" in piece and "mag_r" in piece:
        mag = piece.floats("mag_r") + piece.floats("gr")
        values[f"mw_transmission_{band}"] = np.ones(len(piece), np.float32)
    elif f"observed_mag_{band}" in piece:
        mag = piece.floats(f"observed_mag_{band}")
    else:
        return {}
    values[f"flux_{band}"] = flux = photometry.fluxes(mag)
    if f"mag_{band}_err" in piece:
        values[f"flux_ivar_{band}"] = photometry.flux_ivars(flux, piece.floats(f"mag_{band}_err"))
    return values
