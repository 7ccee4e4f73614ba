"""A Legacy Surveys tree: which bricks it holds and how its files are named.

Layout (https://www.legacysurvey.org/dr9/files/): below the root of a release lie
``survey-bricks.fits.gz`` (all bricks of the sky) and one folder per region, ``north`` and
``south``, with ``survey-bricks-<release>-<region>.fits.gz`` (the bricks that have coadds) and
``coadd/<AAA>/<brick>/…``. A root may itself be a region: then ``coadd/`` lies directly below it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.fits_structure import checked_fits
from xsaga.imaging.fits_check import DAMAGE, one_line
from xsaga.reading import printable
from xsaga.sky.positions import valid_positions

NORTH, SOUTH, ROOT = "north", "south", ""
"""Regions of a tree; `ROOT` stands for a root that is itself a region."""

ALL_SKY_TABLE = "survey-bricks.fits.gz"
_TABLES = "survey-bricks*.fits*"
_PART = re.compile(r"[A-Za-z0-9~][A-Za-z0-9~._+-]*")
_BRICK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,31}")
"""Names of bricks become names of folders and files."""


@dataclass(frozen=True)
class BrickTable:
    """Bricks of one region.

    Parameters
    ----------
    name : ndarray of str, shape (N,)
        Brick names, e.g. ``0001p007``.
    ra, dec : ndarray of float64, shape (N,)
        Brick centres in degrees.
    release : str
        Release as the name of the file tells it, e.g. ``dr9``; empty where it does not.
    """

    name: NDArray[np.str_]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    release: str = ""

    def __len__(self) -> int:
        return len(self.name)


class BrickTree(Protocol):
    """Where the files of a Legacy Surveys release lie: a folder or an address."""

    @property
    def name(self) -> str:
        """Folder or address, for messages."""

    @property
    def root(self) -> Path:
        """Folder on this machine below which its files lie, or will lie."""

    @property
    def cached(self) -> bool:
        """Whether that folder only keeps what was downloaded."""

    def bricks(self, region: str) -> BrickTable | None:
        """Give the bricks of a region (``north``, ``south`` or ``""`` for a root that is one).

        None where the tree has no such region. Where no table lists the bricks of a region, the
        table of the whole sky may be given: bricks without files then count as not there.

        Raises
        ------
        ImagingError
            When the table of the region cannot be read, or the region has coadds but no table
            says where its bricks are.
        """

    def fetch(self, path: str) -> Path | None:
        """Local path of a file of the tree, None where the tree has no such file.

        Parameters
        ----------
        path : str
            Path below the root with forward slashes, as the functions of this module give it.

        Raises
        ------
        ImagingError, OSError
            When the file exists, or may exist, but cannot be had.
        """

    def close(self) -> None:
        """Give back connections."""


def checked_parts(parts: Sequence[str], path: str) -> Sequence[str]:
    """Give parts of a path that stay where they belong.

    Raises
    ------
    ImagingError
        When one leads elsewhere; the message repeats `path`.
    """
    for part in parts:
        if not _PART.fullmatch(part):
            raise ImagingError(f"{path!r}: '{part}' is no part of a path in a brick tree")
    return parts


def in_region(region: str, path: str) -> str:
    """Path of a file below the root of the tree, given its path below the region."""
    return f"{region}/{path}" if region else path


def image_path(region: str, brick: str, product: str, band: str) -> str:
    """Path of a coadd of one band below the root of the tree.

    Parameters
    ----------
    region : str
        ``north``, ``south`` or ``""``.
    brick : str
        Brick name; its first three characters name the folder above it.
    product : str
        ``image`` or ``invvar``.
    band : str
        Band, e.g. ``r``.
    """
    file = f"legacysurvey-{brick}-{product}-{band}.fits.fz"
    return in_region(region, f"coadd/{brick[:3]}/{brick}/{file}")


def region_table_path(region: str, release: str) -> str:
    """Path of the table of a region's bricks, e.g. for region ``north`` of release ``dr9``."""
    return in_region(region, f"survey-bricks-{release}-{region}.fits.gz")


def brick_table_files(root: Path) -> list[str]:
    """List the bricks tables of a tree on this machine, as paths below its root."""
    found = {table for region in ("", NORTH, SOUTH) for table in (root / region).glob(_TABLES)}
    return sorted(table.relative_to(root).as_posix() for table in found)


def read_brick_table(path: Path) -> BrickTable:
    """Read a bricks table (column names in either case).

    Parameters
    ----------
    path : Path
        FITS file, gzip-compressed or not, with a table in its first extension. A name like
        ``survey-bricks-dr9-south.fits.gz`` tells the release.

    Raises
    ------
    ImagingError
        When the file is not such a table.
    """
    release = re.search(r"-(dr\d+)[-.]", path.name)
    try:
        with fits.open(checked_fits(path), memmap=False) as hdus:
            if len(hdus) < 2 or not isinstance(hdus[1], fits.BinTableHDU):
                raise ImagingError(f"{path}: no table in it; a survey-bricks file is needed")
            rows = hdus[1].data
            columns = {name.lower(): name for name in rows.names}
            missing = sorted({"brickname", "ra", "dec"} - set(columns))
            if missing:
                raise ImagingError(
                    f"{path}: no column {', '.join(missing)}; a survey-bricks file is needed"
                )
            table = BrickTable(
                name=np.char.strip(np.asarray(rows[columns["brickname"]], dtype=np.str_)),
                ra=np.asarray(rows[columns["ra"]], dtype=np.float64),
                dec=np.asarray(rows[columns["dec"]], dtype=np.float64),
                release=release.group(1) if release else "",
            )
        _check_bricks(path, table)
        return table
    except DAMAGE as error:
        raise ImagingError(f"{path}: not a readable bricks table ({one_line(error)})") from error


def _check_bricks(path: Path, table: BrickTable) -> None:
    """Refuse names that are no part of a path, and centres that are not on the sky."""
    if not table.name.ndim == table.ra.ndim == table.dec.ndim == 1:
        raise ImagingError(f"{path}: not one brick a row; a survey-bricks file is needed")
    named = np.array([_BRICK_NAME.fullmatch(name) is not None for name in table.name], bool)
    for good, what in ((named, "name"), (valid_positions(table.ra, table.dec), "centre")):
        if not good.all():
            row = int(np.flatnonzero(~good)[0])
            raise ImagingError(
                f"{path}: row {row}: brick {printable(str(table.name[row]))!r} has no valid {what}"
            )


@dataclass(frozen=True)
class LocalTree:
    """A tree in a folder.

    Parameters
    ----------
    root : Path
        Root of a release (with ``north/`` or ``south/`` below) or of one region (with
        ``coadd/`` directly below).

    Raises
    ------
    ImagingError
        When there is no such folder, or no ``coadd`` where a tree has it.
    """

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise ImagingError(f"{self.root}: no such folder; give the root of a brick tree")
        if not any((self.root / region / "coadd").is_dir() for region in (NORTH, SOUTH, ROOT)):
            raise ImagingError(
                f"{self.root}: no north/coadd, south/coadd or coadd below it; "
                "give the root of a Legacy Surveys release"
            )

    @property
    def name(self) -> str:
        """Folder of the tree."""
        return str(self.root)

    @property
    def cached(self) -> bool:
        """It is the tree itself."""
        return False

    def bricks(self, region: str) -> BrickTable | None:
        """Bricks of a region: those its own table lists, else those that have a folder."""
        folder = self.root / region
        if not (folder / "coadd").is_dir():
            return None
        # e.g. survey-bricks-dr9-north.fits.gz, survey-bricks-dr6.fits.gz; public trees have one
        tables = sorted(folder.glob("survey-bricks-*.fits*"))
        if tables:
            return read_brick_table(tables[-1])
        for all_sky in (self.root / ALL_SKY_TABLE, folder / ALL_SKY_TABLE):
            if all_sky.exists():
                table = read_brick_table(all_sky)
                there = [brick.name for brick in (folder / "coadd").glob("*/*")]
                kept = np.isin(table.name, there)
                return BrickTable(table.name[kept], table.ra[kept], table.dec[kept])
        raise ImagingError(
            f"{folder}: no bricks table; put survey-bricks-<release>-{region or 'region'}.fits.gz "
            f"there or {ALL_SKY_TABLE} into {self.root}"
        )

    def fetch(self, path: str) -> Path | None:
        """Path of a file of the tree, None where it does not exist.

        Raises
        ------
        ImagingError
            When the path leads out of the tree.
        """
        local = self.root.joinpath(*checked_parts(path.split("/"), path))
        return local if local.exists() else None

    def close(self) -> None:
        """Nothing to give back."""
