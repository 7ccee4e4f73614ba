"""All export formats by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xsaga.targets.exports.desi_targets import DESI_TARGETS
from xsaga.targets.exports.export_format import ExportFormat

_FORMATS: Final[tuple[ExportFormat, ...]] = (
    # one line per format, in the order of the help
    DESI_TARGETS,
)

EXPORTS: Final[Mapping[str, ExportFormat]] = {each.name: each for each in _FORMATS}
"""Formats by the name that ``xsaga export --format`` takes."""
