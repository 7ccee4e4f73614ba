"""Area and seeing of the bricks that a run's sources lie in, from bricks tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xsaga.catalog.formats import open_table
from xsaga.errors import CatalogError
from xsaga.imaging.brick_tree import NORTH, SOUTH

PSF_SIZE = "psfsize_r"
"""Column of the bricks table by which sources are sorted into bins of seeing."""

NORTH_RELEASES = (4000, 6000, 8001, 9011)
"""RELEASE of BASS and MzLS; other numbers up to DR9's are of DECam
(https://www.legacysurvey.org/release/)."""

SURVEY_RELEASES = range(3000, 10_000)
"""RELEASE of the survey's own sources, up to DR9; DR10 has a south only."""

NO_REGION = ""


@dataclass(frozen=True)
class BrickFacts:
    """What the tables say.

    Parameters
    ----------
    table : DataFrame
        ``brickid``, ``region`` (north, south or empty where the table does not tell), ``area``
        (deg²) and ``psfsize_r`` (arcsec), NaN where a table lacks them.
    origin : str
        Names of the tables, or why there are none.
    """

    table: pd.DataFrame
    origin: str

    def area_deg2(self, brickid: pd.Series) -> float | None:
        """Area of all bricks that hold sources; None where it is not known of one of them."""
        known = self.table.dropna(subset="area").drop_duplicates("brickid").set_index("brickid")
        held = known["area"].reindex(brickid.unique())
        return None if held.isna().any() or not len(held) else float(held.sum())

    def psf_size(self, sources: pd.DataFrame) -> NDArray[np.float64]:
        """Seeing of each source's brick, in the region whose catalog it is from.

        The same bricks are in the north and in the south where the two overlap, each with its own
        images. A source whose region is not known has none of them: NaN.

        Parameters
        ----------
        sources : DataFrame
            ``brickid``, ``release`` and ``photsys`` of N sources.

        Returns
        -------
        ndarray of float64, shape (N,)
            Arcseconds; NaN where it is not known.
        """
        region = region_of(sources)
        size = np.full(len(sources), np.nan)
        for mine in (NORTH, SOUTH, NO_REGION):
            theirs = self.table
            if mine != NO_REGION:  # a table that tells no region may be of any
                theirs = theirs[theirs["region"].isin([mine, NO_REGION])]
            once = theirs[~theirs["brickid"].duplicated(keep=False)].set_index("brickid")
            rows = region == mine
            size[rows] = sources["brickid"][rows].map(once[PSF_SIZE]).to_numpy(np.float64)
        return size


def region_of(sources: pd.DataFrame) -> NDArray[np.str_]:
    """Tell the half of the survey that a source was measured in: PHOTSYS, else RELEASE.

    Parameters
    ----------
    sources : DataFrame
        ``photsys`` and ``release``.

    Returns
    -------
    ndarray of str, shape (N,)
        ``north``, ``south`` or empty.
    """
    photsys = sources["photsys"].astype(str).str.strip().str.upper()
    release = sources["release"]
    north = photsys.eq("N") | (~photsys.eq("S") & release.isin(NORTH_RELEASES))
    south = ~north & (photsys.eq("S") | release.isin(SURVEY_RELEASES))
    return np.asarray(np.select([north, south], [NORTH, SOUTH], default=NO_REGION), np.str_)


def read_brick_facts(tables: list[Path]) -> BrickFacts:
    """Read bricks tables; the name or the folder of a file tells its region.

    Raises
    ------
    CatalogError
        A table has no ``brickid``.
    """
    if not tables:
        nothing = {"brickid": np.empty(0, np.int64), "region": np.empty(0, str)}
        empty = {"area": np.empty(0), PSF_SIZE: np.empty(0)}
        return BrickFacts(pd.DataFrame(nothing | empty), "no bricks table: give --bricks-table")
    parts = [_read(path) for path in tables]
    return BrickFacts(pd.concat(parts, ignore_index=True), ", ".join(path.name for path in tables))


def bricks_tables(tree: str) -> list[Path]:
    """Find the bricks tables of a tree on disk: those of its regions, else of the whole sky."""
    root = Path(tree)
    if not tree or not root.is_dir():
        return []
    return sorted(root.glob("*/survey-bricks-*.fits.gz")) or sorted(
        root.glob("survey-bricks*.fits.gz")
    )


def _read(path: Path) -> pd.DataFrame:
    reader = open_table(path)
    names = {name.lower(): name for name in reader.columns}
    if "brickid" not in names:
        raise CatalogError(f"{path}: no column brickid: give another --bricks-table")
    wanted = {key: names[key] for key in ("brickid", "area", PSF_SIZE) if key in names}
    table = pa.concat_tables(reader.tables(list(wanted.values()), 1 << 20))
    columns = {
        key: pc.cast(table[name], pa.int64() if key == "brickid" else pa.float64()).to_numpy()
        for key, name in wanted.items()
    }
    facts = pd.DataFrame(columns).drop_duplicates("brickid")
    return facts.reindex(columns=["brickid", "area", PSF_SIZE]).assign(region=_region(path))


def _region(path: Path) -> str:
    words = (path.resolve().parent.name, *path.name.split(".")[0].split("-"))
    return next((region for region in (NORTH, SOUTH) if region in words), NO_REGION)
