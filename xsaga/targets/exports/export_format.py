"""What a format of the registry must offer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xsaga.targets.exports.settings import ExportSettings
from xsaga.targets.target_list import TargetList

Step = Callable[[TargetList, Path, ExportSettings], None]


@dataclass(frozen=True)
class ExportFormat:
    """How a target list is handed to a survey or a tool.

    Parameters
    ----------
    name : str
        What ``--format`` takes; also the name of its folder.
    summary : str
        One line for the help: who reads it.
    write : callable
        ``write(listed, folder, settings)`` writes files into an empty folder; subfolders are
        allowed. It raises `TargetsError` for what the format cannot hold, naming the source and
        the column, and `ConfigError` for a setting that is missing or wrong.
    check : callable
        ``check(listed, folder, settings)`` reads those files back by the rules of their reader
        and raises `TargetsError` for a fault.
    """

    name: str
    summary: str
    write: Step
    check: Step
