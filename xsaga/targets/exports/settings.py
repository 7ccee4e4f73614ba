"""What an export format needs to know beyond the target list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pandas as pd

from xsaga.targets.exports.desi_settings import DESI_FORMATS, DesiSettings
from xsaga.targets.exports.survey_settings import (
    GROUPS,
    FourmostSettings,
    HatsSettings,
    PfsSettings,
    RegionsSettings,
    SdssvSettings,
)


@dataclass(frozen=True)
class ExportSettings(DesiSettings):
    """Options of the export formats; each format reads those that it needs.

    Parameters
    ----------
    known_ids : DataFrame, mapping or None
        TARGETIDs that were given before: columns `source_id` and `targetid` (both int64), or a
        mapping from one to the other. These sources keep theirs.
    fourmost, pfs, sdssv, hats, regions
        Options of the formats of that name.
    """

    known_ids: pd.DataFrame | Mapping[int, int] | None = field(default=None, compare=False)
    fourmost: FourmostSettings = field(default_factory=FourmostSettings)
    pfs: PfsSettings = field(default_factory=PfsSettings)
    sdssv: SdssvSettings = field(default_factory=SdssvSettings)
    hats: HatsSettings = field(default_factory=HatsSettings)
    regions: RegionsSettings = field(default_factory=RegionsSettings)

    def record(self, format_name: str) -> dict[str, Any]:
        """Plain values of the settings of one format, for the record of an export.

        Parameters
        ----------
        format_name : str
            Name in the registry.

        Returns
        -------
        dict
            Tables by their length; empty for a format without settings.
        """
        for group in (getattr(self, name) for name in GROUPS):
            if group.format_name == format_name:
                return asdict(group)
        if not format_name.startswith(DESI_FORMATS):
            return {}
        own = {each.name: getattr(self, each.name) for each in fields(DesiSettings)}
        return {**own, "known_ids": 0 if self.known_ids is None else len(self.known_ids)}
