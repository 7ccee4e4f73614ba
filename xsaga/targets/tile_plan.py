"""Which DESI tiles find most nearby galaxies: targets, fibers and expected finds of each tile.

Fibers go to the targets of a tile's field in the order in which fiber assignment prefers them:
by priority, then by rank. No collisions of positioners, no patrol radii and no other programs'
targets are modelled, so what is told is the most that a tile can do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.crossmatch import pairs_between
from xsaga.errors import TargetsError
from xsaga.sky.desi_tiles import DesiTiles

DESI_FIBERS = 5000
"""Fibers of DESI's focal plane; how many of them a program gets is another matter."""

_NEEDED = ("ra", "dec", "tier", "priority", "rank", "p_lowz")


@dataclass(frozen=True)
class TilePlan:
    """Tiles in the order in which they find most.

    Parameters
    ----------
    tiles : DataFrame
        One row a tile, best first. ``order`` (from 1), ``tileid``, ``ra``, ``dec`` (deg). Of the
        tile by itself: ``in_field_tierN`` and ``fiber_tierN``, targets of tier N in the field and
        with a fiber; ``expected_in_field`` and ``expected_with_fibers``, sums of their ``p_lowz``.
        After the tiles above it: ``new_fibers``, targets that are observed for the first time;
        ``gain``, the sum of their ``p_lowz``; ``total``, that sum so far.
    tiers : DataFrame
        One row a tier: ``tier``, ``targets``, ``in_no_tile`` (of all tiles given), ``observed``
        (by the tiles of the plan).
    expected_in_list, expected_in_tiles : float
        Sum of ``p_lowz`` of all targets, and of those in the field of any tile given.
    n_tiles : int
        Tiles given, of which the plan may have only the best.
    fibers : int
        Fibers of a tile.
    radius : float
        Radius of a tile's field in degrees.
    """

    tiles: pd.DataFrame
    tiers: pd.DataFrame
    expected_in_list: float
    expected_in_tiles: float
    n_tiles: int
    fibers: int
    radius: float


def plan_tiles(
    targets: pd.DataFrame,
    tiles: DesiTiles,
    fibers: int = DESI_FIBERS,
    best: int | None = None,
) -> TilePlan:
    """Put tiles in the order in which each adds most nearby galaxies to those before it.

    The next tile is the one whose fibers, given to targets that no earlier tile has observed, have
    the highest sum of ``p_lowz``; of equal ones the first in the table.

    Parameters
    ----------
    targets : DataFrame
        ``ra``, ``dec`` (deg), ``tier``, ``priority``, ``rank``, ``p_lowz``; may have no rows.
    tiles : DesiTiles
        The tiles to choose from.
    fibers : int
        Fibers of a tile for these targets.
    best : int, optional
        Number of tiles to choose; all if not given.

    Returns
    -------
    TilePlan

    Raises
    ------
    TargetsError
        For targets without one of the columns or with a ``p_lowz`` that is no probability, and for
        less than one fiber or tile.
    """
    if fibers < 1:
        raise TargetsError(f"{fibers} fibers a tile observe nothing: give 1 or more")
    if best is not None and best < 1:
        raise TargetsError(f"a plan of {best} tiles is none: give 1 or more")
    targets = _in_order_of_fibers(targets)
    p = targets["p_lowz"].to_numpy(np.float64)
    tier_names, tier = np.unique(targets["tier"].to_numpy(), return_inverse=True)
    fields = _Fields.of(targets, tiles)
    chosen, new_fibers, gain, observed = _greedy(fields, p, fibers, best)

    alone = fields.place < fibers
    tile_of, member = fields.tile, fields.member
    n_tiles, n_tiers = len(tiles.tile_ids), len(tier_names)
    in_field = _counts(tile_of, tier[member], n_tiles, n_tiers)
    with_fiber = _counts(tile_of[alone], tier[member[alone]], n_tiles, n_tiers)
    table = {
        "order": np.arange(1, len(chosen) + 1),
        "tileid": tiles.tile_ids[chosen],
        "ra": tiles.ra[chosen],
        "dec": tiles.dec[chosen],
        **{f"in_field_tier{n}": in_field[chosen, i] for i, n in enumerate(tier_names)},
        **{f"fiber_tier{n}": with_fiber[chosen, i] for i, n in enumerate(tier_names)},
        "expected_in_field": _sums(tile_of, p[member], n_tiles)[chosen],
        "expected_with_fibers": _sums(tile_of[alone], p[member[alone]], n_tiles)[chosen],
        "new_fibers": new_fibers,
        "gain": gain,
        "total": np.cumsum(gain),
    }
    in_a_tile = np.zeros(len(targets), bool)
    in_a_tile[member] = True
    tiers = {
        "tier": tier_names,
        "targets": np.bincount(tier, minlength=n_tiers),
        "in_no_tile": np.bincount(tier[~in_a_tile], minlength=n_tiers),
        "observed": np.bincount(tier[observed], minlength=n_tiers),
    }
    return TilePlan(
        pd.DataFrame(table),
        pd.DataFrame(tiers),
        float(p.sum()),
        float(p[in_a_tile].sum()),
        n_tiles,
        fibers,
        tiles.radius,
    )


def _in_order_of_fibers(targets: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in _NEEDED if name not in targets]
    if missing:
        raise TargetsError(
            f"target list has no column {', '.join(missing)}: rank the run again, `xsaga rank RUN`"
        )
    p = targets["p_lowz"].to_numpy(np.float64)
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1)))
    if len(wrong):
        raise TargetsError(
            f"target list row {wrong[0]}: p_lowz is {p[wrong[0]]:g}, which is no probability; "
            "rank the run again, `xsaga rank RUN`"
        )
    order = np.lexsort((targets["rank"].to_numpy(), -targets["priority"].to_numpy(np.int64)))
    return targets[list(_NEEDED)].iloc[order]


@dataclass(frozen=True, eq=False)
class _Fields:
    """Which targets are in which tile's field: one entry for each pair, by tile, then target."""

    tile: NDArray[np.int64]
    member: NDArray[np.int64]
    starts: NDArray[np.int64]
    """First entry of each tile, and the end of the last."""
    tiles_by_target: NDArray[np.int64]
    target_starts: NDArray[np.int64]

    @classmethod
    def of(cls, targets: pd.DataFrame, tiles: DesiTiles) -> _Fields:
        pairs = pairs_between(
            tiles.ra, tiles.dec, targets["ra"], targets["dec"], tiles.radius * 3600
        )
        tile, member = pairs[:, 0].copy(), pairs[:, 1].copy()
        return cls(
            tile,
            member,
            np.searchsorted(tile, np.arange(len(tiles.ra) + 1)),
            tile[np.argsort(member, kind="stable")],
            np.concatenate([[0], np.cumsum(np.bincount(member, minlength=len(targets)))]),
        )

    @property
    def place(self) -> NDArray[np.int64]:
        """Place of each entry in its tile's order of fibers, from 0."""
        return np.arange(len(self.tile)) - self.starts[self.tile]

    def members(self, tile: int) -> NDArray[np.int64]:
        """Targets of one tile, in order of fibers."""
        return self.member[self.starts[tile] : self.starts[tile + 1]]

    def tiles_of(self, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tiles that have any of the targets in their field."""
        first, counts = self.target_starts[targets], np.diff(self.target_starts)[targets]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.unique(self.tiles_by_target[np.repeat(first, counts) + within])


def _greedy(
    fields: _Fields, p: NDArray[np.float64], fibers: int, best: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Tiles in order, the targets and the gain that each adds, and which targets are observed."""
    observed = np.zeros(len(p), bool)

    def observable(tile: int) -> NDArray[np.int64]:
        members = fields.members(tile)
        return members[~observed[members]][:fibers]

    n_tiles = len(fields.starts) - 1
    gains = np.array([p[observable(tile)].sum() for tile in range(n_tiles)])
    left = np.ones(n_tiles, bool)
    chosen, new_fibers, gained = [], [], []
    for _ in range(n_tiles if best is None else min(best, n_tiles)):
        tile = int(np.argmax(np.where(left, gains, -1)))
        new = observable(tile)
        chosen.append(tile)
        new_fibers.append(len(new))
        gained.append(gains[tile])
        left[tile] = False
        observed[new] = True
        # A fiber that is set free can go to a more probable target of a lower tier: the gain of a
        # tile may rise, so those that share targets are all computed anew.
        sharing = fields.tiles_of(new)
        for other in sharing[left[sharing]]:
            gains[other] = p[observable(other)].sum()
    return np.array(chosen), np.array(new_fibers), np.array(gained), observed


def _sums(
    tile: NDArray[np.int64], values: NDArray[np.float64], n_tiles: int
) -> NDArray[np.float64]:
    return np.bincount(tile, values, n_tiles).astype(np.float64)  # of nothing it gives integers


def _counts(
    tile: NDArray[np.int64], tier: NDArray[np.int64], n_tiles: int, n_tiers: int
) -> NDArray[np.int64]:
    """Table of numbers, one row a tile and one column a tier."""
    counts = np.bincount(tile * n_tiers + tier, minlength=n_tiles * n_tiers)
    return np.asarray(counts, np.int64).reshape(n_tiles, n_tiers)
