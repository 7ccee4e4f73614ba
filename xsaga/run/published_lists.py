"""Target lists as they were published, and which of them was in force on a night."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ConfigError, RunError
from xsaga.targets.target_list import LIST_FILE

LISTS_FOLDER = "lists"
"""Folder of the dated lists of nightly runs."""

TARGETIDS_FILE = "targetids.parquet"
"""Beside the lists: ``source_id`` and the ``targetid`` that a target was exported with."""

OUT_FOLDER = "monitor"

UNKNOWN_NIGHT = 0

_DATED = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})(\.(?P<number>[1-9]\d*))?")


@dataclass(frozen=True)
class PublishedList:
    """One list.

    Parameters
    ----------
    path : Path
        The Parquet file.
    name : str
        Date with number, as its folder is called; 'the list' where lists are not dated.
    night : int
        First night of its observations, YYYYMMDD; `UNKNOWN_NIGHT` where lists are not dated: then
        it is in force on all nights.
    """

    path: Path
    name: str
    night: int


@dataclass(frozen=True)
class PublishedLists:
    """All lists of a place.

    Parameters
    ----------
    where : Path
        The place.
    lists : tuple of PublishedList
        In order of publication.
    targetids : Path or None
        File of the TARGETIDs that targets were exported with, if there is one.
    out : Path
        Where the monitor writes unless told otherwise: never into a dated list, which is complete
        and does not change.
    """

    where: Path
    lists: tuple[PublishedList, ...]
    targetids: Path | None
    out: Path

    @classmethod
    def of(cls, where: Path, targetids: Path | None = None) -> PublishedLists:
        """Find the lists.

        Parameters
        ----------
        where : Path
            A run folder, the folder of one list, a folder of nightly runs, or a Parquet file.
        targetids : Path, optional
            File of TARGETIDs; by default `TARGETIDS_FILE` beside the lists, if it is there.

        Raises
        ------
        RunError
            There is no list.
        """
        if not where.exists():
            raise RunError(f"{where}: no such file or folder: give a run, or a list of targets")
        dated = _dated_lists(where / LISTS_FOLDER)
        if dated:
            found = targetids or _existing(where / TARGETIDS_FILE)
            return cls(where, dated, found, where / OUT_FOLDER)
        path = where / LIST_FILE if where.is_dir() else where
        if not path.is_file():
            raise RunError(
                f"{where}: neither {LIST_FILE} nor {LISTS_FOLDER}/YYYY-MM-DD is in it: give a run "
                "folder that is ranked (`xsaga rank`), a folder of nightly runs, or a list"
            )
        one = (PublishedList(path, "the list", UNKNOWN_NIGHT),)
        folder = path.resolve().parent
        if folder.parent.name == LISTS_FOLDER:
            root = folder.parent.parent
            found = targetids or _existing(root / TARGETIDS_FILE)
            return cls(where, one, found, root / f"{OUT_FOLDER}-{folder.name}")
        found = targetids or _existing(path.parent / TARGETIDS_FILE)
        return cls(where, one, found, path.parent / OUT_FOLDER)

    def in_force(self, night: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tell which list was in force on each night: the last one published until then.

        Parameters
        ----------
        night : ndarray of int64, shape (N,)
            YYYYMMDD; `UNKNOWN_NIGHT` only where there is a single list.

        Returns
        -------
        ndarray of int64, shape (N,)
            Index of `lists`; −1 for nights before the first list.
        """
        first = np.array([each.night for each in self.lists], np.int64)
        index = np.searchsorted(first, night, side="right").astype(np.int64) - 1
        if len(self.lists) == 1:
            index[night == UNKNOWN_NIGHT] = 0
        return index


def night_number(text: str) -> int:
    """Turn YYYY-MM-DD into YYYYMMDD.

    Raises
    ------
    ConfigError
        It is no date of the calendar.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"night {text!r}: write YYYY-MM-DD, the date of its evening") from None
    return day.year * 10_000 + day.month * 100 + day.day


def night_text(night: int) -> str:
    """Turn YYYYMMDD into YYYY-MM-DD; 'unknown' for `UNKNOWN_NIGHT`."""
    if night == UNKNOWN_NIGHT:
        return "unknown"
    return f"{night // 10_000:04d}-{night // 100 % 100:02d}-{night % 100:02d}"


def _dated_lists(folder: Path) -> tuple[PublishedList, ...]:
    if not folder.is_dir():
        return ()
    found: list[tuple[int, int, PublishedList]] = []
    for entry in folder.iterdir():
        match = _DATED.fullmatch(entry.name)
        if match is None or not entry.is_dir():
            continue  # `latest`, and what is being written
        night = _night_of(entry, match["date"])
        found.append(
            (
                night,
                int(match["number"] or 1),
                PublishedList(entry / LIST_FILE, entry.name, night),
            )
        )
    return tuple(each for _, _, each in sorted(found, key=lambda item: item[:2]))


def _night_of(entry: Path, text: str) -> int:
    try:
        return night_number(text)
    except ConfigError:
        raise RunError(f"{entry}: its name is no date: rename or remove it") from None


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
