"""Cutouts that were made before they were asked for, and wait on disk.

A brick that lies on the border of tiles is decoded for the first of them; what the others will ask
of it is cut out at the same time and set aside here.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xsaga.imaging.cutouts import CutoutBatch

MAX_BYTES = 8 << 30
"""Disk that is taken at most; what does not fit is cut out when it is asked for."""


@dataclass(frozen=True)
class Positions:
    """Where some sources are.

    Parameters
    ----------
    source_id : ndarray of int64, shape (N,)
        Identifiers.
    ra, dec : ndarray of float64, shape (N,)
        Degrees.
    """

    source_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]


class WaitingSources(Protocol):
    """Sources whose cutouts will be asked for later."""

    def near(self, ra: float, dec: float, radius: float) -> Positions:
        """Give those within a radius of a position, and perhaps others; all in degrees."""


@dataclass(frozen=True)
class _Kept:
    """A batch on disk: all of it but the images, and which of its rows still wait."""

    path: Path
    source_id: NDArray[np.int64]
    batch: CutoutBatch
    waits: NDArray[np.bool_]


class SetAside:
    """Cutouts by brick and source, each given out once.

    Parameters
    ----------
    folder : Path
        Where pixels wait; made when needed, removed by `close`.
    max_bytes : int
        Disk to take at most.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[str, list[_Kept]] = {}

    def has(self, brick: str, source_id: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which sources of a brick, shape (N,), have a cutout here."""
        known = [kept.source_id[kept.waits] for kept in self._kept.get(brick, ())]
        return (
            np.isin(source_id, np.concatenate(known)) if known else np.zeros(len(source_id), bool)
        )

    def put(self, brick: str, source_id: NDArray[np.int64], batch: CutoutBatch) -> None:
        """Keep the cutouts of sources, shape (N,), if there is room."""
        if self._bytes + batch.images.nbytes > self._max_bytes:
            return
        path = self._folder / f"{uuid.uuid4().hex}.npy"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            np.save(path, batch.images, allow_pickle=False)
        except OSError:  # a full disk matters to what has to be written, not to this
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return
        self._bytes += batch.images.nbytes
        without = replace(batch, images=np.empty((0, *batch.images.shape[1:]), np.float32))
        self._kept.setdefault(brick, []).append(
            _Kept(path, source_id, without, np.ones(len(source_id), bool))
        )

    def take(self, brick: str, source_id: NDArray[np.int64]) -> list[CutoutBatch]:
        """Give out the cutouts of sources, shape (N,), that are here.

        Returns
        -------
        list of CutoutBatch
            `CutoutBatch.index` counts along `source_id`.
        """
        given: list[CutoutBatch] = []
        for kept in self._kept.get(brick, ()):
            place = {source: at for at, source in enumerate(source_id.tolist())}
            rows = np.flatnonzero(kept.waits & np.isin(kept.source_id, source_id))
            if len(rows):
                images = np.load(kept.path, mmap_mode="r", allow_pickle=False)
                index = np.array([place[source] for source in kept.source_id[rows].tolist()])
                given.append(replace(kept.batch, images=images).part(rows, index))
                kept.waits[rows] = False
        self._forget_used(brick)
        return given

    def _forget_used(self, brick: str) -> None:
        left = []
        for kept in self._kept.pop(brick, ()):
            if kept.waits.any():
                left.append(kept)
                continue
            self._bytes -= int(np.prod((len(kept.waits), *kept.batch.images.shape[1:]))) * 4
            kept.path.unlink(missing_ok=True)
        if left:
            self._kept[brick] = left

    def close(self) -> None:
        """Remove all."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._kept.clear()
