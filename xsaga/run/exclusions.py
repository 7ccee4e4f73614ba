"""Which scored sources are no targets: what the configuration's tables and bits say of them."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.crossmatch import Matcher
from xsaga.catalog.exclusion_files import (
    ListedObjects,
    read_bright_stars,
    read_large_galaxies,
    read_listed,
)
from xsaga.catalog.matching import BrightObjects
from xsaga.catalog.readers import files_of
from xsaga.catalog.spectra import QualityRules, read_spectra
from xsaga.catalog.standard import ReadingNotes
from xsaga.config import ExcludeConfig
from xsaga.sky.ellipses import Ellipses
from xsaga.sky.pixel_regions import MocRegion
from xsaga.sky.usable_area import Mask
from xsaga.targets.selection import Exclusions

BY_HAND = "listed by hand"
BRIGHT_STAR = "near a bright star"
LARGE_GALAXY = "inside a large galaxy"
SHRED = "piece of a bright galaxy"
MASKED = "masked"
REDSHIFT = "good redshift"
OBSERVED = "observed or assigned"

BIT_REASONS = {1: BRIGHT_STAR, 12: LARGE_GALAXY}
"""What a bit of MASKBITS says; the others are `MASKED` (bits: domain of the Legacy Surveys)."""

OF_LARGE_GALAXY = "L"
"""REF_CAT of a source that is a large galaxy itself begins so (L3: SGA-2020)."""


@dataclass(frozen=True)
class ExclusionFiles:
    """Tables that tell what is no target, patterns expanded.

    Parameters
    ----------
    redshifts, observed, bright_stars, large_galaxies, mask, by_hand : tuple of Path
        Files of each key of `xsaga.config.ExcludeConfig`.
    """

    redshifts: tuple[Path, ...] = ()
    observed: tuple[Path, ...] = ()
    bright_stars: tuple[Path, ...] = ()
    large_galaxies: tuple[Path, ...] = ()
    mask: tuple[Path, ...] = ()
    by_hand: tuple[Path, ...] = ()

    @classmethod
    def of(cls, config: ExcludeConfig) -> ExclusionFiles:
        """Find the files; a pattern may match none yet, a plain name must be there.

        Raises
        ------
        CatalogError
            A file is not there.
        """
        return cls(**{each.name: _files(getattr(config, each.name)) for each in fields(cls)})

    def all(self) -> tuple[Path, ...]:
        """Every file, each once, in order."""
        named = (path for each in fields(self) for path in getattr(self, each.name))
        return tuple(dict.fromkeys(named))


def _files(entries: Sequence[str]) -> tuple[Path, ...]:
    found: set[Path] = set()
    for entry in entries:
        if glob.has_magic(entry):
            matches = map(Path, glob.glob(entry, recursive=True))  # noqa: PTH207
            found.update(path for path in matches if path.is_file())
        else:
            found.update(files_of(entry))
    return tuple(sorted(found))


@dataclass(frozen=True)
class SkyMasks:
    """Masked parts of the sky, with the reason they give.

    Parameters
    ----------
    masks : tuple of (reason, name, Mask)
        In the order in which they are asked.
    """

    masks: tuple[tuple[str, str, Mask], ...]

    @classmethod
    def read(
        cls, config: ExcludeConfig, files: ExclusionFiles, bright: BrightObjects | None
    ) -> SkyMasks:
        """Read all masks.

        Parameters
        ----------
        config : ExcludeConfig
            Tells the reach of bright galaxies.
        files : ExclusionFiles
            Tables of stars and galaxies, MOCs.
        bright : BrightObjects or None
            Bright galaxies of the catalog, which may be shredded.

        Raises
        ------
        CatalogError, FootprintError
            A file cannot be used.
        """
        masks: list[tuple[str, str, Mask]] = [
            *((BRIGHT_STAR, path.name, read_bright_stars(path)) for path in files.bright_stars),
            *(
                (LARGE_GALAXY, path.name, read_large_galaxies(path))
                for path in files.large_galaxies
            ),
        ]
        if bright is not None and config.shred_radii > 0 and len(bright):
            reach = np.minimum(config.shred_radii * bright.radius / 3600, 10.0)
            circles = Ellipses.circles(bright.ra, bright.dec, reach)
            name = f"within {config.shred_radii:g} radii of an r < {config.shred_r:g} galaxy"
            masks.append((SHRED, name, circles))
        masks += [(MASKED, path.name, MocRegion.from_file(path)) for path in files.mask]
        return cls(tuple(masks))


def exclude(
    sources: pd.DataFrame,
    config: ExcludeConfig,
    files: ExclusionFiles,
    masks: SkyMasks,
    notes: ReadingNotes,
    *,
    refill: bool,
) -> Exclusions:
    """Tell which sources are no targets.

    The first reason that holds is given: by hand, star, large galaxy, piece of a bright galaxy,
    mask, redshift, observed.

    Parameters
    ----------
    sources : DataFrame
        N sources with ``source_id``, ``ra``, ``dec``, ``mag_r``, ``maskbits``, ``ref_cat``.
    config : ExcludeConfig
        The keys.
    files : ExclusionFiles
        Of these keys.
    masks : SkyMasks
        Of these files.
    notes : ReadingNotes
        Takes warnings.
    refill : bool
        Whether sources that are observed or have a redshift leave their place to others.

    Raises
    ------
    CatalogError
        A table cannot be read.
    """
    tally = _Tally(sources)
    matcher = Matcher(sources["ra"], sources["dec"], config.match_radius)
    for path in files.by_hand:
        tally.listed(BY_HAND, path, matcher, notes)
    _by_sky(tally, config, masks)
    before = tally.excluded
    rules = QualityRules(
        min_delta_chi2=config.min_deltachi2,
        spectypes=config.spectype,
        min_quality=config.min_quality,
    )
    for path in files.redshifts:
        columns = config.redshift_column
        for batch in read_spectra(path, rules, columns, notes, option="--redshift-column"):
            good = batch[batch["good"]]
            rows, _ = matcher.nearest(good["ra"], good["dec"])
            words = [
                f"z = {z:.4f}, {path.name} row {row}"
                for z, row in zip(good["z"][rows >= 0], good["input_row"][rows >= 0], strict=True)
            ]
            tally.mark(rows[rows >= 0], REDSHIFT, words)
    for path in files.observed:
        tally.listed(OBSERVED, path, matcher, notes)
    keeps_place = tally.excluded & ~before & (not refill)
    return Exclusions(tally.reason, tally.detail, keeps_place)


def _by_sky(tally: _Tally, config: ExcludeConfig, masks: SkyMasks) -> None:
    sources = tally.sources
    large = sources["ref_cat"].astype(str).str.startswith(OF_LARGE_GALAXY).to_numpy(bool)
    bits = sources["maskbits"].to_numpy(np.int64)
    for bit in config.maskbits:
        hit = (bits >> bit) & 1 == 1
        if bit == 12:
            hit &= ~large
        rows = np.flatnonzero(hit)
        tally.mark(rows, BIT_REASONS.get(bit, MASKED), [f"MASKBITS bit {bit}"] * len(rows))
    ra, dec = sources["ra"].to_numpy(np.float64), sources["dec"].to_numpy(np.float64)
    itself = {
        LARGE_GALAXY: large,
        SHRED: sources["mag_r"].to_numpy(np.float64) < config.shred_r,
    }
    for reason, name, mask in masks.masks:
        hit = mask.contains(ra, dec)
        if reason in itself:
            hit &= ~itself[reason]
        rows = np.flatnonzero(hit)
        tally.mark(rows, reason, [name] * len(rows))


class _Tally:
    """The first reason of each source."""

    def __init__(self, sources: pd.DataFrame) -> None:
        self.sources = sources
        self.reason = np.full(len(sources), "", object)
        self.detail = np.full(len(sources), "", object)
        self._row_of = pd.Index(sources["source_id"])

    @property
    def excluded(self) -> NDArray[np.bool_]:
        return np.asarray(self.reason != "", np.bool_)

    def mark(self, rows: NDArray[np.int64], reason: str, details: Sequence[str]) -> None:
        """Give rows a reason, those that have none."""
        words = np.asarray(details, object)
        rows, first = np.unique(rows, return_index=True)
        free = self.reason[rows] == ""
        self.reason[rows[free]] = reason
        self.detail[rows[free]] = words[first[free]] if len(words) else words

    def listed(self, reason: str, path: Path, matcher: Matcher, notes: ReadingNotes) -> None:
        """Give the objects of a list a reason; by id where it has one, and by position."""
        count = known = 0
        by_id_only = True
        for objects in read_listed(path):
            count += len(objects.source_id)
            by_id_only &= bool(np.isnan(objects.ra).all())
            for find in (self._by_id, self._by_position(matcher)):
                found = find(objects)
                at = np.flatnonzero(found >= 0)
                known += len(at)
                words = [
                    objects.reason[i] or f"{path.name} row {objects.first_row + i}"
                    for i in at.tolist()
                ]
                self.mark(found[at], reason, words)
        if count and not known:
            # Exports may give a source another TARGETID than its source_id.
            remedy = ": give positions too, ids may be those of another catalog" * by_id_only
            notes.warn(f"{path}: none of its {count:,} objects is among the scored sources{remedy}")

    def _by_id(self, objects: ListedObjects) -> NDArray[np.int64]:
        return np.asarray(self._row_of.get_indexer(pd.Index(objects.source_id)), np.int64)

    @staticmethod
    def _by_position(matcher: Matcher) -> Callable[[ListedObjects], NDArray[np.int64]]:
        return lambda objects: matcher.nearest(objects.ra, objects.dec)[0]
