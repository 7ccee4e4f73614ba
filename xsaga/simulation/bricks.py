"""Single bricks of the Legacy Surveys' grid: where they are, what they are called and numbered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xsaga.sky.brick_grid import BRICK_SIZE, N_ROWS, columns_per_row


@dataclass(frozen=True)
class Brick:
    """One brick; all angles in degrees.

    Parameters
    ----------
    name : str
        Such as ``0001p007``: ten times the centre's RA and |Dec|, cut to integers.
    brickid : int
        Running number from the south pole, 1 to 662174.
    brickq : int
        Which of four interleaved sets it belongs to.
    row, col : int
        Row from the south pole and column from RA = 0.
    ra, dec : float
        Centre.
    ra1, ra2, dec1, dec2 : float
        The area that is this brick's alone; ra1 < ra2 always.
    """

    name: str
    brickid: int
    brickq: int
    row: int
    col: int
    ra: float
    dec: float
    ra1: float
    ra2: float
    dec1: float
    dec2: float

    @property
    def area_deg2(self) -> float:
        """Solid angle of the brick's own area in square degrees."""
        sines = np.sin(np.radians([self.dec1, self.dec2]))
        return float((self.ra2 - self.ra1) * np.degrees(sines[1] - sines[0]))


def brick_at(row: int, col: int) -> Brick:
    """Return the brick of a row and a column.

    The grid is that of `xsaga.sky.brick_grid`.

    Parameters
    ----------
    row : int
        0 at Dec −90 to 720 at Dec +90.
    col : int
        Any integer; taken modulo the number of columns.
    """
    columns = columns_per_row()
    col %= int(columns[row])
    width = 360.0 / int(columns[row])
    ra1, ra2 = width * col, width * (col + 1)
    ra, dec = 0.5 * (ra1 + ra2), -90.0 + BRICK_SIZE * row
    return Brick(
        name=f"{_tenths(ra):04d}{'p' if dec >= 0 else 'm'}{_tenths(abs(dec)):03d}",
        brickid=int(columns[:row].sum()) + col + 1,
        brickq=2 * (row % 2) + col % 2,
        row=row,
        col=col,
        ra=ra,
        dec=dec,
        ra1=ra1,
        ra2=ra2,
        dec1=max(dec - BRICK_SIZE / 2, -90.0),
        dec2=min(dec + BRICK_SIZE / 2, 90.0),
    )


def nearest_bricks(ra: float, dec: float, count: int) -> list[Brick]:
    """Return the bricks whose centres are nearest to a position, nearest first.

    Parameters
    ----------
    ra, dec : float
        Position in degrees.
    count : int
        How many bricks.
    """
    radius = BRICK_SIZE * (np.sqrt(count) + 2)
    candidates = bricks_in_box(ra, dec, radius, radius)
    separations = [_haversine(ra, dec, brick) for brick in candidates]
    order = sorted(
        range(len(candidates)), key=lambda i: (round(separations[i], 12), candidates[i].brickid)
    )
    return [candidates[i] for i in order[:count]]


def bricks_in_box(ra: float, dec: float, half_width: float, half_height: float) -> list[Brick]:
    """Return the bricks that touch a box around a position, by row and column.

    Parameters
    ----------
    ra, dec : float
        Centre of the box in degrees.
    half_width, half_height : float
        Half its extent on the sky in degrees.
    """
    columns = columns_per_row()
    lowest = max(_row_of(dec - half_height), 0)
    highest = min(_row_of(dec + half_height), N_ROWS - 1)
    found = []
    for row in range(lowest, highest + 1):
        edge = min(abs(-90.0 + BRICK_SIZE * row) + BRICK_SIZE / 2, 89.9)
        reach = half_width / np.cos(np.radians(edge))
        per_degree = int(columns[row]) / 360.0
        first = int(np.floor((ra - reach) * per_degree))
        last = int(np.floor((ra + reach) * per_degree))
        count = min(last - first + 1, int(columns[row]))
        found += [brick_at(row, first + step) for step in range(count)]
    return found


def _tenths(degrees: float) -> int:
    """Cut an angle to tenths of a degree, where 85.19999999999999 is 85.2."""
    return int(round(degrees * 10, 6))


def _row_of(dec: float) -> int:
    return int(np.floor((dec + 90.0) / BRICK_SIZE + 0.5))


def _haversine(ra: float, dec: float, brick: Brick) -> float:
    """Half the chord squared between a position and a brick's centre: it sorts as distance does."""
    delta_ra, delta_dec = np.radians(ra - brick.ra), np.radians(dec - brick.dec)
    cosines = np.cos(np.radians(dec)) * np.cos(np.radians(brick.dec))
    return float(np.sin(delta_dec / 2) ** 2 + cosines * np.sin(delta_ra / 2) ** 2)
