"""How fast a server gives cutouts or bricks at present, from a few real requests."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.brick import BrickName
from xsaga.imaging.brick_cache import RemoteTree
from xsaga.imaging.brick_tree import image_path
from xsaga.imaging.cutouts import CutoutStatus
from xsaga.imaging.service import ServiceSource

ROUNDS = 3
"""So often each connection is used while the service is timed."""


def positions_needed(source: ServiceSource) -> int:
    """Positions that `service_rate` asks for: a round that opens the connections, and `ROUNDS`."""
    return (1 + ROUNDS) * source.limits.connections


def service_rate(
    source: ServiceSource,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Measure how many cutouts per second the service gives under the limits of a source.

    Parameters
    ----------
    source : ServiceSource
        The source, with its connections and its cap on requests.
    ra, dec : ndarray of float64, shape (N,)
        Positions in degrees, typical of those that will be asked for; the first
        `positions_needed` are, or all where there are fewer.
    clock : callable
        Seconds on a clock that never goes back.

    Returns
    -------
    float
        Cutouts per second, never above the cap on requests.

    Raises
    ------
    ImagingError
        When none of the timed positions gives a cutout, or there are none to be timed.
    UnreachableError
        When the service is gone for longer than is waited for.
    """
    limits = source.limits
    opening = limits.connections
    asked = min(len(ra), positions_needed(source))
    if asked <= opening:
        raise ImagingError(
            f"{asked} positions are too few to time the cutout service over {opening} connections"
        )
    _arrived(source, ra[:opening], dec[:opening])
    begun = clock()
    arrived = _arrived(source, ra[opening:asked], dec[opening:asked])
    seconds = clock() - begun
    if not arrived:
        raise ImagingError(
            f"the cutout service gave none of {asked - opening} cutouts, so it cannot be timed"
        )
    rate = arrived / seconds if seconds > 0 else np.inf
    return float(rate if limits.rate is None else min(rate, limits.rate))


def brick_download_seconds(
    tree: RemoteTree,
    brick: BrickName,
    bands: tuple[str, ...] = ("g", "r", "z"),
    *,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Measure how long it takes to have the files of one brick, one after the other as in a run.

    What is downloaded stays in the cache of the tree. Files that are there already take no time,
    so the result is scaled from the bytes that were downloaded to those of all files.

    Parameters
    ----------
    tree : RemoteTree
        The tree.
    brick : BrickName
        A brick with files that are not in the cache yet.
    bands : tuple of str
        Bands to have.
    clock : callable
        Seconds on a clock that never goes back.

    Returns
    -------
    float
        0 where there is nothing to download: all is here, or the tree has no such brick.

    Raises
    ------
    ImagingError
        When a file cannot be had.
    UnreachableError
        When the server is gone for longer than is waited for.
    """
    seconds, downloaded, whole = 0.0, 0, 0
    for product in ("image", "invvar"):
        for band in bands:
            path = image_path(brick.region, brick.name, product, band)
            was_here = (tree.root / path).is_file()
            begun = clock()
            local = tree.fetch(path)
            took = clock() - begun
            if local is None:
                continue
            size = local.stat().st_size
            whole += size
            if not was_here:
                seconds += took
                downloaded += size
    return seconds * whole / downloaded if downloaded else 0.0


def _arrived(source: ServiceSource, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> int:
    usable = (CutoutStatus.OK, CutoutStatus.PARTIAL)
    batches = source.cutouts(ra, dec, np.arange(len(ra)))
    return sum(int(np.isin(batch.status, usable).sum()) for batch in batches)
