"""Target lists as they were published, and which of them was in force on a night."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ConfigError, RunError
from xsaga.paths import ListPaths, NightlyPaths
from xsaga.run.list_names import NAME, ListName
from xsaga.targets.target_list import LIST_FILE

OUT_FOLDER = "monitor"

UNKNOWN_NIGHT = 0


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
            File of TARGETIDs; by default ``targetids.parquet`` beside the lists, if it is there.

        Raises
        ------
        RunError
            There is no list.
        """
        if not where.exists():
            raise RunError(f"{where}: no such file or folder: give a run, or a list of targets")
        nights = NightlyPaths(where)
        dated = _dated_lists(nights.lists)
        if dated:
            found = targetids or _existing(nights.targetids)
            return cls(where, dated, found, where / OUT_FOLDER)
        path = where / LIST_FILE if where.is_dir() else where
        if not path.is_file():
            raise RunError(
                f"{where}: neither {LIST_FILE} nor {nights.lists.name}/YYYY-MM-DD is in it: give a "
                "run folder that is ranked (`xsaga rank`), a folder of nightly runs, or a list"
            )
        one = (PublishedList(path, "the list", UNKNOWN_NIGHT),)
        folder = path.resolve().parent
        nights = NightlyPaths(folder.parent.parent)
        if folder.parent == nights.lists:
            found = targetids or _existing(nights.targetids)
            return cls(where, one, found, nights.folder / f"{OUT_FOLDER}-{folder.name}")
        found = targetids or _existing(ListPaths(path.parent).targetids)
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
    found: dict[ListName, Path] = {}
    for entry in folder.iterdir():
        if not entry.is_dir() or not NAME.fullmatch(entry.name):
            continue  # `latest`, and what is being written
        name = ListName.parse(entry.name)
        if name is None:
            raise RunError(f"{entry}: its name is no date: rename or remove it")
        found[name] = entry
    return tuple(
        PublishedList(found[name] / LIST_FILE, str(name), night_number(name.night.isoformat()))
        for name in sorted(found)
    )


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
