"""Target lists as FITS in DESI's style.

HDU 1 TARGETS holds the targets, HDU 2 INPUTS the files they were made from, HDU 3 CONFIG the
resolved configuration, a row per line.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.targets.columns import Column, columns_of
from xsaga.targets.fits_parts import (
    inputs_hdu,
    primary_hdu,
    records,
    set_provenance,
    text_bytes,
)
from xsaga.targets.provenance import Provenance

_ID_NAMES = ("TARGETID", "SOURCE_ID")


def write_fits(path: Path, targets: pd.DataFrame, provenance: Provenance) -> None:
    """Write a conformed target list as big-endian FITS.

    The identifiers are called TARGETID where every row's `id_kind` is 'targetid', else SOURCE_ID:
    a TARGETID column must hold nothing that DESI would decode wrongly.

    Parameters
    ----------
    path : Path
        File to write.
    targets : DataFrame
        As `xsaga.targets.columns.conform` gives it.
    provenance : Provenance
        Becomes header cards of TARGETS (XSAGAVER, WEIGHTS, WGTSHA, SIMULATD, COMMAND,
        DEPNAMnn/DEPVERnn as DESI writes them) and the HDUs INPUTS and CONFIG.
    """
    hdus = fits.HDUList(
        [
            primary_hdu(provenance),
            _targets_hdu(targets, provenance),
            inputs_hdu(provenance),
            _config_hdu(provenance),
        ]
    )
    hdus.writeto(path)


def read_fits_ids(path: Path) -> NDArray[np.int64]:
    """Read the identifiers in a file written by `write_fits`."""
    with fits.open(path, memmap=False) as hdus:  # an open map cannot be renamed on Windows
        table = hdus["TARGETS"]
        name = next(name for name in _ID_NAMES if name in table.columns.names)
        return np.array(table.data[name], dtype=np.int64)


def _targets_hdu(targets: pd.DataFrame, provenance: Provenance) -> fits.BinTableHDU:
    columns = columns_of(targets, provenance.weights.z_limit)
    names = [_fits_name(column, targets) for column in columns]
    rows = records({n: _data(targets, c) for n, c in zip(names, columns, strict=True)})
    hdu = fits.BinTableHDU(rows, name="TARGETS")
    header = hdu.header
    for number, column in enumerate(columns, start=1):
        # inserted backwards, so that they stand in this order behind TFORM
        for keyword, text in (
            ("TUCD", column.ucd),
            ("TCOMM", column.description),
            ("TUNIT", column.unit),
        ):
            if text:
                header.insert(f"TFORM{number}", (f"{keyword}{number}", text), after=True)
    set_provenance(header, provenance)
    return hdu


def _fits_name(column: Column, targets: pd.DataFrame) -> str:
    if column.name != "source_id":
        return column.fits_name
    known = "id_kind" in targets and len(targets) > 0
    return "TARGETID" if known and (targets["id_kind"] == "targetid").all() else "SOURCE_ID"


def _data(targets: pd.DataFrame, column: Column) -> NDArray[np.generic]:
    values = targets[column.name]
    if not column.is_text:
        return values.to_numpy()
    text = np.asarray(values, dtype=str)
    try:
        return text.astype(np.bytes_)
    except UnicodeEncodeError:
        return text_bytes(text.tolist())


def _config_hdu(provenance: Provenance) -> fits.BinTableHDU:
    lines = text_bytes(provenance.config_toml.splitlines())
    return fits.BinTableHDU(records({"LINE": lines}), name="CONFIG")
