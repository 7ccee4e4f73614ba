"""4MOST target catalogue (``4most``): one FITS binary table in format 2.5.

Sources
-------
Columns, types, units and ranges: the table of VIS-MAN-4MOST-47110-1720-0001, FMTVERS 2.5, as TiDES
shows it to its users (github.com/lsst-uk/tidesPhaseC, uploadObjects/uploadApp.py); the meaning of
MAG, EXTENT_* and the redshifts: the documentation of 4MOST's exposure time calculator
(escience.aip.de/readthedocs/OpSys/etc). The manual's footnotes were not at hand.

What is written
---------------
* NAME is the target's `source_id`; targets are those of 4MOST's sky, −90° < Dec ≤ +40°.
* MAG is the total magnitude as observed, from the flux, not dereddened; REDDENING is E(B−V), NaN
  where the list has none (the format allows it).
* EXTENT_FLAG is 0 for Tractor type PSF and for anything with a half-light radius under 0.1 arcsec,
  which the format cannot hold as a profile; else 2 (Sérsic) with the half-light radius and the
  Sérsic index of the catalog (where it has none: 4 for type DEV, else 1).
* REDSHIFT_ESTIMATE is no measurement: the middle of what the model looks for (half its limit, with
  an error as large), unless set.
* A target that a field cannot hold is left out and listed in ``left-out.csv``, never clipped.

Unconfirmed, therefore options
------------------------------
MAG_TYPE ``DECam_r_AB`` (seen in public 4MOST code; used for BASS and MzLS too), CADENCE 0,
COMPLETENESS 0, CLASSIFICATION ``GAL``, dates 0 for no limits, TEMPLATE_REDSHIFT 0. No calibration
magnitudes are suggested: CAL_MAG_* are 0, their identifiers empty. The table gives the dates as E,
which tells a Julian date to a quarter of a day; they are D here as in catalogues seen. SUBSURVEY,
TEMPLATE and RULESET are names that a survey agrees with 4MOST, so they must be given.

Nothing of 4MOST that checks catalogues can be installed freely: a catalogue is checked here
against that table only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.desi_values import epochs, positions, require
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.left_out import Rule, reasons, refuse_lost, write_left_out
from xsaga.targets.exports.observed import (
    observed_magnitude_errors,
    observed_magnitudes,
    proper_motions,
)
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import TIER_MARK, FourmostSettings
from xsaga.targets.fits_parts import primary_hdu, set_provenance
from xsaga.targets.target_list import TargetList

CATALOGUE_FILE: Final = "4most-targets.fits"
FORMAT_DOCUMENT: Final = "VIS-MAN-4MOST-47110-1720-0001"

POINT, SERSIC = 0, 2
"""Values of EXTENT_FLAG."""

LEAST_DEC, MOST_DEC = -90.0, 40.0
LEAST_RADIUS: Final = 0.1


@dataclass(frozen=True)
class Field:
    """A column of the catalogue.

    Parameters
    ----------
    name : str
        TTYPE.
    code : str
        TFORM; 'A' for text as wide as its longest value.
    unit : str
        TUNIT; empty if it has none.
    least, most : float
        Values that 4MOST takes; text has none. NaN is refused unless `gaps`.
    gaps : bool
        Whether NaN is allowed.
    """

    name: str
    code: str
    unit: str = ""
    least: float = -np.inf
    most: float = np.inf
    gaps: bool = False


FIELDS: Final = (
    Field("NAME", "A"),
    Field("RA", "D", "deg", 0.0, np.nextafter(360.0, 0.0)),
    Field("DEC", "D", "deg", np.nextafter(LEAST_DEC, 0.0), MOST_DEC),
    Field("PMRA", "E", "mas/yr", -1e6, 1e6),
    Field("PMDEC", "E", "mas/yr", -1e6, 1e6),
    Field("EPOCH", "E", "yr", 1950.0, 2050.0),
    Field("RESOLUTION", "I", "", 1, 2),
    Field("SUBSURVEY", "A"),
    Field("CADENCE", "K", "", 0, 2**22 - 1),
    Field("TEMPLATE", "A"),
    Field("RULESET", "A"),
    Field("REDSHIFT_ESTIMATE", "E", "", -0.01, 10.0),
    Field("REDSHIFT_ERROR", "E", "", 0.0, 10.0),
    Field("EXTENT_FLAG", "I", "", 0, 2),
    Field("EXTENT_PARAMETER", "E", "arcsec", 0.0, 100.0),
    Field("EXTENT_INDEX", "E", "", 0.0, 10.0),
    Field("MAG", "E", "mag", 3.0, 50.0),
    Field("MAG_ERR", "E", "mag", 0.0, 50.0),
    Field("MAG_TYPE", "A"),
    Field("REDDENING", "E", "mag", 0.0, 100.0, gaps=True),
    Field("TEMPLATE_REDSHIFT", "E", "", -0.1, 10.0),
    Field("DATE_EARLIEST", "D", "d"),
    Field("DATE_LATEST", "D", "d"),
    *(
        field
        for arm in ("BLUE", "GREEN", "RED")
        for field in (
            Field(f"CAL_MAG_{arm}", "E", "mag", 0.0, 50.0),
            Field(f"CAL_MAG_ERR_{arm}", "E", "mag", 0.0, 50.0),
            Field(f"CAL_MAG_ID_{arm}", "A"),
        )
    ),
    Field("CLASSIFICATION", "A"),
    Field("COMPLETENESS", "E", "", 0.0, 1.0),
    Field("PARALLAX", "E", "mas"),
)
"""Columns in the order of the manual's table."""

_NUMPY_TYPES = {"D": ">f8", "E": ">f4", "I": ">i2", "K": ">i8"}


def write_fourmost(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write the catalogue, and ``left-out.csv`` for what it cannot hold.

    Raises
    ------
    ConfigError
        The sub-survey, template or ruleset is not given.
    TargetsError
        The list lacks a column that the catalogue is made from.
    """
    chosen = settings.fourmost
    _refuse_unnamed(chosen)
    targets, z_limit = listed.targets, listed.provenance.weights.z_limit
    require(targets, f"flux_{chosen.band}", "radius")
    columns = catalogue_columns(targets, chosen, z_limit)
    why = reasons(_rules(columns, chosen), len(targets))
    kept = {name: values[why == ""] for name, values in columns.items()}
    table = fits.BinTableHDU.from_columns([_column(each, kept[each.name]) for each in FIELDS])
    table.name = "TARGETS"
    primary = primary_hdu(listed.provenance)
    set_provenance(table.header, listed.provenance)
    for header in (primary.header, table.header):
        header["FMTDOC"] = (FORMAT_DOCUMENT, "format of the catalogue")
        header["FMTVERS"] = chosen.format_version
    table.header["NLEFTOUT"] = (int((why != "").sum()), "targets that are in left-out.csv instead")
    fits.HDUList([primary, table]).writeto(folder / CATALOGUE_FILE)
    write_left_out(folder, targets, why)


def check_fourmost(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Read the catalogue back; compare it with `FIELDS` and with the list.

    Raises
    ------
    TargetsError
        A column, unit or value is not what the format or the list says.
    """
    targets = listed.targets
    with fits.open(folder / CATALOGUE_FILE, memmap=False) as hdus:
        hdus.verify("exception")
        table = hdus["TARGETS"]
        names, units = table.columns.names, [unit or "" for unit in table.columns.units]
        if names != [each.name for each in FIELDS] or units != [each.unit for each in FIELDS]:
            raise TargetsError(f"{CATALOGUE_FILE} reads back with other columns or units")
        data = {name: np.array(table.data[name]) for name in names}
    for field in FIELDS:
        _refuse_values(field, data[field.name], data["NAME"])
    ids = data["NAME"].astype(np.int64)
    refuse_lost(targets, ids, folder)
    rows = np.isin(targets["source_id"].to_numpy(), ids)
    expected = catalogue_columns(
        targets[rows], settings.fourmost, listed.provenance.weights.z_limit
    )
    for field in FIELDS:
        found, wanted = data[field.name], expected[field.name]
        same = found == wanted if field.code == "A" else _equal(found, wanted)
        if not np.all(same):
            row = int(np.flatnonzero(~same)[0])
            raise TargetsError(
                f"source {ids[row]}: {field.name} reads back as {found[row]}, not {wanted[row]}"
            )


def catalogue_columns(
    targets: pd.DataFrame, settings: FourmostSettings, z_limit: float
) -> dict[str, NDArray[Any]]:
    """Values of all columns for all targets, also for those that a field cannot hold.

    Parameters
    ----------
    targets : DataFrame
        Of the list, N rows.
    settings : FourmostSettings
        Names and constants.
    z_limit : float
        Redshift limit of the model.

    Returns
    -------
    dict of str to ndarray, shape (N,)
        In the types of the catalogue; NaN where a value is not known.
    """
    count = len(targets)
    ra, dec = positions(targets)
    extended, radius, index = _profiles(targets)
    error = observed_magnitude_errors(targets, settings.band)
    pmra, pmdec = proper_motions(targets)
    middle = z_limit / 2
    values: dict[str, Any] = {
        "NAME": targets["source_id"].to_numpy().astype(np.str_),
        "RA": ra,
        "DEC": dec,
        "PMRA": pmra,
        "PMDEC": pmdec,
        "EPOCH": epochs(targets),
        "RESOLUTION": settings.resolution,
        "SUBSURVEY": _by_tier(settings.subsurvey, targets["tier"]),
        "CADENCE": settings.cadence,
        "TEMPLATE": _by_tier(settings.template, targets["tier"]),
        "RULESET": _by_tier(settings.ruleset, targets["tier"]),
        "REDSHIFT_ESTIMATE": middle if settings.redshift is None else settings.redshift,
        "REDSHIFT_ERROR": middle if settings.redshift_error is None else settings.redshift_error,
        "EXTENT_FLAG": np.where(extended, SERSIC, POINT),
        "EXTENT_PARAMETER": radius,
        "EXTENT_INDEX": index,
        "MAG": observed_magnitudes(targets, settings.band),
        "MAG_ERR": np.where(np.isfinite(error), error, 0.0),
        "MAG_TYPE": settings.mag_type or f"DECam_{settings.band}_AB",
        "REDDENING": targets["ebv"].to_numpy() if "ebv" in targets else np.nan,
        "TEMPLATE_REDSHIFT": settings.template_redshift,
        "DATE_EARLIEST": settings.date_earliest,
        "DATE_LATEST": settings.date_latest,
        "CLASSIFICATION": settings.classification,
        "COMPLETENESS": settings.completeness,
    }
    empty = {"A": "", "E": 0.0}
    return {
        each.name: np.broadcast_to(values.get(each.name, empty.get(each.code)), count).astype(
            _NUMPY_TYPES.get(each.code, np.str_)
        )
        for each in FIELDS
    }


def _profiles(
    targets: pd.DataFrame,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Which are extended, with half-light radius (arcsec) and Sérsic index; 0 for point sources."""
    count = len(targets)
    kind = targets["type"].to_numpy(str) if "type" in targets else np.full(count, "")
    radius = targets["radius"].to_numpy(np.float64)
    index = targets["sersic"].to_numpy(np.float64) if "sersic" in targets else np.zeros(count)
    index = np.where(index > 0, index, np.where(kind == "DEV", 4.0, 1.0))
    extended = (kind != "PSF") & ~(radius < LEAST_RADIUS)
    return extended, np.where(extended, radius, 0.0), np.where(extended, index, 0.0)


def _rules(columns: dict[str, NDArray[Any]], settings: FourmostSettings) -> list[Rule]:
    special: list[Rule] = [
        (
            ~((columns["DEC"] > LEAST_DEC) & (columns["DEC"] <= MOST_DEC)),
            f"DEC: 4MOST observes {LEAST_DEC:g} to {MOST_DEC:+g} degrees",
        ),
        (~np.isfinite(columns["MAG"]), f"MAG: flux_{settings.band} is not above 0"),
        (
            (columns["EXTENT_FLAG"] == SERSIC) & ~np.isfinite(columns["EXTENT_PARAMETER"]),
            "EXTENT_PARAMETER: an extended source without a radius",
        ),
    ]
    ranges: list[Rule] = [
        (
            _outside(each, columns[each.name]),
            f"{each.name}: not within {each.least:g} to {each.most:g}",
        )
        for each in FIELDS
        if each.code != "A"
    ]
    index = columns["EXTENT_INDEX"]
    narrow: Rule = (
        (columns["EXTENT_FLAG"] == SERSIC) & (index < 0.1),
        "EXTENT_INDEX: not within 0.1 to 10",
    )
    return [*special, *ranges, narrow]


def _outside(field: Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    wrong = ~((values >= field.least) & (values <= field.most))
    return wrong & ~np.isnan(values) if field.gaps else wrong


def _refuse_values(field: Field, values: NDArray[Any], names: NDArray[np.str_]) -> None:
    wrong = (
        np.flatnonzero(np.char.str_len(values) > 256)
        if field.code == "A"
        else np.flatnonzero(_outside(field, values))
    )
    if len(wrong):
        row = wrong[0]
        raise TargetsError(f"source {names[row]}: {field.name} reads back as {values[row]}")


def _equal(found: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    return same


def _by_tier(name: str, tiers: pd.Series) -> NDArray[np.str_]:
    numbers, which = np.unique(tiers.to_numpy(), return_inverse=True)
    names = [name.replace(TIER_MARK, str(number)) for number in numbers]
    return np.array(names, dtype=np.str_)[which]


def _column(field: Field, values: NDArray[Any]) -> fits.Column:
    code = field.code
    if code == "A":  # FITS has no strings of width 0
        code = f"{max(values.dtype.itemsize // 4, 1)}A"
    return fits.Column(field.name, code, field.unit or None, array=values)


def _refuse_unnamed(settings: FourmostSettings) -> None:
    missing = [
        f"--{settings.prefix}-{name}"
        for name in ("subsurvey", "template", "ruleset")
        if not getattr(settings, name)
    ]
    if missing:
        raise ConfigError(
            f"give {', '.join(missing)}: names that your survey agreed with 4MOST "
            "(see `xsaga export --help`)"
        )


FOURMOST: Final = ExportFormat(
    name="4most",
    summary="4MOST target catalogue, format 2.5 (FITS)",
    write=write_fourmost,
    check=check_fourmost,
)
