"""The fixed columns of a table of sources, their types, units and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa

BANDS = ("g", "r", "z")
"""Bands of the table of sources. The i band is read too, for cuts that use it, but not kept."""

CATEGORY = pa.dictionary(pa.int32(), pa.string())
"""How text with few different values travels between stages: codes and a list of values."""


@dataclass(frozen=True)
class Field:
    """One column of the table of sources.

    Parameters
    ----------
    name : str
        Lower-case name.
    kind : pyarrow.DataType
        Type in the file.
    unit : str
        Unit in FITS notation; empty where there is none.
    meaning : str
        One line for people.
    derived : bool
        Computed by xsaga when the source's photometry is evaluated, not read.
    """

    name: str
    kind: pa.DataType
    unit: str
    meaning: str
    derived: bool = False

    @property
    def missing(self) -> float | int | str:
        """What stands where the catalog has no value: NaN, 0 or an empty text."""
        if pa.types.is_floating(self.kind):
            return float("nan")
        return 0 if pa.types.is_integer(self.kind) else ""


def _per_band(
    stem: str, suffix: str, unit: str, meaning: str, derived: bool = False
) -> list[Field]:
    return [
        Field(f"{stem}{band}{suffix}", pa.float32(), unit, meaning.format(band), derived)
        for band in BANDS
    ]


SOURCE_FIELDS: tuple[Field, ...] = (
    Field("source_id", pa.int64(), "", "DESI TARGETID, catalog id or HEALPix order-29 pixel"),
    Field("id_kind", pa.string(), "", "what source_id is: targetid, catalog or position"),
    Field("name", pa.string(), "", "name in the input catalog"),
    Field("ra", pa.float64(), "deg", "right ascension"),
    Field("dec", pa.float64(), "deg", "declination"),
    *_per_band("flux_", "", "nanomaggy", "{} flux as observed, not dereddened"),
    *_per_band("flux_ivar_", "", "nanomaggy^-2", "inverse variance of the {} flux"),
    *_per_band("mw_transmission_", "", "", "Galactic transmission in {}"),
    *_per_band("mag_", "", "mag", "{} AB magnitude, dereddened", derived=True),
    *_per_band("mag_", "_err", "mag", "error of the {} magnitude", derived=True),
    Field("radius", pa.float32(), "arcsec", "half-light radius"),
    Field("radius_err", pa.float32(), "arcsec", "error of the half-light radius"),
    Field("ba", pa.float32(), "", "axis ratio b/a"),
    Field("sb_r", pa.float32(), "mag arcsec^-2", "r surface brightness in the radius", True),
    Field("sb_r_err", pa.float32(), "mag arcsec^-2", "error of the surface brightness", True),
    Field("photometric_flags", pa.int32(), "", "photometric cuts that failed; 0 passes all", True),
    Field("release", pa.int32(), "", "Legacy Surveys RELEASE"),
    Field("brickid", pa.int32(), "", "Legacy Surveys BRICKID"),
    Field("objid", pa.int32(), "", "Legacy Surveys OBJID"),
    Field("type", pa.string(), "", "morphological type"),
    Field("ebv", pa.float32(), "mag", "E(B-V) of SFD98"),
    Field("maskbits", pa.int32(), "", "Legacy Surveys MASKBITS"),
    Field("ref_cat", pa.string(), "", "reference catalog"),
    *_per_band("fracflux_", "", "", "flux of neighbours over own flux in {}"),
    *_per_band("rchisq_", "", "", "reduced chi-square of the fit in {}"),
    Field("fiberflux_r", pa.float32(), "nanomaggy", "r flux in a fiber"),
    Field("sersic", pa.float32(), "", "Sersic index"),
    Field("shape_e1", pa.float32(), "", "ellipticity component 1"),
    Field("shape_e2", pa.float32(), "", "ellipticity component 2"),
    Field("pmra", pa.float32(), "mas yr^-1", "proper motion in RA cos Dec"),
    Field("pmdec", pa.float32(), "mas yr^-1", "proper motion in Dec"),
    Field("ref_epoch", pa.float32(), "yr", "epoch of the position"),
    Field("photsys", pa.string(), "", "photometric system: N or S"),
    Field("input_file", pa.int16(), "", "which of the inputs, from 0"),
    Field("input_row", pa.int64(), "", "row in that input, from 0"),
)
"""All columns of ``sources.parquet``, in the order of the file."""

SOURCE_SCHEMA: pa.Schema = pa.schema([(field.name, field.kind) for field in SOURCE_FIELDS])
"""Arrow schema of ``sources.parquet``."""

FIELDS_BY_NAME: Mapping[str, Field] = MappingProxyType({f.name: f for f in SOURCE_FIELDS})
"""Columns of the table of sources by name."""

I_BAND_FIELDS = ("flux_i", "flux_ivar_i", "mw_transmission_i")
"""Columns that travel with the sources until the cuts are applied, if the cuts use them."""

ORIGIN_FIELDS = ("source_id", "id_kind", "input_file", "input_row")
"""Columns that say which row of which input a source is."""

_INPUT_ONLY = (
    "id",
    *I_BAND_FIELDS,
    *(
        f"{stem}{band}{suffix}"
        for stem, suffix in (
            ("mag_", ""),
            ("mag_", "_err"),
            ("observed_mag_", ""),
            ("extinction_", ""),
        )
        for band in ("g", "r", "i", "z")
    ),
    "gr",
    "sb_r",
    "radius_ivar",
)

INPUT_NAMES: frozenset[str] = frozenset(_INPUT_ONLY) | {
    field.name for field in SOURCE_FIELDS if not field.derived and field.name not in ORIGIN_FIELDS
}
"""Names that a column map may give an input column to.

Besides columns of the table of sources: ``id`` (an integer identifier), ``mag_*`` and
``mag_*_err`` (dereddened AB magnitudes, from which fluxes are made when there are none),
``observed_mag_*`` (the same, not dereddened), ``extinction_*`` (A in magnitudes), ``gr`` (the
dereddened colour, which gives g from r), ``sb_r`` (within the circularised radius R √(b/a), as
SAGA prints it; it gives R from r), ``radius_ivar``, and the i band.
"""


def column_kind(name: str) -> pa.DataType:
    """Arrow type of a column that may occur before the photometry is evaluated."""
    field = FIELDS_BY_NAME.get(name)
    if field is None:
        return pa.float32()
    return CATEGORY if pa.types.is_string(field.kind) else field.kind


def missing_values(name: str, length: int) -> pa.Array:
    """Column of `length` values that say "not known" in the type of column `name`."""
    kind = column_kind(name)
    if pa.types.is_dictionary(kind):
        codes = pa.array(np.zeros(length, np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array([""], pa.string()))
    value = 0 if pa.types.is_integer(kind) else np.nan
    return pa.array(np.full(length, value, kind.to_pandas_dtype()))
