"""All export formats by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xsaga.targets.exports.desi_secondary import DESI_SECONDARY, DESI_SECONDARY_CLASSIC
from xsaga.targets.exports.desi_targets import DESI_TARGETS
from xsaga.targets.exports.desi_tertiary import DESI_TERTIARY
from xsaga.targets.exports.desi_too import DESI_TOO
from xsaga.targets.exports.export_format import ExportFormat
from xsaga.targets.exports.fourmost import FOURMOST
from xsaga.targets.exports.hats_catalog import HATS
from xsaga.targets.exports.moc import MOC_FILES
from xsaga.targets.exports.pfs import PFS
from xsaga.targets.exports.regions import REGIONS
from xsaga.targets.exports.sdssv_too import SDSSV_TOO

_FORMATS: Final[tuple[ExportFormat, ...]] = (
    # one line per format, in the order of the help
    DESI_TARGETS,
    DESI_SECONDARY,
    DESI_SECONDARY_CLASSIC,
    DESI_TERTIARY,
    DESI_TOO,
    FOURMOST,
    PFS,
    SDSSV_TOO,
    HATS,
    MOC_FILES,
    REGIONS,
)

EXPORTS: Final[Mapping[str, ExportFormat]] = {each.name: each for each in _FORMATS}
"""Formats by the name that ``xsaga export --format`` takes."""
