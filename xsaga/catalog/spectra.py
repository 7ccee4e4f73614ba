"""Results of spectroscopy: every observed object, and whether its redshift is good.

Files are tables with positions and redshifts, as DESI, SDSS and SAGA publish them. No row is
dropped: one without a good redshift was observed too, and says which rule it fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xsaga.catalog.columns import COLUMN_OPTION, ColumnMap, match_columns
from xsaga.catalog.crossmatch import nearest_within
from xsaga.catalog.formats import TableFile, open_table
from xsaga.catalog.matching import pairs_within
from xsaga.catalog.readers import BATCH_ROWS
from xsaga.catalog.redshift_catalogs import (
    BAD,
    COLUMNS,
    GOOD,
    REDSHIFT_MAX,
    REDSHIFT_MIN,
    WARNING_COLUMNS,
    redshifts,
    require_redshift,
)
from xsaga.catalog.standard import Origin, Piece, ReadingNotes
from xsaga.errors import CatalogError, ConfigError, nearest_name
from xsaga.sky.positions import normalised_ra, valid_positions

WHY_NOT = ("", "no redshift", "ZWARN", "DELTACHI2", "SPECTYPE", "quality")
"""Values of ``why_not``: empty where the redshift is good, else the first rule that it fails."""

NO_TARGETID = -1
"""``targetid`` of a row that has none."""

SAME_OBJECT = 1.0
"""Arcseconds within which spectra without TARGETID are of one object."""

SPECTRA_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ra": (
        *("target_ra", "ra", "radeg", "raj2000", "_raj2000", "ra_icrs", "right_ascension"),
        *("alpha_j2000", "plug_ra", "plugra", "fiber_ra"),
    ),
    "dec": (
        *("target_dec", "dec", "dedeg", "dej2000", "_dej2000", "de_icrs", "declination"),
        *("delta_j2000", "plug_dec", "plugdec", "fiber_dec"),
    ),
    "targetid": ("targetid",),
    "z": COLUMNS["z"],
    "cz": COLUMNS["cz"],
    "zwarn": WARNING_COLUMNS,
    "delta_chi2": ("deltachi2", "delta_chi2"),
    "spectype": ("spectype", "class"),
    "z_quality": tuple(name for name in COLUMNS["z_quality"] if name not in WARNING_COLUMNS),
    "night": ("night", "lastnight", "last_night", "firstnight", "first_night"),
    "mjd": ("mjd", "mean_mjd", "max_mjd", "min_mjd"),
}
"""Input columns, in any case, that may hold what is read of a spectrum; the first one is used.

``cz`` (km/s) is taken where there is no ``z``, ``mjd`` where there is no ``night``.
"""

_FIRST_NIGHT, _LAST_NIGHT = 19000101, 21001231
_NOON = 19 / 24
"""Days from 0 h UT to noon in Arizona (UT - 7 h), when DESI's night begins anew."""

_MJD_ZERO = np.datetime64("1858-11-17", "D")
_MJD_LATEST = 100_000
_EXACT_DOUBLE = 2**53


@dataclass(frozen=True)
class QualityRules:
    """When a redshift is good.

    Parameters
    ----------
    zwarn : bool
        ZWARN or ZWARNING must be 0 where the file has such a column.
    min_delta_chi2 : float or None
        Least DELTACHI2, the chi-squared by which the best fit of DESI's redrock beats the next
        one; None: any. The value depends on the class of target, so there is no default: see what
        DESI documents for the sample in hand.
    spectypes : tuple of str
        SPECTYPE (SDSS: CLASS) that is allowed, in any case, e.g. ``GALAXY``; empty: any.
    min_quality : int
        Least quality on SAGA's scale (ZQUALITY, ``z_quality``) where the file has such a column;
        the same default as for labels.
    z_min, z_max : float
        What is not between these stands for "not measured".

    Raises
    ------
    ConfigError
        For limits that are no numbers or in the wrong order.
    """

    zwarn: bool = True
    min_delta_chi2: float | None = None
    spectypes: tuple[str, ...] = ()
    min_quality: int = 3
    z_min: float = REDSHIFT_MIN
    z_max: float = REDSHIFT_MAX

    def __post_init__(self) -> None:
        if not self.z_min < self.z_max:
            raise ConfigError(
                f"redshift limits {self.z_min:g} to {self.z_max:g}: the first must be the lower one"
            )
        if self.min_delta_chi2 is not None and not self.min_delta_chi2 >= 0:
            raise ConfigError(f"least DELTACHI2 {self.min_delta_chi2:g}: give 0 or more")


def read_spectra(
    path: Path,
    rules: QualityRules | None = None,
    overrides: Mapping[str, str] | None = None,
    notes: ReadingNotes | None = None,
    rows: int = BATCH_ROWS,
    option: str = COLUMN_OPTION,
) -> Iterator[pd.DataFrame]:
    """Read a file of redshifts in pieces of bounded size, every row of it.

    Parameters
    ----------
    path : Path
        FITS, Parquet, CSV, ECSV, VOTable or AAS machine-readable table.
    rules : QualityRules, optional
        When a redshift is good.
    overrides : mapping of str to str, optional
        From names of `SPECTRA_COLUMNS` to columns of the file that must be used.
    notes : ReadingNotes, optional
        Takes warnings.
    rows : int
        Rows of a piece, about.
    option : str
        Option of the command that gives `overrides`, for messages.

    Yields
    ------
    DataFrame
        ``ra`` (deg, in [0, 360)) and ``dec``, NaN where the file has no position on the sky;
        ``targetid`` (int64, `NO_TARGETID` where there is none; DESI gives negative ones to fibers
        without a target, they count as none); ``z`` (NaN: no redshift), ``good``, ``why_not`` (of
        `WHY_NOT`); ``delta_chi2`` (NaN: not known); ``z_quality``, `GOOD` or `BAD` by ZWARN where
        the file has no such scale; ``night`` (int64, YYYYMMDD of the evening, 0: not known; of an
        MJD by noon in Arizona, as DESI's nights go); ``input_row`` (from 0). A file without rows
        gives one piece without rows.

    Raises
    ------
    ConfigError
        For an override of an unknown name.
    CatalogError
        When the file cannot be read, has no position or redshift or lacks a column that a rule
        needs, or holds something else than a number where one is needed. What concerns the columns
        is raised at once, the rest when a piece is asked for.
    """
    rules = rules or QualityRules()
    notes = ReadingNotes() if notes is None else notes
    for name in overrides or {}:
        if name not in SPECTRA_COLUMNS:
            raise ConfigError(
                f"{option}: unknown name '{name}': {nearest_name(name, SPECTRA_COLUMNS)}"
            )
    table = open_table(path)
    column_map = ColumnMap("spectra", SPECTRA_COLUMNS, overrides or {})
    _, columns = match_columns([column_map], table.columns, str(path), option)
    require_redshift(path, columns, table.columns, option)
    if columns.get("z_quality", "").lower() in WARNING_COLUMNS:  # as labels allow it
        columns["zwarn"] = columns.pop("z_quality")
    _check_rules(path, rules, columns, notes, option)
    return _pieces(path, table, rules, columns, notes, rows)


def _check_rules(
    path: Path, rules: QualityRules, columns: Mapping[str, str], notes: ReadingNotes, option: str
) -> None:
    """Refuse rules that the file has no column for; tell when there is none to go by."""
    for name, wanted, rule in (
        ("delta_chi2", rules.min_delta_chi2 is not None, "a least DELTACHI2"),
        ("spectype", bool(rules.spectypes), "a SPECTYPE"),
    ):
        if wanted and name not in columns:
            raise CatalogError(
                f"{path}: no column for {name}, but {rule} is asked for; name one with "
                f"{option} {name}=COLUMN, or drop that rule"
            )
    if "zwarn" not in columns and "z_quality" not in columns:
        notes.warn(
            f"{path}: no column of redshift quality: every redshift in it counts as good; "
            f"name one with {option} z_quality=COLUMN"
        )


def _pieces(
    path: Path,
    table: TableFile,
    rules: QualityRules,
    columns: Mapping[str, str],
    notes: ReadingNotes,
    rows: int,
) -> Iterator[pd.DataFrame]:
    row = 0
    for raw in table.tables(list(dict.fromkeys(columns.values())), rows):
        try:
            frame = _spectra(Piece(raw, columns, Origin(str(path), 0, row)), rules, notes)
        except pa.ArrowException as error:
            raise CatalogError(f"{path}: rows from {row}: {error}") from error
        row += raw.num_rows
        yield frame
    if row == 0:
        nothing = pa.table({column: pa.array([], pa.float64()) for column in columns.values()})
        yield _spectra(Piece(nothing, columns, Origin(str(path), 0, 0)), rules, notes)


def _spectra(piece: Piece, rules: QualityRules, notes: ReadingNotes) -> pd.DataFrame:
    ra, dec = piece.floats("ra", np.float64), piece.floats("dec", np.float64)
    placed = valid_positions(ra, dec)
    z = redshifts(piece)
    z = np.where((z > rules.z_min) & (z < rules.z_max), z, np.nan)
    delta_chi2 = np.full(len(piece), np.nan)
    if "delta_chi2" in piece:
        delta_chi2 = piece.floats("delta_chi2", np.float64)
    warned = np.zeros(len(piece), bool)
    if rules.zwarn and "zwarn" in piece:
        given, known = piece.integers("zwarn")
        warned = ~(known & (given == 0))
    quality = np.where(warned, BAD, GOOD)
    poor = np.zeros(len(piece), bool)
    if "z_quality" in piece:
        given, known = piece.integers("z_quality")
        quality = np.where(known, np.clip(given, -1, np.iinfo(np.int32).max), BAD)
        poor = quality < rules.min_quality
    other_type = np.zeros(len(piece), bool)
    if rules.spectypes:
        other_type = ~_one_of(piece, "spectype", rules.spectypes)
    weak = np.zeros(len(piece), bool)
    if rules.min_delta_chi2 is not None:
        weak = ~(delta_chi2 >= rules.min_delta_chi2)
    reason = np.select([np.isnan(z), warned, weak, other_type, poor], np.arange(1, len(WHY_NOT)), 0)
    return pd.DataFrame(
        {
            "ra": np.where(placed, normalised_ra(np.where(placed, ra, 0)), np.nan),
            "dec": np.where(placed, dec, np.nan),
            "targetid": _targetids(piece),
            "z": z,
            "good": reason == 0,
            "why_not": pd.Series(np.asarray(WHY_NOT, object)[reason], dtype=str),
            "delta_chi2": delta_chi2,
            "z_quality": quality,
            "night": _nights(piece, notes),
            "input_row": np.arange(piece.origin.row, piece.origin.row + len(piece)),
        }
    )


def _one_of(piece: Piece, name: str, allowed: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which texts of a column are among some, in any case."""
    column = piece.texts(name)
    upper = {word.upper() for word in allowed}
    among = np.array([word.upper() in upper for word in column.dictionary.to_pylist()], bool)
    found: NDArray[np.bool_] = among[column.indices.to_numpy()]
    return found


def _targetids(piece: Piece) -> NDArray[np.int64]:
    if "targetid" not in piece:
        return np.full(len(piece), NO_TARGETID, np.int64)
    ids, known = piece.integers("targetid")
    if piece.is_floating("targetid") and (np.abs(ids) > _EXACT_DOUBLE).any():
        index = int(np.argmax(np.abs(ids) > _EXACT_DOUBLE))
        raise CatalogError(
            f"{piece.origin.at(index)}: TARGETID is a floating-point number, which cannot hold its "
            "last digits; write that column as 64-bit integers"
        )
    return np.where(known & (ids > 0), ids, NO_TARGETID)


def _nights(piece: Piece, notes: ReadingNotes) -> NDArray[np.int64]:
    night = np.zeros(len(piece), np.int64)
    if "night" in piece:
        try:
            given, _ = piece.integers("night")
        except CatalogError as error:
            notes.warn(f"some nights are not known: {error}")
        else:
            night = np.where((given >= _FIRST_NIGHT) & (given <= _LAST_NIGHT), given, 0)
    if "mjd" in piece:
        mjd = piece.floats("mjd", np.float64)
        take = (night == 0) & (mjd > 1) & (mjd < _MJD_LATEST)
        night[take] = _night_of_mjd(mjd[take])
    return night


def _night_of_mjd(mjd: NDArray[np.floating]) -> NDArray[np.int64]:
    """YYYYMMDD of the evening; see docs of desidatamodel, DESI_SPECTRO_DATA/NIGHT."""
    days = _MJD_ZERO + np.floor(mjd - _NOON).astype("timedelta64[D]")
    months = days.astype("datetime64[M]")
    year, month = np.divmod(months.astype(np.int64), 12)
    day = (days - months).astype(np.int64)
    nights: NDArray[np.int64] = (year + 1970) * 10_000 + (month + 1) * 100 + day + 1
    return nights


def best_per_object(spectra: pd.DataFrame) -> pd.DataFrame:
    """One spectrum of each object: a good one before others, then the most certain one.

    Spectra of one TARGETID are of one object. One without TARGETID is of the nearest object with
    a TARGETID within `SAME_OBJECT`, else spectra so near each other, and those connected by such,
    are one object.

    Parameters
    ----------
    spectra : DataFrame
        Pieces of `read_spectra`, of one file or several, put together.

    Returns
    -------
    DataFrame
        Of each object the good spectrum, else any, of highest ``delta_chi2``, then highest
        ``z_quality``, then the first row; in the order of the rows. ``n_spectra`` tells how many
        rows the object has. The index is that of the rows in `spectra` counted from 0.
    """
    spectra = spectra.reset_index(drop=True)
    objects = _objects(spectra)
    order = np.lexsort(
        (
            -spectra["z_quality"].to_numpy(),
            np.nan_to_num(-spectra["delta_chi2"].to_numpy(), nan=np.inf),
            ~spectra["good"].to_numpy(bool),
            objects,
        )
    )
    _, first, counts = np.unique(objects[order], return_index=True, return_counts=True)
    best = spectra.iloc[order[first]].assign(n_spectra=counts)
    return best.sort_index()


def _objects(spectra: pd.DataFrame) -> NDArray[np.int64]:
    """Give each row the number of its object."""
    ids = spectra["targetid"].to_numpy()
    ra, dec = spectra["ra"].to_numpy(), spectra["dec"].to_numpy()
    objects = np.arange(len(spectra))
    with_id = np.flatnonzero(ids != NO_TARGETID)
    _, first, inverse = np.unique(ids[with_id], return_index=True, return_inverse=True)
    objects[with_id] = with_id[first][inverse]
    without = np.flatnonzero(ids == NO_TARGETID)
    near, _ = nearest_within(ra[without], dec[without], ra[with_id], dec[with_id], SAME_OBJECT)
    objects[without[near >= 0]] = objects[with_id[near[near >= 0]]]
    rest = without[near < 0]
    rest = rest[valid_positions(ra[rest], dec[rest])]
    # One position can stand for many rows (0, 0 for "not known"): their pairs are not all listed.
    same, _ = nearest_within(ra[rest], dec[rest], ra[rest], dec[rest], 0.0)
    distinct = np.unique(same)
    pairs = distinct[pairs_within(ra[rest[distinct]], dec[rest[distinct]], SAME_OBJECT)]
    pairs = np.concatenate([pairs, np.stack([np.arange(len(rest)), same], axis=1)])
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(rest),) * 2)
    _, component = connected_components(links, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    objects[rest] = rest[first][inverse]
    return objects
