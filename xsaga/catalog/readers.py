"""Catalogs: which files they are made of, and their rows in standard columns."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from operator import not_
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xsaga.catalog.columns import AUTO, ColumnMap, load_column_maps, match_columns
from xsaga.catalog.formats import FOLDER_SUFFIXES, PARQUET_SUFFIXES, open_table
from xsaga.catalog.schema import I_BAND_FIELDS
from xsaga.catalog.standard import Origin, ReadingNotes, standard_columns
from xsaga.errors import CatalogError
from xsaga.reading import read_text, reason_of
from xsaga.sky.footprint import Footprint

BATCH_ROWS = 500_000
"""Rows in memory at a time: about 100 MB of a sweep catalog's columns."""

MAX_PROPERTIES = 1 << 20
"""Bytes of the properties of a HATS collection; the usual ones have 1,000."""

_SWEEP_NAME = re.compile(r"sweep-(\d{3})([pm])(\d{3})-(\d{3})([pm])(\d{3})[^/]*\.fits(\.gz)?$")


@dataclass(frozen=True)
class SourceBatch:
    """Consecutive rows of one input.

    Parameters
    ----------
    sources : pyarrow.Table
        Rows with a valid position in standard columns, see
        `xsaga.catalog.standard.standard_columns`.
    rejected : pyarrow.Table
        Rows without one, with columns `xsaga.catalog.standard.REJECTED_SCHEMA`.
    """

    sources: pa.Table
    rejected: pa.Table

    @property
    def n_read(self) -> int:
        """Rows of the input in this batch."""
        return int(self.sources.num_rows + self.rejected.num_rows)


@dataclass(frozen=True)
class Catalog:
    """Files that together hold a catalog of sources.

    Parameters
    ----------
    files : tuple of Path
        In the order in which they are read; the order decides which of two duplicates is kept.
    column_maps : tuple of ColumnMap
        Each file uses the one that finds most of its columns.
    left_out : tuple of Path
        Files that are not opened because they cannot touch the footprint.
    """

    files: tuple[Path, ...]
    column_maps: tuple[ColumnMap, ...]
    left_out: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls,
        inputs: Sequence[str | Path],
        columns: str | Path = AUTO,
        overrides: Mapping[str, str] | None = None,
    ) -> Catalog:
        """Catalog made of files, patterns and folders.

        Parameters
        ----------
        inputs : sequence of str or Path
            Files; patterns like ``sweep/*.fits`` (``**`` for any depth); folders, from which all
            FITS, Parquet, CSV, ECSV and VOTable files are taken at any depth. A folder that holds
            Parquet is read as one Parquet data set (HATS included). Files come sorted, once each.
        columns : str or Path
            Column map: ``auto``, the name of a shipped one, or a TOML file.
        overrides : mapping of str to str, optional
            From names of `xsaga.catalog.schema.INPUT_NAMES` to input columns.

        Returns
        -------
        Catalog

        Raises
        ------
        CatalogError
            When an input does not exist or holds no table, or the column map cannot be used.
        """
        maps = load_column_maps(columns, overrides)
        files = sorted({path for entry in inputs for path in files_of(str(entry))})
        if not files:
            raise CatalogError("no catalog given")
        if len(files) > np.iinfo(np.int16).max:
            raise CatalogError(f"{len(files):,} catalog files: at most 32,767 can be in one run")
        return cls(tuple(files), maps)

    def within(self, footprint: Footprint) -> Catalog:
        """Leave out sweep files whose name says that they cannot touch a footprint."""
        near = [_may_touch(path, footprint) for path in self.files]
        return replace(
            self,
            files=tuple(compress(self.files, near)),
            left_out=tuple(compress(self.files, map(not_, near))),
        )

    def batches(
        self,
        notes: ReadingNotes | None = None,
        rows: int = BATCH_ROWS,
        i_band: bool = False,
    ) -> Iterator[SourceBatch]:
        """Read all files in pieces of bounded size.

        Parameters
        ----------
        notes : ReadingNotes, optional
            Takes warnings.
        rows : int
            Rows of a piece, about.
        i_band : bool
            Read the i band too.

        Yields
        ------
        SourceBatch

        Raises
        ------
        CatalogError
            When a file cannot be read, lacks a position, or holds something else than a number
            where one is needed; and when there are no rows at all.
        """
        notes = ReadingNotes() if notes is None else notes
        n_read = 0
        for number, path in enumerate(self.files):
            for batch in self._file_batches(number, path, notes, rows, i_band):
                n_read += batch.n_read
                yield batch
        if n_read == 0 and self.files:
            named = str(self.files[0]) + (", …" if len(self.files) > 1 else "")
            raise CatalogError(f"{named}: the catalog is empty: it has columns but no rows")

    def _file_batches(
        self, number: int, path: Path, notes: ReadingNotes, rows: int, i_band: bool
    ) -> Iterator[SourceBatch]:
        table = open_table(path)
        _, columns = match_columns(self.column_maps, table.columns, str(path))
        if not i_band:
            unused = {*I_BAND_FIELDS, "mag_i", "mag_i_err", "observed_mag_i", "extinction_i"}
            columns = {name: column for name, column in columns.items() if name not in unused}
        _note_what_is_missing(columns, notes)
        wanted = list(dict.fromkeys(columns.values()))
        row = 0
        lowest, highest = np.inf, -np.inf
        for raw in table.tables(wanted, rows):
            try:
                sources, rejected = standard_columns(
                    raw, columns, Origin(str(path), number, row), notes
                )
            except pa.ArrowException as error:
                raise CatalogError(f"{path}: rows from {row}: {error}") from error
            row += raw.num_rows
            if sources.num_rows:
                span = pc.min_max(sources["ra"])
                lowest = min(lowest, span["min"].as_py())
                highest = max(highest, span["max"].as_py())
            yield SourceBatch(sources, rejected)
        if highest < 24 and highest - lowest > 1:
            notes.warn(
                f"{path}: all RA are below 24: if they are hours, turn them into degrees (times 15)"
            )


def files_of(entry: str) -> list[Path]:
    """Find the tables of a file, folder or pattern; see `Catalog.of`.

    Raises
    ------
    CatalogError
        There is none.
    """
    path = Path(entry).expanduser()
    if path.is_dir():
        found = _folder_files(path)
        if not found:
            raise CatalogError(f"{path}: no table in this folder ({', '.join(FOLDER_SUFFIXES)})")
        return found
    if path.exists():
        return [path]
    if not glob.has_magic(entry):
        raise CatalogError(f"{path}: no such file or folder")
    matches = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207
    found = [file for match in matches for file in _matched_files(match)]
    if not found:
        raise CatalogError(f"{entry}: no table matches this pattern")
    return found


def _matched_files(match: Path) -> list[Path]:
    if match.is_dir():
        # A HATS partition may be a folder named like a file: Npix=44.parquet/part0.parquet
        return _folder_files(match) if match.name.lower().endswith(PARQUET_SUFFIXES) else []
    return [match] if match.name.lower().endswith(FOLDER_SUFFIXES) else []


def _folder_files(folder: Path) -> list[Path]:
    folder = _primary_table(folder)
    root = folder / "dataset" if (folder / "dataset").is_dir() else folder
    tables = [
        path
        for path in root.rglob("*")
        if path.name.lower().endswith(FOLDER_SUFFIXES)
        and not any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
        and path.is_file()
    ]
    parquet = [path for path in tables if path.name.lower().endswith(PARQUET_SUFFIXES)]
    # beside its partitions a HATS catalog may hold a thumbnail of itself
    partitions = [path for path in parquet if "Npix=" in str(path.relative_to(root))]
    return partitions or parquet or tables


def _primary_table(folder: Path) -> Path:
    """Catalog of a HATS collection, which may hold margins and indexes beside it."""
    properties = folder / "collection.properties"
    if not properties.is_file():
        return folder
    try:
        text = read_text(properties, MAX_PROPERTIES)
    except (OSError, ValueError) as error:
        raise CatalogError(f"{properties}: cannot be read ({reason_of(error)})") from error
    match = re.search(r"^hats_primary_table_url\s*=\s*([A-Za-z0-9_][\w.+-]*)/?\s*$", text, re.M)
    if match is None or not (folder / match[1]).is_dir():
        raise CatalogError(
            f"{properties}: it names no primary table in its folder; give the catalog's folder"
        )
    return folder / match[1]


def _may_touch(path: Path, footprint: Footprint) -> bool:
    match = _SWEEP_NAME.search(path.name.lower())
    if match is None:
        return True
    ra_min, dec_min, ra_max, dec_max = (
        float(match[1]),
        float(match[3]) * (1 if match[2] == "p" else -1),
        float(match[4]),
        float(match[6]) * (1 if match[5] == "p" else -1),
    )
    return footprint.touches_box(ra_min, ra_max, dec_min, dec_max)


def _note_what_is_missing(columns: Mapping[str, str], notes: ReadingNotes) -> None:
    has_flux = any(f"{stem}_r" in columns for stem in ("flux", "mag", "observed_mag"))
    if not has_flux:
        notes.warn("no r magnitude or flux in (some of) the catalog: photometry is unknown there")
    elif (
        "mag_r" not in columns
        and "mw_transmission_r" not in columns
        and "extinction_r" not in columns
        and "ebv" not in columns
    ):
        notes.warn(
            "no Galactic extinction in (some of) the catalog: magnitudes there are not dereddened"
        )
    if has_flux and "radius" not in columns and "sb_r" not in columns:
        notes.warn(
            "no radius in (some of) the catalog: surface brightness is unknown there and passes"
        )
