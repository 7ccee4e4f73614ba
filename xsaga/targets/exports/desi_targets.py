"""Target files as desitarget writes them and fiberassign reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.catalog.identifiers import decode_targetid
from xsaga.errors import TargetsError
from xsaga.sky.brick_grid import brick_names
from xsaga.sky.tiles import tile_pixels
from xsaga.targets.exports.desi_ids import assign_targetids, ids_after, scnd_bits
from xsaga.targets.exports.desi_values import (
    BANDS,
    epochs,
    numbers,
    order_of,
    positions,
    require,
    subpriorities,
    texts,
)
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.fiberassign_rules import SCND_ANY, check_loadable
from xsaga.targets.exports.known_ids import KNOWN_IDS_FILE, read_known_ids, write_known_ids
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.fits_parts import inputs_hdu, primary_hdu, records, set_provenance, table_rows
from xsaga.targets.provenance import Provenance
from xsaga.targets.target_list import TargetList

FILE_ORDER, PIXEL_ORDER = 3, 6
"""HEALPix orders of a file (nside 8) and of column HPXPIXEL (nside 64), as DESI has them."""

_GAIA: Final = (
    "PARALLAX",
    "GAIA_PHOT_G_MEAN_MAG",
    "GAIA_PHOT_BP_MEAN_MAG",
    "GAIA_PHOT_RP_MEAN_MAG",
    "GAIA_ASTROMETRIC_EXCESS_NOISE",
)
"""Columns of Gaia that secondary targets have too; 0 means none (desitarget.secondary)."""

_UNITS: Final = {
    **dict.fromkeys(("RA", "DEC"), "deg"),
    **dict.fromkeys(("PMRA", "PMDEC"), "mas yr^-1"),
    **dict.fromkeys(("EBV", *(name for name in _GAIA if name.endswith("MAG"))), "mag"),
    **dict.fromkeys(("FLUX_G", "FLUX_R", "FLUX_Z", "FIBERFLUX_R"), "nanomaggy"),
    **dict.fromkeys(("FLUX_IVAR_G", "FLUX_IVAR_R", "FLUX_IVAR_Z"), "nanomaggy^-2"),
    **dict.fromkeys(("PARALLAX", "GAIA_ASTROMETRIC_EXCESS_NOISE"), "mas"),
    "REF_EPOCH": "yr",
}
"""Units as desitarget spells them (``data/units.yaml``)."""


def target_rows(listed: TargetList, settings: ExportSettings) -> NDArray[np.void]:
    """Rows of a target file, in the order of the list.

    A source without flux in a band has FLUX and FLUX_IVAR 0 there, the Legacy Surveys' sign for
    "not observed"; other values that are missing are 0 or empty, as desitarget fills them.

    Raises
    ------
    TargetsError
        For a target that DESI's columns cannot hold.
    """
    targets = listed.targets
    require(targets, "source_id", "id_kind", "ra", "dec", "tier", "rank", "priority")
    targetid = assign_targetids(targets, settings)
    release, brickid, objid = decode_targetid(targetid)
    ra, dec = positions(targets)
    count = len(targets)
    priority = targets["priority"].to_numpy(dtype=np.int64)
    numobs = np.full(count, settings.numobs, dtype=np.int64)
    data: dict[str, NDArray[np.generic]] = {
        "RELEASE": release.astype("i2"),
        "BRICKID": brickid.astype("i4"),
        "BRICKNAME": brick_names(brickid).astype("S8"),
        "BRICK_OBJID": objid.astype("i4"),
        "MORPHTYPE": texts(targets, "type", 4),
        "RA": ra,
        "DEC": dec,
        "EBV": numbers(targets, "ebv", "f4"),
        **_fluxes(targets),
        **{
            f"MW_TRANSMISSION_{band.upper()}": numbers(targets, f"mw_transmission_{band}", "f4")
            for band in BANDS
        },
        "FIBERFLUX_R": numbers(targets, "fiberflux_r", "f4"),
        "MASKBITS": numbers(targets, "maskbits", "i4"),
        "SERSIC": numbers(targets, "sersic", "f4"),
        "SHAPE_E1": numbers(targets, "shape_e1", "f4"),
        "SHAPE_E2": numbers(targets, "shape_e2", "f4"),
        "REF_EPOCH": epochs(targets),
        "PMRA": numbers(targets, "pmra", "f4"),
        "PMDEC": numbers(targets, "pmdec", "f4"),
        **{name: np.zeros(count, dtype="f4") for name in _GAIA},
        "REF_CAT": texts(targets, "ref_cat", 2),
        "PHOTSYS": texts(targets, "photsys", 1),
        "OVERRIDE": np.full(count, settings.override),
        "TARGETID": targetid,
        "DESI_TARGET": np.full(count, SCND_ANY, dtype=np.int64),
        "BGS_TARGET": np.zeros(count, dtype=np.int64),
        "MWS_TARGET": np.zeros(count, dtype=np.int64),
        "SCND_TARGET": np.int64(1) << scnd_bits(targets["tier"].to_numpy()),
        "SCND_ORDER": order_of(targets).astype("i4"),
        "PRIORITY_INIT": priority,
        "PRIORITY": priority,
        "SUBPRIORITY": subpriorities(targets),
        "NUMOBS_INIT": numobs,
        "NUMOBS_MORE": numobs,
        "OBSCONDITIONS": np.full(count, settings.obsconditions_mask, dtype=np.int64),
        "HPXPIXEL": tile_pixels(ra, dec, PIXEL_ORDER),
    }
    return records(data)


def _fluxes(targets: pd.DataFrame) -> dict[str, NDArray[np.generic]]:
    flux = {band: numbers(targets, f"flux_{band}", "f4") for band in BANDS}
    ivar = {
        band: np.where(flux[band] == 0, 0, numbers(targets, f"flux_ivar_{band}", "f4")).astype("f4")
        for band in BANDS
    }
    return {
        **{f"FLUX_{band.upper()}": flux[band] for band in BANDS},
        **{f"FLUX_IVAR_{band.upper()}": ivar[band] for band in BANDS},
    }


def write_desi_targets(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Write one file of all targets, one per nside-8 pixel in ``hpx/``, and the table of ids."""
    rows = target_rows(listed, settings)
    _write(folder / _file_name(settings), rows, listed.provenance, settings, None)
    (folder / "hpx").mkdir()
    pixels = rows["HPXPIXEL"] >> (2 * (PIXEL_ORDER - FILE_ORDER))
    for pixel in np.unique(pixels):
        path = folder / "hpx" / _file_name(settings, int(pixel))
        _write(path, rows[pixels == pixel], listed.provenance, settings, int(pixel))
    ids = ids_after(listed.targets, rows["TARGETID"].astype(np.int64), settings)
    write_known_ids(folder / KNOWN_IDS_FILE, ids)


def check_desi_targets(listed: TargetList, folder: Path, settings: ExportSettings) -> None:
    """Read all files back by fiberassign's rules and compare each value."""
    rows = target_rows(listed, settings)
    whole = _read(folder / _file_name(settings), None)
    _compare(whole, rows, folder / _file_name(settings))
    pixels = rows["HPXPIXEL"] >> (2 * (PIXEL_ORDER - FILE_ORDER))
    expected = {_file_name(settings, int(pixel)): int(pixel) for pixel in np.unique(pixels)}
    found = sorted(path.name for path in (folder / "hpx").iterdir())
    if found != sorted(expected):
        raise TargetsError(f"hpx/ holds {len(found)} files instead of {len(expected)}")
    for name, pixel in expected.items():
        path = folder / "hpx" / name
        _compare(_read(path, pixel), rows[pixels == pixel], path)
    ids = read_known_ids(folder / KNOWN_IDS_FILE)
    if not ids.equals(ids_after(listed.targets, rows["TARGETID"].astype(np.int64), settings)):
        raise TargetsError(f"{KNOWN_IDS_FILE} does not hold the TARGETIDs of the targets")


def _file_name(settings: ExportSettings, pixel: int | None = None) -> str:
    """Name as desitarget makes it (``io.find_target_files`` for secondary targets)."""
    survey = "" if settings.survey == "main" else settings.survey
    conditions = "-".join(each.lower() for each in settings.conditions)
    of_pixel = "" if pixel is None else f"-hp-{pixel}"
    return f"{survey}targets-{conditions}-secondary{of_pixel}.fits"


def _write(
    path: Path,
    rows: NDArray[np.void],
    provenance: Provenance,
    settings: ExportSettings,
    pixel: int | None,
) -> None:
    hdu = fits.BinTableHDU(rows, name="TARGETS")
    for number, name in enumerate(rows.dtype.names or (), start=1):
        if name in _UNITS:
            hdu.header.insert(f"TFORM{number}", (f"TUNIT{number}", _UNITS[name]), after=True)
    header: Any = hdu.header
    header["SURVEY"] = settings.survey
    header["OBSCON"] = settings.obsconditions
    header["HPXNSIDE"] = (2**PIXEL_ORDER, "HEALPix nside of HPXPIXEL")
    header["HPXNEST"] = (True, "HEALPix nested (not ring) ordering")
    if pixel is not None:
        header["FILENSID"] = (2**FILE_ORDER, "HEALPix nside of this file")
        header["FILENEST"] = (True, "HEALPix nested (not ring) ordering")
        header["FILEHPX"] = (pixel, "HEALPix pixel of this file")
    set_provenance(header, provenance)
    fits.HDUList([primary_hdu(provenance), hdu, inputs_hdu(provenance)]).writeto(path)


def _read(path: Path, pixel: int | None) -> NDArray[np.void]:
    with fits.open(path, memmap=False) as hdus:
        if hdus[1].name != "TARGETS" or hdus[1].header.get("FILEHPX") != pixel:
            raise TargetsError(f"{path.name}: its first table is not that of the targets")
        return table_rows(hdus[1])


def _compare(found: NDArray[np.void], expected: NDArray[np.void], path: Path) -> None:
    check_loadable(found, path.name)
    same_names = found.dtype.names == expected.dtype.names
    if not same_names or found.astype(expected.dtype).tobytes() != expected.tobytes():
        raise TargetsError(f"{path.name}: reads back other values than were written")


DESI_TARGETS: Final = ExportFormat(
    "desi-targets",
    "FITS that DESI's fiberassign reads: all targets, and one file per nside-8 HEALPix pixel",
    write_desi_targets,
    check_desi_targets,
)
