"""Target list for the Prime Focus Spectrograph (``pfs``): ECSV for its target uploader.

Sources: the uploader's documentation (pfs-etc.naoj.hawaii.edu/uploader/doc/inputs.html) and its
repository (github.com/Subaru-PFS/spt_target_uploader, docs/docs/inputs.md, utils/checker.py).

What is written
---------------
* ob_code and obj_id are the `source_id`; priority is the tier less one, 0 first: a list of more
  than ten tiers is refused.
* ra and dec are ICRS at epoch 2000.0, as PFS asks: positions with a proper motion are moved there.
* Fluxes are total, as observed, in nJy (1 nanomaggy = 3631 nJy). PFS knows HSC, Pan-STARRS1, SDSS
  and Gaia filters and none of DECam, and ignores columns of other names; so DECam fluxes are given
  as Pan-STARRS1's (or ``--pfs-filters``), without a colour term. A flux that is not positive is
  written as nan.
* Left out and listed in ``left-out.csv``: targets without any positive flux, and targets brighter
  than 16 in any band (the limit of PFS's queue mode; 17 for fillers, see ``--pfs-bright-limit``).

The uploader is a web application and was not run: the file is checked against those pages. Whether
a target can be seen from Maunakea is for the uploader to say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from astropy.table import Column, Table
from numpy.typing import NDArray

from xsaga.errors import TargetsError
from xsaga.targets.exports.desi_values import require
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.left_out import Rule, reasons, refuse_lost, write_left_out
from xsaga.targets.exports.observed import positions_at, proper_motions
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.exports.survey_settings import PfsSettings
from xsaga.targets.target_list import TargetList

LIST_FILE: Final = "pfs-targets.ecsv"

NANOJANSKY_PER_NANOMAGGY: Final = 3631.0
EPOCH: Final = 2000.0
MOST_TIERS: Final = 10

FILTERS: Final = {
    "ps1": {"g": "g_ps1", "r": "r_ps1", "z": "z_ps1"},
    "sdss": {"g": "g_sdss", "r": "r_sdss", "z": "z_sdss"},
    "hsc": {"g": "g_hsc", "r": "r2_hsc", "z": "z_hsc"},
}
"""Names of PFS's filters by photometric system and DECam band."""

_TEXT: Final = r"[A-Za-z0-9_+\-.]+"


def write_pfs(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write the list, and ``left-out.csv`` for what it cannot hold.

    Raises
    ------
    TargetsError
        The list lacks fluxes, or has more than ten tiers.
    """
    targets = listed.targets
    columns = _columns(targets, settings.pfs)
    why = reasons(_rules(columns, settings.pfs), len(targets))
    kept = why == ""
    table = Table(meta=_meta(listed, settings.pfs))
    for name, (values, unit) in columns.items():
        table[name] = Column(values[kept], unit=unit or None)
    table.write(folder / LIST_FILE, format="ascii.ecsv", delimiter=",")
    write_left_out(folder, targets, why)


def check_pfs(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Read the list back as the uploader does; compare it with PFS's rules and with the list.

    Raises
    ------
    TargetsError
        Something is not as PFS or the list has it.
    """
    chosen, targets = settings.pfs, listed.targets
    table = Table.read(folder / LIST_FILE, format="ascii.ecsv")
    ids = np.asarray(table["obj_id"], np.int64)
    refuse_lost(targets, ids, folder)
    expected = _columns(targets[np.isin(targets["source_id"].to_numpy(), ids)], chosen)
    if table.colnames != list(expected):
        raise TargetsError(f"{LIST_FILE} reads back with other columns")
    for name, (wanted, unit) in expected.items():
        column = table[name]
        found = np.ma.filled(column.astype(float), np.nan) if wanted.dtype.kind == "f" else column
        same = (np.asarray(found) == wanted) | (
            np.isnan(found) & np.isnan(wanted) if wanted.dtype.kind == "f" else False
        )
        if not np.all(same) or str(column.unit or "") != unit:
            row = ids[~same][0] if not np.all(same) else "all"
            raise TargetsError(f"source {row}: {name} does not read back as it was written")
    fluxes = np.array([expected[name][0] for name in FILTERS[chosen.filters].values()])
    priority = np.asarray(table["priority"])
    codes = pd.Series(np.asarray(table["ob_code"]), dtype=str)
    if (
        not codes.is_unique
        or not codes.str.fullmatch(_TEXT).all()
        or (len(ids) and not (priority.min() >= 0 and priority.max() < MOST_TIERS))
        or not np.isfinite(fluxes).any(axis=0).all()
    ):
        raise TargetsError(f"{LIST_FILE} breaks a rule of PFS's uploader")


def _columns(targets: pd.DataFrame, settings: PfsSettings) -> dict[str, tuple[NDArray[Any], str]]:
    """Values and unit of each column."""
    names = FILTERS[settings.filters]
    require(targets, *(f"flux_{band}" for band in names))
    tiers = targets["tier"].to_numpy()
    if len(tiers) and tiers.max() > MOST_TIERS:
        raise TargetsError(
            f"the list has {tiers.max()} tiers and PFS only priorities 0 to {MOST_TIERS - 1}: "
            f"rank it in {MOST_TIERS} tiers or fewer"
        )
    count = len(targets)
    ids = targets["source_id"].to_numpy()
    ra, dec = positions_at(targets, EPOCH)
    pmra, pmdec = proper_motions(targets)
    columns: dict[str, tuple[NDArray[Any], str]] = {
        "ob_code": (np.char.add("xsaga_", ids.astype(np.str_)), ""),
        "obj_id": (ids, ""),
        "ra": (ra, "deg"),
        "dec": (dec, "deg"),
        "pmra": (pmra.astype(np.float64), "mas / yr"),
        "pmdec": (pmdec.astype(np.float64), "mas / yr"),
        "exptime": (np.full(count, settings.exptime), "s"),
        "priority": ((tiers - 1).astype(np.int64), ""),
        "resolution": (np.full(count, settings.resolution), ""),
        "reference_arm": (np.full(count, settings.arm), ""),
    }
    for band, name in names.items():
        flux, error = _nanojanskys(targets, band)
        columns[name] = flux, "nJy"
        columns[f"{name}_error"] = error, "nJy"
    return columns


def _nanojanskys(
    targets: pd.DataFrame, band: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    flux = targets[f"flux_{band}"].to_numpy(np.float64)
    known = np.isfinite(flux) & (flux > 0)
    ivar = (
        targets[f"flux_ivar_{band}"].to_numpy(np.float64)
        if f"flux_ivar_{band}" in targets
        else np.zeros(len(targets))
    )
    sure = known & np.isfinite(ivar) & (ivar > 0)
    error = np.full(len(targets), np.nan)
    error[sure] = NANOJANSKY_PER_NANOMAGGY / np.sqrt(ivar[sure])
    return np.where(known, flux * NANOJANSKY_PER_NANOMAGGY, np.nan), error


def _rules(columns: dict[str, tuple[NDArray[Any], str]], settings: PfsSettings) -> list[Rule]:
    # AB zero point: 31.4 in nanojanskys
    brightest = NANOJANSKY_PER_NANOMAGGY * 10 ** ((22.5 - settings.bright_limit) / 2.5)
    fluxes = np.array([columns[name][0] for name in FILTERS[settings.filters].values()])
    bright = (fluxes > brightest).any(axis=0)  # NaN is not bright
    return [
        (~np.isfinite(fluxes).any(axis=0), "flux: no band has one above 0"),
        (bright, f"flux: brighter than {settings.bright_limit:g} in a band"),
    ]


def _meta(listed: TargetList, settings: PfsSettings) -> dict[str, Any]:
    provenance = listed.provenance
    meta: dict[str, Any] = {
        "creator": f"xsaga {provenance.version}",
        "created": provenance.created,
        "weights_sha256": provenance.weights.sha256,
        "filters": f"DECam (north: BASS, MzLS) fluxes under the names of {settings.filters}",
    }
    if provenance.weights.simulated:
        meta["SIMULATED WEIGHTS"] = "these targets are no basis for observing"
    return meta


PFS: Final = ExportFormat(
    name="pfs",
    summary="Target list of Subaru PFS for its target uploader (ECSV)",
    write=write_pfs,
    check=check_pfs,
)
