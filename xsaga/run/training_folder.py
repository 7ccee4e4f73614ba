"""The folder of a training: its files, its record, and what a resume may not change."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from os import environ
from pathlib import Path
from typing import Any

from xsaga.errors import RunError
from xsaga.json_values import from_json
from xsaga.paths import RunPaths, TilePaths, placed
from xsaga.reading import read_json, reason_of
from xsaga.targets.provenance import installed_versions

FETCHING, LEARNING = "cutouts", "training"
"""The two stages of a training; each has settings of its own."""


@dataclass(frozen=True)
class TrainingPaths(RunPaths):
    """Files of a training folder; log and lock are those of every run folder."""

    @property
    def record(self) -> Path:
        """Settings, versions and command."""
        return self.folder / "training.json"

    @property
    def cutouts(self) -> Path:
        """Folder of the labelled cutouts."""
        return self.folder / "cutouts"

    def part(self, number: int) -> TilePaths:
        """Files of one part of the cutouts."""
        return TilePaths(self.cutouts / f"part-{number:05d}")

    @property
    def release(self) -> Path:
        """Image release of the cutouts, in words."""
        return self.cutouts / "release.txt"

    @property
    def left_out(self) -> Path:
        """Labelled objects that are not learnt from, and why."""
        return self.folder / "left-out.parquet"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def history(self) -> Path:
        """Loss and metrics of each epoch."""
        return self.folder / "history.csv"

    @property
    def curves(self) -> Path:
        """Picture of the history."""
        return self.folder / "curves.png"

    @property
    def held_out(self) -> Path:
        """Logit of each object by the member that did not learn from it."""
        return self.folder / "held-out.parquet"

    @property
    def model(self) -> Path:
        """Folder of the weights and their card."""
        return self.folder / "model"


@dataclass(frozen=True)
class TrainingRecord:
    """What ``training.json`` holds.

    Parameters
    ----------
    settings : dict of str to dict
        All that decides what comes out, for each of the two stages.
    versions : dict
        Python and the packages that matter.
    command : str
        Command line that began the training.
    created : str
        When it began (UTC, ISO 8601), from SOURCE_DATE_EPOCH where that is set.
    threads : int or None
        Threads of the CPU that it learns with, also when it is resumed, so that the weights are the
        same to the last bit; None in records of an earlier xsaga.
    """

    settings: dict[str, dict[str, Any]]
    versions: dict[str, str]
    command: str
    created: str
    threads: int | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()


def make_record(
    settings: Mapping[str, Mapping[str, Any]], command: str, threads: int
) -> TrainingRecord:
    """Record of a training that is to begin.

    Parameters
    ----------
    settings : mapping
        Of the stages `FETCHING` and `LEARNING`; JSON values.
    command : str
        Command line.
    threads : int
        Threads of the CPU to learn with.
    """
    epoch = environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return TrainingRecord(
        json.loads(json.dumps(settings)),
        dict(installed_versions()),
        command,
        moment.isoformat(timespec="seconds"),
        threads,
    )


def read_record(paths: TrainingPaths) -> TrainingRecord:
    """Read ``training.json``.

    Raises
    ------
    RunError
        It is not there, or damaged.
    """
    try:
        return from_json(TrainingRecord, read_json(paths.record))
    except FileNotFoundError:
        raise RunError(
            f"{paths.folder} is no training folder: it has no {paths.record.name}; begin one with "
            "`xsaga train … --out FOLDER`"
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(
            f"cannot read {paths.record}: {reason_of(error)}; choose another --out"
        ) from None


def begin_or_resume(
    paths: TrainingPaths, record: TrainingRecord, *, restart: bool = False
) -> TrainingRecord:
    """Write the record of a new training, or check that an existing one has the same settings.

    Settings of a stage may change as long as it has done nothing.

    Parameters
    ----------
    paths : TrainingPaths
        A folder that this process holds.
    record : TrainingRecord
        What is asked for now.
    restart : bool
        Discard what was learnt; and the cutouts, unless they were made with the same settings.

    Returns
    -------
    TrainingRecord
        The record in force: the existing one on a resume.

    Raises
    ------
    RunError
        The folder holds a training with other settings; the message lists the differing keys.
    """
    before = read_record(paths) if paths.record.is_file() else None
    done = {FETCHING: paths.cutouts.is_dir(), LEARNING: paths.checkpoints.is_dir()}
    if before is not None:
        differing = {
            stage: _differences(before.settings.get(stage, {}), record.settings[stage])
            for stage in done
        }
        if restart:
            discard_learnt(paths)
            done[LEARNING] = False
            if differing[FETCHING]:
                shutil.rmtree(paths.cutouts, ignore_errors=True)
                done[FETCHING] = False
        wrong = [words for stage in done if done[stage] for words in differing[stage]]
        if wrong:
            raise RunError(
                f"{paths.folder} holds a training with other settings: {'; '.join(wrong)}; use "
                "another --out, or --restart to discard what was learnt and begin anew"
            )
        if not any(differing.values()) and not restart:
            return before
        if done[LEARNING]:
            record = replace(record, threads=before.threads)
    with placed(paths.record) as temporary:
        temporary.write_text(
            json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8", newline="\n"
        )
    return record


def discard_learnt(paths: TrainingPaths) -> None:
    """Remove everything but the cutouts, the record and the log."""
    shutil.rmtree(paths.model, ignore_errors=True)
    for item in (paths.held_out, paths.history, paths.curves):
        item.unlink(missing_ok=True)
    shutil.rmtree(paths.checkpoints, ignore_errors=True)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: was {before.get(key, 'absent')!r}, now {now.get(key, 'absent')!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
