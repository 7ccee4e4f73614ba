"""Catalogs with redshifts: their rows with redshift, quality, host and photometry.

Positions, identifiers and photometry are read as for any catalog of sources
(`xsaga.catalog.readers`); the columns that make a label are found here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from astropy.constants import c as _speed_of_light
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from xsaga.catalog.columns import COLUMN_OPTION, ColumnMap, match_columns, shown_columns
from xsaga.catalog.formats import FITS_SUFFIXES, PARQUET_SUFFIXES, open_fits, open_table
from xsaga.catalog.identifiers import IdKind
from xsaga.catalog.readers import BATCH_ROWS, Catalog
from xsaga.catalog.schema import INPUT_NAMES
from xsaga.catalog.sources import complete_sources
from xsaga.catalog.standard import Origin, Piece, ReadingNotes, standard_columns
from xsaga.errors import CatalogError, ConfigError, nearest_name
from xsaga.parquet_files import read_parquet_metadata, unreadable
from xsaga.reading import parse_json, parsing

GOOD = 4
"""``z_quality`` of a redshift that is good where the catalog has no such scale (SAGA's best)."""

BAD = 0
"""``z_quality`` where there is no redshift, or the survey's pipeline warns of it."""

REDSHIFT_MIN, REDSHIFT_MAX = -0.01, 15.0
"""What lies outside stands for "not measured" (−1, −9, 99 …): nothing comes nearer at 3000 km/s."""

LABEL_MARK = b"xsaga.labels"
"""Key of a labelled catalog in the metadata of its Parquet file."""

SIMULATION_MARKS = (b"xsaga.simulation", "SIMULAT")
"""What marks a catalog as simulated: a key of Parquet metadata, a card of a FITS header."""

KINDS = ("galaxy", "star", "quasar", "artefact")
"""Values of ``kind``; empty where it is not known."""

_KIND_WORDS = {**{kind: kind for kind in KINDS}, "qso": "quasar"}
_TRUE_WORDS = frozenset({"true", "t", "1"})
_TRUTHS = ("shred", "training", "conflict")

WARNING_COLUMNS = ("zwarn", "zwarning")
"""Columns in which 0 means good (DESI, SDSS); translated to `GOOD` and `BAD`."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    # "z" comes last: in photometric catalogs it is a magnitude, and the redshift has another name
    "z": ("redshift", "z_spec", "zspec", "spec_z", "z_helio", "zhelio", "z_best", "z"),
    "cz": ("cz", "HRV", "v_helio", "vhelio"),
    "z_quality": ("z_quality", "zquality", "z_q", "zq", "nq", "zqual", *WARNING_COLUMNS),
    "kind": ("kind", "spectype"),
    "shred": ("shred",),
    "training": ("training",),
    "conflict": ("conflict",),
    "host": ("host", "HOSTID"),
    "source": ("source",),
}
"""Input columns that may hold what makes a label, in order of preference.

``cz`` (km/s) is taken where there is no ``z``: z = cz / c.
"""

PHOTOMETRY = ("mag_g", "mag_r", "mag_z", "sb_r", "radius", "ba", "sersic")
"""Photometry of a label; dereddened, see `xsaga.catalog.schema.SOURCE_FIELDS`."""

MORPHOLOGY = "morphology_"
"""Columns whose names begin so tell what an object looks like (numbers; NaN: not known): vote
shares of Galaxy Zoo, say, or what a simulation drew. Labels keep them."""

_LABELLED = ColumnMap(
    "labels",
    {
        "id": ("label_id",),
        **{name: (name,) for name in ("ra", "dec", *PHOTOMETRY) if name != "sb_r"},
    },
)
"""Column map of a file of labels, which can itself be an input."""


@dataclass
class RowCounts:
    """What became of the rows of the inputs.

    Parameters
    ----------
    read : int
        Rows of the files.
    no_position : int
        Rows without a valid position.
    no_redshift : int
        Rows without a redshift.
    low_quality : int
        Rows whose redshift is not good enough.
    """

    read: int = 0
    no_position: int = 0
    no_redshift: int = 0
    low_quality: int = 0


@dataclass(frozen=True)
class RedshiftCatalog:
    """A file with redshifts, and how to read it.

    Parameters
    ----------
    path : Path
        The file.
    column_maps : tuple of ColumnMap
        For positions, identifiers and photometry; the best one is used.
    overrides : mapping of str to str
        From names of `COLUMNS` to input columns that must be used.
    all_good : bool
        The catalog holds good redshifts only, so a missing quality is no surprise.
    """

    path: Path
    column_maps: tuple[ColumnMap, ...]
    overrides: Mapping[str, str] = field(default_factory=dict)
    all_good: bool = False


def split_overrides(overrides: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Part ``--column`` assignments into those of a label and those of a source.

    Parameters
    ----------
    overrides : mapping of str to str
        From names to input columns.

    Returns
    -------
    of_labels, of_sources : dict
        Names of `COLUMNS`, and names of `xsaga.catalog.schema.INPUT_NAMES`.

    Raises
    ------
    ConfigError
        For a name that is neither.
    """
    for name in overrides:
        if name not in COLUMNS and name not in INPUT_NAMES:
            raise ConfigError(
                f"--column: unknown name '{name}': {nearest_name(name, (*COLUMNS, *INPUT_NAMES))}"
            )
    of_labels = {name: column for name, column in overrides.items() if name in COLUMNS}
    return of_labels, {n: column for n, column in overrides.items() if n not in COLUMNS}


def redshift_catalogs(
    entry: str | Path, columns: str | Path, overrides: Mapping[str, str]
) -> list[RedshiftCatalog]:
    """Catalogs of a file, a pattern or a folder.

    Parameters
    ----------
    entry : str or Path
        See `xsaga.catalog.readers.Catalog.of`.
    columns : str or Path
        Column map of positions and photometry: ``auto``, a shipped one or a TOML file.
    overrides : mapping of str to str
        From names of `COLUMNS` or `INPUT_NAMES` to input columns.

    Raises
    ------
    ConfigError
        For an unknown name.
    CatalogError
        When there is no such file, or the column map cannot be used.
    """
    of_labels, of_sources = split_overrides(overrides)
    catalog = Catalog.of([entry], columns, of_sources)
    return [RedshiftCatalog(path, catalog.column_maps, of_labels) for path in catalog.files]


def read_redshifts(
    catalog: RedshiftCatalog,
    number: int,
    min_quality: int,
    counts: RowCounts,
    notes: ReadingNotes,
) -> pd.DataFrame:
    """Read the rows of one catalog that can be labels.

    A row can be one when it has a position and a redshift of sufficient quality, or when the
    catalog says that it is an artefact (``kind``), which has no redshift and is certainly no
    galaxy.

    Parameters
    ----------
    catalog : RedshiftCatalog
        The file.
    number : int
        Its number among the inputs.
    min_quality : int
        Least ``z_quality``.
    counts : RowCounts
        Is added to.
    notes : ReadingNotes
        Takes warnings.

    Returns
    -------
    DataFrame
        ``label_id``, ``id_known`` (not made from the position), ``ra``, ``dec``, ``z``,
        ``z_quality``, ``shred``, ``training``, ``conflict``, ``kind``, `PHOTOMETRY`, ``source``
        (the catalog's own word, else the file's name), ``host``, ``input_file``, ``input_row``,
        and the columns of `MORPHOLOGY`.

    Raises
    ------
    CatalogError
        When the file cannot be read, has no redshift, or holds something else than a number
        where one is needed; file, row and column are named.
    """
    table = open_table(catalog.path)
    path = str(catalog.path)
    maps = catalog.column_maps
    if "label_id" in table.columns:
        maps = (_LABELLED, *maps)
    _, columns = match_columns(maps, table.columns, path)
    found = _label_columns(catalog, table.columns, notes)
    found |= {name: name for name in table.columns if name.startswith(MORPHOLOGY)}
    wanted = list(dict.fromkeys([*columns.values(), *found.values()]))
    row = 0
    frames = []
    for raw in table.tables(wanted, BATCH_ROWS):
        origin = Origin(path, number, row)
        try:
            sources, rejected = standard_columns(raw, columns, origin, notes)
            labels = _labels(Piece(raw, found, origin), found)
        except pa.ArrowException as error:
            raise CatalogError(f"{path}: rows from {row}: {error}") from error
        labels["source"] = labels["source"].where(labels["source"] != "", catalog.path.stem)
        frame = _joined(complete_sources(sources), labels, row)
        counts.no_position += rejected.num_rows
        frames.append(_usable(frame, min_quality, counts))
        row += raw.num_rows
    counts.read += row
    if row == 0:
        raise CatalogError(f"{path}: the catalog is empty: it has columns but no rows")
    return pd.concat(frames, ignore_index=True)


def require_redshift(
    path: Path,
    found: Mapping[str, str],
    available: Sequence[str],
    option: str = COLUMN_OPTION,
) -> None:
    """Refuse a file in which neither ``z`` nor ``cz`` of `COLUMNS` was found.

    Raises
    ------
    CatalogError
        It names the columns of the file and how `option` names one.
    """
    if "z" in found or "cz" in found:
        return
    raise CatalogError(
        f"{path}: no column for z; its columns are {shown_columns(available)}; name the redshift "
        f"with {option} z=COLUMN, or a velocity in km/s with {option} cz=COLUMN"
    )


def redshifts(piece: Piece) -> NDArray[np.floating]:
    """Redshifts as the catalog gives them, from ``z`` or else ``cz`` of `COLUMNS`."""
    if "z" in piece:
        return piece.floats("z", np.float64)
    return piece.floats("cz", np.float64) / float(_speed_of_light.to_value("km/s"))


def is_simulated(path: Path) -> bool:
    """Tell whether a catalog says of itself that it is simulated.

    Parquet says it by a key of its metadata (``xsaga.simulation``, or the ``simulated`` of a file
    of labels), FITS by a card SIMULAT = T in any of its headers.
    """
    describe = unreadable(path, CatalogError, "give another file")
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        metadata = read_parquet_metadata(path, describe)
        if SIMULATION_MARKS[0] in metadata:
            return True
        with suppress(ValueError, AttributeError):  # not written by xsaga
            return bool(parse_json(metadata.get(LABEL_MARK, b"{}")).get("simulated"))
    if name.endswith(FITS_SUFFIXES):
        with parsing(describe), warnings.catch_warnings(), open_fits(path) as hdus:
            warnings.simplefilter("ignore", AstropyWarning)
            return any(bool(hdu.header.get(SIMULATION_MARKS[1], False)) for hdu in hdus)
    return False


def _label_columns(
    catalog: RedshiftCatalog, available: list[str], notes: ReadingNotes
) -> dict[str, str]:
    try:
        found = ColumnMap("redshifts", COLUMNS, catalog.overrides).resolve(available)
    except CatalogError as error:
        raise CatalogError(f"{catalog.path}: {error}") from error
    require_redshift(catalog.path, found, available)
    if "z_quality" not in found and not catalog.all_good:
        notes.warn(
            f"{catalog.path}: no column of redshift quality: every redshift in it counts as good; "
            "name one with --column z_quality=COLUMN"
        )
    return found


def _labels(piece: Piece, columns: Mapping[str, str]) -> pd.DataFrame:
    """Columns of a label, one row for each of the piece."""
    z = redshifts(piece)
    z = np.where((z > REDSHIFT_MIN) & (z < REDSHIFT_MAX), z, np.nan)
    quality = np.full(len(piece), GOOD, np.int64)
    if "z_quality" in columns:
        given, known = piece.integers("z_quality")
        if columns["z_quality"].lower() in WARNING_COLUMNS:
            given = np.where(given == 0, GOOD, BAD)
        quality = np.where(known, given, BAD)
    words = {
        name: _words(piece, name) if name in columns else np.full(len(piece), "", object)
        for name in ("kind", "host", "source", *_TRUTHS)
    }
    return pd.DataFrame(
        {
            "z": z,
            "z_quality": np.clip(quality, -1, np.iinfo(np.int32).max),
            "kind": [_KIND_WORDS.get(word.lower(), "") for word in words["kind"]],
            **{name: [word.lower() in _TRUE_WORDS for word in words[name]] for name in _TRUTHS},
            "host": words["host"],
            "source": words["source"],
            **{name: piece.floats(name) for name in columns if name.startswith(MORPHOLOGY)},
        }
    )


def _words(piece: Piece, name: str) -> NDArray[np.object_]:
    column = piece.texts(name)
    words = np.asarray(column.dictionary.to_pylist(), object)
    found: NDArray[np.object_] = words[column.indices.to_numpy()]
    return found


def _joined(sources: pd.DataFrame, labels: pd.DataFrame, first_row: int) -> pd.DataFrame:
    """Put labels beside their sources; rows without a valid position are gone."""
    kept = sources["input_row"].to_numpy() - first_row
    taken = labels.iloc[kept].reset_index(drop=True)
    places = sources[["ra", "dec", *PHOTOMETRY, "input_file", "input_row"]]
    frame = pd.concat([places, taken], axis=1)
    frame.insert(0, "label_id", sources["source_id"])
    frame.insert(1, "id_known", (sources["id_kind"] != IdKind.POSITION.label).to_numpy())
    return frame


def _usable(frame: pd.DataFrame, min_quality: int, counts: RowCounts) -> pd.DataFrame:
    known = np.isfinite(frame["z"].to_numpy())
    good = known & (frame["z_quality"].to_numpy() >= min_quality)
    artefact = (frame["kind"] == "artefact").to_numpy()
    counts.no_redshift += int((~known & ~artefact).sum())
    counts.low_quality += int((known & ~good & ~artefact).sum())
    usable: pd.DataFrame = frame[good | artefact]
    return usable
