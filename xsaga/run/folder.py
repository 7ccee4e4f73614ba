"""The run folder: made, locked, checked against its settings, and read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xsaga import __version__
from xsaga.catalog.partition_summary import PartitionSummary
from xsaga.config import (
    RANKING_SECTIONS,
    RunConfig,
    config_keys,
    config_values,
    result_settings,
)
from xsaga.config_file import read_config, write_config
from xsaga.errors import RunError, XsagaError
from xsaga.json_values import JsonValueError, from_json
from xsaga.paths import RunPaths, clear_leftovers, is_leftover, placed
from xsaga.reading import printable, read_json, reason_of
from xsaga.targets.formats import FORMATS
from xsaga.targets.provenance import InputFile, WeightsRecord, installed_versions, sha256_of


@dataclass(frozen=True)
class RunRecord:
    """What ``run.json`` holds.

    Parameters
    ----------
    fingerprint : str
        SHA-256 of `settings`; the scores of a tile carry it.
    settings : dict
        Everything that decides what the scores are: configuration keys, hashes of inputs and
        weights, device, precision, engine and the version of xsaga.
    inputs : tuple of InputFile
        Files that were read: the catalog's, in the order that `input_file` counts, then those of
        the footprint, column map, lists of imaging and the model's card.
    input_times : dict
        When each input was last changed (ns), to know it again without hashing.
    weights : WeightsRecord
        The model.
    versions : dict
        Python and the packages that matter.
    command : str
        Command line that began the run.
    created : str
        When it began (UTC, ISO 8601), from SOURCE_DATE_EPOCH where that is set.
    """

    fingerprint: str
    settings: dict[str, Any]
    inputs: tuple[InputFile, ...]
    input_times: dict[str, int]
    weights: WeightsRecord
    versions: dict[str, str]
    command: str
    created: str


def make_record(
    config: RunConfig,
    inputs: tuple[InputFile, ...],
    weights: WeightsRecord,
    chosen: Mapping[str, Any],
    command: str,
) -> RunRecord:
    """Record of a run that is to begin.

    Parameters
    ----------
    config : RunConfig
        Resolved configuration.
    inputs : tuple of InputFile
        Files that are read, with their hashes.
    weights : WeightsRecord
        The model.
    chosen : mapping
        What the configuration came to: device, precision, engine, footprint.
    command : str
        Command line.
    """
    settings = json.loads(
        json.dumps(
            result_settings(config)
            | dict(chosen)
            | {f"input {item.path}": item.sha256 for item in inputs}
            | {"weights sha256": weights.sha256, "xsaga version": __version__}
        )
    )
    canonical = json.dumps(settings, sort_keys=True).encode()
    return RunRecord(
        fingerprint=hashlib.sha256(canonical).hexdigest(),
        settings=settings,
        inputs=inputs,
        input_times={item.path: Path(item.path).stat().st_mtime_ns for item in inputs},
        weights=weights,
        versions=dict(installed_versions()),
        command=command,
        created=_now(),
    )


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def read_record(paths: RunPaths) -> RunRecord:
    """Read ``run.json``.

    Raises
    ------
    RunError
        The folder is no run folder, or the file is damaged.
    """
    try:
        return from_json(RunRecord, read_json(paths.record))
    except FileNotFoundError:
        raise _no_run(paths.record) from None
    except (OSError, ValueError) as error:
        raise _damaged(paths.record, error) from None


def read_run_config(paths: RunPaths) -> RunConfig:
    """Read the resolved configuration of a run folder.

    Raises
    ------
    RunError
        The folder is no run folder.
    """
    if not paths.config.is_file():
        raise _no_run(paths.config)
    return read_config(paths.config)


def _no_run(missing: Path) -> RunError:
    return RunError(
        f"{missing.parent} is no run folder: it has no {missing.name}; "
        "begin one with `xsaga run … --out FOLDER`"
    )


def write_partition(paths: RunPaths, summary: PartitionSummary) -> None:
    """Put the summary of the tile stage in place; from then on that stage counts as done."""
    with placed(paths.partition) as temporary:
        _write_json(temporary, summary.to_json())


def read_partition(paths: RunPaths) -> PartitionSummary:
    """Read the summary of the tile stage.

    Raises
    ------
    RunError
        The stage is not done, or the file is damaged.
    """
    try:
        return from_json(PartitionSummary, read_json(paths.partition))
    except FileNotFoundError:
        raise RunError(
            f"{paths.folder} has no tiles yet: `xsaga tile {paths.folder}` first"
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(paths.partition, error) from None


def _damaged(path: Path, error: OSError | ValueError) -> RunError:
    return RunError(f"cannot read {path}: {reason_of(error)}; begin anew with --restart")


def mark_ranked(
    paths: RunPaths, config: RunConfig, base_rate: str, area_deg2: float, targets: Mapping[str, int]
) -> None:
    """Note that the target lists are those of the scores and of the ranking in `config`.

    Parameters
    ----------
    paths : RunPaths
        The run folder.
    config : RunConfig
        Resolved configuration.
    base_rate : str
        What the probabilities are for, in words.
    area_deg2 : float
        Area that the targets were chosen from.
    targets : mapping of str to int
        Number of targets in each tier, by the tier's name.
    """
    with placed(paths.ranked) as temporary:
        content = {
            "settings": _ranking(paths, config),
            "base_rate": base_rate,
            "area_deg2": area_deg2,
            "targets": dict(targets),
        }
        _write_json(temporary, content)


def is_ranked(paths: RunPaths, config: RunConfig) -> bool:
    """Tell whether the target lists are those of the scores and of the ranking in `config`."""
    if not paths.ranked.is_file():
        return False
    same = _read_ranked(paths).get("settings") == _ranking(paths, config)
    return same and all(paths.targets(name).is_file() for name in config.rank.formats)


@dataclass(frozen=True)
class RankedFacts:
    """What is known of the target lists of a run.

    Parameters
    ----------
    base_rate : str
        What their probabilities are for, in words.
    area_deg2 : float
        Area that the targets were chosen from.
    targets : mapping of str to int
        Number of targets in each tier, by the tier's name.
    """

    base_rate: str = ""
    area_deg2: float = 0.0
    targets: Mapping[str, int] = field(default_factory=dict)


def ranked_facts(paths: RunPaths) -> RankedFacts:
    """Tell what is known of the target lists; the defaults where there are none."""
    if not paths.ranked.is_file():
        return RankedFacts()
    content = _read_ranked(paths)
    try:
        return from_json(RankedFacts, {n: v for n, v in content.items() if n != "settings"})
    except JsonValueError as error:
        raise _ranked_damaged(paths, error) from None


def _read_ranked(paths: RunPaths) -> dict[str, Any]:
    try:
        content = read_json(paths.ranked)
        if not isinstance(content, dict):
            raise ValueError("it is no object")
        return content
    except (OSError, ValueError) as error:
        raise _ranked_damaged(paths, error) from None


def _ranked_damaged(paths: RunPaths, error: OSError | ValueError) -> RunError:
    return RunError(
        f"cannot read {paths.ranked}: {reason_of(error)}; `xsaga rank {paths.folder}` makes it anew"
    )


def _ranking(paths: RunPaths, config: RunConfig) -> dict[str, Any]:
    values = config_values(config)
    settings = {
        str(key): list(values[str(key)])
        if isinstance(values[str(key)], tuple)
        else values[str(key)]
        for key in config_keys()
        if key.section in RANKING_SECTIONS
    }
    return {"fingerprint": read_record(paths).fingerprint, **settings}


def begin_or_resume(paths: RunPaths, config: RunConfig, record: RunRecord) -> RunRecord:
    """Write the record of a new run, or check that an existing one has the same settings.

    Settings may change as long as there are no tiles.

    Returns
    -------
    RunRecord
        The record in force: the existing one on a resume, so that command and date stay those
        of the run's beginning.

    Raises
    ------
    RunError
        The folder holds a run with other settings; the message lists the differing keys.
    """
    if paths.record.is_file() and paths.partition.is_file():
        before = read_record(paths)
        if before.fingerprint != record.fingerprint:
            raise RunError(
                f"{paths.folder} holds a run with other settings: "
                f"{'; '.join(_differences(before.settings, record.settings))}; "
                "use another --out, or --restart to discard that run and begin anew"
            )
        record = before
    else:
        with placed(paths.record) as temporary:
            _write_json(temporary, asdict(record))
    write_run_config(paths, config)
    return record


def write_run_config(paths: RunPaths, config: RunConfig) -> None:
    """Write the configuration that the next command in the folder begins from."""
    with placed(paths.config) as temporary:
        temporary.write_text(write_config(config), encoding="utf-8", newline="\n")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: was {before.get(key, 'absent')!r}, now {now.get(key, 'absent')!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def hash_inputs(files: list[Path], paths: RunPaths) -> tuple[InputFile, ...]:
    """Hash the files that are read, trusting the record for those that did not change.

    A file counts as unchanged when its size and time of change are those recorded.
    """
    known: dict[tuple[str, int, int], InputFile] = {}
    if paths.record.is_file():
        record = read_record(paths)
        known = {
            (item.path, item.size, record.input_times[item.path]): item for item in record.inputs
        }
    return tuple(_hash_input(file, known) for file in files)


def _hash_input(file: Path, known: Mapping[tuple[str, int, int], InputFile]) -> InputFile:
    try:
        status = file.stat()
        same = known.get((str(file), status.st_size, status.st_mtime_ns))
        return same or InputFile(str(file), status.st_size, sha256_of(file))
    except OSError as error:
        raise RunError(f"cannot read {file}: {error.strerror}") from None


def discard(paths: RunPaths) -> None:
    """Remove everything a run made (``--restart``); the log stays."""
    for folder in (paths.tiles, paths.spool, paths.report.parent):
        shutil.rmtree(folder, ignore_errors=True)
    for item in (
        paths.ranked,
        paths.partition,
        paths.rejected,
        paths.cutflow,
        paths.imaging_choice,
        paths.config,
        paths.not_targets,
        paths.area,
    ):
        item.unlink(missing_ok=True)
    for file_format in FORMATS:
        paths.targets(file_format).unlink(missing_ok=True)
    paths.record.unlink(missing_ok=True)  # last: until here it is still a run folder


@contextmanager
def locked(paths: RunPaths) -> Iterator[None]:
    """Hold the run folder; clear what a killed process left half-written.

    Raises
    ------
    RunError
        The folder holds other things than a run, or another process holds it.
    """
    _refuse_foreign(paths)
    with held(paths.lock, paths.lock_owner, lambda who: _in_use(paths, who)):
        _clear_leftovers(paths)
        yield


def _in_use(paths: RunPaths, who: str) -> RunError:
    return RunError(f"{paths.folder} is in use by {who}: wait for it, or use another --out")


@contextmanager
def held(lock_file: Path, owner: Path, busy: Callable[[str], XsagaError]) -> Iterator[None]:
    """Hold a lock; the kernel lets go of it when the process dies.

    Parameters
    ----------
    lock_file : Path
        What is locked; its folder is made.
    owner : Path
        File that tells who holds it and since when, for `busy`.
    busy : callable
        Makes the error for a lock that another process holds, given who that is.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        try:
            who = printable(owner.read_text(encoding="utf-8", errors="replace"))
        except OSError:  # it has just begun, or just ended
            who = ""
        raise busy(who or "another process") from None
    since = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with placed(owner) as temporary:
            temporary.write_text(
                f"process {os.getpid()} on {socket.gethostname()} since {since}", encoding="utf-8"
            )
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _refuse_foreign(paths: RunPaths) -> None:
    """Leave a folder alone that holds something, but no run."""
    if paths.record.is_file() or not paths.folder.exists():
        return
    if not paths.folder.is_dir():
        raise RunError(f"{paths.folder} is a file: choose another --out")
    ours = {item.name for item in (paths.lock, paths.lock_owner, paths.log, paths.config)}
    foreign = [
        item.name
        for item in paths.folder.iterdir()
        if item.name not in ours and not is_leftover(item)
    ]
    if foreign:
        raise RunError(
            f"{paths.folder} is no run folder and holds {sorted(foreign)[0]}: choose another --out"
        )


def _clear_leftovers(paths: RunPaths) -> None:
    for scratch in (paths.spool, paths.set_aside):
        shutil.rmtree(scratch, ignore_errors=True)
    clear_leftovers(paths.folder)
