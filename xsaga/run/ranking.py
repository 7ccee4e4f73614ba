"""From the scores of a run's tiles to its target lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from xsaga.catalog.cuts import Cuts, apply_cuts, named_cuts
from xsaga.catalog.matching import BrightObjects
from xsaga.catalog.partition_summary import TileCount
from xsaga.catalog.schema import SOURCE_SCHEMA
from xsaga.catalog.sources import read_sources
from xsaga.catalog.standard import ReadingNotes
from xsaga.config import RunConfig
from xsaga.parquet_files import write_table
from xsaga.paths import TilePaths, placed
from xsaga.run.base_rates import known_list_rate, with_base_rate
from xsaga.run.exclusions import ExclusionFiles, SkyMasks, exclude
from xsaga.run.folder import hash_inputs, mark_ranked, read_partition
from xsaga.run.run_tables import read_run_columns, read_run_table
from xsaga.run.session import Session, check_ranking, last_flags
from xsaga.run.tile import WAITING, read_failures, read_scored
from xsaga.sky.tiles import tile_pixels
from xsaga.sky.usable_area import (
    Coverage,
    Mask,
    UsableArea,
    outside_masks,
    source_counts,
    summed_counts,
    usable_area,
)
from xsaga.targets.density import PixelAreas
from xsaga.targets.formats import FORMATS, write_targets
from xsaga.targets.provenance import Provenance
from xsaga.targets.ranking import is_last, rank_sources
from xsaga.targets.selection import Selection, select_targets
from xsaga.targets.tiers import TierChoice

_AT_ONCE = 1 << 20
"""Sources whose positions are looked at in one go: ellipses are slow to ask for few."""


@dataclass(frozen=True)
class Ranking:
    """What a ranking wrote.

    Parameters
    ----------
    targets : DataFrame
        The list, best first.
    provenance : Provenance
        What it was made from, tiers and tables of [exclude] included.
    """

    targets: pd.DataFrame
    provenance: Provenance


def rank_tiles(session: Session, scored_tiles: Sequence[TilePaths]) -> Ranking:
    """Rank the scored sources of tiles, choose the targets and write all lists.

    Parameters
    ----------
    session : Session
        A run whose catalog is split by tile.
    scored_tiles : sequence of TilePaths
        Tiles whose scores count.

    Returns
    -------
    Ranking

    Raises
    ------
    ConfigError
        The ranking cannot be done as configured.
    CatalogError, FootprintError
        A table or mask of [exclude] cannot be used.
    TargetsError
        A list cannot be written.
    """
    paths, config = session.paths, session.config
    tiers, files = check_ranking(config), ExclusionFiles.of(config.exclude)
    # Over all tiles at once: the scores of the tiles stay as the model's card gives them.
    scored, base_rate = with_base_rate(
        read_scored(scored_tiles),
        config.rank.base_rate,
        known_list_rate(session.scorer.card, config.cuts),
    )
    ranked = rank_sources(scored, last_flags(config))
    tiles, order = read_partition(paths).tiles, config.footprint.order
    every = [paths.tile(order, tile.pixel) for tile in tiles]
    cuts = {name: _cuts(config, name) for name in tiers.cut_names}
    limits = {config.exclude.shred_r, *(each.bright_object_limit for each in cuts.values())}
    bright = {limit: _bright(every, limit) for limit in limits}
    masks = SkyMasks.read(config.exclude, files, bright[config.exclude.shred_r])
    notes = ReadingNotes()
    exclusions = exclude(ranked, config.exclude, files, masks, notes, refill=config.rank.refill)
    area, areas = _areas(session, tiles, masks)
    choice = TierChoice(
        probability=ranked["p_lowz"].to_numpy(),
        mag_r=ranked["mag_r"].to_numpy(),
        trusted=~is_last(ranked, last_flags(config)),
        passes={
            name: apply_cuts(ranked, each, bright[each.bright_object_limit])[0] == 0
            for name, each in cuts.items()
        },
        pixel=tile_pixels(ranked["ra"], ranked["dec"], areas.order),
        areas=areas,
    )
    selection = select_targets(ranked, choice, tiers, exclusions, config.rank.min_separation)
    _warn_of_unscored(session, every, cuts, bright)
    for warning in notes.warnings:
        session.log.event("warning", f"warning: {warning}")
    provenance = session.provenance()
    provenance = replace(
        provenance,
        base_rate=base_rate,
        tiers=tuple(rule.words for rule in tiers.rules),
        area_deg2=areas.total_deg2,
        inputs=(*provenance.inputs, *hash_inputs(list(files.all()), paths)),
    )
    paths.ranked.unlink(missing_ok=True)  # from here on the files are not those of one ranking
    _write_beside(session, selection, area)
    for file_format in config.rank.formats:
        write_targets(selection.targets, paths.targets(file_format), file_format, provenance)
    for name in FORMATS.keys() - set(config.rank.formats):
        paths.targets(name).unlink(missing_ok=True)  # of an earlier ranking
    counts = selection.targets["tier"].value_counts()
    mark_ranked(
        paths,
        config,
        base_rate,
        areas.total_deg2,
        {
            f"tier {number}, {rule.words}": int(counts.get(number, 0))
            for number, rule in enumerate(tiers.rules, start=1)
        },
    )
    session.log.event(
        "ranked",
        targets=len(selection.targets),
        not_targets=dict(selection.reasons()),
        area_deg2=areas.total_deg2,
        formats=list(config.rank.formats),
        base_rate=base_rate,
    )
    return Ranking(selection.targets, provenance)


def _bright(tiles: Sequence[TilePaths], limit: float | None) -> BrightObjects | None:
    """Find the extended objects of the run that are brighter than a limit; None without one."""
    if limit is None:
        return None
    parts = [
        read_run_table(
            tile.sources,
            ["ra", "dec", "mag_r", "radius"],
            [("mag_r", "<", limit), ("radius", ">", 0)],
            SOURCE_SCHEMA,
        )
        for tile in tiles
    ]
    return BrightObjects.among(pd.concat(parts), limit) if parts else None


def _areas(
    session: Session, tiles: Sequence[TileCount], masks: SkyMasks
) -> tuple[UsableArea, PixelAreas]:
    """Measure the area that targets are chosen from, in all and by pixel.

    What MASKBITS take off is not drawn: each pixel loses the share that they take of its sources
    outside the masks. Tiles that wait for all their scores have no area: their share of a density
    would go to the others.
    """
    config, order = session.config, session.config.rank.even_order
    excluded = sum(1 << bit for bit in set(config.exclude.maskbits))
    drawn: list[Mask] = [mask for _, _, mask in masks.masks]
    files = {tile.pixel: session.paths.tile(config.footprint.order, tile.pixel) for tile in tiles}
    if len(waiting := _waiting_pixels(tiles, files)):
        drawn.append(_TilesMask(config.footprint.order, waiting))
    found = []
    every, hit = (np.zeros(12 * 4**order, np.int64) for _ in range(2))
    for table in _positions(list(files.values())):
        ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
        found.append(source_counts(ra, dec))
        free = outside_masks(ra, dec, drawn)
        bits = table["maskbits"].to_numpy().astype(np.int64)
        pixel = tile_pixels(ra, dec, order)
        np.add.at(every, pixel[free], 1)
        np.add.at(hit, pixel[free & ((bits & excluded) != 0)], 1)
    coverage = Coverage.of_sources(*summed_counts(found))
    area = usable_area(session.footprint, coverage, drawn, order)
    pixels, deg2 = area.by_pixel(order)
    share = hit[pixels] / np.maximum(every[pixels], 1)
    return area, PixelAreas(order, pixels, deg2 * (1 - share))


def _positions(tiles: Sequence[TilePaths]) -> Iterator[pa.Table]:
    """Read where all sources are and their MASKBITS, many tiles at once."""
    parts: list[pa.Table] = []
    for tile in tiles:
        parts.append(read_run_columns(tile.sources, ["ra", "dec", "maskbits"], SOURCE_SCHEMA))
        if sum(part.num_rows for part in parts) >= _AT_ONCE:
            yield pa.concat_tables(parts)
            parts = []
    if parts:
        yield pa.concat_tables(parts)


def _waiting_pixels(
    tiles: Sequence[TileCount], files: Mapping[int, TilePaths]
) -> NDArray[np.int64]:
    """Tiles of which no candidate has been looked at: a night that ran out of time has such."""
    waiting = [
        tile.pixel
        for tile in tiles
        if tile.n_candidates
        and int((read_failures(files[tile.pixel])["status"] == WAITING).sum()) == tile.n_candidates
    ]
    return np.array(waiting, np.int64)


@dataclass(frozen=True)
class _TilesMask:
    """Whole tiles as a mask."""

    order: int
    pixels: NDArray[np.int64]

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        return np.isin(tile_pixels(ra, dec, self.order), self.pixels)


def _cuts(config: RunConfig, name: str) -> Cuts:
    """Cuts that a tier names; those of the run with the run's coefficients."""
    return named_cuts(name, config.cuts.coefficients if name == config.cuts.name else None)


def _warn_of_unscored(
    session: Session,
    tiles: Sequence[TilePaths],
    cuts: Mapping[str, Cuts],
    bright: Mapping[float | None, BrightObjects | None],
) -> None:
    """Say how many sources a tier's cuts would take that the run's own cuts left without score."""
    names = [name for name in cuts if name != session.config.cuts.name]
    missed = dict.fromkeys(names, 0)
    for tile in tiles if names else ():
        unscored = read_sources(tile.sources).query("photometric_flags != 0")
        for name in names:
            objects = bright[cuts[name].bright_object_limit]
            flags, _ = apply_cuts(unscored, cuts[name], objects)
            missed[name] += int((flags == 0).sum())
    for name, count in missed.items():
        if count:
            session.log.event(
                "warning",
                f"note: the cuts {name} of a tier would take {count:,} more, which the run's own "
                f"cuts, {session.config.cuts.name}, left without a score: they are in no list",
            )


def _write_beside(session: Session, selection: Selection, area: UsableArea) -> None:
    paths = session.paths
    table = pa.Table.from_pandas(selection.not_targets, preserve_index=False)
    write_table(paths.not_targets, table.replace_schema_metadata(None))
    # A bright galaxy lies within its own mask, an edge cuts cells: the map holds all targets.
    targets = selection.targets
    with_targets = area.with_cells(tile_pixels(targets["ra"], targets["dec"], area.order))
    if len(with_targets.cells):
        with placed(paths.area) as temporary:
            with_targets.moc().save(str(temporary), format="fits")
    else:
        paths.area.unlink(missing_ok=True)
