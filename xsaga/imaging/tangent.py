"""The gnomonic (TAN) projection between sky and pixels, for many positions at once.

Formulas: Calabretta & Greisen 2002 (A&A 395, 1077), section 5.1.3 (TAN) and, with the native
longitude of the celestial pole at 180°, their rotation of equations 2 and 5; pixel axes follow
Greisen & Calabretta 2002 (A&A 395, 1061), equation 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class TangentGrid:
    """A grid of square pixels on the tangent plane.

    Parameters
    ----------
    ra, dec : float
        Tangent point in degrees (CRVAL).
    x, y : float
        Pixel of the tangent point, counted from 0 (CRPIX − 1).
    cd : tuple of 4 float
        CD1_1, CD1_2, CD2_1, CD2_2 in degrees per pixel.
    width, height : int
        Pixels along x and y.
    """

    ra: float
    dec: float
    x: float
    y: float
    cd: tuple[float, float, float, float]
    width: int
    height: int

    def to_pixel(
        self, ra: ArrayLike, dec: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates (x, y), counted from 0, of sky positions in degrees.

        Positions 90° or more from the tangent point have no image: NaN.
        """
        delta = np.radians(np.asarray(ra, dtype=np.float64) - self.ra)
        delta_dec = np.radians(np.asarray(dec, dtype=np.float64))
        sin0, cos0 = np.sin(np.radians(self.dec)), np.cos(np.radians(self.dec))
        sin, cos = np.sin(delta_dec), np.cos(delta_dec)
        depth = sin0 * sin + cos0 * cos * np.cos(delta)
        depth = np.where(depth > 0, depth, np.nan)
        xi = np.degrees(cos * np.sin(delta) / depth)
        eta = np.degrees((cos0 * sin - sin0 * cos * np.cos(delta)) / depth)
        cd11, cd12, cd21, cd22 = self.cd
        determinant = cd11 * cd22 - cd12 * cd21
        return (
            self.x + (cd22 * xi - cd12 * eta) / determinant,
            self.y + (cd11 * eta - cd21 * xi) / determinant,
        )

    def to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sky positions (RA in [0, 360), Dec) in degrees of pixel coordinates counted from 0."""
        dx = np.asarray(x, dtype=np.float64) - self.x
        dy = np.asarray(y, dtype=np.float64) - self.y
        cd11, cd12, cd21, cd22 = self.cd
        xi = np.radians(cd11 * dx + cd12 * dy)
        eta = np.radians(cd21 * dx + cd22 * dy)
        sin0, cos0 = np.sin(np.radians(self.dec)), np.cos(np.radians(self.dec))
        across = cos0 - eta * sin0
        ra = self.ra + np.degrees(np.arctan2(xi, across))
        dec = np.degrees(np.arctan2(sin0 + eta * cos0, np.hypot(xi, across)))
        return np.mod(ra, 360.0), dec

    def depth(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels between each point and the nearest edge of the grid; negative outside."""
        inside_x = np.minimum(x + 0.5, self.width - 0.5 - x)
        inside_y = np.minimum(y + 0.5, self.height - 0.5 - y)
        return np.minimum(inside_x, inside_y)


def cd_matrix(header: Mapping[str, object]) -> tuple[float, float, float, float] | None:
    """CD matrix of a FITS header in degrees per pixel, from CDi_j or CDELTi with PCi_j.

    Parameters
    ----------
    header : mapping
        FITS header.

    Returns
    -------
    tuple of 4 float or None
        CD1_1, CD1_2, CD2_1, CD2_2; None where the header has no pixel scale.

    Raises
    ------
    ValueError
        When a keyword is not a number or the matrix is singular.
    """
    keys = ("1_1", "1_2", "2_1", "2_2")
    if any(f"CD{key}" in header for key in keys):
        cd = tuple(_number(header, f"CD{key}", 0.0) for key in keys)
    elif "CDELT1" in header and "CDELT2" in header:
        scale = {axis: _number(header, f"CDELT{axis}", 1.0) for axis in "12"}
        cd = tuple(
            scale[key[0]] * _number(header, f"PC{key}", float(key[0] == key[2])) for key in keys
        )
    else:
        return None
    determinant = cd[0] * cd[3] - cd[1] * cd[2]
    if not np.isfinite(determinant) or determinant == 0:
        raise ValueError("its pixel scale is zero or not finite")
    return cd[0], cd[1], cd[2], cd[3]


def _number(header: Mapping[str, object], key: str, default: float) -> float:
    value = header.get(key, default)
    if not isinstance(value, int | float):
        raise ValueError(f"keyword {key} is not a number")
    return float(value)
