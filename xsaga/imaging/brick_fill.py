"""Pixels that a brick lacks, taken from the bricks around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xsaga.imaging.brick import Brick, BrickName, BrickShelf, UnusableBrick
from xsaga.imaging.brick_index import nominal_depth


@dataclass(frozen=True)
class Filled:
    """Cutouts after their missing pixels were looked for in other bricks.

    Parameters
    ----------
    images : ndarray of float32, shape (N, bands, size, size)
        Pixels.
    has_data : ndarray of bool, shape (N, bands, size, size)
        Where there are data.
    donors : ndarray of str objects, shape (N,)
        ``+<brick>`` for each brick that gave pixels.
    trouble : ndarray of str objects, shape (N,)
        Why a brick that may have the missing pixels could not be used, or empty.
    """

    images: NDArray[np.float32]
    has_data: NDArray[np.bool_]
    donors: NDArray[np.object_]
    trouble: NDArray[np.object_]


def fill_missing(
    shelf: BrickShelf,
    neighbours: list[BrickName],
    home: Brick,
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    images: NDArray[np.float32],
    has_data: NDArray[np.bool_],
) -> Filled:
    """Fill pixels without data from neighbouring bricks, nearest pixel by position on the sky.

    Parameters
    ----------
    shelf : BrickShelf
        Opens the neighbours.
    neighbours : list of BrickName
        Bricks to ask; the first that has data for a pixel gives it.
    home : Brick
        Brick that the cutouts were made from.
    x, y : ndarray of int64, shape (N,)
        Column and row in `home` of each cutout's first pixel.
    images, has_data : ndarray, shape (N, bands, size, size)
        The cutouts; they are not changed.

    Returns
    -------
    Filled
    """
    filled = Filled(
        images.copy(),
        has_data.copy(),
        donors=np.full(len(x), "", dtype=object),
        trouble=np.full(len(x), "", dtype=object),
    )
    size = images.shape[-1]
    ra, dec = home.grid.to_sky(x + size // 2, y + size // 2)
    for name in neighbours:
        depth = nominal_depth(ra, dec, np.asarray(name.ra), np.asarray(name.dec))
        missing = np.asarray(~filled.has_data.all(axis=1))
        near = np.flatnonzero((depth > -size) & missing.any(axis=(1, 2)))
        if len(near):
            _fill_from(shelf, name, home, x, y, near, missing, filled)
    return filled


def _fill_from(
    shelf: BrickShelf,
    name: BrickName,
    home: Brick,
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    near: NDArray[np.int64],
    missing: NDArray[np.bool_],
    filled: Filled,
) -> None:
    which, row, column = np.nonzero(missing[near])
    which = near[which]
    ra, dec = home.grid.to_sky(x[which] + column, y[which] + row)
    within = nominal_depth(ra, dec, np.asarray(name.ra), np.asarray(name.dec)) > 0
    if not within.any():
        return
    donor = shelf.get(name, keep=home.name)
    if isinstance(donor, Brick):
        if donor.is_empty:
            return
        px, py = (np.floor(p + 0.5).astype(np.int64) for p in donor.grid.to_pixel(ra, dec))
        inside = (px >= 0) & (px < donor.grid.width) & (py >= 0) & (py < donor.grid.height)
        which, row, column, px, py = (v[inside] for v in (which, row, column, px, py))
        donor = shelf.decode(donor, px, py, 1)
    if isinstance(donor, UnusableBrick):
        filled.trouble[np.unique(which)] = f"; neighbour {name} is unusable: {donor.reason}"
        return
    lacking = ~filled.has_data[which, :, row, column]
    taken, band = np.nonzero(lacking & donor.planes.has_data[:, py, px].T)
    place = (which[taken], band, row[taken], column[taken])
    filled.images[place] = donor.planes.images[band, py[taken], px[taken]]
    filled.has_data[place] = True
    filled.donors[np.unique(which[taken])] += f"+{name.name}"
