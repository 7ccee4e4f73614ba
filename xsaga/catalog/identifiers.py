"""Stable 64-bit identifiers of sources."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.errors import CatalogError
from xsaga.sky.tiles import tile_pixels

OBJID_BITS, BRICKID_BITS, RELEASE_BITS = 22, 20, 16
"""Widths of the parts of a DESI TARGETID, from the lowest bit up (desitarget.targets)."""

POSITION_ORDER = 29
"""HEALPix order of identifiers made from positions: pixels of 0.4 milliarcseconds."""


class IdKind(IntEnum):
    """What an identifier was made of; the names are the values of column ``id_kind``."""

    TARGETID = 0
    """RELEASE, BRICKID and OBJID, packed as DESI does."""
    CATALOG = 1
    """The catalog's own integer column."""
    POSITION = 2
    """The NESTED HEALPix pixel of order 29."""

    @property
    def label(self) -> str:
        """Value in column ``id_kind``."""
        return self.name.lower()


def encode_targetid(release: ArrayLike, brickid: ArrayLike, objid: ArrayLike) -> NDArray[np.int64]:
    """Pack RELEASE, BRICKID and OBJID into a DESI TARGETID.

    OBJID takes bits 0–21, BRICKID 22–41, RELEASE 42–57 (desitarget ``encode_targetid``).

    Parameters
    ----------
    release, brickid, objid : array_like of int, shape (N,)

    Returns
    -------
    ndarray of int64, shape (N,)

    Raises
    ------
    CatalogError
        When a value does not fit its bits; the first such row is named.
    """
    packed = np.zeros(np.broadcast(release, brickid, objid).shape, np.int64)
    shift = 0
    for name, part, bits in (
        ("OBJID", objid, OBJID_BITS),
        ("BRICKID", brickid, BRICKID_BITS),
        ("RELEASE", release, RELEASE_BITS),
    ):
        values = np.asarray(part, dtype=np.int64)
        wrong = np.flatnonzero((values < 0) | (values >> bits != 0))
        if len(wrong):
            raise CatalogError(
                f"row {wrong[0]}: {name} {values.flat[wrong[0]]} does not fit the {bits} bits it "
                "has in a TARGETID"
            )
        packed |= values << shift
        shift += bits
    return packed


def decode_targetid(
    targetid: ArrayLike,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Unpack a DESI TARGETID into RELEASE, BRICKID and OBJID, each of shape (N,)."""
    packed = np.asarray(targetid, dtype=np.int64)
    objid = packed & ((1 << OBJID_BITS) - 1)
    brickid = (packed >> OBJID_BITS) & ((1 << BRICKID_BITS) - 1)
    release = (packed >> (OBJID_BITS + BRICKID_BITS)) & ((1 << RELEASE_BITS) - 1)
    return release, brickid, objid


def position_ids(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Make identifiers from positions: the NESTED HEALPix pixel of order 29.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Degrees; must be valid positions.

    Returns
    -------
    ndarray of int64, shape (N,)
    """
    return tile_pixels(ra, dec, POSITION_ORDER)
