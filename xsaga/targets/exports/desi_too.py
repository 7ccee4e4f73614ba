"""DESI's ledger of targets of opportunity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import Table

from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.desi_values import epochs, numbers, order_of, positions, require
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.target_list import TargetList

LEDGER: Final = "ToO-input.ecsv"

_SHORTEST_CHECKER = 2  # desitarget takes a single letter for "not checked"


def ledger(listed: TargetList, settings: ExportSettings) -> Table:
    """Make the ledger, best first; TOOID is the row, counted from 1.

    Raises
    ------
    ConfigError
        Without a checker or the dates, or for what the survey forbids.
    TargetsError
        For no target, or a position that is none.
    """
    begin, end = _dates(settings)
    if len(settings.checker) < _SHORTEST_CHECKER:
        raise ConfigError(
            "a target of opportunity needs the initials of who looked at it, at least 2 letters: "
            "give --checker"
        )
    if settings.obsconditions not in ("DARK", "BRIGHT"):
        raise ConfigError(
            f"obsconditions {settings.obsconditions}: targets of opportunity are DARK or BRIGHT"
        )
    if (settings.too_type, settings.too_prio) == ("FIBER", "HI"):
        raise ConfigError(
            "too_type FIBER with too_prio HI: DESI's main survey forbids it; give --too-prio LO or "
            "--too-type TILE"
        )
    targets = listed.targets
    require(targets, "source_id", "ra", "dec", "tier", "rank")
    if not len(targets):
        raise TargetsError("the list holds no target, and desitarget reads no empty ledger")
    targets = targets.iloc[np.argsort(order_of(targets))].reset_index(drop=True)
    ra, dec = positions(targets)
    count = len(targets)
    provenance = listed.provenance
    meta: dict[str, object] = {"creator": f"xsaga {provenance.version}"}
    if provenance.weights.simulated:
        meta["simulated"] = "SIMULATED WEIGHTS: these targets are no basis for observing."
    return Table(
        {
            "RA": ra,
            "DEC": dec,
            "PMRA": numbers(targets, "pmra", "f4"),
            "PMDEC": numbers(targets, "pmdec", "f4"),
            "REF_EPOCH": epochs(targets),
            "CHECKER": np.full(count, settings.checker),
            "TOO_TYPE": np.full(count, settings.too_type),
            "TOO_PRIO": np.full(count, settings.too_prio),
            "OCLAYER": np.full(count, settings.obsconditions),
            "MJD_BEGIN": np.full(count, begin),
            "MJD_END": np.full(count, end),
            "TOOID": np.arange(1, count + 1, dtype=np.int32),
        },
        meta=meta,
    )


def _dates(settings: ExportSettings) -> tuple[float, float]:
    begin, end = settings.mjd_begin, settings.mjd_end
    if begin is None or end is None:
        raise ConfigError(
            "a target of opportunity may be observed from one date to another: give --mjd-begin "
            "and --mjd-end"
        )
    if not (math.isfinite(begin) and math.isfinite(end) and begin < end):
        raise ConfigError(f"mjd_begin {begin:g} must be before mjd_end {end:g}")
    return float(begin), float(end)


def write_too(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write the ledger."""
    ledger(listed, settings).write(folder / LEDGER, format="ascii.ecsv")


def check_too(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Read the ledger back in the two ways that its users do."""
    expected = ledger(listed, settings)
    for how in ({"format": "ascii.ecsv"}, {"format": "ascii.basic", "comment": "#"}):
        found = Table.read(folder / LEDGER, guess=False, **how)
        for name in expected.colnames:
            if not np.array_equal(found[name].astype(expected[name].dtype), expected[name]):
                raise TargetsError(f"{LEDGER}: {name} reads back other values than were written")


DESI_TOO: Final = ExportFormat(
    "desi-too",
    "DESI ledger of targets of opportunity (ToO-input.ecsv)",
    write_too,
    check_too,
)
