"""What every column of a target list is called, holds and means, in all file formats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from xsaga.errors import TargetsError

VOUNITS: Final = {
    "nanomaggy": "'nanomaggy'",
    "1/nanomaggy^2": "'nanomaggy'**-2",
    "mag/arcsec^2": "mag.arcsec**-2",
}
"""Units whose spelling in VOTables (VOUnit 1.1) is not the one of the Legacy Surveys' FITS files.

VOUnit knows no maggy; a unit of one's own is legal there in single quotes.
"""


@dataclass(frozen=True)
class Column:
    """One column of a target list.

    Parameters
    ----------
    name : str
        Name in data frames, Parquet, CSV, ECSV and VOTable.
    dtype : str
        numpy type ('i2', 'i4', 'i8', 'f4', 'f8') or 'str'.
    description : str
        One line for TCOMM and its like; in `COLUMNS` with ``{z_limit}`` where a redshift belongs.
    ucd : str
        UCD1+ (IVOA controlled vocabulary).
    unit : str
        Unit as the Legacy Surveys and DESI write it in TUNIT; empty if it has none.
    fits : str
        Name in FITS, DESI style; the upper-case name if empty.
    """

    name: str
    dtype: str
    description: str
    ucd: str
    unit: str = ""
    fits: str = ""

    @property
    def fits_name(self) -> str:
        """Name in FITS."""
        return self.fits or self.name.upper()

    @property
    def vounit(self) -> str:
        """Unit as VOTables spell it; empty if it has none."""
        return VOUNITS.get(self.unit, self.unit)

    @property
    def is_text(self) -> bool:
        """Whether it holds strings."""
        return self.dtype == "str"


_BAND_UCD = {"g": "em.opt.B", "r": "em.opt.R", "z": "em.opt.I"}


def _per_band(
    name: str, description: str, ucd: str, unit: str = "", suffix: str = ""
) -> tuple[Column, ...]:
    return tuple(
        Column(f"{name}_{band}{suffix}", "f4", f"{description}, {band} band", f"{ucd};{em}", unit)
        for band, em in _BAND_UCD.items()
    )


COLUMNS: Final[tuple[Column, ...]] = (
    Column("source_id", "i8", "Identifier of the source, see id_kind", "meta.id;meta.main"),
    Column("id_kind", "str", "Origin of the identifier: targetid, catalog, position", "meta.code"),
    Column("name", "str", "Name in the input catalog", "meta.id"),
    Column("ra", "f8", "Right ascension, ICRS", "pos.eq.ra;meta.main", "deg"),
    Column("dec", "f8", "Declination, ICRS", "pos.eq.dec;meta.main", "deg"),
    Column("rank", "i8", "Place in the list by p_lowz, 1 = best, no ties", "stat.rank"),
    Column("tier", "i2", "Group by thresholds on p_lowz, 1 = best", "meta.code.qual"),
    Column("priority", "i4", "Fiber-assignment priority of the tier, higher first", "meta.code"),
    Column("p_lowz", "f4", "Calibrated probability of redshift < {z_limit:g}", "stat.probability"),
    Column("p_lowz_std", "f4", "Spread of p_lowz over the ensemble", "stat.stdev;stat.probability"),
    Column("score_flags", "i4", "Bit mask of remarks on the score", "meta.code.qual"),
    Column("photometric_flags", "i4", "Bit mask of failed cuts, 0 = candidate", "meta.code.qual"),
    *_per_band("mag", "AB magnitude, dereddened", "phot.mag", "mag"),
    *_per_band("mag", "Error of AB magnitude", "stat.error;phot.mag", "mag", suffix="_err"),
    Column("radius", "f4", "Half-light radius used by the cuts", "phys.angSize;src", "arcsec"),
    Column("radius_err", "f4", "Error of radius", "stat.error;phys.angSize;src", "arcsec"),
    Column("ba", "f4", "Axis ratio, minor over major", "phys.size.axisRatio;src"),
    Column(
        "sb_r",
        "f4",
        "Effective surface brightness, dereddened, r band",
        "phot.mag.sb;em.opt.R",
        "mag/arcsec^2",
    ),
    Column(
        "sb_r_err",
        "f4",
        "Error of effective surface brightness",
        "stat.error;phot.mag.sb;em.opt.R",
        "mag/arcsec^2",
    ),
    *_per_band("flux", "Flux as observed, not dereddened", "phot.flux", "nanomaggy"),
    *_per_band("flux_ivar", "Inverse variance of flux", "stat.weight;phot.flux", "1/nanomaggy^2"),
    *_per_band("mw_transmission", "Galactic transmission, 0 to 1", "phys.transmission"),
    *_per_band("coverage", "Fraction of cutout pixels with data", "stat.filling"),
    Column("cutout_origin", "str", "What the cutout was read from", "meta.ref"),
    Column("release", "i4", "Legacy Surveys release of the source, 0 if none", "meta.version"),
    Column("brickid", "i4", "Legacy Surveys brick number, 0 if none", "meta.id.part"),
    Column(
        "objid",
        "i4",
        "Number of the source within its brick",
        "meta.id.part",
        fits="BRICK_OBJID",
    ),
    Column("type", "str", "Tractor morphological type", "src.morph.type", fits="MORPHTYPE"),
    Column("ebv", "f4", "Galactic extinction E(B-V), SFD98", "phot.color.excess", "mag"),
    Column("maskbits", "i4", "Legacy Surveys MASKBITS", "meta.code.qual"),
    Column("ref_cat", "str", "External catalog the source comes from", "meta.ref"),
    *_per_band("fracflux", "Flux of neighbours over own flux", "phot.flux;arith.ratio"),
    *_per_band("rchisq", "Reduced chi-squared of the Tractor model", "stat.fit.chi2"),
    Column(
        "fiberflux_r",
        "f4",
        "Flux within a 1.5 arcsec fiber in 1 arcsec seeing",
        "phot.flux;em.opt.R",
        "nanomaggy",
    ),
    Column("sersic", "f4", "Sersic index", "src.morph.param"),
    Column("shape_e1", "f4", "Ellipticity component 1", "src.ellipticity"),
    Column("shape_e2", "f4", "Ellipticity component 2", "src.ellipticity"),
    Column("pmra", "f4", "Proper motion in RA times cos(Dec)", "pos.pm;pos.eq.ra", "mas/yr"),
    Column("pmdec", "f4", "Proper motion in Dec", "pos.pm;pos.eq.dec", "mas/yr"),
    Column("ref_epoch", "f4", "Epoch of the position, 0 if none", "time.epoch", "yr"),
    Column("photsys", "str", "Photometric system: N (BASS/MzLS) or S (DECam)", "meta.code"),
    Column("input_file", "i2", "Input file, counted from 0", "meta.number"),
    Column("input_row", "i8", "Row of the input file, counted from 0", "meta.record"),
)
"""All columns that a target list may have, in the order in which they are written."""

BY_NAME: Final = {column.name: column for column in COLUMNS}


def columns_of(targets: pd.DataFrame, z_limit: float) -> tuple[Column, ...]:
    """Columns of a conformed target list, in the order in which they are written.

    Parameters
    ----------
    targets : DataFrame
        Of `conform`.
    z_limit : float
        Redshift below which a galaxy is what the model looks for, to describe the columns with.
    """
    columns = (BY_NAME[name] for name in targets.columns)
    return tuple(
        replace(column, description=column.description.format(z_limit=z_limit))
        for column in columns
    )


def text_width(values: pd.Series) -> int:
    """Letters of the longest string of a conformed column; at least 1, as formats want it."""
    return max(int(values.str.len().max()), 1) if len(values) else 1


def conform(targets: pd.DataFrame) -> pd.DataFrame:
    """Bring a target list to the registered columns, types and order.

    Parameters
    ----------
    targets : DataFrame
        Any of `COLUMNS`; `source_id` is required.

    Returns
    -------
    DataFrame
        The same rows in the same order with a plain index; strings without missing values.

    Raises
    ------
    TargetsError
        For a column that is not registered, or a type that cannot hold its values exactly.
    """
    unknown = [str(name) for name in targets.columns if name not in BY_NAME]
    if unknown:
        raise TargetsError(
            f"target list has the unknown column {', '.join(unknown)}: "
            "remove it or register it in xsaga.targets.columns"
        )
    if "source_id" not in targets:
        raise TargetsError("target list has no column source_id: it cannot be written")
    present = [column for column in COLUMNS if column.name in targets]
    data = {column.name: _typed(targets[column.name], column) for column in present}
    return pd.DataFrame(data)


def _typed(values: pd.Series, column: Column) -> pd.Series:
    values = values.reset_index(drop=True)
    if column.is_text:
        return values.where(values.notna(), "").astype(str)
    wanted = np.dtype(column.dtype)
    if wanted.kind == "f":
        if not pd.api.types.is_numeric_dtype(values):
            raise TargetsError(f"column {column.name} is {values.dtype}, it must be a number")
        return values.astype(wanted)
    if not pd.api.types.is_integer_dtype(values) or values.hasnans:
        raise TargetsError(
            f"column {column.name} is {values.dtype}, it must be whole numbers with none missing"
        )
    limits = np.iinfo(wanted)
    if len(values) and (values.min() < limits.min or values.max() > limits.max):
        raise TargetsError(
            f"column {column.name} holds {values.min()} to {values.max()}, "
            f"which does not fit {wanted.name}"
        )
    return values.astype(wanted)
