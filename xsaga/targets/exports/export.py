"""Writing a target list in the format of a survey, safely."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from astropy.utils.exceptions import AstropyUserWarning

from xsaga.errors import ConfigError, TargetsError, nearest_name
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.left_out import left_out_ids
from xsaga.targets.exports.placing import placed_folder
from xsaga.targets.exports.registry import EXPORTS
from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.provenance import sha256_of
from xsaga.targets.target_list import TargetList

RECORD_FILE = "export.json"
"""Tells in every export what it was made from, and which files belong to it."""

SIMULATED_FILE = "SIMULATED-WEIGHTS.txt"

_UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, AstropyUserWarning)
"""What the readers of files raise for a damaged one."""

_SIMULATED = (
    "SIMULATED WEIGHTS: the model behind these targets was fitted to simulated cutouts. "
    "Its scores are no basis for observing.\n"
)


def export(listed: TargetList, name: str, folder: Path, settings: ExportSettings) -> list[Path]:
    """Write a target list in one format; the same list and settings give the same bytes.

    The files are written into a folder beside `folder`, read back, flushed, and put in place of
    the older export as a whole. When anything fails, the older export stays untouched. Beside the
    format's own files stands ``export.json`` with the provenance and the SHA-256 of each file.

    Parameters
    ----------
    listed : TargetList
        Of `xsaga.targets.target_list.read_target_list`.
    name : str
        A key of `EXPORTS`.
    folder : Path
        Where the files belong; a folder that holds anything but an older export is refused.
    settings : ExportSettings
        Options of the formats.

    Returns
    -------
    list of Path
        The files in `folder`, sorted.

    Raises
    ------
    ConfigError
        For an unknown format or a setting that is missing or wrong.
    TargetsError
        For targets that the format cannot hold, files that cannot be written or that do not read
        back, and a folder that holds other things.
    """
    if name not in EXPORTS:
        raise ConfigError(f"unknown export format {name!r}: {nearest_name(name, EXPORTS)}")
    chosen = EXPORTS[name]
    try:
        _refuse_foreign(folder)
        with placed_folder(folder) as temporary:
            chosen.write(listed, temporary, settings)
            _read_back(chosen, listed, temporary, settings)
            _write_record(listed, name, temporary, settings)
        return sorted(_files(folder))
    except OSError as error:
        raise TargetsError(
            f"{name}: {folder} cannot be written ({error.strerror or error}); what was there is "
            "untouched: free some space or choose another --out"
        ) from error
    except (ConfigError, TargetsError) as error:
        raise type(error)(f"{name}: {_one_line(error)}") from error


def _read_back(
    chosen: ExportFormat, listed: TargetList, folder: Path, settings: ExportSettings
) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)  # so it tells of truncated files
            chosen.check(listed, folder, settings)
    except _UNREADABLE as error:
        raise TargetsError(
            f"the files do not read back ({_one_line(error)}); they were not put in place, check "
            "the disk"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _write_record(listed: TargetList, name: str, folder: Path, settings: ExportSettings) -> None:
    simulated = listed.provenance.weights.simulated
    if simulated:
        (folder / SIMULATED_FILE).write_text(_SIMULATED, encoding="utf-8", newline="\n")
    record: dict[str, Any] = {
        "format": name,
        "simulated_weights": simulated,
        "rows": len(listed.targets),
        "left_out": len(left_out_ids(folder)),
        "target_list_sha256": sha256_of(listed.path) if listed.path.is_file() else None,
        "settings": settings.record(name),
        "files": {
            path.relative_to(folder).as_posix(): {
                "size": path.stat().st_size,
                "sha256": sha256_of(path),
            }
            for path in sorted(_files(folder))
        },
        "provenance": listed.provenance.to_dict(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (folder / RECORD_FILE).write_text(text, encoding="utf-8", newline="\n")


def _refuse_foreign(folder: Path) -> None:
    """Leave files alone that no export wrote: the folder is replaced as a whole."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TargetsError(f"{folder} is a file: choose another --out")
    foreign = {path.relative_to(folder).as_posix() for path in _files(folder)} - _ours(folder)
    if foreign:
        raise TargetsError(
            f"{folder} holds {min(foreign)}, which no export wrote: move it away or choose "
            "another --out"
        )


def _ours(folder: Path) -> set[str]:
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        return {RECORD_FILE, *record["files"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_dir())
