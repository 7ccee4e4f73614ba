"""Secondary target programs as DESI's calls ask for them: a table and a text for each tier.

The export has the layout of $SCND_DIR (``indata/``, ``docs/``, ``outdata/``), so that desitarget
reads it where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.catalog.identifiers import decode_targetid
from xsaga.errors import ConfigError, TargetsError
from xsaga.targets.exports.desi_ids import FIRST_BIT, keeps_targetid, scnd_bits
from xsaga.targets.exports.desi_settings import MIN_FLUX
from xsaga.targets.exports.desi_values import (
    BANDS,
    epochs,
    numbers,
    order_of,
    positions,
    require,
)
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.fits_parts import primary_hdu, records, set_provenance, table_rows
from xsaga.targets.provenance import Provenance
from xsaga.targets.target_list import TargetList

BIT_PREFIX: Final = "LOW_Z_TIER"
"""DESI's bits for low-redshift targets, whose files the classic form writes."""

LONGEST_NAME: Final = 20
"""Letters that desitarget allows for the name of a file (``secondary.check_file_format``)."""


def classic_tables(listed: TargetList, settings: ExportSettings) -> dict[str, NDArray[np.void]]:
    """Tables of the classic form (SV and main survey) by name: one per bit, best first."""
    targets = _best_first(listed)
    rows = records(_common(targets, settings))
    bit = scnd_bits(targets["tier"].to_numpy())
    return {f"{BIT_PREFIX}{each - FIRST_BIT + 1}": rows[bit == each] for each in np.unique(bit)}


def call_tables(listed: TargetList, settings: ExportSettings) -> dict[str, NDArray[np.void]]:
    """Tables of the 2024 form by name: one per tier, best first.

    Raises
    ------
    ConfigError
        For a name that DESI does not take.
    TargetsError
        For a source without flux, or with a RELEASE that DESI does not know.
    """
    targets = _best_first(listed)
    own = keeps_targetid(targets, settings)
    parts = decode_targetid(targets["source_id"].to_numpy(dtype=np.int64))
    release, brickid, objid = (np.where(own, part, 0) for part in parts)
    common = _common(targets, settings)
    override = common.pop("OVERRIDE")
    rows = records(
        {
            "RELEASE": release.astype("i2"),
            "BRICKID": brickid.astype("i4"),
            "OBJID": objid.astype("i4"),
            **common,
            **{f"FLUX_{band.upper()}": _flux(targets, band, settings) for band in BANDS},
            "OVERRIDE": override,
        }
    )
    tier = targets["tier"].to_numpy()
    return {_call_name(int(each), settings): rows[tier == each] for each in np.unique(tier)}


def _best_first(listed: TargetList) -> pd.DataFrame:
    targets = listed.targets
    require(targets, "source_id", "id_kind", "ra", "dec", "tier", "rank", "priority")
    if not len(targets):
        raise TargetsError("the list holds no target, and DESI takes no empty secondary program")
    return targets.iloc[np.argsort(order_of(targets))].reset_index(drop=True)


def _common(targets: pd.DataFrame, settings: ExportSettings) -> dict[str, NDArray[np.generic]]:
    ra, dec = positions(targets)
    return {
        "RA": ra,
        "DEC": dec,
        "PMRA": numbers(targets, "pmra", "f4"),
        "PMDEC": numbers(targets, "pmdec", "f4"),
        "REF_EPOCH": epochs(targets),
        "OVERRIDE": np.full(len(targets), settings.override),
    }


def _flux(targets: pd.DataFrame, band: str, settings: ExportSettings) -> NDArray[np.generic]:
    flux = numbers(targets, f"flux_{band}", "f4").astype(np.float32)
    missing = np.abs(flux) < MIN_FLUX
    if missing.any() and settings.missing_flux is None:
        raise TargetsError(
            f"source_id {targets['source_id'].to_numpy()[missing][0]} has no flux_{band} "
            f"({missing.sum()} sources), which DESI would take for a very bright source; "
            "`--missing-flux NMGY` writes an honest value in its place"
        )
    flux[missing] = settings.missing_flux
    return flux


def _call_name(tier: int, settings: ExportSettings) -> str:
    name = f"{settings.secondary_name}_TIER{tier}"
    if len(name) > LONGEST_NAME:
        raise ConfigError(
            f"the file name {name} has {len(name)} letters, and DESI takes {LONGEST_NAME}: "
            "give a shorter --secondary-name"
        )
    if name.startswith(BIT_PREFIX):
        raise ConfigError(
            f"the file name {name} is that of a bit that DESI has: give another --secondary-name, "
            "or use the format desi-secondary-classic"
        )
    return name


Tables = Mapping[str, NDArray[np.void]]


def _write(listed: TargetList, folder: Path, settings: ExportSettings, *, classic: bool) -> None:
    tables = (classic_tables if classic else call_tables)(listed, settings)
    for name in ("indata", "docs", "outdata"):
        (folder / name).mkdir()
    for name, rows in tables.items():
        hdu = fits.BinTableHDU(rows, name="TARGETS")
        set_provenance(hdu.header, listed.provenance)
        primary = primary_hdu(listed.provenance)
        fits.HDUList([primary, hdu]).writeto(folder / "indata" / f"{name}.fits")
        text = _documentation(name, listed, settings, classic=classic)
        (folder / "docs" / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")


def _check(listed: TargetList, folder: Path, settings: ExportSettings, *, classic: bool) -> None:
    tables = (classic_tables if classic else call_tables)(listed, settings)
    for place, suffix in (("indata", ".fits"), ("docs", ".txt")):
        found = sorted(path.name for path in (folder / place).iterdir())
        if found != sorted(f"{name}{suffix}" for name in tables):
            raise TargetsError(f"{place}/ holds {', '.join(found)} instead of {len(tables)} files")
    for name, expected in tables.items():
        path = folder / "indata" / f"{name}.fits"
        with fits.open(path, memmap=False) as hdus:
            only_table = len(hdus) == 2 and hdus[0].data is None
            found_rows = table_rows(hdus[1])
        same = found_rows.dtype == expected.dtype and found_rows.tobytes() == expected.tobytes()
        if not (only_table and same):
            raise TargetsError(f"{path.name}: reads back other values than were written")
        _check_values(found_rows, path.name)


def _check_values(rows: NDArray[np.void], name: str) -> None:
    """Apply the rules of desitarget's ``secondary.check_file_format`` on values."""
    for column in rows.dtype.names or ():
        if np.isnan(rows[column]).any():
            raise TargetsError(f"{name}: {column} holds a NaN")
        if column.startswith("FLUX_") and (np.abs(rows[column]) < MIN_FLUX).any():
            raise TargetsError(f"{name}: {column} holds a flux of 0")
    if not ((rows["RA"] >= 0) & (rows["RA"] < 360) & (np.abs(rows["DEC"]) <= 90)).all():
        raise TargetsError(f"{name}: an RA or Dec is out of range")


def _documentation(
    name: str, listed: TargetList, settings: ExportSettings, *, classic: bool
) -> str:
    provenance = listed.provenance
    targets = listed.targets
    tier = targets["tier"].to_numpy()
    chosen = (
        scnd_bits(tier) - FIRST_BIT + 1 == int(name.removeprefix(BIT_PREFIX))
        if classic
        else tier == int(name.rpartition("_TIER")[2])
    )
    targets = targets[chosen]
    lines = [name, "=" * len(name), ""]
    if provenance.weights.simulated:
        lines += [
            "SIMULATED WEIGHTS: the model was fitted to simulated cutouts; these targets are no",
            "basis for observing.",
            "",
        ]
    z_limit = provenance.weights.z_limit
    lines += [
        f"{len(targets)} targets, ordered by their probability to be galaxies at redshift",
        f"z < {z_limit:g}, the most probable first. A convolutional network gave it from g, r, z",
        "images of the Legacy Surveys.",
        "",
        *_facts(targets, provenance, settings),
        "",
        "Columns: RA, DEC (deg, ICRS), PMRA, PMDEC (mas/yr), REF_EPOCH (yr), OVERRIDE",
    ]
    if not classic:
        lines += [
            "(false: an existing primary target may stand in), RELEASE, BRICKID, OBJID (Legacy",
            "Surveys; 0 for sources of other catalogs), FLUX_G, FLUX_R, FLUX_Z (nanomaggies, as",
            "observed).",
        ]
        if settings.missing_flux is not None:
            lines += [f"A flux of {settings.missing_flux:g} stands where none was measured."]
    return "\n".join(lines) + "\n"


def _facts(targets: pd.DataFrame, provenance: Provenance, settings: ExportSettings) -> list[str]:
    facts = []
    for tier in np.unique(targets["tier"]):
        of_tier = targets[targets["tier"] == tier]
        words = f", chosen by {provenance.tiers[tier - 1]}" if tier <= len(provenance.tiers) else ""
        priority = "/".join(map(str, np.unique(of_tier["priority"])))
        facts.append(f"Tier {tier}{words}: {len(of_tier)} targets, priority {priority}")
    if "p_lowz" in targets:
        low, high = targets["p_lowz"].min(), targets["p_lowz"].max()
        facts.append(
            f"Calibrated probability of z < {provenance.weights.z_limit:g}: {low:.4f} to {high:.4f}"
        )
    if provenance.area_deg2:
        facts.append(
            f"Area: {provenance.area_deg2:.2f} deg2, "
            f"{len(targets) / provenance.area_deg2:.2f} targets per deg2"
        )
    facts += [
        f"Observing conditions: {settings.obsconditions}; observations wanted: {settings.numobs}",
        f"Model: {provenance.weights.name}, SHA-256 {provenance.weights.sha256}",
        f"Made by xsaga {provenance.version}: {provenance.command}",
    ]
    if provenance.created:
        facts.append(f"Date: {provenance.created}")
    return facts


DESI_SECONDARY: Final = ExportFormat(
    "desi-secondary",
    "DESI secondary program, form of 2024: a FITS table and a text for each tier",
    partial(_write, classic=False),
    partial(_check, classic=False),
)

DESI_SECONDARY_CLASSIC: Final = ExportFormat(
    "desi-secondary-classic",
    "DESI secondary program, form of SV and main: files of the bits LOW_Z_TIER1 to 3",
    partial(_write, classic=True),
    partial(_check, classic=True),
)
