"""Candidates of a run whose cutouts are still to be fetched, by place on the sky."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

import healpy
import numpy as np

from xsaga.imaging.set_aside import Positions
from xsaga.paths import RunPaths
from xsaga.run.folder import read_partition
from xsaga.run.tile import read_candidates

HELD_TILES = 32
"""Tiles whose positions are held: those about the one that is worked on."""


class WaitingCandidates:
    """The candidates of all tiles of a run that have neither cutouts nor scores.

    Parameters
    ----------
    paths : RunPaths
        The run folder; it is read when first asked, for then the tile stage is done.
    order : int
        HEALPix order of its tiles.
    """

    def __init__(self, paths: RunPaths, order: int) -> None:
        self._paths = paths
        self._order = order
        self._held: OrderedDict[int, Positions] = OrderedDict()

    @cached_property
    def _tiles(self) -> frozenset[int]:
        tiles = read_partition(self._paths).tiles
        return frozenset(tile.pixel for tile in tiles if tile.n_candidates)

    def near(self, ra: float, dec: float, radius: float) -> Positions:
        """Give the candidates of the tiles that a circle meets; all in degrees."""
        pixels = healpy.query_disc(
            2**self._order,
            healpy.ang2vec(ra, dec, lonlat=True),
            np.radians(radius),
            inclusive=True,
            nest=True,
        )
        found = [self._positions(pixel) for pixel in pixels.tolist() if self._waits(pixel)]
        none = Positions(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        return Positions(
            *(
                np.concatenate([getattr(tile, name) for tile in (none, *found)])
                for name in ("source_id", "ra", "dec")
            )
        )

    def _waits(self, pixel: int) -> bool:
        if pixel not in self._tiles:
            return False
        tile = self._paths.tile(self._order, pixel)
        waits = not (tile.cutout_index.is_file() or tile.scores.is_file())
        if not waits:
            self._held.pop(pixel, None)
        return waits

    def _positions(self, pixel: int) -> Positions:
        if pixel not in self._held:
            candidates = read_candidates(self._paths.tile(self._order, pixel))
            self._held[pixel] = Positions(
                candidates["source_id"].to_numpy(np.int64),
                candidates["ra"].to_numpy(np.float64),
                candidates["dec"].to_numpy(np.float64),
            )
            while len(self._held) > HELD_TILES:
                self._held.popitem(last=False)
        self._held.move_to_end(pixel)
        return self._held[pixel]
