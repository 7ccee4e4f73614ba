"""What every source of cutouts takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

NATIVE_PIXEL_SCALE = 0.262
"""Arcseconds per pixel of Legacy Surveys coadds."""


class CutoutStatus(IntEnum):
    """Outcome of one cutout."""

    OK = 0
    """Every pixel of every band holds data."""
    PARTIAL = 1
    """Some pixels hold no data; `coverage` says how much does."""
    OUTSIDE = 2
    """The imaging does not cover the position at all."""
    CORRUPT = 3
    """Something was there but is not usable: truncated, wrong shape or bands, not finite."""
    FAILED = 4
    """It could not be had this time: no answer, refused, unreadable; trying again may help."""


@dataclass(frozen=True)
class CutoutSpec:
    """Geometry of a cutout.

    Parameters
    ----------
    size : int
        Pixels on a side.
    pixel_scale : float
        Arcseconds per pixel.
    bands : tuple of str
        Bands in the order of the image planes.
    """

    size: int = 144
    pixel_scale: float = NATIVE_PIXEL_SCALE
    bands: tuple[str, ...] = ("g", "r", "z")


@dataclass(frozen=True)
class CutoutBatch:
    """Some of the cutouts that were asked for.

    Parameters
    ----------
    index : ndarray of int64, shape (N,)
        Which of the requested positions each row answers.
    images : ndarray of float32, shape (N, bands, size, size)
        Nanomaggies per pixel, not dereddened; row 0 is south, north up and east left; 0 where
        there is no data.
    coverage : ndarray of float32, shape (N, bands)
        Fraction of pixels with data.
    status : ndarray of int8, shape (N,)
        A `CutoutStatus` each.
    reason : list of str, length N
        Why a cutout is not OK; empty where it is.
    origin : list of str, length N
        What the pixels were read from, e.g. ``south/0001p007`` or a service layer.
    """

    index: NDArray[np.int64]
    images: NDArray[np.float32]
    coverage: NDArray[np.float32]
    status: NDArray[np.int8]
    reason: list[str]
    origin: list[str]

    def __len__(self) -> int:
        return len(self.index)

    def part(self, rows: NDArray[np.int64], index: NDArray[np.int64]) -> CutoutBatch:
        """Give some rows, which answer the positions of `index`, shape (M,)."""
        return CutoutBatch(
            index=index,
            images=self.images[rows],
            coverage=self.coverage[rows],
            status=self.status[rows],
            reason=[self.reason[row] for row in rows],
            origin=[self.origin[row] for row in rows],
        )


@dataclass(frozen=True)
class ImagingFiles:
    """Files on this machine that some cutouts are made from.

    Parameters
    ----------
    root : str
        Folder of the imaging; empty where it has no files here.
    paths : tuple of str
        Paths below it, with forward slashes, in order; files that are not there count too, for
        they may come.
    cached : bool
        Whether the folder only keeps what was downloaded: then a file that is not there says
        nothing.
    """

    root: str = ""
    paths: tuple[str, ...] = ()
    cached: bool = False


class CutoutSource(Protocol):
    """A place that cutouts come from: brick coadds, the cutout service, files in a folder."""

    @property
    def spec(self) -> CutoutSpec:
        """Geometry of the cutouts it gives."""

    @property
    def release(self) -> str:
        """Image release, as a model's card names it, e.g. ``ls-dr9``; empty if not known."""

    def order(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
        """Give the order in which cutouts of positions in degrees are best asked for.

        It follows from the positions and what the imaging covers alone, so that it is the same
        whenever it is asked for.
        """

    def cutouts(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> Iterator[CutoutBatch]:
        """Yield the cutouts of the given sources in batches of bounded size, in any order.

        Every requested position is answered exactly once. Bad or missing data of single sources
        are outcomes (`CutoutStatus`), never exceptions.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (N,)
            Positions in degrees (ICRS).
        source_id : ndarray of int64, shape (N,)
            Identifiers, for sources that name files by them and for messages.

        Raises
        ------
        ImagingError
            When the imaging as a whole cannot be used (no such tree, unknown layer).
        """

    def files(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], source_id: NDArray[np.int64]
    ) -> ImagingFiles:
        """Name the files that the cutouts of the given sources may be made from.

        With unchanged files the cutouts are unchanged. Nothing is downloaded for it.
        """

    def interrupt(self) -> None:
        """End what waits for a server, from another thread; `cutouts` raises soon then.

        Nothing that `cutouts` works on is given back; that is left to `close`.
        """

    def close(self) -> None:
        """Give back connections, files and workers; `cutouts` must have ended."""


MAX_BATCH, MAX_BATCH_BYTES = 256, 1 << 24
"""Cutouts in a batch: so many, or fewer where they are large."""


def image_bytes(spec: CutoutSpec) -> int:
    """Bytes of one cutout's pixels in float32."""
    return 4 * len(spec.bands) * spec.size**2


def batch_size(spec: CutoutSpec) -> int:
    """Cutouts of a geometry that make a batch of bounded size."""
    return int(np.clip(MAX_BATCH_BYTES // image_bytes(spec), 1, MAX_BATCH))


def coverage_status(coverage: NDArray[np.float32]) -> NDArray[np.int8]:
    """Status that follows from coverage alone: OK, PARTIAL or OUTSIDE.

    Parameters
    ----------
    coverage : ndarray of float32, shape (N, bands)
        Fraction of pixels with data.

    Returns
    -------
    ndarray of int8, shape (N,)
    """
    status = np.full(len(coverage), CutoutStatus.PARTIAL, dtype=np.int8)
    status[(coverage >= 1).all(axis=1)] = CutoutStatus.OK
    status[(coverage <= 0).all(axis=1)] = CutoutStatus.OUTSIDE
    return status
