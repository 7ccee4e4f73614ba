"""A tertiary program of DESI: its own tiles, filled from one table of targets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from xsaga.catalog.identifiers import OBJID_BITS, encode_targetid
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.desi_values import (
    epochs,
    numbers,
    order_of,
    positions,
    require,
    subpriorities,
)
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.fits_parts import inputs_hdu, primary_hdu, records, set_provenance, table_rows
from xsaga.targets.target_list import TargetList

RELEASE: Final = 8888
"""RELEASE in TARGETIDs of tertiary programs (fiberassign.fba_tertiary_io)."""

CUSTOM: Final = {"DARK": ("ELG", 1000.0), "BRIGHT": ("BGS", 180.0)}
"""SBPROF and GOALTIME in seconds that DESI's tertiary programs have by conditions."""

MOST_OBSERVED: Final = 99
"""NUMOBS_DONE_MAX of a target that is done."""

PRIORITY_DONE: Final = 1
"""Priority of a target that has all its observations, as tertiary programs have it."""


def target_rows(listed: TargetList, settings: ExportSettings) -> NDArray[np.void]:
    """Rows of ``tertiary-targets-NNNN.fits``, best first: TARGETID counts them.

    Raises
    ------
    ConfigError
        Without a program number, a checker, or with other conditions than DARK or BRIGHT.
    TargetsError
        For no target, or more than a TARGETID can count.
    """
    program = _program(settings)
    if not settings.checker:
        raise ConfigError("DESI wants to know who looked at the targets: give --checker")
    targets = listed.targets
    require(targets, "source_id", "ra", "dec", "tier", "rank", "priority")
    if not len(targets):
        raise TargetsError("the list holds no target, and DESI takes no empty tertiary program")
    if len(targets) > 1 << OBJID_BITS:
        raise TargetsError(
            f"{len(targets)} targets are more than the {OBJID_BITS} bits of OBJID can count "
            "in one tertiary program: make a smaller list"
        )
    targets = targets.iloc[np.argsort(order_of(targets))].reset_index(drop=True)
    ra, dec = positions(targets)
    count = len(targets)
    return records(
        {
            "TARGETID": encode_targetid(RELEASE, program, np.arange(count)),
            "CHECKER": np.full(count, settings.checker.encode("ascii")),
            "RA": ra,
            "DEC": dec,
            "PMRA": numbers(targets, "pmra", "f4"),
            "PMDEC": numbers(targets, "pmdec", "f4"),
            "REF_EPOCH": epochs(targets),
            "TERTIARY_TARGET": np.array(
                [f"{settings.secondary_name}_TIER{tier}" for tier in range(_most(targets) + 1)],
                dtype=np.bytes_,
            )[targets["tier"]],
            "SUBPRIORITY": subpriorities(targets),
            "SOURCE_ID": targets["source_id"].to_numpy(dtype=np.int64),
        }
    )


def priorities(listed: TargetList, settings: ExportSettings) -> Table:
    """Make the table of ``tertiary-priorities-NNNN.ecsv``.

    A target keeps its tier's priority, raised by the observations it has had, as DESI's tertiary
    programs do, until it has had `ExportSettings.numobs`.

    Raises
    ------
    TargetsError
        When targets of one tier differ in priority.
    """
    rows = []
    for tier, of_tier in listed.targets.groupby("tier")["priority"]:
        if of_tier.nunique() > 1:
            raise TargetsError(
                f"targets of tier {tier} have the priorities {of_tier.min()} to {of_tier.max()}, "
                "and a tertiary program has one for each tier"
            )
        name = f"{settings.secondary_name}_TIER{tier}"
        first = int(of_tier.iloc[0])
        rows += [(name, done, done, first + done) for done in range(settings.numobs)]
        rows.append((name, settings.numobs, MOST_OBSERVED, PRIORITY_DONE))
    names = ["TERTIARY_TARGET", "NUMOBS_DONE_MIN", "NUMOBS_DONE_MAX", "PRIORITY"]
    return Table(rows=rows, names=names, meta=_marks(listed))


def _marks(listed: TargetList) -> dict[str, object]:
    provenance = listed.provenance
    marks: dict[str, object] = {"creator": f"xsaga {provenance.version}"}
    if provenance.weights.simulated:
        marks["simulated"] = "SIMULATED WEIGHTS: these targets are no basis for observing."
    return marks


def _program(settings: ExportSettings) -> int:
    if settings.program is None:
        raise ConfigError("a tertiary program has a number, which DESI gives: --program NUMBER")
    if settings.obsconditions not in CUSTOM:
        raise ConfigError(
            f"obsconditions {settings.obsconditions}: a tertiary program is DARK or BRIGHT"
        )
    if settings.numobs >= MOST_OBSERVED:
        raise ConfigError(f"numobs {settings.numobs}: DESI counts to {MOST_OBSERVED}")
    return settings.program


def _most(targets: pd.DataFrame) -> int:
    return int(targets["tier"].max())


def write_tertiary(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write the table of targets and that of priorities."""
    rows = target_rows(listed, settings)
    profile, seconds = CUSTOM[settings.obsconditions]
    hdu = fits.BinTableHDU(rows, name="TARGETS")
    hdu.header["FAPRGRM"] = f"tertiary{settings.program}"
    hdu.header["OBSCONDS"] = settings.obsconditions
    hdu.header["SBPROF"] = settings.sbprof or profile
    hdu.header["GOALTIME"] = (settings.goaltime or seconds, "s")
    set_provenance(hdu.header, listed.provenance)
    parts = [primary_hdu(listed.provenance), hdu, inputs_hdu(listed.provenance)]
    fits.HDUList(parts).writeto(_file(folder, "targets", "fits", settings))
    path = _file(folder, "priorities", "ecsv", settings)
    priorities(listed, settings).write(path, format="ascii.ecsv")


def check_tertiary(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Read both files back by the rules of ``fiberassign.fba_tertiary_io``."""
    expected = target_rows(listed, settings)
    path = _file(folder, "targets", "fits", settings)
    with fits.open(path, memmap=False) as hdus:
        header, rows = hdus["TARGETS"].header, table_rows(hdus["TARGETS"])
    missing = [key for key in ("FAPRGRM", "OBSCONDS", "SBPROF", "GOALTIME") if key not in header]
    if missing or rows.dtype != expected.dtype or rows.tobytes() != expected.tobytes():
        raise TargetsError(f"{path.name}: reads back other values than were written")
    table = Table.read(_file(folder, "priorities", "ecsv", settings), format="ascii.ecsv")
    for name in np.unique(rows["TERTIARY_TARGET"]).astype(str):
        of_name = table[table["TERTIARY_TARGET"] == name]
        ranges = zip(of_name["NUMOBS_DONE_MIN"], of_name["NUMOBS_DONE_MAX"], strict=True)
        covered = sorted(number for low, high in ranges for number in range(low, high + 1))
        if covered != list(range(MOST_OBSERVED + 1)):
            raise TargetsError(f"the priorities of {name} do not cover 0 to {MOST_OBSERVED}")


def _file(folder: Path, kind: str, suffix: str, settings: ExportSettings) -> Path:
    return folder / f"tertiary-{kind}-{settings.program:04d}.{suffix}"


DESI_TERTIARY: Final = ExportFormat(
    "desi-tertiary",
    "DESI tertiary program: targets (FITS) and priorities (ECSV)",
    write_tertiary,
    check_tertiary,
)
