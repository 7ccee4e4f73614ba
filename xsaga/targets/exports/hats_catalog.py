"""Target list as a HATS catalog (``hats``), which hats, LSDB and whatever reads Parquet open.

Format: IVOA Note "HATS: a standard for the hierarchical adaptive tiling scheme". Partitions are
NESTED HEALPix pixels of order 0 or deeper where one would hold more than ``--hats-max-rows``; rows
are sorted by ``_healpix_29``. Every target is kept, and every column with its type; NaN stays NaN.
Units, UCDs and descriptions stand with each column and, as VOParquet 1.0, in the metadata of the
partitions and of ``dataset/_common_metadata``, provenance under ``xsaga.provenance`` beside them;
``hats.properties`` holds the parts of it that matter.

Needs the extra ``[hats]``. The library's own writers make the metadata; it has none for rows, and
its choice of partitions goes pixel by pixel through the whole sky, so both are done here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xsaga.errors import MissingExtraError, TargetsError
from xsaga.sky.tiles import DEEPEST_ORDER, tile_pixels
from xsaga.targets.columns import Column, columns_of, conform, text_width
from xsaga.targets.exports.desi_values import positions
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.provenance import Provenance
from xsaga.targets.target_list import TargetList
from xsaga.targets.write_parquet import PROVENANCE_KEY
from xsaga.targets.write_votable import votable_header

INDEX: Final = "_healpix_29"
"""Column that HATS sorts and seeks by: the NESTED pixel of order 29."""

MAP_ORDER: Final = 8
"""HEALPix order of the map of counts: 14 arcmin."""

DEFAULT_COLUMNS: Final = ("source_id", "ra", "dec", "rank", "tier", "priority", "p_lowz", "mag_r")
"""What LSDB reads unless asked for more."""

_ARROW_TYPES: Final = {
    "i2": pa.int16(),
    "i4": pa.int32(),
    "i8": pa.int64(),
    "f4": pa.float32(),
    "f8": pa.float64(),
    "str": pa.string(),
}


def write_hats(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write the catalog.

    Raises
    ------
    MissingExtraError
        The library is not installed.
    TargetsError
        The list has no targets: HATS knows no empty catalog.
    """
    _refuse_without_library()
    if listed.targets.empty:
        raise TargetsError("the list has no targets, and HATS knows no catalog without rows")
    from hats.catalog.partition_info import PartitionInfo
    from hats.io import paths
    from hats.io.parquet_metadata import write_parquet_metadata
    from hats.io.skymap import write_skymap
    from hats.pixel_math.healpix_pixel import HealpixPixel

    table = _indexed(listed)
    orders, pixels, starts = partitions(table[INDEX].to_numpy(), settings.hats.max_rows)
    homes = [HealpixPixel(int(o), int(p)) for o, p in zip(orders, pixels, strict=True)]
    for home, start, stop in zip(homes, starts[:-1], starts[1:], strict=True):
        path = Path(paths.pixel_catalog_file(folder, home).path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_rows(path, table.slice(start, stop - start))
    write_parquet_metadata(folder)
    PartitionInfo(homes).write_to_file(catalog_path=folder)
    counts = np.bincount(
        table[INDEX].to_numpy() >> 2 * (DEEPEST_ORDER - MAP_ORDER), minlength=12 * 4**MAP_ORDER
    )
    write_skymap(counts.astype(np.int64), folder)
    properties(listed, folder, settings, counts, int(np.diff(starts).max()))


def check_hats(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Open the catalog with hats and compare every value with the list.

    Raises
    ------
    TargetsError
        hats finds a fault, or a row or value differs.
    """
    from hats.io.validation import is_valid_catalog
    from hats.loaders.read_hats import read_hats

    if not is_valid_catalog(folder, strict=True):
        raise TargetsError("hats finds the catalog not valid")
    catalog: Any = read_hats(folder)
    if len(catalog) != len(listed.targets):
        raise TargetsError(f"hats counts {len(catalog)} rows of {len(listed.targets)}")
    wanted = _indexed(listed)
    files = sorted((folder / "dataset").rglob("Npix=*.parquet"))
    found = pa.concat_tables([pq.read_table(path) for path in files]).sort_by(
        [(INDEX, "ascending"), ("source_id", "ascending")]
    )
    for name in wanted.column_names:
        old, new = wanted[name].to_pandas(), found[name].to_pandas()
        if not old.equals(new):
            raise TargetsError(f"column {name} reads back with other values")
    for path in files:
        rows = pq.read_metadata(path).num_rows
        if rows > settings.hats.max_rows:
            raise TargetsError(f"{path.name} has {rows} rows")


def partitions(
    index: NDArray[np.int64], max_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Choose the largest HEALPix pixels that hold `max_rows` rows at most.

    Parameters
    ----------
    index : ndarray of int64, shape (N,)
        NESTED pixels of order 29, ascending.
    max_rows : int
        Most rows of a partition.

    Returns
    -------
    orders, pixels : ndarray of int64, shape (P,)
        Partitions with any row, in the order of `index`.
    starts : ndarray of int64, shape (P + 1,)
        Where each begins in `index`, and the end.

    Raises
    ------
    TargetsError
        More rows than that lie in one pixel of order 29.
    """
    orders, pixels, counts = [], [], []
    left = index
    for order in range(DEEPEST_ORDER + 1):
        found, inverse, many = np.unique(
            left >> 2 * (DEEPEST_ORDER - order), return_inverse=True, return_counts=True
        )
        small = many <= max_rows
        orders.append(np.full(int(small.sum()), order, np.int64))
        pixels.append(found[small])
        counts.append(many[small])
        left = left[~small[inverse]]
        if not len(left):
            break
    else:
        raise TargetsError(
            f"more than {max_rows} targets lie at one position: raise --hats-max-rows"
        )
    all_orders, all_pixels = np.concatenate(orders), np.concatenate(pixels)
    turn = np.argsort(all_pixels << 2 * (DEEPEST_ORDER - all_orders))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts)[turn])])
    return all_orders[turn], all_pixels[turn], starts.astype(np.int64)


def properties(
    listed: TargetList,
    folder: Path,
    settings: ExportSettings,
    counts: NDArray[np.int64],
    most_rows: int,
) -> None:
    """Write ``hats.properties`` and ``properties``; dates are those of the list, not the clock's.

    Parameters
    ----------
    listed, folder, settings
        As for `write_hats`.
    counts : ndarray of int64, shape (12 · 4^MAP_ORDER,)
        Targets in each pixel of the map.
    most_rows : int
        Of any partition.
    """
    from hats.catalog.dataset.table_properties import TableProperties

    provenance = listed.provenance
    facts = TableProperties.new_provenance_dict(folder, builder=f"xsaga v{provenance.version}")
    facts["hats_creation_date"] = provenance.created
    if not provenance.created:
        del facts["hats_creation_date"]
    limit = provenance.weights.z_limit
    table = {
        "obs_collection": settings.hats.name,
        "obs_title": f"Targets of xsaga: probable galaxies at redshift below {limit:g}",
        "dataproduct_type": "object",
        "hats_nrows": len(listed.targets),
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_cols_default": [name for name in DEFAULT_COLUMNS if name in listed.targets],
        "hats_col_healpix": INDEX,
        "hats_col_healpix_order": DEEPEST_ORDER,
        "hats_skymap_order": MAP_ORDER,
        "hats_max_rows": most_rows,
        "moc_sky_fraction": float(np.count_nonzero(counts) / len(counts)),
    }
    TableProperties.model_validate(table | _remarks(provenance) | facts).to_properties_file(folder)


def _remarks(provenance: Provenance) -> dict[str, Any]:
    remarks = {
        "xsaga_weights": provenance.weights.name,
        "xsaga_weights_sha256": provenance.weights.sha256,
        "xsaga_weights_simulated": str(provenance.weights.simulated).lower(),
        "xsaga_command": " ".join(provenance.command.split()),
    }
    remarks |= {f"xsaga_tier_{n}": words for n, words in enumerate(provenance.tiers, start=1)}
    if provenance.weights.simulated:
        remarks["obs_description"] = "SIMULATED WEIGHTS: these targets are no basis for observing."
    return remarks


_INDEX_COLUMN: Final = Column(
    INDEX, "i8", "NESTED HEALPix pixel of order 29 of the position", "pos.healpix"
)


def _indexed(listed: TargetList) -> pa.Table:
    """Make the described table with its index, sorted; positions are within 0 ≤ RA < 360."""
    targets, provenance = conform(listed.targets), listed.provenance
    targets["ra"], dec = positions(targets)
    index = tile_pixels(targets["ra"].to_numpy(), dec, DEEPEST_ORDER)
    order = np.lexsort([targets["source_id"].to_numpy(), index])
    columns = columns_of(targets, provenance.weights.z_limit)
    metadata = {
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": votable_header(targets, provenance, (_INDEX_COLUMN,)),
        PROVENANCE_KEY: json.dumps(provenance.to_dict(), ensure_ascii=False),
    }
    for column in columns:
        if column.is_text:  # astropy asks for the width of strings
            metadata[f"table::len::{column.name}"] = str(text_width(targets[column.name]))
    schema = pa.schema([_field(each) for each in (_INDEX_COLUMN, *columns)], metadata=metadata)
    rows = pd.concat([pd.Series(index, name=INDEX), targets], axis=1).iloc[order]
    table = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
    return table.replace_schema_metadata(metadata)


def _field(column: Column) -> pa.Field:
    words = {"description": column.description, "unit": column.unit, "ucd": column.ucd}
    return pa.field(
        column.name,
        _ARROW_TYPES[column.dtype],
        metadata={name: text for name, text in words.items() if text},
    )


def _write_rows(path: Path, table: pa.Table) -> None:
    from hats.io.file_io.file_io import get_parquet_write_table_kwargs

    pq.write_table(table, path, **get_parquet_write_table_kwargs(table.schema))


def _refuse_without_library() -> None:
    try:
        import hats  # noqa: F401
    except ImportError:
        raise MissingExtraError("hats", "hats") from None


HATS: Final = ExportFormat(
    name="hats",
    summary="HATS catalog in HEALPix partitions, for hats and LSDB (Parquet)",
    write=write_hats,
    check=check_hats,
)
