"""Where the sources are that are in no list: excluded, failed, cut, outside, not in the catalog."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from xsaga.catalog.cut_steps import PhotometricFlag
from xsaga.config import FootprintConfig
from xsaga.errors import XsagaError
from xsaga.paths import ListPaths, RunPaths, TilePaths, placed
from xsaga.run.folder import read_run_config
from xsaga.run.nightly_changes import FAILED, FAILS_CUTS, NOT_LISTED, OUTSIDE, RUN_GONE, WAITS
from xsaga.run.run_tables import read_run_table
from xsaga.run.session import Session, configured_footprint, footprint_files
from xsaga.run.tile import WAITING
from xsaga.sky.footprint import Footprint

_FOOTPRINT_FOLDER = "footprint"
_SOURCES = TilePaths(Path()).sources.name


def fates(gone: pd.DataFrame, listed: ListPaths, run: RunPaths) -> pd.DataFrame:
    """Tell where sources are that are not among the targets of a list.

    Parameters
    ----------
    gone : DataFrame
        Columns `source_id`, `ra`, `dec`.
    listed : ListPaths
        Files of the list.
    run : RunPaths
        The run whose scores made it.

    Returns
    -------
    DataFrame
        Columns ``fate`` and ``detail`` by source_id; sources that the catalog did not have are
        left out.
    """
    ids = gone["source_id"]
    if not len(ids):
        return pd.DataFrame({"fate": [], "detail": []}, dtype=object)
    found = [part for part in _known(ids, listed, run) if len(part)]
    if not run.partition.is_file():
        found.append(_table(ids, RUN_GONE, "its run folder was removed"))
    elif (footprint := kept_footprint(run)) is not None:
        outside = ~footprint.contains(gone["ra"].to_numpy(), gone["dec"].to_numpy())
        found.append(_table(ids[outside], OUTSIDE, ""))
    table = pd.concat(found) if found else _table(ids[:0], "", "")
    return table[~table.index.duplicated()]


def _known(ids: pd.Series, listed: ListPaths, run: RunPaths) -> Iterator[pd.DataFrame]:
    """Give what each file knows of the sources, the files that know best first."""
    if listed.not_targets.is_file():
        table = _some(listed.not_targets, ["source_id", "reason", "detail"], ids)
        yield _table(table["source_id"], table["reason"], table["detail"])
    if listed.failures.is_file():
        table = _some(listed.failures, ["source_id", "status", "reason"], ids)
        waits = table["status"] == WAITING
        fate = np.where(waits, WAITS, FAILED)
        yield _table(table["source_id"], fate, table["reason"].where(~waits, ""))
    if not run.partition.is_file():
        return
    # Not by the run's configuration: another version of xsaga may have written it.
    for sources in sorted(run.tiles.glob(f"Norder=*/Dir=*/Npix=*/{_SOURCES}")):
        table = _some(sources, ["source_id", "photometric_flags"], ids)
        flags = table["photometric_flags"]
        yield _table(
            table["source_id"],
            np.where(flags != 0, FAILS_CUTS, NOT_LISTED),
            flags.map(_flag_names),
        )
    if run.rejected.is_file():
        table = _some(run.rejected, ["source_id", "reason"], ids)
        yield _table(table["source_id"], table["reason"].astype(str), "")


def _some(path: Path, columns: list[str], ids: pd.Series) -> pd.DataFrame:
    table = read_run_table(path, columns)
    return table[table["source_id"].isin(ids)]


def _table(ids: pd.Series, fate: object, detail: object) -> pd.DataFrame:
    values = {"fate": fate, "detail": detail}
    columns = {
        name: np.asarray(value, object) if not isinstance(value, str) else value
        for name, value in values.items()
    }
    return pd.DataFrame(columns, index=pd.Index(ids.to_numpy(), name="source_id"), dtype=object)


def _flag_names(flags: int) -> str:
    return ", ".join(str(flag.name) for flag in PhotometricFlag if flags & flag)


def keep_footprint(session: Session) -> None:
    """Keep copies of the files of the footprint in the run folder, for later nights to ask."""
    for number, name in enumerate(footprint_files(session.config.footprint)):
        if Path(name).is_file():
            place = _copy_of(session.paths, number, name)
            with placed(place) as temporary:
                shutil.copyfile(name, temporary)


def kept_footprint(run: RunPaths) -> Footprint | None:
    """Make the footprint of a run again; None where it can no longer be made."""
    try:
        config = read_run_config(run).footprint
        return configured_footprint(_from_copies(config, run))
    except (XsagaError, OSError):
        return None


def _from_copies(config: FootprintConfig, run: RunPaths) -> FootprintConfig:
    names = footprint_files(config)
    copies = [_copy_of(run, number, name) for number, name in enumerate(names)]
    now = [str(copy) if copy.is_file() else name for copy, name in zip(copies, names, strict=True)]
    n_moc, n_tiles = len(config.moc), int(bool(config.desi_tiles))
    return replace(
        config,
        moc=tuple(now[:n_moc]),
        desi_tiles=now[n_moc] if n_tiles else "",
        healpix=tuple(now[n_moc + n_tiles :]),
    )


def _copy_of(run: RunPaths, number: int, name: str) -> Path:
    return run.folder / _FOOTPRINT_FOLDER / f"{number}-{Path(name).name}"
