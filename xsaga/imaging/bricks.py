"""Cutouts from the brick coadds of a Legacy Surveys tree.

A cutout is the exact pixels of the brick that holds the source deepest, placed so that its centre
is as near to the source as whole pixels allow: the source lies within half a pixel of index
``(size - 1) / 2`` along x and y, where the cutout service has it exactly. So the pixel nearest to
the source is the middle one of an odd size, and one of the middle ones of an even size. Nothing is
resampled; the cutout's north is the north of the brick's centre.

Pixels beyond the brick's grid, or without data in it, are taken from neighbouring bricks that
have data there: each is the pixel nearest to the same point of the sky, which is right for grids
that are rotated against each other (near the poles) and off by up to half a pixel.

A pixel holds data where the inverse variance is above 0. Maskbits are not read: NPRIMARY only
marks the overlap of bricks, the bits of saturated and bright neighbourhoods mark pixels that do
hold data, and pixels that were masked in all exposures have inverse variance 0. Where a brick has
no invvar file, pixels that are not 0 hold data, and `origin` says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.brick import Brick, BrickName, BrickShelf, UnusableBrick
from xsaga.imaging.brick_cells import CELL
from xsaga.imaging.brick_decode import BrickDecoder, processors
from xsaga.imaging.brick_fill import fill_missing
from xsaga.imaging.brick_index import (
    BRICK_DIAGONAL,
    Homes,
    RegionIndex,
    find_homes,
    nominal_depth,
    open_regions,
)
from xsaga.imaging.brick_tree import BrickTree, brick_table_files, image_path
from xsaga.imaging.cutouts import (
    NATIVE_PIXEL_SCALE,
    CutoutBatch,
    CutoutSpec,
    CutoutStatus,
    ImagingFiles,
    batch_size,
    coverage_status,
)
from xsaga.imaging.set_aside import SetAside, WaitingSources

FILL_SIZE = 32
"""Cutouts whose missing pixels are looked up together: each may miss all its pixels."""

DEFAULT_MAX_BYTES = 1 << 30


_LATER = -1
"""Stands for the place of a source that is not asked for yet."""


@dataclass(frozen=True)
class _Wanted:
    """What a brick is to give.

    Parameters
    ----------
    name : BrickName
        Which brick.
    ready : ndarray of int64
        Places of the asked sources whose cutouts were set aside.
    index : ndarray of int64, shape (N,)
        Places of the others, and `_LATER` for each source that will be asked for.
    source_id, ra, dec : ndarray, shape (N,)
        Of the sources of `index`.
    """

    name: BrickName
    ready: NDArray[np.int64]
    index: NDArray[np.int64]
    source_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]

    @property
    def rows(self) -> int:
        """Number of cutouts to make."""
        return len(self.index)


class BrickSource:
    """Cutouts from brick coadds.

    Parameters
    ----------
    tree : BrickTree
        Where the bricks are.
    spec : CutoutSpec
        Geometry of the cutouts; the pixel scale must be that of the coadds.
    region : {'auto', 'north', 'south'}
        Release to take bricks from. With 'auto', the one that has the brick, and by the rule of
        DR9 where both have it (north if Dec > 32.375° and b > 0).
    workers : int, optional
        Processes that decompress; by default as many as there are processors.
    release : str
        Image release, where it is known; else taken from the bricks table's name or a header.
    max_bytes : int
        Memory for decompressed bricks; one brick and one neighbour (200 MB each) are held in any
        case.
    waiting : WaitingSources, optional
        Sources that will be asked for later: those of a brick that is decoded are cut out with
        the others, so that no brick is decoded twice.
    set_aside : SetAside, optional
        Where these cutouts wait; closed with the source.

    Raises
    ------
    ImagingError
        When the tree has no bricks of the region, or other pixels are asked for.
    """

    def __init__(
        self,
        tree: BrickTree,
        spec: CutoutSpec,
        *,
        region: str = "auto",
        workers: int | None = None,
        release: str = "",
        max_bytes: int = DEFAULT_MAX_BYTES,
        waiting: WaitingSources | None = None,
        set_aside: SetAside | None = None,
    ) -> None:
        if abs(spec.pixel_scale / NATIVE_PIXEL_SCALE - 1) > 0.01:
            raise ImagingError(
                f"bricks have pixels of {NATIVE_PIXEL_SCALE} arcsec, not {spec.pixel_scale:g}; "
                "set the pixel scale to that or use the cutout service"
            )
        self._tree = tree
        self._spec = spec
        self._batch = batch_size(spec)
        self._regions = open_regions(tree, region)
        self._decoder = BrickDecoder(processors() if workers is None else workers)
        self._shelf = BrickShelf(tree, spec.bands, self._decoder, max_bytes)
        self._waiting = waiting
        self._set_aside = set_aside
        self._release = release

    @property
    def spec(self) -> CutoutSpec:
        """Geometry of the cutouts."""
        return self._spec

    @property
    def release(self) -> str:
        """Image release, e.g. ``ls-dr9``; empty if nothing tells it."""
        if not self._release:
            self._release = self._find_release()
        return self._release

    def _find_release(self) -> str:
        index = self._regions[0]
        if index.table.release:
            return f"ls-{index.table.release}"
        brick = self._shelf.get(index.brick(0))
        return brick.release if isinstance(brick, Brick) else ""

    def order(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
        """Put positions of one brick together, bricks along rows of declination.

        Positions that no brick holds come last.
        """
        if not len(ra):
            return np.zeros(0, dtype=np.int64)
        homes = find_homes(ra, dec, self._regions)
        reached = homes.depth > -self._spec.size
        groups = _by_brick(homes, np.flatnonzero(reached), self._regions)
        return np.concatenate([*groups, np.flatnonzero(~reached)])

    def cutouts(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> Iterator[CutoutBatch]:
        """Yield the cutouts brick by brick, in batches of bounded size."""
        if not len(ra):
            return
        homes = find_homes(ra, dec, self._regions)
        reached = homes.depth > -self._spec.size
        for index in _parts(np.flatnonzero(~reached), self._batch):
            yield self._without_pixels(index, CutoutStatus.OUTSIDE, "no brick there", "")
        groups = iter(_by_brick(homes, np.flatnonzero(reached), self._regions))
        line: deque[_Wanted] = deque()
        while True:
            for index in islice(groups, 1 + self._shelf.ahead - len(line)):
                wanted = self._wanted(homes, index, ra, dec, source_id)
                if wanted.rows:
                    self._shelf.prepare(wanted.name, wanted.ra, wanted.dec, self._spec.size)
                line.append(wanted)
            if not line:
                return
            wanted = line.popleft()
            yield from self._ready(wanted, source_id)
            if wanted.rows:
                yield from self._from_brick(wanted)

    def _wanted(
        self,
        homes: Homes,
        index: NDArray[np.int64],
        ra: NDArray[np.float64],
        dec: NDArray[np.float64],
        source_id: NDArray[np.int64],
    ) -> _Wanted:
        """Tell what is to be cut out of the brick of some sources: for them, and for later."""
        place, number = int(homes.region[index[0]]), int(homes.number[index[0]])
        name = self._regions[place].brick(number)
        if self._set_aside is None or self._waiting is None:
            ready = index[:0]
            return _Wanted(name, ready, index, source_id[index], ra[index], dec[index])
        here = self._set_aside.has(str(name), source_id[index])
        ready, index = index[here], index[~here]
        if not len(index):
            return _Wanted(name, ready, index, source_id[index], ra[index], dec[index])
        others = self._waiting.near(name.ra, name.dec, BRICK_DIAGONAL / 2)
        at = find_homes(others.ra, others.dec, self._regions)
        later = (at.region == place) & (at.number == number)
        later &= ~np.isin(others.source_id, source_id)
        later &= ~self._set_aside.has(str(name), others.source_id)
        return _Wanted(
            name,
            ready,
            np.concatenate([index, np.full(np.count_nonzero(later), _LATER)]),
            np.concatenate([source_id[index], others.source_id[later]]),
            np.concatenate([ra[index], others.ra[later]]),
            np.concatenate([dec[index], others.dec[later]]),
        )

    def _ready(self, wanted: _Wanted, source_id: NDArray[np.int64]) -> Iterator[CutoutBatch]:
        """Give what was set aside."""
        if self._set_aside is not None and len(wanted.ready):
            for batch in self._set_aside.take(str(wanted.name), source_id[wanted.ready]):
                yield batch.part(np.arange(len(batch)), wanted.ready[batch.index])

    def _from_brick(self, wanted: _Wanted) -> Iterator[CutoutBatch]:
        size = self._spec.size
        brick = self._shelf.get(wanted.name)
        if isinstance(brick, Brick):
            x, y = brick.corners(wanted.ra, wanted.dec, size)
            brick = self._shelf.decode(brick, x, y, size)
        if isinstance(brick, UnusableBrick):
            for part in _parts(wanted.index[wanted.index != _LATER], self._batch):
                yield self._without_pixels(part, brick.status, brick.reason, str(wanted.name))
            return
        neighbours = self._region(wanted.name).neighbours(wanted.name, size)
        near = np.lexsort((x, y // CELL))  # batches that stay in one part of the memory
        for part in _parts(near, self._batch):
            batch = self._cut_out(brick, neighbours, wanted.index[part], x[part], y[part])
            later = batch.index == _LATER
            if self._set_aside is not None and later.any():
                rows = np.flatnonzero(later)
                self._set_aside.put(
                    str(wanted.name), wanted.source_id[part[rows]], batch.part(rows, rows)
                )
                rows = np.flatnonzero(~later)
                batch = batch.part(rows, batch.index[rows])
            if len(batch):
                yield batch

    def _region(self, name: BrickName) -> RegionIndex:
        return next(region for region in self._regions if region.region == name.region)

    def _cut_out(
        self,
        brick: Brick,
        neighbours: list[BrickName],
        index: NDArray[np.int64],
        x: NDArray[np.int64],
        y: NDArray[np.int64],
    ) -> CutoutBatch:
        images, has_data = _cut(brick, x, y, self._spec.size)
        origin = np.full(len(x), _origin(brick), dtype=object)
        trouble = np.full(len(x), "", dtype=object)
        incomplete = np.flatnonzero(~has_data.all(axis=(1, 2, 3)))
        for some in _parts(incomplete, min(FILL_SIZE, self._batch)):
            filled = fill_missing(
                self._shelf, neighbours, brick, x[some], y[some], images[some], has_data[some]
            )
            images[some] = filled.images * filled.has_data
            has_data[some] = filled.has_data
            origin[some] += filled.donors
            trouble[some] = filled.trouble
        coverage = has_data.mean(axis=(2, 3), dtype=np.float32)
        return CutoutBatch(
            index=index,
            images=images,
            coverage=coverage,
            status=(status := coverage_status(coverage)),
            reason=_reasons(brick, status, trouble),
            origin=origin.tolist(),
        )

    def _without_pixels(
        self, index: NDArray[np.int64], status: CutoutStatus, reason: str, origin: str
    ) -> CutoutBatch:
        bands, size = len(self._spec.bands), self._spec.size
        return CutoutBatch(
            index=index,
            images=np.zeros((len(index), bands, size, size), dtype=np.float32),
            coverage=np.zeros((len(index), bands), dtype=np.float32),
            status=np.full(len(index), status, dtype=np.int8),
            reason=[reason] * len(index),
            origin=[origin] * len(index),
        )

    def files(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> ImagingFiles:
        """Name the coadds of the sources' bricks and of the neighbours that may fill gaps."""
        del source_id
        size = self._spec.size
        names: set[BrickName] = set()
        homes = find_homes(ra, dec, self._regions)
        for place, region in enumerate(self._regions):
            here = (homes.region == place) & (homes.depth > -size)
            for number in np.unique(homes.number[here]).tolist():
                brick, at = region.brick(number), here & (homes.number == number)
                names.add(brick)
                names |= {
                    near
                    for near in region.neighbours(brick, size)
                    if _depth_in(near, ra[at], dec[at]).max() > -size
                }
        paths = [
            image_path(name.region, name.name, product, band)
            for name in names
            for product in ("image", "invvar")
            for band in self._spec.bands
        ]
        tables = brick_table_files(self._tree.root)
        return ImagingFiles(str(self._tree.root), (*tables, *sorted(paths)), self._tree.cached)

    def count_bricks(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> int:
        """Count the bricks that positions in degrees lie in."""
        homes = find_homes(ra, dec, self._regions)
        here = homes.depth > -self._spec.size
        return len(np.unique(np.stack([homes.region[here], homes.number[here]]), axis=1).T)

    def interrupt(self) -> None:
        """End downloads; no more are made. Bricks that are cut now keep their memory."""
        self._tree.close()

    def close_bricks(self) -> None:
        """Stop the decoding processes and give memory back; the tree stays open."""
        self._shelf.close()
        self._decoder.close()
        if self._set_aside is not None:
            self._set_aside.close()

    def close(self) -> None:
        """Stop the decoding processes and let go of the tree."""
        self.close_bricks()
        self._tree.close()


def _depth_in(
    brick: BrickName, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> NDArray[np.float64]:
    return nominal_depth(ra, dec, np.array([brick.ra]), np.array([brick.dec]))


def _parts(index: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [index[start : start + size] for start in range(0, len(index), size)]


def _by_brick(
    homes: Homes, index: NDArray[np.int64], regions: list[RegionIndex]
) -> list[NDArray[np.int64]]:
    """Group sources by brick; the bricks run along rows of declination, so neighbours follow."""
    groups: list[NDArray[np.int64]] = []
    for place, region in enumerate(regions):
        here = index[homes.region[index] == place]
        number = homes.number[here]
        order = np.lexsort((here, region.table.ra[number], region.table.dec[number]))
        changes = np.flatnonzero(np.diff(number[order])) + 1
        groups += [group for group in np.split(here[order], changes) if len(group)]
    return groups


def _cut(
    brick: Brick, x: NDArray[np.int64], y: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut boxes out of the planes of a brick; beyond its grid there are no data."""
    if brick.is_empty:
        shape = (len(x), len(brick.missing_bands), size, size)
        return np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    width, height = brick.grid.width, brick.grid.height
    images, has_data = brick.planes.images, brick.planes.has_data
    inside = (x >= 0) & (y >= 0) & (x + size <= width) & (y + size <= height)
    if inside.all():
        return _windows(images, x, y, size), _windows(has_data, x, y, size)
    steps = np.arange(size)
    columns, rows = x[:, np.newaxis] + steps, y[:, np.newaxis] + steps
    on_x, on_y = (columns >= 0) & (columns < width), (rows >= 0) & (rows < height)
    on_grid = on_y[:, np.newaxis, :, np.newaxis] & on_x[:, np.newaxis, np.newaxis, :]
    bands = np.arange(len(images))[:, np.newaxis, np.newaxis]
    place = (
        bands,
        rows.clip(0, height - 1)[:, np.newaxis, :, np.newaxis],
        columns.clip(0, width - 1)[:, np.newaxis, np.newaxis, :],
    )
    return images[place] * on_grid, has_data[place] & on_grid


def _windows(
    planes: NDArray[np.generic], x: NDArray[np.int64], y: NDArray[np.int64], size: int
) -> NDArray[Any]:
    windows = sliding_window_view(planes, (size, size), axis=(1, 2))
    return windows.transpose(1, 2, 0, 3, 4)[y, x]


def _origin(brick: Brick) -> str:
    without = "".join(brick.bands_without_invvar)
    return f"{brick.name} (no {without} invvar)" if without else str(brick.name)


def _reasons(brick: Brick, status: NDArray[np.int8], trouble: NDArray[np.object_]) -> list[str]:
    if brick.missing_bands:
        bands = ", ".join(brick.missing_bands)
        what = f"no {bands} image of brick {brick.name}"
        partial = outside = what
    else:
        partial = "part of the cutout has no data"
        outside = f"no data there in brick {brick.name}"
    reason = np.where(status == CutoutStatus.OUTSIDE, outside, partial).astype(object) + trouble
    reason[status == CutoutStatus.OK] = ""
    return [str(text) for text in reason]
