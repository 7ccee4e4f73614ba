"""One brick: its files, its pixel grid, and its pixels as far as they were needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.brick_cells import CELL, Pieces, cells_of, pieces_of
from xsaga.imaging.brick_decode import (
    BrickDecoder,
    BrickPlanes,
    BrickUnusable,
    DecodeTask,
    read_grid,
)
from xsaga.imaging.brick_tree import BrickTree, image_path, in_region
from xsaga.imaging.cutouts import NATIVE_PIXEL_SCALE, CutoutStatus
from xsaga.imaging.http_faults import UnreachableError
from xsaga.imaging.tangent import TangentGrid

BRICK_PIXELS = 3600
"""Pixels on a side of a public coadd."""

MOST_AHEAD = 4
"""Bricks prepared at a time, at most: 24 files."""

MUCH = 0.3
"""Share of a brick to decode beyond which processes are started for it."""

CENTRE_TOLERANCE = 2.0
"""Pixels that the middle of a coadd may be off the centre of its brick."""


def brick_bytes(bands: int) -> int:
    """Bytes of memory of a public coadd that is decoded: float32 pixels, and where data are."""
    return 5 * bands * BRICK_PIXELS**2


@dataclass(frozen=True)
class BrickName:
    """Which brick, and where its centre is in degrees."""

    region: str
    name: str
    ra: float
    dec: float

    def __str__(self) -> str:
        return in_region(self.region, self.name)

    def nominal_grid(self) -> TangentGrid:
        """Grid that public coadds of the brick have."""
        degrees = NATIVE_PIXEL_SCALE / 3600
        middle = (BRICK_PIXELS - 1) / 2
        cd = (-degrees, 0.0, 0.0, degrees)
        return TangentGrid(self.ra, self.dec, middle, middle, cd, BRICK_PIXELS, BRICK_PIXELS)


@dataclass(frozen=True)
class UnusableBrick:
    """A brick whose files are there but of no use.

    Parameters
    ----------
    status : CutoutStatus
        CORRUPT or FAILED.
    reason : str
        Which file, and what is wrong with it.
    """

    status: CutoutStatus
    reason: str
    nbytes: int = 0

    def close(self) -> None:
        """Nothing to give back."""


class Brick:
    """The coadds of one brick.

    Parameters
    ----------
    tree : BrickTree
        Where its files are.
    name : BrickName
        Which brick.
    bands : tuple of str
        Bands in the order of the planes.
    decoder : BrickDecoder
        Decodes the files.

    Raises
    ------
    BrickUnusable
        When its files are damaged or do not fit the brick.
    OSError, ImagingError
        When they cannot be had.
    """

    def __init__(
        self, tree: BrickTree, name: BrickName, bands: tuple[str, ...], decoder: BrickDecoder
    ) -> None:
        self.name = name
        self._decoder = decoder
        self._planes: BrickPlanes | None = None
        found = {
            (band, product): tree.fetch(image_path(name.region, name.name, product, band))
            for product in ("image", "invvar")
            for band in bands
        }
        self._images = {band: found[band, "image"] for band in bands}
        self._invvars = {
            band: found[band, "invvar"] for band in bands if self._images[band] is not None
        }
        self.missing_bands = tuple(band for band in bands if self._images[band] is None)
        """Bands without an image."""
        self.bands_without_invvar = tuple(b for b, path in self._invvars.items() if path is None)
        """Bands whose pixels count as data where they are not 0."""
        self.grid, self.release = name.nominal_grid(), ""
        first = next((path for path in self._images.values() if path is not None), None)
        if first is not None:
            self.grid, self.release = read_grid(first)
            _check_grid(first, self.grid, name)
        self._shape = (len(bands), self.grid.height, self.grid.width)
        rows, columns = -(-self.grid.height // CELL), -(-self.grid.width // CELL)
        # nothing is there to decode where the brick has no files
        self._decoded = np.full((rows, columns), first is None)

    @property
    def is_empty(self) -> bool:
        """Whether it has no image at all."""
        return len(self.missing_bands) == self._shape[0]

    @property
    def planes(self) -> BrickPlanes:
        """Its pixels; valid where `decode` was asked for them, 0 in bands without an image.

        A brick without any image takes no memory: ask `is_empty` before.
        """
        if self._planes is None:
            self._planes = self._decoder.room(self._shape, much=False)
            self._clear(self._images)
        return self._planes

    def _clear(self, bands: Container[str]) -> None:
        for band, name in enumerate(self._images):
            if name in bands and self._planes is not None:
                self._planes.images[band] = 0
                self._planes.has_data[band] = False

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its pixels take when all are decoded."""
        return 0 if self.is_empty else 5 * int(np.prod(self._shape))

    def corners(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Column and row of the first pixel of cutouts about positions in degrees."""
        x, y = (
            np.floor(pixel - (size - 1) / 2 + 0.5).astype(np.int64)
            for pixel in self.grid.to_pixel(ra, dec)
        )
        return x, y

    def decode(self, x: NDArray[np.int64], y: NDArray[np.int64], size: int) -> None:
        """Make sure that the pixels in square boxes are decoded.

        Parameters
        ----------
        x, y : ndarray of int64, shape (N,)
            First column and row of each box.
        size : int
            Pixels on a side of the boxes.
        """
        cells = cells_of(x, y, size, self._shape[1:]) & ~self._decoded
        if not cells.any():
            return
        pieces = self._decoder.pieces(cells, cells | self._decoded)
        whole = pieces is None
        if self._planes is None:
            self._planes = self._decoder.room(self._shape, much=whole or cells.mean() > MUCH)
            self._clear(self.missing_bands)
        try:
            not_finite = self._decode(self._planes, pieces)
        except BrickUnusable:
            if not whole:
                raise
            # what is damaged may be needed by nothing: speed must not decide what is lost
            whole = False
            not_finite = self._decode(self._planes, pieces_of(cells))
        self._decoded |= whole | cells
        self._repair(not_finite)

    def _decode(self, planes: BrickPlanes, pieces: Pieces | None) -> list[int]:
        """Decode parts of all files; give the bands with pixels that are not finite."""
        tasks = [
            DecodeTask(path, product, band, pieces)
            for product, paths in (("image", self._images), ("invvar", self._invvars))
            for band, path in enumerate(paths.get(b) for b in self._images)
            if path is not None
        ]
        not_finite = self._decoder.decode(tasks, planes)
        return [task.band for task, bad in zip(tasks, not_finite, strict=True) if bad]

    def _repair(self, not_finite: list[int]) -> None:
        images, has_data = self.planes.images, self.planes.has_data
        for band, name in enumerate(self._images):
            if name in self.bands_without_invvar:
                np.not_equal(images[band], 0, out=has_data[band])
        for band in not_finite:
            bad = ~np.isfinite(images[band])
            images[band][bad] = 0
            has_data[band][bad] = False

    def close(self) -> None:
        """Give the memory back."""
        if self._planes is not None:
            self._decoder.give_back(self._planes)
            self._planes = None


def _check_grid(path: Path, grid: TangentGrid, name: BrickName) -> None:
    scale = np.sqrt(abs(grid.cd[0] * grid.cd[3] - grid.cd[1] * grid.cd[2])) * 3600
    if abs(scale / NATIVE_PIXEL_SCALE - 1) > 0.01:
        raise BrickUnusable(f"{path}: pixels of {scale:.4g} arcsec, not {NATIVE_PIXEL_SCALE}")
    x, y = grid.to_pixel(name.ra, name.dec)
    off = np.hypot(x - (grid.width - 1) / 2, y - (grid.height - 1) / 2)
    if not off <= CENTRE_TOLERANCE:
        raise BrickUnusable(
            f"{path}: its {grid.width} x {grid.height} pixels are not centred on brick {name}"
        )


class BrickShelf:
    """The bricks opened last, as many as memory is given for, and those to be opened next.

    Used by one thread; what is to come is prepared in others.

    Parameters
    ----------
    tree : BrickTree
        Where the files are.
    bands : tuple of str
        Bands in the order of the planes.
    decoder : BrickDecoder
        Decodes the files.
    max_bytes : int
        Memory for decoded pixels; the brick opened last is kept in any case, and so is the one
        that `get` is told to keep.
    """

    def __init__(
        self, tree: BrickTree, bands: tuple[str, ...], decoder: BrickDecoder, max_bytes: int
    ) -> None:
        self._tree = tree
        self._bands = bands
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._bricks: OrderedDict[BrickName, Brick | UnusableBrick] = OrderedDict()
        # One brick is six files for six processes; beside the one that is cut and a neighbour of
        # it, as many may be prepared as there is memory for.
        self._brick_bytes = brick_bytes(len(bands))
        room = max_bytes // self._brick_bytes - 2
        self.ahead = 0 if decoder.workers == 1 else max(0, min(MOST_AHEAD, room))
        """Bricks that may be prepared at a time."""
        self._preparing = ThreadPoolExecutor(max(1, self.ahead), "brick")
        self._coming: dict[BrickName, Future[Brick | UnusableBrick]] = {}

    def prepare(
        self, name: BrickName, ra: NDArray[np.float64], dec: NDArray[np.float64], size: int
    ) -> None:
        """Begin to open a brick and to decode what cutouts need, if there is room for it.

        Parameters
        ----------
        name : BrickName
            Which.
        ra, dec : ndarray of float64, shape (N,)
            Positions of the cutouts in degrees.
        size : int
            Pixels on a side of the cutouts.
        """
        if name in self._bricks or name in self._coming or len(self._coming) >= self.ahead:
            return
        self._coming[name] = self._preparing.submit(self._prepared, name, ra, dec, size)

    def get(self, name: BrickName, keep: BrickName | None = None) -> Brick | UnusableBrick:
        """Open a brick, or say why it cannot be used."""
        if name not in self._bricks:
            coming = self._coming.pop(name, None)
            self._bricks[name] = self._open(name) if coming is None else coming.result()
            self._make_room({name, keep})
        self._bricks.move_to_end(name)
        return self._bricks[name]

    def decode(
        self, brick: Brick, x: NDArray[np.int64], y: NDArray[np.int64], size: int
    ) -> Brick | UnusableBrick:
        """Decode boxes of a brick (`Brick.decode`); a damaged brick is given up for good."""
        self._bricks[brick.name] = _decoded(brick, x, y, size)
        return self._bricks[brick.name]

    def _open(self, name: BrickName) -> Brick | UnusableBrick:
        try:
            return Brick(self._tree, name, self._bands, self._decoder)
        except UnreachableError:
            raise  # the network, not the brick
        except (ImagingError, OSError) as error:
            return _unusable(error)

    def _prepared(
        self, name: BrickName, ra: NDArray[np.float64], dec: NDArray[np.float64], size: int
    ) -> Brick | UnusableBrick:
        brick = self._open(name)
        if isinstance(brick, UnusableBrick):
            return brick
        return _decoded(brick, *brick.corners(ra, dec, size), size)

    def _make_room(self, kept: set[BrickName | None]) -> None:
        """Give up the bricks used longest ago; those that come count as whole ones."""
        coming = self._brick_bytes * len(self._coming)
        for name in [name for name in self._bricks if name not in kept]:
            held = sum(brick.nbytes for brick in self._bricks.values())
            if held + coming <= self._max_bytes:
                return
            self._bricks.pop(name).close()

    def close(self) -> None:
        """Give all memory back."""
        self._preparing.shutdown(cancel_futures=True)
        for coming in self._coming.values():
            if not coming.cancelled() and coming.exception() is None:
                coming.result().close()
        self._coming.clear()
        while self._bricks:
            self._bricks.popitem()[1].close()


def _decoded(
    brick: Brick, x: NDArray[np.int64], y: NDArray[np.int64], size: int
) -> Brick | UnusableBrick:
    try:
        brick.decode(x, y, size)
    except (ImagingError, OSError) as error:
        brick.close()
        return _unusable(error)
    return brick


def _unusable(error: ImagingError | OSError) -> UnusableBrick:
    """Outcome of an error: CORRUPT for damaged files, FAILED for what could not be had."""
    damaged = isinstance(error, BrickUnusable)
    status = CutoutStatus.CORRUPT if damaged else CutoutStatus.FAILED
    reason = str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.filename or 'file'}: {error.strerror}"
    return UnusableBrick(status, reason)
