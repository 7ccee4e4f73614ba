"""Polygons on the sphere, bounded by arcs of great circles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import FootprintError
from xsaga.sky.positions import check_position, separation, unit_vectors
from xsaga.sky.region import MARGIN, Shape
from xsaga.sky.shapes import Circle
from xsaga.sky.tiles import all_pixels, pixel_centres

HALF_SKY = 2.0 * math.pi
"""Steradians of a hemisphere."""

TOO_CLOSE = 1e-12
"""Radians below which directions count as the same: far under anything a catalog resolves."""

ROUNDING = 1e-14
"""Areas (steradians) and triple products of unit vectors below which only rounding is left."""

BLOCK_PRODUCTS = 1 << 20
"""Position–edge pairs looked at in one go."""


@dataclass(frozen=True)
class Polygon(Shape):
    """A simple polygon, convex or not, with great-circle edges.

    Each edge is the shorter arc between its ends. The inside is the smaller of the two parts into
    which the edges divide the sky, whichever way round the vertices run; it may hold a pole or
    cross RA = 0.

    Parameters
    ----------
    vertices : tuple of (float, float)
        RA and Dec in degrees, three or more; the first may be repeated at the end.

    Raises
    ------
    FootprintError
        When a vertex is out of range or the vertices do not bound an area.
    """

    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        for number, (ra, dec) in enumerate(self.vertices, start=1):
            check_position(ra, dec, f"polygon, vertex {number}")
        if len(self._corners) < 3:
            raise FootprintError("polygon: give three or more different vertices")
        self._check_edges()
        if self._outline.area < ROUNDING:
            raise FootprintError("polygon: its vertices are on a line and enclose nothing")
        if abs(self._outline.area - HALF_SKY) < ROUNDING:
            raise FootprintError(
                "polygon: it cuts the sky in equal halves, so its inside is not defined"
            )

    def inside(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `Region.inside`."""
        result = self._cap.inside(ra, dec)
        rows = np.flatnonzero(result)
        result[rows] = self._outline.inside(unit_vectors(ra[rows], dec[rows]))
        return result

    def near(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], distance: float
    ) -> NDArray[np.bool_]:
        """See `Shape.near`."""
        result = self._cap.near(ra, dec, distance)
        rows = np.flatnonzero(result)
        vectors = unit_vectors(ra[rows], dec[rows])
        result[rows] = inside = self._outline.inside(vectors)
        closeness = self._closeness_to_edges(vectors[~inside])
        result[rows[~inside]] = closeness >= math.cos(math.radians(distance))
        return result

    def describe(self) -> dict[str, object]:
        """See `Region.describe`."""
        return {"kind": "polygon", "vertices": [list(vertex) for vertex in self.vertices]}

    @cached_property
    def _corners(self) -> NDArray[np.float64]:
        """Unit vectors, (V, 3), of the vertices without repetitions of the one before."""
        corners = unit_vectors(*np.array(self.vertices, dtype=np.float64).reshape(-1, 2).T)
        steps = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        distinct: NDArray[np.float64] = corners[steps > TOO_CLOSE]
        return distinct

    @cached_property
    def _cap(self) -> Circle:
        """A circle that holds the polygon: a cheap first look."""
        total = self._corners.sum(axis=0)
        if np.linalg.norm(total) > TOO_CLOSE:
            ra = math.degrees(math.atan2(total[1], total[0]))
            dec = math.degrees(math.atan2(total[2], math.hypot(total[0], total[1])))
            reach = separation(self._corners, unit_vectors(ra, dec)).max()
            # Only caps below a hemisphere are convex: they hold the edges with the vertices.
            if reach + MARGIN < 90.0:
                return Circle(ra, dec, reach + MARGIN)
        return Circle(0.0, 0.0, 180.0)

    @cached_property
    def _outline(self) -> _Outline:
        return _Outline.around(self._corners, self._free_axis())

    def _free_axis(self) -> NDArray[np.float64]:
        """Direction that, with its opposite, is far from all edges: where to put the poles."""
        candidates = unit_vectors(*pixel_centres(2, all_pixels(2)))
        closeness = np.maximum(
            self._closeness_to_edges(candidates), self._closeness_to_edges(-candidates)
        )
        axis: NDArray[np.float64] = candidates[closeness.argmin()]
        return axis

    def _check_edges(self) -> None:
        """Refuse edges between opposite points, and edges that cross each other."""
        starts, ends = self._corners, np.roll(self._corners, -1, axis=0)
        if (np.linalg.norm(starts + ends, axis=1) < 1e-9).any():
            raise FootprintError(
                "polygon: two neighbouring vertices are 180 degrees apart: add one between them"
            )
        normals = np.cross(starts, ends)
        for edge in range(len(starts) - 2):
            others = slice(edge + 2, len(starts) - (edge == 0))  # neighbours share a vertex
            sides = np.stack(
                [
                    -(starts[others] @ normals[edge]),
                    ends[others] @ normals[edge],
                    normals[others] @ starts[edge],
                    -(normals[others] @ ends[edge]),
                ]
            )
            crossing = (sides > ROUNDING).all(axis=0) | (sides < -ROUNDING).all(axis=0)
            if crossing.any():
                other = edge + 2 + int(crossing.argmax())
                raise FootprintError(
                    f"polygon: edges {edge + 1} and {other + 1} cross: give the vertices in order "
                    "around the outline"
                )

    def _closeness_to_edges(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cosine of the angle between each unit vector, (N, 3), and the nearest edge."""
        starts, ends = self._corners, np.roll(self._corners, -1, axis=0)
        normals = np.cross(starts, ends)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        after_start, before_end = np.cross(normals, starts), np.cross(ends, normals)
        result = np.empty(len(vectors))
        block = max(1, BLOCK_PRODUCTS // len(starts))
        for first in range(0, len(vectors), block):
            some = vectors[first : first + block]
            beside = (some @ after_start.T >= 0) & (some @ before_end.T >= 0)
            to_circle = np.sqrt(np.maximum(1.0 - np.square(some @ normals.T), 0.0))
            closeness = np.maximum(np.where(beside, to_circle, -1.0), some @ starts.T)
            result[first : first + block] = closeness.max(axis=1)
        return result


@dataclass(frozen=True, eq=False)
class _Outline:
    """A polygon's edges in a frame whose poles are far from all of them.

    A position is inside when the number of edges between it and the south pole of that frame, on
    its own meridian, is odd (or even, when that pole is inside itself). An edge counts for
    longitudes from its western end up to but without its eastern end, so each vertex belongs to
    one of its two edges, and comparing stored longitudes cannot miss or double a crossing.
    """

    frame: NDArray[np.float64]
    """(3, 3): rows are the axes of the frame."""
    west: NDArray[np.float64]
    """(E,): longitude (rad, −π…π) of the western end of each edge."""
    east: NDArray[np.float64]
    """(E,): longitude of the eastern end; below `west` for an edge through ±π."""
    northward: NDArray[np.float64]
    """(E, 3): normals of the edges on their northern side."""
    area: float
    """Steradians of the part of the sky that the south pole is not in, before choosing."""

    @classmethod
    def around(cls, corners: NDArray[np.float64], axis: NDArray[np.float64]) -> _Outline:
        """Outline through unit vectors (V, 3), in a frame with its north pole at `axis`."""
        first = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
        first /= np.linalg.norm(first)
        frame = np.stack([first, np.cross(axis, first), axis])
        starts = corners @ frame.T
        ends = np.roll(starts, -1, axis=0)
        longitude = np.arctan2(starts[:, 1], starts[:, 0])
        next_longitude = np.roll(longitude, -1)
        turn = np.remainder(next_longitude - longitude + math.pi, 2.0 * math.pi) - math.pi
        eastward = turn > 0
        return cls(
            frame=frame,
            west=np.where(eastward, longitude, next_longitude),
            east=np.where(eastward, next_longitude, longitude),
            northward=np.cross(starts, ends) * np.where(eastward, 1.0, -1.0)[:, None],
            area=_area_north_of(starts, ends, turn),
        )

    def inside(self, vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which unit vectors, (N, 3), are inside."""
        vectors = vectors @ self.frame.T
        longitude = np.arctan2(vectors[:, 1], vectors[:, 0])
        by_longitude = np.argsort(longitude)
        longitude, vectors = longitude[by_longitude], vectors[by_longitude]
        odd = np.zeros(len(vectors), dtype=np.bool_)
        begins = np.searchsorted(longitude, self.west)
        stops = np.searchsorted(longitude, self.east)
        through_pi = self.west > self.east
        for edge in np.flatnonzero(through_pi | (begins < stops)):
            begin, stop = begins[edge], stops[edge]
            spans = [slice(begin, stop)]
            if through_pi[edge]:
                spans = [slice(begin, None), slice(None, stop)]
            for span in spans:
                odd[span] ^= vectors[span] @ self.northward[edge] > 0
        result = np.empty_like(odd)
        result[by_longitude] = odd ^ (self.area > HALF_SKY)
        return result


def _area_north_of(
    starts: NDArray[np.float64], ends: NDArray[np.float64], turn: NDArray[np.float64]
) -> float:
    """Steradians enclosed by edges, from the triangles that each makes with the north pole.

    The excess E of a spherical triangle with two sides a, b and the angle C between them is
    tan(E/2) = t sin C / (1 + t cos C) with t = tan(a/2) tan(b/2) (Todhunter, Spherical
    Trigonometry, art. 103); here C is the signed change of longitude.
    """

    def half_tangent(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        across: NDArray[np.float64] = np.hypot(vectors[:, 0], vectors[:, 1])
        return across / (1.0 + vectors[:, 2])

    product = half_tangent(starts) * half_tangent(ends)
    excess = 2.0 * np.arctan2(product * np.sin(turn), 1.0 + product * np.cos(turn))
    return abs(float(excess.sum()))
