"""One brick: its files, its pixel grid, and its pixels as far as they were needed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.brick_decode import (
    CELL,
    BrickDecoder,
    BrickPlanes,
    BrickUnusable,
    DecodeTask,
    cells_of,
    pieces_of,
    read_grid,
)
from xsaga.imaging.brick_tree import BrickTree, image_path, in_region
from xsaga.imaging.cutouts import NATIVE_PIXEL_SCALE, CutoutStatus
from xsaga.imaging.http_faults import UnreachableError
from xsaga.imaging.tangent import TangentGrid

BRICK_PIXELS = 3600
"""Pixels on a side of a public coadd."""

CENTRE_TOLERANCE = 2.0
"""Pixels that the middle of a coadd may be off the centre of its brick."""


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
        """Its pixels; valid where `decode` was asked for them, 0 elsewhere."""
        if self._planes is None:
            self._planes = self._decoder.room(self._shape, whole=False)
        return self._planes

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its pixels take when all are decoded."""
        return 0 if self.is_empty else 5 * int(np.prod(self._shape))

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
        whole = pieces_of(cells | self._decoded) is None
        pieces = None if whole else pieces_of(cells)
        if self._planes is None:
            self._planes = self._decoder.room(self._shape, whole=whole)
        tasks = [
            DecodeTask(path, product, band, pieces)
            for product, paths in (("image", self._images), ("invvar", self._invvars))
            for band, path in enumerate(paths.get(b) for b in self._images)
            if path is not None
        ]
        not_finite = self._decoder.decode(tasks, self._planes)
        self._decoded |= whole | cells
        self._repair([task.band for task, bad in zip(tasks, not_finite, strict=True) if bad])

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
            self._planes.close()
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


@dataclass
class BrickShelf:
    """The bricks opened last, as many as memory is given for.

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

    tree: BrickTree
    bands: tuple[str, ...]
    decoder: BrickDecoder
    max_bytes: int
    _bricks: OrderedDict[BrickName, Brick | UnusableBrick] = field(default_factory=OrderedDict)

    def get(self, name: BrickName, keep: BrickName | None = None) -> Brick | UnusableBrick:
        """Open a brick, or say why it cannot be used."""
        if name not in self._bricks:
            self._bricks[name] = self._open(name)
            self._make_room({name, keep})
        self._bricks.move_to_end(name)
        return self._bricks[name]

    def _open(self, name: BrickName) -> Brick | UnusableBrick:
        try:
            return Brick(self.tree, name, self.bands, self.decoder)
        except UnreachableError:
            raise  # the network, not the brick
        except (ImagingError, OSError) as error:
            return _unusable(error)

    def decode(
        self, brick: Brick, x: NDArray[np.int64], y: NDArray[np.int64], size: int
    ) -> Brick | UnusableBrick:
        """Decode boxes of a brick (`Brick.decode`); a damaged brick is given up for good."""
        try:
            brick.decode(x, y, size)
        except (ImagingError, OSError) as error:
            brick.close()
            self._bricks[brick.name] = _unusable(error)
        return self._bricks[brick.name]

    def _make_room(self, kept: set[BrickName | None]) -> None:
        for name in [name for name in self._bricks if name not in kept]:
            if sum(brick.nbytes for brick in self._bricks.values()) <= self.max_bytes:
                return
            self._bricks.pop(name).close()

    def close(self) -> None:
        """Give all memory back."""
        while self._bricks:
            self._bricks.popitem()[1].close()


def _unusable(error: ImagingError | OSError) -> UnusableBrick:
    """Outcome of an error: CORRUPT for damaged files, FAILED for what could not be had."""
    damaged = isinstance(error, BrickUnusable)
    status = CutoutStatus.CORRUPT if damaged else CutoutStatus.FAILED
    reason = str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.filename or 'file'}: {error.strerror}"
    return UnusableBrick(status, reason)
