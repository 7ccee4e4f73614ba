"""A catalog split by tile: streamed, without duplicates, with photometry and cuts.

First all rows are read once; those inside the footprint are set aside by tile (`Spool`), and what
must be known of the whole catalog is collected: identifiers, sources near edges of tiles, bright
objects. Then a few tiles at a time are read back, freed from duplicates, completed, cut and
written. Memory is bounded by the batch size, but for 16 bytes a source while identifiers are
compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from xsaga.catalog.cutflow import CutFlow
from xsaga.catalog.cuts import Cuts, apply_cuts
from xsaga.catalog.duplicates import (
    Places,
    SortedMargins,
    TileMargins,
    is_among,
    later_neighbours,
    repeated_ids,
)
from xsaga.catalog.matching import BrightObjects
from xsaga.catalog.partition_summary import PartitionSummary, TileCount
from xsaga.catalog.photometry import ZERO_POINT
from xsaga.catalog.readers import BATCH_ROWS, Catalog
from xsaga.catalog.schema import SOURCE_FIELDS
from xsaga.catalog.sources import complete_sources, sources_table, write_sources
from xsaga.catalog.spool import TILE, Spool
from xsaga.catalog.standard import REJECTED_SCHEMA, ReadingNotes, rejected_rows
from xsaga.errors import CatalogError
from xsaga.parquet_files import write_table
from xsaga.sky.footprint import Footprint
from xsaga.sky.positions import separation, unit_vectors

DEDUPE_RADIUS = 0.5
"""Arcseconds within which two sources are taken to be one."""

DUPLICATE_REASONS = ("duplicate identifier", "duplicate position")
"""Reasons of the rows that are left out as duplicates, as in the table of rejected rows."""

_ORDER = "order"
_GROUP_ROWS = 200_000
"""Rows of the tiles that are finished together."""


def partition_catalog(
    catalog: Catalog,
    footprint: Footprint,
    order: int,
    tile_sources_path: Callable[[int], Path],
    rejected_path: Path,
    spool: Path,
    cuts: Cuts,
    dedupe_radius: float = DEDUPE_RADIUS,
    batch_rows: int = BATCH_ROWS,
    workers: int = 2,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> PartitionSummary:
    """Write the sources of each tile, and the rows that entered none.

    Parameters
    ----------
    catalog : Catalog
        What to split; `Catalog.within` saves reading files away from the footprint.
    footprint : Footprint
        Sources outside it are left out (and counted).
    order : int
        HEALPix order of the tiles.
    tile_sources_path : callable
        From a NESTED pixel to the file of its sources. Files are sorted by ``source_id``, and the
        same catalog and settings give the same bytes, whatever the batch size or workers.
    rejected_path : Path
        Parquet file of the rows with an invalid position and the duplicates, with columns
        `xsaga.catalog.standard.REJECTED_SCHEMA`, in input order.
    spool : Path
        Folder for intermediate files (about 170 bytes a source); emptied before and removed after.
    cuts : Cuts
        Cuts that set ``photometric_flags``. A source that fails stays in its tile's file.
    dedupe_radius : float
        Arcseconds within which two sources are one (`xsaga.catalog.duplicates`); 0 compares
        identifiers only.
    batch_rows : int
        Rows in memory at a time.
    workers : int
        Threads that finish tiles.
    progress : callable, optional
        Called from this thread with ("read", rows so far, None) and ("write", tiles done, tiles).

    Returns
    -------
    PartitionSummary

    Raises
    ------
    CatalogError
        When the catalog cannot be read or is empty, or a file cannot be written.
    """
    job = _Partition(order, tile_sources_path, cuts, dedupe_radius, progress or (lambda *_: None))
    store = None
    try:
        store = Spool(spool, batch_rows)
        job.read(catalog, footprint, store, batch_rows)
        job.finish(store, workers)
        return job.summary(rejected_path, catalog.left_out)
    except OSError as error:
        raise CatalogError(f"cannot write the tiles: {error}") from error
    finally:
        if store is not None:
            store.close()


@dataclass(frozen=True)
class _Group:
    """Tiles finished together."""

    tiles: tuple[TileCount, ...]
    cut_flow: CutFlow
    rejected: pa.Table
    repeated: pa.Table


class _Partition:
    """State of one partition: what was collected on the way through the catalog."""

    def __init__(
        self,
        order: int,
        tile_sources_path: Callable[[int], Path],
        cuts: Cuts,
        dedupe_radius: float,
        progress: Callable[[str, int, int | None], None],
    ) -> None:
        self._path_of, self._cuts, self._radius = tile_sources_path, cuts, dedupe_radius
        self._progress = progress
        self._notes = ReadingNotes()
        self._margins = TileMargins(order, dedupe_radius)
        self._ids: list[NDArray[np.int64]] = []
        self._bright: list[pa.Table] = []
        self._rejected: list[pa.Table] = []
        self._tiles: list[TileCount] = []
        self._flow = apply_cuts(_no_sources(), cuts)[1]
        self.n_read = self.n_outside = 0

    def read(self, catalog: Catalog, footprint: Footprint, spool: Spool, batch_rows: int) -> None:
        """Go through the catalog once."""
        n_inside = 0
        i_band = self._cuts.uses_i_band
        for batch in catalog.batches(self._notes, batch_rows, i_band):
            self.n_read += batch.n_read
            if batch.rejected.num_rows:
                self._rejected.append(batch.rejected)
            sources = batch.sources
            self._collect_bright(sources)
            inside = footprint.contains(_array(sources, "ra"), _array(sources, "dec"))
            if not inside.all():
                sources = sources.filter(pa.array(inside))
            n = sources.num_rows
            self.n_outside += len(inside) - n
            self._ids.append(_array(sources, "source_id").copy())
            places = _places(sources, np.arange(n_inside, n_inside + n))
            tile = self._margins.add(places)
            n_inside += n
            spool.add(
                sources.append_column(_ORDER, pa.array(places.order)).append_column(
                    TILE, pa.array(tile)
                )
            )
            self._progress("read", self.n_read, None)
        if n_inside == 0:
            self._notes.warn("no source of the catalog is inside the footprint")

    def finish(self, spool: Spool, workers: int) -> None:
        """Write all tiles."""
        ids, dropped = repeated_ids(_concatenated(self._ids))
        self._ids = []
        margins = self._margins.without(dropped)
        bright = self._bright_objects()
        tiles, counts = spool.tiles()
        repeated: list[pa.Table] = []

        def job(bounds: tuple[int, int]) -> _Group:
            return self._finish_group(spool.read(*bounds), bounds, ids, dropped, margins, bright)

        for group in _in_order(job, _groups(tiles, counts), workers):
            self._tiles.extend(group.tiles)
            self._flow = self._flow + group.cut_flow
            if group.rejected.num_rows:
                self._rejected.append(group.rejected)
            if group.repeated.num_rows:
                repeated.append(group.repeated)
            self._progress("write", len(self._tiles), len(tiles))
        self._warn_of_ambiguous_ids(repeated)

    def summary(self, rejected_path: Path, left_out: tuple[Path, ...]) -> PartitionSummary:
        """Write the rows that entered no tile and count everything."""
        rejected = pa.concat_tables([REJECTED_SCHEMA.empty_table(), *self._rejected])
        rejected = rejected.unify_dictionaries().sort_by(
            [("input_file", "ascending"), ("input_row", "ascending")]
        )
        write_table(rejected_path, rejected, store_schema=False)
        reasons = Counter[str]()
        for entry in rejected["reason"].value_counts().to_pylist():
            reasons[str(entry["values"])] = int(entry["counts"])
        return PartitionSummary(
            n_read=self.n_read,
            n_outside_footprint=self.n_outside,
            n_rejected={r: reasons[r] for r in sorted(reasons) if r not in DUPLICATE_REASONS},
            n_duplicates={reason: reasons[reason] for reason in DUPLICATE_REASONS},
            tiles=tuple(self._tiles),
            cut_flow=self._flow,
            warnings=tuple(self._notes.warnings),
            skipped_files=tuple(map(str, left_out)),
        )

    def _finish_group(
        self,
        rows: pa.Table,
        bounds: tuple[int, int],
        ids: NDArray[np.int64],
        dropped: NDArray[np.int64],
        margins: SortedMargins,
        bright: BrightObjects | None,
    ) -> _Group:
        order = _array(rows, _ORDER)
        same_id = is_among(order, dropped)
        same_place = np.zeros(len(order), bool)
        if self._radius > 0:
            same_place[~same_id] = self._same_place(rows, order, ~same_id, bounds, margins)
        kept = np.flatnonzero(~(same_id | same_place))
        kept = kept[np.lexsort((_array(rows, "source_id")[kept], _array(rows, TILE)[kept]))]
        duplicates = same_id | same_place
        rejected = rejected_rows(
            rows.filter(pa.array(duplicates)),
            same_place[duplicates].astype(np.int8),
            DUPLICATE_REASONS,
        )
        repeated = rows.select([_ORDER, "source_id", "ra", "dec"]).filter(
            pa.array(is_among(_array(rows, "source_id"), ids))
        )
        constant = frozenset(f.name for f in SOURCE_FIELDS) - frozenset(rows.column_names)
        rows = rows.take(pa.array(kept))
        sources = complete_sources(rows)
        flags, flow = apply_cuts(sources, self._cuts, bright)
        sources["photometric_flags"] = flags
        constant -= {"mag_r", "mag_g", "mag_z"}
        tiles = tuple(
            self._write_tiles(sources_table(sources), _array(rows, TILE), flags, constant)
        )
        return _Group(tiles, flow, rejected, repeated)

    def _same_place(
        self,
        rows: pa.Table,
        order: NDArray[np.int64],
        candidates: NDArray[np.bool_],
        bounds: tuple[int, int],
        margins: SortedMargins,
    ) -> NDArray[np.bool_]:
        here = _places(rows, order)[candidates]
        outside = margins.of(*bounds)
        # Sources that lie in another tile of this group are here already.
        outside = outside[~is_among(outside.order, np.sort(here.order))]
        _, once = np.unique(outside.order, return_index=True)
        together = Places.joined([here, outside[once]])
        return later_neighbours(together, self._radius)[: len(here)]

    def _write_tiles(
        self,
        sources: pa.Table,
        tile: NDArray[np.int64],
        flags: NDArray[np.int32],
        constant: frozenset[str],
    ) -> Iterator[TileCount]:
        pixels, starts, counts = np.unique(tile, return_index=True, return_counts=True)
        for pixel, start, count in zip(
            pixels.tolist(), starts.tolist(), counts.tolist(), strict=True
        ):
            write_sources(self._path_of(pixel), sources.slice(start, count), constant)
            candidates = int((flags[start : start + count] == 0).sum())
            yield TileCount(pixel, count, candidates)

    def _collect_bright(self, sources: pa.Table) -> None:
        limit = self._cuts.bright_object_limit
        if limit is None or not {"flux_r", "radius"} <= set(sources.column_names):
            return
        flux, radius = _array(sources, "flux_r"), _array(sources, "radius")
        if "mw_transmission_r" in sources.column_names:
            transmission = _array(sources, "mw_transmission_r")
            flux = flux / np.where(transmission > 0, transmission, 1)
        bright = (flux > 10 ** (0.4 * (ZERO_POINT - limit))) & (radius > 0)
        self._bright.append(sources.select(["ra", "dec", "radius"]).filter(pa.array(bright)))

    def _bright_objects(self) -> BrightObjects | None:
        if not self._bright:
            return None
        table = pa.concat_tables(self._bright)
        return BrightObjects(
            *(table[name].to_numpy().astype(np.float64) for name in ("ra", "dec", "radius"))
        )

    def _warn_of_ambiguous_ids(self, repeated: list[pa.Table]) -> None:
        """Say when sources with the same identifier are not the same source."""
        if not repeated:
            return
        table = pa.concat_tables(repeated).sort_by(
            [("source_id", "ascending"), (_ORDER, "ascending")]
        )
        ids = _array(table, "source_id")
        vectors = unit_vectors(_array(table, "ra"), _array(table, "dec"))
        _, first, which = np.unique(ids, return_index=True, return_inverse=True)
        apart = separation(vectors, vectors[first[which]]) * 3600 > 1
        if apart.any():
            self._notes.warn(
                f"{int(apart.sum())} sources have the identifier of another source more than 1 "
                f"arcsec away (the first is {ids[apart][0]}) and were left out as duplicates: if "
                "identifiers repeat between files, name another with --column id=COLUMN"
            )


def _in_order(
    job: Callable[[tuple[int, int]], _Group], bounds: list[tuple[int, int]], workers: int
) -> Iterator[_Group]:
    """Results of jobs in their order, a few running at a time."""
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="tiles") as pool:
        running: list[Future[_Group]] = []
        try:
            for item in bounds:
                running.append(pool.submit(job, item))
                if len(running) > workers:
                    yield running.pop(0).result()
            while running:
                yield running.pop(0).result()
        finally:
            for future in running:
                future.cancel()


def _groups(tiles: NDArray[np.int64], counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last pixel of consecutive tiles that have about `_GROUP_ROWS` rows together."""
    if not len(tiles):
        return []
    group = (np.cumsum(counts) - counts) // _GROUP_ROWS
    first = np.flatnonzero(np.diff(group, prepend=-1))
    last = np.append(first[1:], len(tiles)) - 1
    return list(zip(tiles[first].tolist(), tiles[last].tolist(), strict=True))


def _places(sources: pa.Table, order: NDArray[np.int64]) -> Places:
    last = np.zeros(len(order), bool)
    if "type" in sources.column_names:
        kind = sources["type"].combine_chunks()
        words = kind.dictionary.to_pylist()
        if "DUP" in words:
            last = np.asarray(kind.indices.to_numpy() == words.index("DUP"))
    return Places(order, _array(sources, "ra"), _array(sources, "dec"), last)


def _array(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name)
    values: NDArray[Any] = column.to_numpy()
    return values


def _concatenated(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _no_sources() -> pd.DataFrame:
    return pd.DataFrame({field.name: [] for field in SOURCE_FIELDS})
