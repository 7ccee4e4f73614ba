"""Every path of a run folder and of nightly lists, and how a file is put in place.

A file is written under a temporary name in the folder it belongs to, flushed to disk, then
renamed: a file that exists is complete.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TEMPORARY_MARK = ".tmp-"
_TEMPORARY_NAME = re.compile(r".+\.tmp-[0-9a-f]{12}(\..*)?")


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; rename it to `path` on success.

    Parameters
    ----------
    path : Path
        Where the finished file belongs; its folder is made.

    Yields
    ------
    Path
        A name in the same folder with the same suffix. When the block raises, the temporary file
        is removed and whatever stood at `path` before stays untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}{TEMPORARY_MARK}{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_names(path.parent)


def flush_names(folder: Path) -> None:
    """Write to disk which files a folder holds."""
    if os.name != "posix":  # elsewhere a folder cannot be flushed
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Write to disk all that a folder and those below it hold."""
    for root, _, names in os.walk(folder):
        for name in names:
            with (Path(root) / name).open("rb+") as stream:
                os.fsync(stream.fileno())
        flush_names(Path(root))


def is_leftover(path: Path) -> bool:
    """Tell whether a file bears a temporary name of `placed`."""
    return path.is_file() and _TEMPORARY_NAME.fullmatch(path.name) is not None


@dataclass(frozen=True)
class TilePaths:
    """Files of one tile.

    Parameters
    ----------
    folder : Path
        ``tiles/Norder=<order>/Dir=<pixel // 10000 · 10000>/Npix=<pixel>`` of the run folder, the
        layout of HATS catalogs.
    """

    folder: Path

    @property
    def sources(self) -> Path:
        """All sources of the tile with their photometry and flags."""
        return self.folder / "sources.parquet"

    @property
    def cutouts(self) -> Path:
        """Images of the tile's candidates, (N, band, y, x)."""
        return self.folder / "cutouts.npy"

    @property
    def cutout_index(self) -> Path:
        """One row per candidate: row in the images, status, reason, coverage."""
        return self.folder / "cutouts.parquet"

    @property
    def scores(self) -> Path:
        """Probabilities of the candidates that have a usable cutout."""
        return self.folder / "scores.parquet"

    @property
    def failures(self) -> Path:
        """Candidates that could not be scored, with the reason."""
        return self.folder / "failures.parquet"

    @property
    def key(self) -> Path:
        """What cutouts and scores are made from, where a nightly job made them."""
        return self.folder / "key.json"


@dataclass(frozen=True)
class RunPaths:
    """Files of a run folder.

    Parameters
    ----------
    folder : Path
        The run folder itself (``--out``).
    """

    folder: Path

    @property
    def config(self) -> Path:
        """Resolved configuration."""
        return self.folder / "run.toml"

    @property
    def record(self) -> Path:
        """Fingerprint, versions, inputs with SHA-256, times."""
        return self.folder / "run.json"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the run."""
        return self.folder / ".lock"

    @property
    def lock_owner(self) -> Path:
        """Who holds the lock, in words."""
        return self.folder / ".lock-owner"

    @property
    def spool(self) -> Path:
        """Scratch folder of the tile stage."""
        return self.folder / ".spool"

    @property
    def imaging_choice(self) -> Path:
        """Which of two places of imaging was chosen."""
        return self.folder / "imaging.json"

    @property
    def set_aside(self) -> Path:
        """Scratch folder of cutouts that were made before their tile's turn."""
        return self.folder / ".set-aside"

    @property
    def log(self) -> Path:
        """One JSON object per line."""
        return self.folder / "log.jsonl"

    @property
    def tiles(self) -> Path:
        """Folder of all tiles."""
        return self.folder / "tiles"

    @property
    def partition(self) -> Path:
        """Summary of the tile stage; it exists once all tiles hold their sources."""
        return self.folder / "partition.json"

    @property
    def rejected(self) -> Path:
        """Catalog rows that entered no tile (bad position, duplicate) and why."""
        return self.folder / "rejected.parquet"

    @property
    def cutflow(self) -> Path:
        """How many sources passed each step of the photometric cuts."""
        return self.folder / "cutflow.csv"

    @property
    def not_targets(self) -> Path:
        """Scored sources that are no targets, and why."""
        return self.folder / "not-targets.parquet"

    @property
    def area(self) -> Path:
        """Coverage map of the area that targets are chosen from."""
        return self.folder / "area.moc.fits"

    @property
    def ranked(self) -> Path:
        """What the target lists were made from; it goes before they change and comes after."""
        return self.folder / "ranked.json"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.folder / "report" / "index.html"

    def targets(self, file_format: str) -> Path:
        """Ranked list in one file format ('parquet', 'fits', 'csv', 'ecsv', 'votable')."""
        suffix = {"votable": "vot"}.get(file_format, file_format)
        return self.folder / f"targets.{suffix}"

    def tile(self, order: int, pixel: int) -> TilePaths:
        """Files of one NESTED HEALPix tile."""
        directory = pixel // 10_000 * 10_000
        return TilePaths(self.tiles / f"Norder={order}" / f"Dir={directory}" / f"Npix={pixel}")


@dataclass(frozen=True)
class ListPaths:
    """Files of one published list.

    Parameters
    ----------
    folder : Path
        ``lists/<YYYY-MM-DD>`` or ``lists/<YYYY-MM-DD>.<N>`` of a folder of nightly lists.
    """

    folder: Path

    @property
    def targets(self) -> Path:
        """The list; other formats lie beside it."""
        return self.folder / "targets.parquet"

    @property
    def not_targets(self) -> Path:
        """Scored sources that are no targets, and why."""
        return self.folder / "not-targets.parquet"

    @property
    def failures(self) -> Path:
        """Candidates without a score, waiting ones included, and why."""
        return self.folder / "failures.parquet"

    @property
    def changes(self) -> Path:
        """What came, changed and went since the list before."""
        return self.folder / "changes.parquet"

    @property
    def tiles(self) -> Path:
        """What the scores of each tile are made from, as hashes."""
        return self.folder / "tiles.parquet"

    @property
    def targetids(self) -> Path:
        """Identifiers given to the targets of this and all earlier lists."""
        return self.folder / "targetids.parquet"

    @property
    def summary(self) -> Path:
        """The night in words."""
        return self.folder / "summary.txt"

    @property
    def summary_json(self) -> Path:
        """The night in numbers."""
        return self.folder / "summary.json"

    def exports(self, name: str) -> Path:
        """Folder of one export format."""
        return self.folder / "exports" / name


@dataclass(frozen=True)
class NightlyPaths:
    """Files of a folder of nightly lists.

    Parameters
    ----------
    folder : Path
        ``--out`` of ``xsaga nightly``.
    """

    folder: Path

    @property
    def lists(self) -> Path:
        """Folder of all lists; a list in it is complete and never changes."""
        return self.folder / "lists"

    @property
    def next_list(self) -> Path:
        """Where a list is prepared before it takes its name."""
        return self.lists / ".next"

    @property
    def latest(self) -> Path:
        """Symbolic link to the newest list."""
        return self.folder / "latest"

    @property
    def ledger(self) -> Path:
        """Folder with the changes of all lists, one Parquet file a list."""
        return self.folder / "ledger"

    @property
    def targetids(self) -> Path:
        """Identifiers given so far, of the newest list."""
        return self.folder / "targetids.parquet"

    @property
    def runs(self) -> Path:
        """Folder of run folders."""
        return self.folder / "runs"

    @property
    def hashes(self) -> Path:
        """SHA-256 of files that were read, by size and time of change."""
        return self.folder / "file-hashes.json"

    @property
    def log(self) -> Path:
        """One JSON object per line."""
        return self.folder / "log.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the folder."""
        return self.folder / ".lock"

    @property
    def lock_owner(self) -> Path:
        """Who holds the lock, and since when."""
        return self.folder / ".lock-owner"

    def list(self, name: str) -> ListPaths:
        """Files of one list."""
        return ListPaths(self.lists / name)

    def ledger_of(self, name: str) -> Path:
        """Part of the ledger that one list wrote."""
        return self.ledger / f"{name}.parquet"

    def run(self, name: str) -> RunPaths:
        """Files of one run folder."""
        return RunPaths(self.runs / name)
