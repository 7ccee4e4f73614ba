"""Targets of opportunity for SDSS-V (``sdssv-too``): the same table as CSV and as Parquet.

Source: the data model of the public package ``too`` (github.com/sdss/too, README.md and
src/too/datamodel.py; ``program`` as in its release 1.1.1), all columns of which a file must have.

What is written
---------------
* too_id is the `source_id`; fiber_type BOSS; priority 10 for tier 1, 9 for tier 2 …: a list of
  more than ten tiers is refused. epoch is that of the position, 2015.5 where it is not known.
* g_mag, r_mag and z_mag are AB magnitudes as observed by DECam (north: BASS and MzLS), not
  dereddened, without a colour term to Sloan's filters. u and i are empty, for the catalog has none:
  the README asks for all five where one is given, the validator there (src/too/validate.py) for
  any one. Unconfirmed which of them holds.
* added_on is the day the list was made, or ``--sdssv-added-on``; empty columns are those whose
  values SDSS fills in.
* Left out and listed in ``left-out.csv``: targets without any magnitude, and the poles themselves.

``too`` needs SDSS's database packages and Python 3.12 and was not run: the files are checked
against its data model and the rules of its validator.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from xsaga.errors import TargetsError
from xsaga.targets.exports.desi_values import BANDS, epochs, positions, require
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.left_out import Rule, reasons, refuse_lost, write_left_out
from xsaga.targets.exports.observed import observed_magnitudes, proper_motions
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import SdssvSettings
from xsaga.targets.target_list import TargetList

CSV_FILE: Final = "sdssv-too.csv"
PARQUET_FILE: Final = "sdssv-too.parquet"

MOST_TIERS: Final = 10

SCHEMA: Final = pa.schema(
    [
        ("too_id", pa.int64()),
        ("program", pa.string()),
        ("fiber_type", pa.string()),
        ("catalogid", pa.int64()),
        ("sdss_id", pa.int64()),
        ("gaia_dr3_source_id", pa.int64()),
        ("twomass_pts_key", pa.int32()),
        ("sky_brightness_mode", pa.string()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("pmra", pa.float32()),
        ("pmdec", pa.float32()),
        ("epoch", pa.float32()),
        ("parallax", pa.float32()),
        ("lambda_eff", pa.float32()),
        ("u_mag", pa.float32()),
        ("g_mag", pa.float32()),
        ("r_mag", pa.float32()),
        ("i_mag", pa.float32()),
        ("z_mag", pa.float32()),
        ("optical_prov", pa.string()),
        ("gaia_bp_mag", pa.float32()),
        ("gaia_rp_mag", pa.float32()),
        ("gaia_g_mag", pa.float32()),
        ("h_mag", pa.float32()),
        ("delta_ra", pa.float32()),
        ("delta_dec", pa.float32()),
        ("can_offset", pa.bool_()),
        ("inertial", pa.bool_()),
        ("n_exposures", pa.int16()),
        ("priority", pa.int16()),
        ("active", pa.bool_()),
        ("observe_from_mjd", pa.int32()),
        ("observe_until_mjd", pa.int32()),
        ("observed", pa.bool_()),
        ("added_on", pa.date32()),
    ]
)
"""Columns and types in the order of the data model."""


def write_sdssv_too(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write both files, and ``left-out.csv`` for what they cannot hold.

    Raises
    ------
    TargetsError
        The list lacks fluxes, has more than ten tiers or does not tell when it was made.
    """
    targets = listed.targets
    table = _table(listed, targets, settings.sdssv)
    why = reasons(_rules(targets), len(targets))
    kept = table.filter(pa.array(why == ""))
    csv.write_csv(kept, folder / CSV_FILE, csv.WriteOptions(quoting_style="needed"))
    simulated = "true" if listed.provenance.weights.simulated else "false"
    metadata = {
        "creator": f"xsaga {listed.provenance.version}",
        "weights_sha256": listed.provenance.weights.sha256,
        "simulated_weights": simulated,
    }
    pq.write_table(
        kept.replace_schema_metadata(metadata), folder / PARQUET_FILE, compression="zstd"
    )
    write_left_out(folder, targets, why)


def check_sdssv_too(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Read both files back with the types of the data model; compare them with the list.

    Raises
    ------
    TargetsError
        A file differs from the list, or breaks a rule of the validator of ``too``.
    """
    targets = listed.targets
    types = csv.ConvertOptions(
        column_types=SCHEMA, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    for name, table in (
        (PARQUET_FILE, pq.read_table(folder / PARQUET_FILE)),
        (CSV_FILE, csv.read_csv(folder / CSV_FILE, convert_options=types)),
    ):
        if table.schema.remove_metadata() != SCHEMA:
            raise TargetsError(f"{name} reads back with other columns or types")
        ids = table["too_id"].to_numpy()
        refuse_lost(targets, ids, folder)
        rows = np.isin(targets["source_id"].to_numpy(), ids)
        wanted = _table(listed, targets[rows], settings.sdssv)
        for column in SCHEMA.names:
            if not table[column].combine_chunks().equals(wanted[column].combine_chunks()):
                raise TargetsError(f"{name}: {column} does not read back as it was written")
        _refuse_invalid(name, table)


def _refuse_invalid(name: str, table: pa.Table) -> None:
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    magnitudes = np.array([table[f"{band}_mag"].to_numpy() for band in BANDS])
    rules = (
        len(np.unique(table["too_id"].to_numpy())) == table.num_rows,
        bool(((ra >= 0) & (ra < 360) & (np.abs(dec) < 90)).all()),
        bool(np.isfinite(magnitudes).any(axis=0).all()),
    )
    if not all(rules):
        raise TargetsError(f"{name} breaks a rule of SDSS's validator")


def _table(listed: TargetList, targets: pd.DataFrame, settings: SdssvSettings) -> pa.Table:
    require(targets, *(f"flux_{band}" for band in BANDS))
    tiers = targets["tier"].to_numpy()
    if len(tiers) and tiers.max() > MOST_TIERS:
        raise TargetsError(
            f"the list has {tiers.max()} tiers and SDSS-V only priorities {MOST_TIERS} to 1: "
            f"rank it in {MOST_TIERS} tiers or fewer"
        )
    ra, dec = positions(targets)
    pmra, pmdec = proper_motions(targets)
    values: dict[str, Any] = {
        "too_id": targets["source_id"].to_numpy(),
        "program": settings.program or None,
        "fiber_type": "BOSS",
        "sky_brightness_mode": settings.sky,
        "ra": ra,
        "dec": dec,
        "pmra": pmra,
        "pmdec": pmdec,
        "epoch": epochs(targets),
        **{f"{band}_mag": observed_magnitudes(targets, band) for band in BANDS},
        "optical_prov": "legacysurvey",
        "delta_ra": 0.0,
        "delta_dec": 0.0,
        "can_offset": False,
        "inertial": False,
        "n_exposures": settings.exposures,
        "priority": MOST_TIERS + 1 - tiers,
        "active": True,
        "observe_from_mjd": settings.observe_from,
        "observe_until_mjd": settings.observe_until,
        "observed": False,
        "added_on": _day(listed, settings),
    }
    arrays = [_array(values.get(field.name), field.type, len(targets)) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _array(values: Any, kind: pa.DataType, count: int) -> pa.Array:
    if not isinstance(values, np.ndarray):
        return pa.repeat(pa.scalar(values, kind), count)
    # NaN would be a number to SDSS's validator
    missing: NDArray[np.bool_] | None = np.isnan(values) if values.dtype.kind == "f" else None
    return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=missing)


def _rules(targets: pd.DataFrame) -> list[Rule]:
    magnitudes = np.array([observed_magnitudes(targets, band) for band in BANDS])
    return [
        (~np.isfinite(magnitudes).any(axis=0), "magnitudes: no flux is above 0"),
        (np.abs(targets["dec"].to_numpy()) >= 90.0, "dec: SDSS-V takes no poles"),
    ]


def _day(listed: TargetList, settings: SdssvSettings) -> dt.date:
    text = settings.added_on or listed.provenance.created[:10]
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise TargetsError(
            "the target list does not tell when it was made: give --sdssv-added-on YYYY-MM-DD"
        ) from None


SDSSV_TOO: Final = ExportFormat(
    name="sdssv-too",
    summary="SDSS-V targets of opportunity (CSV and Parquet)",
    write=write_sdssv_too,
    check=check_sdssv_too,
)
