"""What the cutouts and scores of a tile are made from, by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xsaga import __version__
from xsaga.config import RunConfig, result_settings
from xsaga.imaging.brick_tree import brick_table_files
from xsaga.json_values import from_json
from xsaga.model.photometry import PHOTOMETRY_COLUMNS
from xsaga.paths import TilePaths, placed
from xsaga.reading import read_json
from xsaga.run.file_hashes import ABSENT, FileHashes
from xsaga.run.session import Session
from xsaga.run.tile import TileJob, read_candidates

_NOT_CONTENT = ("imaging.bricks", "imaging.files", "imaging.bricks_table", "imaging.min_coverage")
"""Keys of the imaging that say where, not what (files count by content), or matter to scores."""


@dataclass(frozen=True)
class TileKey:
    """What the cutouts and scores of one tile are made from, as hashes.

    Parameters
    ----------
    candidates : str
        Identifiers and positions of the candidates.
    settings : str
        How cutouts are made and kept; the address of imaging that is not on this machine.
    photometry : str
        Of the candidates, where the model takes any; else empty.
    scoring : str
        Weights, card, device, precision, engine and settings of the scoring.
    root : str
        Folder of the imaging: where `imaging` was found, not what it is.
    cached : bool
        Whether that folder only keeps what was downloaded.
    imaging : mapping of str to str
        Hash of each file that cutouts may be made from, `ABSENT` for one that is not there. Empty
        for a cutout service: its images count as unchanged while its address is.
    """

    candidates: str
    settings: str
    photometry: str
    scoring: str
    root: str
    cached: bool
    imaging: Mapping[str, str]

    def same_cutouts(self, other: TileKey) -> bool:
        """Whether cutouts made from the one are those made from the other."""
        return (
            self.candidates == other.candidates
            and self.settings == other.settings
            and self.same_imaging(other)
        )

    def same_scores(self, other: TileKey) -> bool:
        """Whether scores made from the one are those made from the other."""
        return (
            self.scoring == other.scoring
            and self.photometry == other.photometry
            and self.same_cutouts(other)
        )

    def same_imaging(self, other: TileKey) -> bool:
        """Whether the files of the imaging are the same.

        Of files that were downloaded, one that is no longer there, or not yet, says nothing.
        """
        silent = self.cached and other.cached
        return all(
            mine == others or (silent and ABSENT in (mine, others))
            for name in self.imaging.keys() | other.imaging.keys()
            for mine in [self.imaging.get(name, ABSENT)]
            for others in [other.imaging.get(name, ABSENT)]
        )

    def told_by(self, older: TileKey) -> TileKey:
        """Give this key, an equal one, what `older` knows of files that are no longer there."""
        if not self.cached:
            return self
        known = {name: sha256 for name, sha256 in self.imaging.items() if sha256 != ABSENT}
        return replace(self, imaging={**self.imaging, **older.imaging, **known})

    @property
    def imaging_digest(self) -> str:
        """One hash for all files of the imaging."""
        return _digest(dict(self.imaging))


class KeyMaker:
    """Makes the keys of the tiles of one run.

    Parameters
    ----------
    session : Session
        The run; its imaging is opened when the first key is made.
    hashes : FileHashes
        Of files.
    """

    def __init__(self, session: Session, hashes: FileHashes) -> None:
        self._session, self._hashes = session, hashes
        config, record = session.config, session.record
        values = result_settings(config)
        self._settings = _digest(_cutout_settings(config, values))
        chosen = {name: value for name, value in values.items() if name.startswith("model.")}
        chosen["model.weights"] = [record.weights.sha256, record.inputs[-1].sha256]
        self._scoring = _digest(
            chosen
            | {"min_coverage": config.imaging.min_coverage, "version": __version__}
            | {name: record.settings[name] for name in ("device", "precision", "engine")}
        )
        self._columns = PHOTOMETRY_COLUMNS if session.scorer.card.architecture.photometry else ()

    def key(self, job: TileJob) -> TileKey:
        """Make the key of a tile as its files are now."""
        table = read_candidates(job.paths, ("source_id", "ra", "dec", *self._columns))
        ra, dec = table["ra"].to_numpy(np.float64), table["dec"].to_numpy(np.float64)
        source_id = table["source_id"].to_numpy(np.int64)
        files = self._session.imaging.files(ra, dec, source_id)
        root = Path(files.root)
        return TileKey(
            candidates=_hash_columns(table, ("source_id", "ra", "dec")),
            settings=self._settings,
            photometry=_hash_columns(table, self._columns) if self._columns else "",
            scoring=self._scoring,
            root=files.root,
            cached=files.cached,
            imaging={name: self._hashes.of(root / name) for name in files.paths},
        )


def _cutout_settings(config: RunConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {
        name: value
        for name, value in values.items()
        if name.startswith(("imaging.", "store.")) and name not in _NOT_CONTENT
    }
    if "://" in config.imaging.bricks:
        chosen["address"] = config.imaging.bricks.rstrip("/")
    return chosen


def imaging_is_as_recorded(key: TileKey, hashes: FileHashes) -> bool:
    """Tell whether the files of a tile's imaging are still those of its key."""
    root = Path(key.root)
    now = {name: hashes.of(root / name) for name in key.imaging}
    if key.imaging and not key.cached:
        now |= {name: hashes.of(root / name) for name in brick_table_files(root)}
    return key.same_imaging(TileKey(**{**asdict(key), "imaging": now}))


def read_key(paths: TilePaths) -> TileKey | None:
    """Read the key of a tile; None where there is none, or a damaged one."""
    try:
        return from_json(TileKey, read_json(paths.key))
    except (OSError, ValueError):
        return None


def write_key(paths: TilePaths, key: TileKey) -> None:
    """Write the key of a tile."""
    with placed(paths.key) as temporary:
        temporary.write_text(json.dumps(asdict(key), indent=0) + "\n", encoding="utf-8")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _hash_columns(table: pd.DataFrame, names: tuple[str, ...]) -> str:
    content = hashlib.sha256()
    for name in names:
        values = table[name].to_numpy()
        content.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return content.hexdigest()
