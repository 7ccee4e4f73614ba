"""Pieces of the FITS files that xsaga writes: big-endian rows, plain text, provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.targets.provenance import Provenance

_NOT_IN_FITS = re.compile(r"[^\t\x20-\x7e]")
_LAST_OF_FOUR_DIGITS = 0xFFFF


def records(data: Mapping[str, NDArray[np.generic]]) -> NDArray[np.void]:
    """Rows of a binary table in big-endian order; FITS has no strings of width 0."""
    types = []
    for name, values in data.items():
        kind = values.dtype
        width = f"S{max(kind.itemsize, 1)}" if kind.kind == "S" else kind.newbyteorder(">")
        types.append((name, width))
    rows = np.empty(len(next(iter(data.values()))), dtype=types)
    for name, values in data.items():
        rows[name] = values
    return rows


def table_rows(hdu: fits.BinTableHDU) -> NDArray[np.void]:
    """Rows of a binary table as `records` made them: truth values and strings as such."""
    stored = hdu.data.view(np.ndarray)
    truth = {column.name for column in hdu.columns if column.format.endswith("L")}
    types = [(n, "?" if n in truth else stored.dtype[n]) for n in stored.dtype.names]
    rows = np.empty(len(stored), dtype=types)
    for name, _ in types:
        rows[name] = stored[name] == ord("T") if name in truth else stored[name]
    return rows


def text_bytes(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """Strings of a binary table, with the escapes of `ascii_text`."""
    return np.array([ascii_text(text).encode("ascii") for text in texts], dtype=np.bytes_)


def card_text(text: str) -> str:
    """Text of a header card: on one line, with the escapes of `ascii_text`."""
    return ascii_text(" ".join(text.split()))


def ascii_text(text: str) -> str:
    """Write what FITS cannot hold as the escapes that TOML and JSON strings read back."""
    return _NOT_IN_FITS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code <= _LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"


def primary_hdu(provenance: Provenance) -> fits.PrimaryHDU:
    """Empty first HDU with ORIGIN, DATE and whether the weights are simulated."""
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = "xsaga"
    if provenance.created:
        primary.header["DATE"] = provenance.created
    mark_simulated(primary.header, provenance)
    return primary


def mark_simulated(header: fits.Header, provenance: Provenance) -> None:
    """Set SIMULATD, and a comment where the weights are simulated."""
    simulated = provenance.weights.simulated
    header["SIMULATD"] = (simulated, "weights were fitted to simulated cutouts")
    if simulated:
        header["COMMENT"] = "SIMULATED WEIGHTS: these scores are no basis for observing."


def set_provenance(header: fits.Header, provenance: Provenance) -> None:
    """Set XSAGAVER, DATE, WEIGHTS, WGTSHA, BASERATE, TIERn, AREA, COMMAND and DEPNAMnn/DEPVERnn."""
    mark_simulated(header, provenance)
    header["XSAGAVER"] = (provenance.version, "version of xsaga")
    if provenance.created:
        header["DATE"] = provenance.created
    header["WEIGHTS"] = (card_text(provenance.weights.name), "model that gave the scores")
    header["WGTSHA"] = provenance.weights.sha256
    if provenance.base_rate:
        header["BASERATE"] = card_text(provenance.base_rate)
    for number, words in enumerate(provenance.tiers, start=1):
        header[f"TIER{number}"] = (card_text(words), "what the tier takes")
    if provenance.area_deg2 is not None:
        header["AREA"] = (provenance.area_deg2, "[deg2] area that targets are chosen from")
    # astropy reads a long value wrongly where it holds quotes (doubled in FITS)
    header["COMMAND"] = card_text(provenance.command.replace("'", '"'))
    packages = (("xsaga", provenance.version), *provenance.packages)
    for number, (name, version) in enumerate(packages):
        header[f"DEPNAM{number:02d}"] = name
        header[f"DEPVER{number:02d}"] = version


def inputs_hdu(provenance: Provenance) -> fits.BinTableHDU:
    """Table INPUTS: path, size and SHA-256 of each file that was read."""
    inputs = provenance.inputs
    rows = records(
        {
            "PATH": text_bytes([each.path for each in inputs]),
            "SIZE": np.array([each.size for each in inputs], dtype=np.int64),
            "SHA256": text_bytes([each.sha256 for each in inputs]),
        }
    )
    hdu = fits.BinTableHDU(rows, name="INPUTS")
    hdu.header.insert("TFORM2", ("TUNIT2", "byte"), after=True)
    return hdu
