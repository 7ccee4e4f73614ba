"""Published lists: their names, the link to the newest, the ledger; never a list changed.

A list is prepared in a folder of its own and takes its name by one rename. All else is made from
the lists: `settle` does it, after a list is published and at the beginning of each night, so that
a night may end anywhere.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from xsaga.errors import RunError, TargetsError
from xsaga.paths import (
    TEMPORARY_MARK,
    ListPaths,
    NightlyPaths,
    clear_leftovers,
    flush_folder,
    flush_names,
    is_leftover,
)
from xsaga.reading import printable, read_json, reason_of
from xsaga.run.list_names import ListName
from xsaga.run.log import RunLog
from xsaga.run.nightly_tiles import link

_NEEDED = {
    "run": str,
    "inputs": str,
    "complete": bool,
    "targets": int,
    "failed": dict,
    "weights": dict,
    "ranking": dict,
}
"""Facts of a list that the next night asks for, and their types."""


def list_names(paths: NightlyPaths) -> list[ListName]:
    """Names of all published lists, oldest first."""
    if not paths.lists.is_dir():
        return []
    names = (ListName.parse(folder.name) for folder in paths.lists.iterdir() if folder.is_dir())
    return sorted(name for name in names if name is not None)


def next_name(last: ListName | None, night: date) -> tuple[ListName, str]:
    """Name the list of a night, so that names follow each other as lists do.

    Returns
    -------
    name : ListName
    warning : str
        What is wrong with the night's date; empty if nothing is.
    """
    if last is None or night > last.night:
        return ListName(night), ""
    name = ListName(last.night, last.number + 1)
    if night == last.night:
        return name, ""
    return name, (
        f"the date is {night}, but the last list is of {last.night}: this one is named {name}; "
        "check the clock (or --night)"
    )


@dataclass(frozen=True)
class PublishedList:
    """A list that is published.

    Parameters
    ----------
    name : ListName
        Its name.
    paths : ListPaths
        Its files.
    facts : dict
        Of ``summary.json``.
    """

    name: ListName
    paths: ListPaths
    facts: dict[str, Any]

    @property
    def run(self) -> str:
        """Run folder whose scores made it."""
        return str(self.facts["run"])

    @property
    def complete(self) -> bool:
        """Whether all candidates of its night were done."""
        return bool(self.facts["complete"])

    @property
    def inputs(self) -> str:
        """Fingerprint of all that it was made from, but for the imaging."""
        return str(self.facts["inputs"])


def newest_list(paths: NightlyPaths) -> PublishedList | None:
    """Read about the newest list; None where there is none.

    Raises
    ------
    RunError
        Its summary is damaged.
    """
    names = list_names(paths)
    if not names:
        return None
    files = paths.list(str(names[-1]))
    try:
        facts = read_json(files.summary_json)
        if not isinstance(facts, dict):
            raise ValueError("it is no object")
        for name, kind in _NEEDED.items():
            if type(facts.get(name)) is not kind:
                raise ValueError(f"{name} is missing or no {kind.__name__}")
        if Path(facts["run"]).name != facts["run"] or facts["run"] in ("", ".", ".."):
            raise ValueError(f"{printable(facts['run'])!r} is no name of a run folder")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{files.summary_json}: cannot be read ({reason_of(error)}); restore it, or move "
            f"{files.folder} out of {paths.lists} to go on from the list before"
        ) from None
    return PublishedList(names[-1], files, facts)


def publish(paths: NightlyPaths, name: ListName, log: RunLog) -> None:
    """Give the list that lies prepared its name, and make all that follows from it.

    Raises
    ------
    TargetsError
        There is a list of that name.
    """
    flush_folder(paths.next_list)
    place = paths.list(str(name)).folder
    if place.exists():
        raise TargetsError(f"{place} exists: a published list is never replaced")
    log.event("publishing", list=str(name))
    paths.next_list.rename(place)
    flush_names(paths.lists)
    log.event("published", list=str(name))
    settle(paths, log)


def settle(paths: NightlyPaths, log: RunLog) -> None:
    """Bring the link, the ledger and the identifiers to what the published lists say."""
    shutil.rmtree(paths.next_list, ignore_errors=True)
    for item in paths.folder.glob(f"*{TEMPORARY_MARK}*"):
        if is_leftover(item) or item.is_symlink():
            item.unlink(missing_ok=True)
    clear_leftovers(paths.ledger)  # whoever reads the folder as one table would read them too
    names = [str(name) for name in list_names(paths)]
    for name in names:  # first: a list that is latest is in the ledger
        if not paths.ledger_of(name).is_file():
            link(paths.list(name).changes, paths.ledger_of(name))
            log.event("entered in the ledger", list=name)
    if not names:
        return
    newest = paths.list(names[-1])
    if newest.targetids.is_file() and not _same_file(newest.targetids, paths.targetids):
        link(newest.targetids, paths.targetids)
    wanted = Path(paths.lists.name) / names[-1]
    if not paths.latest.is_symlink() or paths.latest.readlink() != wanted:
        _point(paths.latest, wanted)
        log.event("latest", list=names[-1])


def _point(place: Path, target: Path) -> None:
    """Have a symbolic link point elsewhere, in one step."""
    temporary = place.with_name(f"{place.name}{TEMPORARY_MARK}{uuid.uuid4().hex[:12]}")
    temporary.symlink_to(target, target_is_directory=True)
    temporary.replace(place)
    flush_names(place.parent)


def _same_file(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
