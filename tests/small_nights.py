"""Nights over a small simulated sky: a catalog that changes, cutouts as files, toy weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Table, vstack
from click.testing import Result

from tests.small_runs import SIZE, SmallSky, xsaga
from tests.toy_model import TINY, toy_card, toy_model
from xsaga.catalog.identifiers import encode_targetid
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec
from xsaga.imaging.single import write_cutout
from xsaga.model.weights import save_model
from xsaga.sky.tiles import tile_pixels

ORDER = 8
TIERS = ("p>=0.2", "p>=0.1", "all")
R_MAX = 22.3


@dataclass(frozen=True)
class SmallArchive:
    """A catalog in memory, and the cutouts of its candidates as files."""

    rows: Table
    cutouts: Path
    weights: Path

    @property
    def ids(self) -> np.ndarray:
        """Identifier of each row."""
        columns = (np.asarray(self.rows[name]) for name in ("RELEASE", "BRICKID", "OBJID"))
        return encode_targetid(*columns)

    @property
    def tiles(self) -> np.ndarray:
        """Tile of each row."""
        return tile_pixels(np.asarray(self.rows["RA"]), np.asarray(self.rows["DEC"]), ORDER)


@dataclass
class Ready:
    """A source that gives one cutout of some that were made before."""

    spec: CutoutSpec
    batches: list[CutoutBatch]
    index: int = 0

    def cutouts(self, *_: object) -> Iterator[CutoutBatch]:
        for batch in self.batches:
            for at in np.flatnonzero(batch.index == self.index):
                yield CutoutBatch(
                    np.zeros(1, np.int64),
                    batch.images[[at]],
                    batch.coverage[[at]],
                    batch.status[[at]],
                    [batch.reason[at]],
                    [batch.origin[at]],
                )


def make_small_archive(sky: SmallSky, folder: Path) -> SmallArchive:
    """Cut the candidates of a small sky out, once."""
    tables = [
        Table.read(path, unit_parse_strict="silent")
        for path in sorted((sky.tree / "sweep").rglob("*.fits"))
    ]
    rows = vstack(tables, metadata_conflicts="silent")
    rows.meta.clear()
    rows["MASKBITS"] = 0  # so that all of them may be targets
    bright = np.asarray(rows["FLUX_R"]) > 10 ** (0.4 * (22.5 - R_MAX))
    card = replace(toy_card(TINY, SIZE, members=1), image_release=("xsaga-sim",))
    save_model(folder / "toy", card, toy_model(TINY, SIZE, members=1).networks)
    archive = SmallArchive(rows[bright], folder / "cutouts", folder / "toy")
    archive.cutouts.mkdir()
    source = BrickSource(LocalTree(sky.tree), CutoutSpec(size=SIZE), workers=0)
    ra, dec = (np.asarray(archive.rows[name], np.float64) for name in ("RA", "DEC"))
    ready = Ready(source.spec, list(source.cutouts(ra, dec, archive.ids)))
    source.close()
    for index, number in enumerate(archive.ids.tolist()):
        ready.index = index
        write_cutout(ready, ra[index], dec[index], archive.cutouts / f"{number}.fits")
    return archive


@dataclass(frozen=True)
class Nights:
    """A folder of nightly lists and the catalog they are made from."""

    folder: Path
    catalog: Path
    options: Sequence[str]

    @classmethod
    def over(cls, archive: SmallArchive, place: Path, rows: Table | None = None) -> Nights:
        """Begin with some rows of the catalog, all if none are given."""
        options = [
            *("--catalog", str(place / "catalog.fits")),
            *("--files", str(archive.cutouts)),
            *("--release", "xsaga-sim"),
            *("--weights", str(archive.weights)),
            *("--size", str(SIZE)),
            *("--cuts", "none"),
            *("--order", str(ORDER)),
            *("--device", "cpu"),
            *("--precision", "float32"),
            *("--engine", "eager"),
            *("--batch-size", "16"),
            *("--format", "parquet"),
            *("--shred-radii", "0"),
            *(word for tier in TIERS for word in ("--tier", tier)),
        ]
        nights = cls(place / "N", place / "catalog.fits", options)
        place.mkdir(exist_ok=True)
        nights.provide(archive.rows if rows is None else rows)
        return nights

    def provide(self, rows: Table) -> None:
        """Put another catalog in place."""
        rows.write(self.catalog, format="fits", overwrite=True)

    def arguments(self, night: str, *extra: object) -> list[str]:
        """Arguments of the command line."""
        out = ["--out", str(self.folder), "--night", night]
        return ["nightly", *self.options, *out, *map(str, extra)]

    def run(self, night: str, *extra: object) -> Result:
        """Do a night in this process."""
        return xsaga(*self.arguments(night, *extra))

    def summary(self, name: str = "") -> dict[str, Any]:
        """Numbers of a list, of the latest if none is named."""
        place = self.folder / "lists" / name if name else self.folder / "latest"
        return dict(json.loads((place / "summary.json").read_text(encoding="utf-8")))

    def targets(self, name: str = "") -> pd.DataFrame:
        """Targets of a list."""
        place = self.folder / "lists" / name if name else self.folder / "latest"
        return pd.read_parquet(place / "targets.parquet")

    def names(self) -> list[str]:
        """Published lists."""
        names = (path.name for path in (self.folder / "lists").iterdir())
        return sorted(name for name in names if not name.startswith("."))

    def ledger(self) -> pd.DataFrame:
        """All rows of the ledger."""
        return pd.read_parquet(self.folder / "ledger")

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of one kind of the log."""
        lines = (self.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def assert_ledger_tells_the_lists(self) -> None:
        """Play the ledger from the first list on; each list must come out."""
        ledger = self.ledger()
        names = sorted(self.names(), key=lambda name: (name[:10], int(name.partition(".")[2] or 1)))
        assert sorted(ledger["list"].unique()) <= sorted(names)
        known: set[int] = set()
        for name in names:
            rows = ledger[ledger["list"] == name]
            assert not rows["source_id"].duplicated().any()
            added = set(rows.loc[rows["what"] == "added", "source_id"])
            removed = set(rows.loc[rows["what"] == "removed", "source_id"])
            assert not added & known
            assert removed <= known
            known = (known | added) - removed
            assert known == set(self.targets(name)["source_id"])
