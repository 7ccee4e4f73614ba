"""What an export format needs to know beyond the target list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class ExportSettings:
    """Options of the export formats; each format reads those that it needs.

    Parameters
    ----------
    known_ids : DataFrame, mapping or None
        TARGETIDs that were given before: columns `source_id` and `targetid` (both int64), or a
        mapping from one to the other. These sources keep theirs.
    """

    known_ids: pd.DataFrame | Mapping[int, int] | None = field(default=None, compare=False)

    def record(self) -> dict[str, Any]:
        """Plain values of all settings, for the record of an export; tables by their length."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        known = values.pop("known_ids")
        return {**values, "known_ids": 0 if known is None else len(known)}
