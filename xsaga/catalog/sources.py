"""The table of sources: completed, with its photometry, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from xsaga.catalog import photometry
from xsaga.catalog.schema import (
    BANDS,
    FIELDS_BY_NAME,
    I_BAND_FIELDS,
    SOURCE_FIELDS,
    SOURCE_SCHEMA,
    missing_values,
)
from xsaga.errors import CatalogError
from xsaga.parquet_files import read_frame, unreadable, write_table

_ROW_GROUP = 1 << 17

SOURCES_ADVICE = "remove partition.json of the run and start the same command again"
"""How sources of a tile that are damaged are made again."""


def complete_sources(sources: pa.Table) -> pd.DataFrame:
    """Give sources all columns that do not depend on cuts, photometry included.

    Parameters
    ----------
    sources : pyarrow.Table
        Standard columns as `xsaga.catalog.readers.Catalog.batches` gives them.

    Returns
    -------
    DataFrame
        All columns of `SOURCE_FIELDS` (``photometric_flags`` 0), text as categories, and
        ``mag_i``, ``mag_i_err`` where the i band was read. A transmission that is not known
        counts as 1 and an axis ratio is made from the ellipticity where there is none.
    """
    given = set(sources.column_names)
    columns: dict[str, NDArray[np.generic] | pd.Categorical] = {}
    for field in SOURCE_FIELDS:
        if not field.derived:
            columns[field.name] = _values(sources, field.name)
    bands = (*BANDS, "i") if "flux_i" in given else BANDS
    for name in I_BAND_FIELDS if "i" in bands else ():
        columns[name] = _values(sources, name)
    for band in bands:
        flux = np.asarray(columns[f"flux_{band}"])
        transmission = np.asarray(columns[f"mw_transmission_{band}"])
        if f"mw_transmission_{band}" not in given:
            transmission = np.ones_like(transmission)
        else:
            transmission = np.where(np.isnan(transmission), np.float32(1), transmission)
        columns[f"mw_transmission_{band}"] = transmission
        columns[f"mag_{band}"] = photometry.magnitudes(flux, transmission)
        columns[f"mag_{band}_err"] = photometry.magnitude_errors(
            flux, np.asarray(columns[f"flux_ivar_{band}"])
        )
    radius = np.asarray(columns["radius"])
    if "ba" not in given and "shape_e1" in given:
        columns["ba"] = photometry.axis_ratios(
            np.asarray(columns["shape_e1"]), np.asarray(columns["shape_e2"])
        )
    columns["sb_r"] = photometry.surface_brightness(np.asarray(columns["mag_r"]), radius)
    columns["sb_r_err"] = photometry.surface_brightness_errors(
        np.asarray(columns["mag_r_err"]), radius, np.asarray(columns["radius_err"])
    )
    columns["photometric_flags"] = np.zeros(sources.num_rows, np.int32)
    ordered = [field.name for field in SOURCE_FIELDS]
    extra = [name for name in columns if name not in FIELDS_BY_NAME]
    return pd.DataFrame({name: columns[name] for name in (*ordered, *extra)}, copy=False)


def sources_table(sources: pd.DataFrame) -> pa.Table:
    """Make an Arrow table of exactly the columns of `SOURCE_FIELDS`."""
    arrays = []
    for field in SOURCE_FIELDS:
        column = sources[field.name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            # Plain text: codes would depend on what other tiles hold, and so would the file.
            words = pa.array(column.cat.categories.tolist(), pa.string())
            arrays.append(words.take(pa.array(column.cat.codes.to_numpy())))
        else:
            arrays.append(pa.array(column.to_numpy(), field.kind))
    return pa.Table.from_arrays(arrays, names=SOURCE_SCHEMA.names)


def write_sources(path: Path, sources: pa.Table, constant: frozenset[str] = frozenset()) -> None:
    """Write ``sources.parquet``; equal tables give equal bytes.

    Parameters
    ----------
    path : Path
        File to write; it appears only when complete.
    sources : pyarrow.Table
        As `sources_table` gives it.
    constant : frozenset of str
        Columns known to repeat one value, which are stored as such.
    """
    coded = [f.name for f in SOURCE_FIELDS if f.name in _REPETITIVE or f.name in constant]
    split = {
        f.name: "BYTE_STREAM_SPLIT"
        for f in SOURCE_FIELDS
        if pa.types.is_floating(f.kind) and f.name not in coded
    }
    write_table(
        path,
        sources,
        compression_level=1,
        use_dictionary=coded,
        column_encoding=split,
        row_group_size=_ROW_GROUP,
        store_schema=False,  # text is read back as text, not as categories
    )


def read_sources(path: Path) -> pd.DataFrame:
    """Read ``sources.parquet``.

    Raises
    ------
    CatalogError
        When the file cannot be read or lacks columns.
    """
    describe = unreadable(path, CatalogError, SOURCES_ADVICE)
    return read_frame(path, describe, SOURCE_SCHEMA.names, schema=SOURCE_SCHEMA)


_REPETITIVE = frozenset(
    {
        *(f.name for f in SOURCE_FIELDS if pa.types.is_string(f.kind)),
        "photometric_flags",
        "release",
        "brickid",
        "maskbits",
        "input_file",
        "ref_epoch",
        "sersic",
    }
)


def _values(sources: pa.Table, name: str) -> NDArray[np.generic] | pd.Categorical:
    if name not in sources.column_names:
        column = missing_values(name, sources.num_rows)
    else:
        column = sources.column(name)
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(column, pa.DictionaryArray):
        words = pd.Index(column.dictionary.to_pylist(), dtype=object)
        return pd.Categorical.from_codes(column.indices.to_numpy(), categories=words)
    values: NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return values
