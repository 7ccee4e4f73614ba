"""Names of published lists: the night, and which list of that night."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

NAME = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.([1-9]\d*))?")
"""What a list's name looks like."""


@dataclass(frozen=True, order=True)
class ListName:
    """Name of a list: its night, and which list of that night it is.

    Parameters
    ----------
    night : date
        The night.
    number : int
        1 for the first list of a night.
    """

    night: date
    number: int = 1

    def __str__(self) -> str:
        return f"{self.night.isoformat()}" + (f".{self.number}" if self.number > 1 else "")

    @classmethod
    def parse(cls, name: str) -> ListName | None:
        """Read a name; None where it is none."""
        match = NAME.fullmatch(name)
        if match is None or match[2] == "1":
            return None
        try:
            return cls(date.fromisoformat(match[1]), int(match[2] or 1))
        except ValueError:
            return None
