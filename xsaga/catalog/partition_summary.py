"""What a partition of a catalog came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from xsaga.catalog.cutflow import CutFlow


@dataclass(frozen=True)
class TileCount:
    """Sources of one tile.

    Parameters
    ----------
    pixel : int
        NESTED HEALPix pixel.
    n_sources : int
        Sources in its file.
    n_candidates : int
        Of those, sources that pass all cuts.
    """

    pixel: int
    n_sources: int
    n_candidates: int


@dataclass(frozen=True)
class PartitionSummary:
    """What became of each row of a catalog.

    ``n_read`` is the sum of ``n_outside_footprint``, all of ``n_rejected``, all of
    ``n_duplicates`` and ``n_sources``.

    Parameters
    ----------
    n_read : int
        Rows of the files that were opened.
    n_outside_footprint : int
        Rows with a position outside the footprint.
    n_rejected : dict
        Rows without a valid position, by reason.
    n_duplicates : dict
        Rows left out as duplicates, by `DUPLICATE_REASONS`.
    tiles : tuple of TileCount
        Tiles with sources, by ascending pixel.
    cut_flow : CutFlow
        How many sources passed each step.
    warnings : tuple of str
        What looks wrong but did not stop the work.
    skipped_files : tuple of str
        Files that were not opened because they cannot touch the footprint.
    """

    n_read: int
    n_outside_footprint: int
    n_rejected: dict[str, int]
    n_duplicates: dict[str, int]
    tiles: tuple[TileCount, ...]
    cut_flow: CutFlow
    warnings: tuple[str, ...]
    skipped_files: tuple[str, ...]

    @property
    def n_sources(self) -> int:
        """Sources in all tiles."""
        return sum(tile.n_sources for tile in self.tiles)

    @property
    def n_candidates(self) -> int:
        """Sources that pass all cuts in all tiles."""
        return sum(tile.n_candidates for tile in self.tiles)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; `xsaga.json_values.from_json` gives it back."""
        return asdict(self)
