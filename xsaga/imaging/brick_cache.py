"""A Legacy Surveys tree under an http(s) address, kept in a folder as far as it was used."""

from __future__ import annotations

import gzip
import re
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from astropy.io import fits

from xsaga.errors import ImagingError
from xsaga.imaging.brick_tree import (
    ALL_SKY_TABLE,
    NORTH,
    ROOT,
    SOUTH,
    BrickTable,
    checked_parts,
    read_brick_table,
    region_table_path,
)
from xsaga.imaging.fits_check import IncompleteFitsError, check_complete
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_faults import HttpFailure, shown
from xsaga.imaging.http_outage import PatientClient
from xsaga.imaging.kept_files import KeptFiles

PUBLIC_DR9_ROOT = "https://portal.nersc.gov/cfs/cosmo/data/legacysurvey/dr9/"
"""Where the survey publishes release 9 (https://www.legacysurvey.org/dr9/files/)."""

_RELEASE = re.compile(r"dr[0-9]+(\.[0-9]+)?")


class RemoteTree:
    """A brick tree under an address; files are downloaded once, on first use.

    In the cache a file lies below ``<host>/<path of the root>/`` as it lies below the root, so
    that releases never mix and the folder can itself be used as a local tree. A file is put there
    only when it is complete, so several processes can share a cache (at worst both download).
    Its checksum is kept beside it; a file whose bytes are no longer those is downloaded again.

    Parameters
    ----------
    url : str
        Root of a release, e.g. `PUBLIC_DR9_ROOT`, or of one region.
    cache : Path
        Folder that keeps what was downloaded.
    http : HttpClient
        Request layer; closed with the tree.
    release : str, optional
        Release in the names of the bricks tables; by default the last part of the address that
        looks like one (``dr9``), else its last part.
    now : callable, optional
        Seconds since 1970, to tell the age of what killed downloads left.

    Raises
    ------
    ImagingError
        When the address is not one.
    """

    def __init__(
        self,
        url: str,
        cache: Path,
        http: HttpClient,
        *,
        release: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ImagingError(f"{shown(url)}: not an http or https address of a brick tree")
        host = parts.hostname if parts.port is None else f"{parts.hostname}-{parts.port}"
        folders = [part for part in parts.path.split("/") if part]
        self._url = url.rstrip("/")
        self._root = cache.joinpath(*checked_parts([host, *folders], shown(url)))
        self._server = PatientClient(http, "the brick tree")
        self._kept = KeptFiles(fits_fault, http.tell, now)
        releases = [part for part in folders if _RELEASE.fullmatch(part)]
        self._release = release or (releases or folders or [""])[-1]
        self._region = folders[-1] if folders and folders[-1] in (NORTH, SOUTH) else ROOT
        self._absent: set[str] = set()
        self._locks: dict[str, threading.Lock] = {}

    @property
    def name(self) -> str:
        """Address of the tree, without credentials."""
        return shown(self._url)

    @property
    def root(self) -> Path:
        """Folder of the cache that mirrors the root of the tree."""
        return self._root

    @property
    def cached(self) -> bool:
        """The folder keeps what was downloaded."""
        return True

    def bricks(self, region: str) -> BrickTable | None:
        """Bricks of a region: those its own table lists, else those of the whole sky.

        The table of the whole sky is taken only where no region has its own: a release that has
        the one of the south only (DR10) has no north.

        Parameters
        ----------
        region : str
            ``north``, ``south`` or ``""`` for a root that is one.

        Raises
        ------
        ImagingError
            When a table cannot be had or read, or the tree has none at all.
        """
        if region != ROOT and self._region != ROOT:  # the root is itself a region
            return None
        table = self._region_table(region)
        if table is not None:
            return read_brick_table(table)
        if any(self._region_table(other) for other in (NORTH, SOUTH, ROOT) if other != region):
            return None
        all_sky = self.fetch(ALL_SKY_TABLE)
        if all_sky is None:
            raise ImagingError(
                f"{self.name}: no bricks table there (tried "
                f"{', '.join([*self._table_names(region), ALL_SKY_TABLE])}); "
                "give the root of a Legacy Surveys release"
            )
        return read_brick_table(all_sky)

    def fetch(self, path: str) -> Path | None:
        """Local copy of a file of the tree, downloaded if it is not there yet.

        Parameters
        ----------
        path : str
            Path below the root, with forward slashes.

        Returns
        -------
        Path or None
            None where the server says that there is no such file; it is asked once a session.

        Raises
        ------
        HttpFailure
            When the file may exist but cannot be had, or what comes is not FITS.
        UnreachableError
            When the server is gone for longer than is waited for.
        ImagingError
            When the path leads out of the tree, or the cache cannot be written.
        """
        local = self._root.joinpath(*checked_parts(path.split("/"), path))
        with self._locks.setdefault(path, threading.Lock()):
            if path in self._absent:
                return None
            if self._kept.is_sound(local):
                self._server.vouch(f"{self._url}/{path}", _no_fits_start)
                return local
            try:
                self._server.download(
                    f"{self._url}/{path}", local, check=fits_fault, sign=_no_fits_start
                )
            except HttpFailure as failure:
                if not failure.gone:
                    raise
                self._kept.remove(local)
                self._absent.add(path)
                return None
            self._kept.sign(local)
        return local

    def close(self) -> None:
        """Give back connections."""
        self._server.close()

    def _region_table(self, region: str) -> Path | None:
        for name in self._table_names(region):
            if (table := self.fetch(name)) is not None:
                return table
        return None

    def _table_names(self, region: str) -> list[str]:
        """Names under which the releases so far have kept the table of a region."""
        if not self._release:
            return []
        if region != ROOT:
            return [region_table_path(region, self._release)]
        names = [f"survey-bricks-{self._release}.fits.gz"]  # DR1 to DR7
        if self._region != ROOT:
            names.insert(0, f"survey-bricks-{self._release}-{self._region}.fits.gz")
        return names


def fits_fault(path: Path) -> str:
    """Say what is wrong with the structure of a FITS file; nothing if it is complete.

    Every header must be there and followed by as much data as it announces, and there must be
    some; the data themselves are not read. A gzip-compressed file is unpacked (not kept) up to its
    checksum.

    Parameters
    ----------
    path : Path
        The file.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            stream = cast(BinaryIO, file)
            check_complete(stream)  # to the end, and so to the checksum of a gzip file
            if _is_bare(stream):
                return "truncated FITS file: a header without data and nothing after it"
    except IncompleteFitsError as error:
        return str(error)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return f"truncated or broken gzip file ({error})"
    return ""


def _is_bare(stream: BinaryIO) -> bool:
    """Tell whether a FITS file ends after a header without data, as one cut off there does."""
    header = fits.Header.fromfile(stream)
    return header["NAXIS"] == 0 and not stream.read(1)


def _no_fits_start(content: bytes) -> str:
    """Say why a file that begins so is no file of a brick tree."""
    return "" if content.startswith((b"SIMPLE  =", b"\x1f\x8b")) else "not a FITS file"
