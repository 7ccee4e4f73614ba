"""Target lists as FITS in DESI's style.

HDU 1 TARGETS holds the targets, HDU 2 INPUTS the files they were made from, HDU 3 CONFIG the
resolved configuration, a row per line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.targets.columns import Column, columns_of
from xsaga.targets.provenance import Provenance

_ID_NAMES = ("TARGETID", "SOURCE_ID")
_NOT_IN_FITS = re.compile(r"[^\t\x20-\x7e]")
_LAST_OF_FOUR_DIGITS = 0xFFFF


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
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = "xsaga"
    if provenance.created:
        primary.header["DATE"] = provenance.created
    _mark_simulated(primary.header, provenance)
    hdus = fits.HDUList(
        [
            primary,
            _targets_hdu(targets, provenance),
            _inputs_hdu(provenance),
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
    rows = _records({n: _data(targets, c) for n, c in zip(names, columns, strict=True)})
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
    _mark_simulated(header, provenance)
    header["XSAGAVER"] = (provenance.version, "version of xsaga")
    if provenance.created:
        header["DATE"] = provenance.created
    header["WEIGHTS"] = (_card(provenance.weights.name), "model that gave the scores")
    header["WGTSHA"] = provenance.weights.sha256
    if provenance.base_rate:
        header["BASERATE"] = _card(provenance.base_rate)
    for number, words in enumerate(provenance.tiers, start=1):
        header[f"TIER{number}"] = (_card(words), "what the tier takes")
    if provenance.area_deg2 is not None:
        header["AREA"] = (provenance.area_deg2, "[deg2] area that targets are chosen from")
    # astropy reads a long value wrongly where it holds quotes (doubled in FITS)
    header["COMMAND"] = _card(provenance.command.replace("'", '"'))
    packages = (("xsaga", provenance.version), *provenance.packages)
    for number, (name, version) in enumerate(packages):
        header[f"DEPNAM{number:02d}"] = name
        header[f"DEPVER{number:02d}"] = version
    return hdu


def _mark_simulated(header: fits.Header, provenance: Provenance) -> None:
    simulated = provenance.weights.simulated
    header["SIMULATD"] = (simulated, "weights were fitted to simulated cutouts")
    if simulated:
        header["COMMENT"] = "SIMULATED WEIGHTS: these scores are no basis for observing."


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
        return _bytes(text.tolist())


def _inputs_hdu(provenance: Provenance) -> fits.BinTableHDU:
    inputs = provenance.inputs
    rows = _records(
        {
            "PATH": _bytes([each.path for each in inputs]),
            "SIZE": np.array([each.size for each in inputs], dtype=np.int64),
            "SHA256": _bytes([each.sha256 for each in inputs]),
        }
    )
    hdu = fits.BinTableHDU(rows, name="INPUTS")
    hdu.header.insert("TFORM2", ("TUNIT2", "byte"), after=True)
    return hdu


def _config_hdu(provenance: Provenance) -> fits.BinTableHDU:
    lines = _bytes(provenance.config_toml.splitlines())
    return fits.BinTableHDU(_records({"LINE": lines}), name="CONFIG")


def _bytes(texts: Sequence[str]) -> NDArray[np.bytes_]:
    return np.array([_ascii(text).encode("ascii") for text in texts], dtype=np.bytes_)


def _card(text: str) -> str:
    return _ascii(" ".join(text.split()))


def _ascii(text: str) -> str:
    """Write what FITS cannot hold as the escapes that TOML and JSON strings read back."""
    return _NOT_IN_FITS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code <= _LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"


def _records(data: dict[str, NDArray[np.generic]]) -> NDArray[np.void]:
    """Rows in big-endian order; FITS has no strings of width 0."""
    types = []
    for name, values in data.items():
        kind = values.dtype
        width = f"S{max(kind.itemsize, 1)}" if kind.kind == "S" else kind.newbyteorder(">")
        types.append((name, width))
    rows = np.empty(len(next(iter(data.values()))), dtype=types)
    for name, values in data.items():
        rows[name] = values
    return rows
