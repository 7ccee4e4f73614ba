"""Decompressing the coadds of bricks, whole or in part, here or in other processes.

Rice decompression in astropy holds Python's global lock, so threads do not speed it up; processes
do: the six planes of a brick take 1.0 s in one and 0.5 s in two. They write into shared memory,
because planes of 52 MB sent through pipes take longer than all is decoded in one process.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.brick_cells import CELL, DecodeRates, Pieces, cells_in, pieces_of
from xsaga.imaging.coadd_tiles import find_tiles
from xsaga.imaging.fits_check import DAMAGE, check_complete, check_image_size, one_line
from xsaga.imaging.shared_blocks import new_block, room_to_share
from xsaga.imaging.tangent import TangentGrid, cd_matrix
from xsaga.reading import quiet_astropy

SHARED_PIXELS = 3_000_000
"""Pixels of all bands from which on processes decode a brick: fewer take 0.1 s, a process 0.7 s."""


def processors() -> int:
    """Count the processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


class BrickUnusable(ImagingError):  # noqa: N818 - an outcome of one brick, named as such
    """A file of a brick that is there but cannot be used; the message names it."""


class BrickPlanes:
    """Room for the planes of one brick, in memory that decoding processes can share.

    Parameters
    ----------
    shape : tuple of int
        (bands, rows, columns).
    shared : bool
        Whether other processes will write into it.
    """

    def __init__(self, shape: tuple[int, int, int], *, shared: bool) -> None:
        pixels = int(np.prod(shape))
        self.block: SharedMemory | None = None
        if shared:
            self.block = new_block(5 * pixels)
            self.images, self.has_data = _views(self.block, shape)
        else:
            self.images = np.zeros(shape, dtype=np.float32)
            self.has_data = np.zeros(shape, dtype=np.bool_)

    def close(self) -> None:
        """Give the memory back; the arrays are gone then."""
        del self.images, self.has_data
        if self.block is not None:
            self.block.close()
            self.block.unlink()


@dataclass(frozen=True)
class DecodeTask:
    """One file to decode.

    Parameters
    ----------
    path : Path
        Coadd of one band.
    product : str
        ``image`` (pixels are kept) or ``invvar`` (only where it is above 0 is kept).
    band : int
        Plane to write to.
    pieces : Pieces or None
        Parts to decode, None for all.
    """

    path: Path
    product: str
    band: int
    pieces: Pieces | None

    def cells(self, shape: tuple[int, int]) -> int:
        """Count the cells to decode in a plane of so many rows and columns."""
        whole = ((slice(0, shape[0]), slice(0, shape[1])),)
        return sum(
            -(-(rows.stop - rows.start) // CELL) * -(-(columns.stop - columns.start) // CELL)
            for rows, columns in self.pieces or whole
        )


@dataclass(frozen=True)
class Decoded:
    """What came of a task.

    Parameters
    ----------
    not_finite : bool
        Whether some pixels are not finite.
    seconds : float
        How long it took.
    """

    not_finite: bool
    seconds: float


class BrickDecoder:
    """Decodes planes, in several processes where that helps; safe to share by threads.

    Parameters
    ----------
    workers : int
        Processes; with 1, everything is done in this process. They start when first needed.

    Attributes
    ----------
    workers : int
        Processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._starting = threading.Lock()
        self._rates = DecodeRates()
        self._spare: BrickPlanes | None = None

    def pieces(self, cells: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Pieces | None:
        """Choose the cheaper way to decode.

        Parameters
        ----------
        cells : ndarray of bool, shape (rows, columns)
            Cells that are not decoded and needed.
        wanted : ndarray of bool, shape (rows, columns)
            All cells that were needed so far.

        Returns
        -------
        Pieces or None
            Rectangles to decode; None for the whole plane.
        """
        return None if self._rates.prefer_whole(wanted) else pieces_of(cells)

    def room(self, shape: tuple[int, int, int], *, much: bool) -> BrickPlanes:
        """Give memory for a brick, not cleared: shared where several processes are to write to it.

        Starting processes takes as long as decoding a brick, so they start when much of one of
        some size is to be decoded.
        """
        pixels = int(np.prod(shape))
        several = self.workers > 1 and pixels >= SHARED_PIXELS and (much or self._pool is not None)
        with self._starting:
            spare, self._spare = self._spare, None
        if spare is not None:
            if spare.images.shape == shape and (spare.block is not None) == several:
                return spare
            spare.close()
        if several and room_to_share(5 * pixels):
            with suppress(OSError):  # another took the room
                return BrickPlanes(shape, shared=True)
        return BrickPlanes(shape, shared=False)

    def give_back(self, planes: BrickPlanes) -> None:
        """Take memory that is not needed any more, for the next brick.

        New memory has to be cleared by the system, which takes a fifth of the time of a brick.
        """
        with self._starting:
            before, self._spare = self._spare, planes
        if before is not None:
            before.close()

    def decode(self, tasks: Sequence[DecodeTask], planes: BrickPlanes) -> list[bool]:
        """Decode files into `planes`.

        Returns
        -------
        list of bool
            For each task, whether pixels are not finite.

        Raises
        ------
        BrickUnusable
            When a file is truncated, not FITS, or does not fit into the planes.
        OSError
            When a file cannot be read.
        """
        decoded = self._decode(tasks, planes)
        shape = planes.images.shape[1:]
        for task, done in zip(tasks, decoded, strict=True):
            self._rates.count(task.cells(shape), done.seconds, whole=task.pieces is None)
        return [done.not_finite for done in decoded]

    def _decode(self, tasks: Sequence[DecodeTask], planes: BrickPlanes) -> list[Decoded]:
        if planes.block is None:
            return [_decode(task, planes.images, planes.has_data) for task in tasks]
        shape, name = planes.images.shape, planes.block.name
        try:
            futures = [
                self._processes().submit(_decode_shared, task, name, shape) for task in tasks
            ]
            wait(futures)  # none may write any more when the first error is raised
            return [future.result() for future in futures]
        except BrokenProcessPool:  # killed, perhaps for want of memory: go on without processes
            self.workers = 1
            return [_decode(task, planes.images, planes.has_data) for task in tasks]

    def _processes(self) -> ProcessPoolExecutor:
        with self._starting:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self.workers, mp_context=get_context("spawn"), initializer=_prepare_worker
                )
            return self._pool

    def close(self) -> None:
        """Stop the processes."""
        with self._starting:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None
            if self._spare is not None:
                self._spare.close()
                self._spare = None


def read_grid(path: Path) -> tuple[TangentGrid, str]:
    """Pixel grid of a coadd and the release it belongs to (``ls-dr9``, or empty).

    Raises
    ------
    BrickUnusable
        When the file is not FITS, truncated, or has no TAN projection.
    OSError
        When the file cannot be read.
    """
    with _open_image(path) as opened:
        header = opened.header
        check_image_size(header)
    try:
        cd = cd_matrix(header)
        kind = (str(header.get("CTYPE1", "")), str(header.get("CTYPE2", "")))
        if cd is None or kind != ("RA---TAN", "DEC--TAN"):
            raise BrickUnusable(f"{path}: no TAN projection in its header")
        grid = TangentGrid(
            ra=float(header["CRVAL1"]),
            dec=float(header["CRVAL2"]),
            x=float(header["CRPIX1"]) - 1,
            y=float(header["CRPIX2"]) - 1,
            cd=cd,
            width=int(header["NAXIS1"]),
            height=int(header["NAXIS2"]),
        )
        return grid, _release_name(header)
    except DAMAGE as error:
        raise BrickUnusable(f"{path}: unusable header ({one_line(error)})") from error


@contextmanager
def _open_image(path: Path) -> Iterator[fits.CompImageHDU | fits.ImageHDU]:
    """Give the first image of a FITS file; tell a bad file from one that cannot be read."""
    with path.open("rb") as file, _damage_of(path):
        check_complete(file)
        with fits.open(file, memmap=False) as hdus:
            hdu = next((h for h in hdus if h.is_image and h.header.get("NAXIS") == 2), None)
            if hdu is None:
                raise BrickUnusable(f"{path}: no image in it")
            yield hdu


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Tell what is wrong with the content of a file apart from what the system says."""
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system, not the content
        raise BrickUnusable(f"{path}: {one_line(error)}") from error


def _decode(task: DecodeTask, images: NDArray[np.float32], has_data: NDArray[np.bool_]) -> Decoded:
    """Decode one file into its plane."""
    begun = time.perf_counter()
    finite = True

    def take(place: tuple[slice, slice], pixels: NDArray[np.float32]) -> None:
        nonlocal finite
        if task.product == "invvar":
            np.greater(pixels, 0, out=has_data[task.band][place])
        else:
            images[task.band][place] = pixels
            finite = finite and bool(np.isfinite(pixels).all())

    shape = images.shape[1:]
    everything = (slice(0, shape[0]), slice(0, shape[1]))
    with task.path.open("rb") as file, _damage_of(task.path):
        check_complete(file)
        tiles = find_tiles(task.path, file)
        if tiles is not None:
            _check_shape(task.path, tiles.shape, shape)
            tiles.read(file, cells_in(task.pieces or (everything,)), take)
            return Decoded(not finite, time.perf_counter() - begun)
    with _open_image(task.path) as hdu:
        _check_shape(task.path, hdu.shape, shape)
        for piece in (everything,) if task.pieces is None else task.pieces:
            take(piece, hdu.data if piece is everything else hdu.section[piece])
    return Decoded(not finite, time.perf_counter() - begun)


def _check_shape(path: Path, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise BrickUnusable(
            f"{path}: {found[1]} x {found[0]} pixels, "
            f"other files of the brick have {wanted[1]} x {wanted[0]}"
        )


def _decode_shared(task: DecodeTask, block_name: str, shape: tuple[int, int, int]) -> Decoded:
    block = SharedMemory(name=block_name)
    try:
        images, has_data = _views(block, shape)
        decoded = _decode(task, images, has_data)
        del images, has_data  # or the block cannot be closed
        return decoded
    finally:
        block.close()


def _views(
    block: SharedMemory, shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    images: NDArray[np.float32] = np.ndarray(shape, dtype=np.float32, buffer=block.buf)
    has_data: NDArray[np.bool_] = np.ndarray(
        shape, dtype=np.bool_, buffer=block.buf, offset=images.nbytes
    )
    return images, has_data


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, however it ended."""
    quiet_astropy()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _release_name(header: fits.Header) -> str:
    """``ls-dr9`` from LSDR or DECALSDR ('DR9'), else from DRVERSIO (9000).

    A simulated coadd names its release in full, so that it cannot pass for a survey's.
    """
    if header.get("SIMULAT"):
        return str(header.get("RELEASE", "")).strip()
    for key in ("LSDR", "DECALSDR"):
        name = str(header.get(key, "")).strip().lower()
        if name.startswith("dr") and name[2:].isdigit():
            return f"ls-{name}"
    version = header.get("DRVERSIO")
    return f"ls-dr{version // 1000}" if isinstance(version, int) and version >= 1000 else ""
