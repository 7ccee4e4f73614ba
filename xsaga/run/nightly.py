"""The job of a night: do what is new, publish a list, say what changed.

Whatever happens, a published list stays as it is, and the link ``latest`` shows a whole one: a
list is published by one rename after all of it was written, and what follows from it is made again
where a night was killed (`xsaga.run.nightly_lists`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from glob import glob
from pathlib import Path
from typing import Any

from rich.console import Console

from xsaga.config import RunConfig, config_keys, config_values
from xsaga.errors import BusyError, ConfigError, ExitCode, RunError
from xsaga.paths import NightlyPaths, RunPaths
from xsaga.run.file_hashes import FileHashes
from xsaga.run.folder import RunRecord, held, read_partition, read_record, read_run_config
from xsaga.run.imaging import ONE_OF_BOTH
from xsaga.run.imaging_choice import is_open
from xsaga.run.log import RunLog
from xsaga.run.nightly_fates import keep_footprint
from xsaga.run.nightly_keys import imaging_is_as_recorded, read_key
from xsaga.run.nightly_lists import (
    PublishedList,
    list_names,
    newest_list,
    next_name,
    publish,
    settle,
)
from xsaga.run.nightly_publish import Night, prepare_list
from xsaga.run.nightly_summary import NightSummary, duration
from xsaga.run.nightly_tiles import (
    CarriedOver,
    Deadline,
    bring_tiles,
    has_failed,
    list_so_far,
    remove_runs,
    take_tiling,
)
from xsaga.run.session import hold_session, open_parts
from xsaga.run.stages import rank_stage, tile_stage
from xsaga.targets.exports.settings import ExportSettings

_RUN_SECTIONS = ("footprint", "catalog", "cuts", "imaging", "store", "model")
"""Sections that the fingerprint of a run tells; the others decide about lists."""


@dataclass(frozen=True)
class NightSettings:
    """How a night is done, beside the configuration.

    Parameters
    ----------
    night : date
        Names the list.
    command : str
        Command line, for the record.
    max_seconds : float or None
        Time after which nothing more is begun; None for no limit.
    exports : mapping of str to ExportSettings
        Export formats to write, with their options; `known_ids` is filled in.
    retry_failed : bool
        Do tiles again with cutouts that could not be had, though perhaps another time.
    clock : callable
        Gives the time in seconds, for `max_seconds`.
    now : callable
        Gives date and time, for the age of a lock.
    """

    night: date
    command: str = "xsaga nightly"
    max_seconds: float | None = None
    exports: Mapping[str, ExportSettings] = field(default_factory=dict)
    retry_failed: bool = False
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True)
class NightReport:
    """How a night ended.

    Parameters
    ----------
    exit_code : ExitCode
        For the shell.
    facts : dict
        The summary in JSON types.
    text : str
        The summary in words.
    """

    exit_code: ExitCode
    facts: dict[str, Any]
    text: str


def run_night(
    config: RunConfig, folder: Path, settings: NightSettings, console: Console
) -> NightReport:
    """Do what is new since the last list and publish a new one.

    Parameters
    ----------
    config : RunConfig
        Resolved configuration.
    folder : Path
        Folder of the lists; made if need be.
    settings : NightSettings
        Date, limits, exports.
    console : Console
        Where progress is shown.

    Raises
    ------
    BusyError
        Another process works on the folder.
    XsagaError
        No list could be made; the list before stays the latest, and work that was done is kept.
    """
    paths = NightlyPaths(folder)
    _refuse_foreign(paths)
    with held(paths.lock, paths.lock_owner, lambda who: _busy(folder, who, settings.now())):
        log = RunLog(paths.log, lambda text: console.print(text, markup=False, soft_wrap=True))
        log.event("night begun", night=settings.night.isoformat(), command=settings.command)
        hashes = FileHashes(paths.hashes)
        try:
            settle(paths, log)
            report = _night(config, paths, settings, console, hashes, log)
        except BaseException as error:
            log.event("stopped", error=type(error).__name__, why=str(error))
            raise
        finally:
            hashes.save()
        log.event("night ended", exit_code=int(report.exit_code), summary=report.facts)
    return report


def latest_name(folder: Path) -> str:
    """Name of the newest list of a folder; empty where there is none."""
    names = list_names(NightlyPaths(folder))
    return str(names[-1]) if names else ""


def _night(
    config: RunConfig,
    paths: NightlyPaths,
    settings: NightSettings,
    console: Console,
    hashes: FileHashes,
    log: RunLog,
) -> NightReport:
    begun = settings.clock()
    ends = None if settings.max_seconds is None else begun + settings.max_seconds
    if "parquet" not in config.rank.formats:  # what lists are compared and exported from
        config = replace(
            config, rank=replace(config.rank, formats=("parquet", *config.rank.formats))
        )
    if is_open(config.imaging):  # cutouts are kept from night to night: all from one place
        raise ConfigError(f"--bricks and --service: {ONE_OF_BOTH}")
    last = newest_list(paths)
    last_run = paths.run(last.run) if last is not None else None
    before = None
    if last_run is not None:
        with suppress(RunError):  # damaged: engine and precision are chosen anew
            before = read_record(last_run)
    parts = open_parts(config, before)
    record = parts.new_record(hashes.inputs(parts.input_files), settings.command)
    inputs = _fingerprint(config, record, settings, hashes)
    same_inputs = last is not None and last.complete and last.inputs == inputs
    if last is not None and same_inputs and not _has_new_work(last, paths, settings, hashes):
        remove_runs(paths.runs, {last.run})  # a night that was killed after it published left some
        return _nothing_new(settings, last)
    retrying = same_inputs and settings.retry_failed
    name, warning = next_name(last.name if last is not None else None, settings.night)
    if warning:
        log.event("warning", f"warning: {warning}")
    donors = _earlier_runs(paths, last)
    work = f"{name}-{record.fingerprint[:12]}"
    donors = [donor for donor in donors if donor.folder.name != work]
    with hold_session(parts, record, paths.run(work).folder, console) as session:
        if not session.paths.partition.is_file():
            _ = session.imaging  # what is wrong with it shows before the catalog is read
        keep_footprint(session)
        take_tiling(session, donors)
        tile_stage(session)
        tally = bring_tiles(
            session,
            donors,
            hashes,
            Deadline(settings.clock, ends),
            log,
            last_run,
            retry_failed=settings.retry_failed,
        )
        carried, ranked = CarriedOver(), session.paths
        if tally.undone:
            ranked = paths.run(f"{name}-so-far")
            carried = list_so_far(session, tally.undone, last_run, ranked)
        session = replace(session, paths=ranked)
        rank_stage(session)
        log.event("ranked", run=ranked.folder.name)
        night = Night(
            name=name,
            date=settings.night,
            inputs=inputs,
            session=session,
            tally=tally,
            carried=carried,
            warnings=(warning,) if warning else (),
            seconds=settings.clock() - begun,
        )
        summary = prepare_list(paths, night, last, settings.exports)
        if last is not None and retrying and _is_the_same(summary, last):
            shutil.rmtree(paths.next_list)
            return _nothing_new(settings, last)
        publish(paths, name, log)
    remove_runs(paths.runs, {work, ranked.folder.name})
    code = ExitCode.SOURCES_FAILED if summary.failed else ExitCode.OK
    if not summary.complete:
        code = ExitCode.OUT_OF_TIME
    return NightReport(code, summary.to_dict(), summary.format())


def _has_new_work(
    last: PublishedList, paths: NightlyPaths, settings: NightSettings, hashes: FileHashes
) -> bool:
    """Whether there is anything to do though catalog, settings and files are the same."""
    run = paths.run(last.run)
    if not run.partition.is_file():
        return True
    order = read_run_config(run).footprint.order
    for tile in read_partition(run).tiles:
        files = run.tile(order, tile.pixel)
        if not tile.n_candidates:
            continue
        key = read_key(files)
        if key is None or not imaging_is_as_recorded(key, hashes):
            return True
        if settings.retry_failed and has_failed(files):
            return True
    return False


def _is_the_same(summary: NightSummary, last: PublishedList) -> bool:
    """Whether trying failed cutouts again changed nothing."""
    changed = summary.added or summary.changed or summary.removed
    return summary.complete and not changed and summary.failed == last.facts["failed"]


def _nothing_new(settings: NightSettings, last: PublishedList) -> NightReport:
    night, targets = settings.night.isoformat(), int(last.facts["targets"])
    text = (
        f"xsaga nightly {night}: nothing new; the latest list is lists/{last.name} "
        f"({targets:,} targets)"
    )
    facts = {"status": "nothing new", "night": night, "latest": str(last.name), "targets": targets}
    return NightReport(ExitCode.NOTHING_NEW, facts, text)


def _fingerprint(
    config: RunConfig, record: RunRecord, settings: NightSettings, hashes: FileHashes
) -> str:
    """Hash all that a list is made from, but for the imaging; files count by content."""
    values = config_values(config)
    content: dict[str, Any] = {
        "run": record.fingerprint,
        "exports": {name: each.record(name) for name, each in settings.exports.items()},
    }
    for key in config_keys():
        value = values[str(key)]
        if key.section in _RUN_SECTIONS:
            continue
        if key.info.path != "no" and value:
            named = value if isinstance(value, tuple) else (value,)
            content[str(key)] = [_content_of(str(item), hashes) for item in named]
        else:
            content[str(key)] = value
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content_of(named: str, hashes: FileHashes) -> object:
    """Hashes of the files that a name, a folder or a pattern stands for; else the name itself."""
    path = Path(named)
    matched = [path] if path.exists() else map(Path, glob(named, recursive=True))  # noqa: PTH207
    files = sorted(
        item for match in matched for item in (match.rglob("*") if match.is_dir() else (match,))
    )
    return [hashes.of(file) for file in files if file.is_file()] or named


def _earlier_runs(paths: NightlyPaths, last: PublishedList | None) -> list[RunPaths]:
    """List earlier runs that got as far as tiles: the last list's, then the newest first."""
    if not paths.runs.is_dir():
        return []
    first = last.run if last is not None else ""
    folders = sorted((item for item in paths.runs.iterdir() if item.is_dir()), reverse=True)
    folders.sort(key=lambda folder: folder.name != first)
    usable = []
    for folder in folders:
        run = RunPaths(folder)
        with suppress(RunError):  # killed before its tiles were there, or damaged: of no use
            read_record(run), read_partition(run)
            usable.append(run)
    return usable


def _refuse_foreign(paths: NightlyPaths) -> None:
    """Leave a folder alone that holds something, but no nightly lists."""
    folder = paths.folder
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file: choose another --out")
    ours = [paths.lists, paths.runs, paths.ledger, paths.latest, paths.log, paths.lock]
    ours += [paths.lock_owner, paths.hashes, paths.targetids]
    known = {item.name for item in ours}
    foreign = sorted(item.name for item in folder.iterdir() if item.name not in known)
    if foreign and not (paths.lists.is_dir() or paths.log.is_file()):
        raise RunError(
            f"{folder} is no folder of nightly lists and holds {foreign[0]}: choose another --out"
        )
    if RunPaths(folder).record.is_file():
        raise RunError(f"{folder} is a run folder: choose another --out for nightly lists")


def _busy(folder: Path, who: str, now: datetime) -> BusyError:
    _, mark, since = who.rpartition(" since ")
    age = ""
    with suppress(ValueError, TypeError):
        if mark:
            age = (
                f" ({duration(max((now - datetime.fromisoformat(since)).total_seconds(), 0))} ago)"
            )
    return BusyError(
        f"{folder} is in use by {who}{age}: nothing was started; the next night goes on"
    )
