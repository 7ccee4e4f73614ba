"""Labels and imaging to cutouts on disk, part by part, and from there to training."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.catalog.redshift_catalogs import MORPHOLOGY
from xsaga.errors import CatalogError
from xsaga.imaging.cutouts import CutoutSource, CutoutStatus
from xsaga.imaging.store import CutoutWriter, StoreDtype, read_cutouts
from xsaga.paths import placed
from xsaga.run.run_tables import read_run_table
from xsaga.run.tile import why_unusable
from xsaga.run.training_folder import TrainingPaths
from xsaga.sky.tiles import tile_pixels

PART = 2048
"""Objects whose cutouts are put on disk together: what is lost at most when a fetch is killed."""

_ORDER = 12
"""HEALPix order by which objects are sorted: neighbours on the sky come from the same bricks."""

NO_REDSHIFT, CONFLICT = "no redshift", "its redshifts disagree"
FIELD = "of a field that is left out"
OUTSIDE = "r magnitude outside the limits"
RLimits = tuple[float | None, float | None]

LEFT_OUT_COLUMNS = ("label_id", "ra", "dec", "z", "is_lowz", "reason")


@dataclass(frozen=True)
class PartedImages:
    """Images that lie in several arrays, indexed as if they were one.

    Parameters
    ----------
    parts : tuple of ndarray, each of shape (M, bands, size, size)
        Mostly memory-mapped; at least one.
    part, row : ndarray of int64, shape (N,)
        Where each image lies.
    """

    parts: tuple[NDArray[np.floating], ...]
    part: NDArray[np.int64]
    row: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, bands, size, size)."""
        return (len(self.part), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """That of all parts."""
        return self.parts[0].dtype

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.floating]:
        part, row = self.part[rows], self.row[rows]
        images = np.empty((len(part), *self.shape[1:]), dtype=self.parts[0].dtype)
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            # `take` lets other threads run while it waits for the disk; indexing does not.
            images[here] = self.parts[number].take(row[here], axis=0)
        return images


@dataclass(frozen=True)
class LabelledCutouts:
    """What can be learnt from.

    Parameters
    ----------
    images : PartedImages
        Cutouts of the N objects of `labels`.
    labels : DataFrame
        Rows of the labels that have a usable cutout, in the order of the images.
    left_out : DataFrame
        The other rows: columns `LEFT_OUT_COLUMNS`.
    """

    images: PartedImages
    labels: pd.DataFrame
    left_out: pd.DataFrame


def usable_labels(
    labels: pd.DataFrame, path: Path, r_limits: RLimits, fields: Collection[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide labels into those to fetch cutouts of, in the order of the sky, and the rest.

    Parameters
    ----------
    labels : DataFrame
        Of `xsaga.catalog.label_file.read_labels`.
    path : Path
        The file, for messages.
    r_limits : tuple of float or None
        Dereddened r; None: no limit. An object without r is in them.
    fields : collection of str
        Hosts, or numbers of groups, that are not learnt from.

    Returns
    -------
    wanted, left_out : DataFrame
        `left_out` has the reason in a column.

    Raises
    ------
    CatalogError
        Identifiers are not unique, or no label is of a field.
    """
    unseen = np.zeros(len(labels), dtype=bool)
    for field in fields:
        of_field = ((labels["host"] == field) | (labels["group"].astype(str) == field)).to_numpy()
        if not of_field.any():
            raise CatalogError(
                f"{path}: no label is of host or group {field!r}, which is to be left out; the "
                "columns host and group tell which there are"
            )
        unseen |= of_field
    twice = labels["label_id"].duplicated()
    if twice.any():
        raise CatalogError(
            f"{path}: label_id {labels['label_id'][twice].iloc[0]} stands there twice; make the "
            "labels anew with `xsaga labels`"
        )
    nameless = labels["z"].isna() & (labels["kind"] != "artefact")
    low, high = r_limits
    outside = labels["mag_r"] < (-np.inf if low is None else low)
    outside |= labels["mag_r"] > (np.inf if high is None else high)
    reason = np.select(
        [unseen, labels["conflict"], nameless, outside],
        [FIELD, CONFLICT, NO_REDSHIFT, OUTSIDE],
        default="",
    )
    wanted = labels[reason == ""]
    pixels = tile_pixels(wanted["ra"], wanted["dec"], _ORDER)
    order = np.lexsort((wanted["label_id"], pixels, wanted["group"]))
    left_out = labels.assign(reason=reason)[reason != ""]
    return wanted.iloc[order].reset_index(drop=True), left_out.reset_index(drop=True)


def separation_warning(record: Mapping[str, Any], path: Path, side: float) -> str:
    """Check that cutouts of different groups, so of different folds, share no pixels.

    Parameters
    ----------
    record : mapping
        Of the labels; one that tells no ``separation`` is believed.
    path : Path
        The file, for messages.
    side : float
        Of a cutout, arcsec.

    Returns
    -------
    str
        A warning where cutouts can share their corners; else empty.

    Raises
    ------
    CatalogError
        Any two cutouts as far apart as the labels may be share pixels.
    """
    apart, needed = float(record.get("separation", np.inf)), math.sqrt(2) * side
    anew = f"make them anew with `xsaga labels --separation {math.ceil(needed)}`"
    if apart < side:
        raise CatalogError(
            f"{path}: labels of different groups may be {apart:g} arcsec apart, where cutouts of "
            f"{side:.1f} arcsec share pixels, so that no fold is held out: {anew}"
        )
    if apart < needed:
        return (
            f"{path}: labels of different groups may be {apart:g} arcsec apart, where corners of "
            f"cutouts of {side:.1f} arcsec share pixels, so that what is held out may look too "
            f"good: {anew}"
        )
    return ""


def fetch_parts(
    paths: TrainingPaths,
    wanted: pd.DataFrame,
    imaging: Callable[[], CutoutSource],
    dtype: StoreDtype,
    advance: Callable[[int], None],
) -> None:
    """Put the cutouts of all objects on disk; parts that are there are left alone.

    Parameters
    ----------
    paths : TrainingPaths
        Where they go.
    wanted : DataFrame
        Of `usable_labels`.
    imaging : callable
        Gives the source of cutouts; called only when it is needed.
    dtype : {'float16', 'float32'}
        How pixels are kept.
    advance : callable
        Told how many more objects have their cutout.

    Raises
    ------
    ImagingError
        The imaging as a whole cannot be used, or the disk is full.
    """
    for number, some in enumerate(_parts(wanted)):
        part = paths.part(number)
        if part.cutout_index.is_file():
            advance(len(some))
            continue
        source = imaging()
        if not paths.release.is_file():
            with placed(paths.release) as temporary:
                temporary.write_text(source.release + "\n", encoding="utf-8")
        ra, dec = some["ra"].to_numpy(np.float64), some["dec"].to_numpy(np.float64)
        label_id = some["label_id"].to_numpy(np.int64)
        with CutoutWriter(part, label_id, source.spec, dtype) as writer:
            for batch in source.cutouts(ra, dec, label_id):
                writer.put(batch)
                advance(len(batch))


def forget_failed(paths: TrainingPaths, wanted: pd.DataFrame) -> int:
    """Make parts undone in which a cutout could not be had; give their number."""
    forgotten = 0
    for number, _ in enumerate(_parts(wanted)):
        part = paths.part(number)
        if not part.cutout_index.is_file():
            continue
        status = read_run_table(part.cutout_index, ["status"])["status"]
        if (status == CutoutStatus.FAILED).any():
            part.cutout_index.unlink()
            forgotten += 1
    return forgotten


def labelled_cutouts(
    paths: TrainingPaths, wanted: pd.DataFrame, left_out: pd.DataFrame, min_coverage: float
) -> LabelledCutouts:
    """Open the cutouts on disk and match them with their labels.

    Parameters
    ----------
    paths : TrainingPaths
        Where `fetch_parts` put them.
    wanted, left_out : DataFrame
        Of `usable_labels`; something must be wanted.
    min_coverage : float
        Least share of pixels with data, in every band.

    Returns
    -------
    LabelledCutouts
        No row of the labels is in neither table.

    Raises
    ------
    ImagingError
        Files are missing or damaged.
    """
    stored = [read_cutouts(paths.part(number)) for number, _ in enumerate(_parts(wanted))]
    index = pd.concat([each.index for each in stored], ignore_index=True)
    reason = why_unusable(index, min_coverage)
    usable = reason == ""
    part = np.repeat(np.arange(len(stored)), [len(each.index) for each in stored])
    columns = list(LEFT_OUT_COLUMNS)
    missed = wanted.assign(reason=reason)[~usable]
    return LabelledCutouts(
        PartedImages(
            tuple(each.images for each in stored),
            part[usable],
            index["row"].to_numpy(np.int64)[usable],
        ),
        wanted[usable].reset_index(drop=True),
        pd.concat([left_out[columns], missed[columns]], ignore_index=True),
    )


def only_judged(labels: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which objects a model is judged and calibrated on, but does not learn from.

    Where a simulated sky has galaxies added to learn from, many of them near, its own galaxies are
    nearly all far: a network that saw both would learn to tell the added ones by what is around
    them, and miss the near ones of any other sky.

    Parameters
    ----------
    labels : DataFrame
        N rows of labels.

    Returns
    -------
    ndarray of bool, shape (N,)
        The sky's own galaxies where others were added; else none.
    """
    added = labels["training"].to_numpy(bool)
    own = (labels["kind"] == "galaxy").to_numpy(bool) & ~labels["shred"].to_numpy(bool) & ~added
    return own if added.any() else np.zeros(len(labels), dtype=bool)


def side_tasks(labels: pd.DataFrame) -> pd.DataFrame:
    """Give what a network may learn beside the class: distance, colours, shape, morphology.

    Parameters
    ----------
    labels : DataFrame
        N rows of labels.

    Returns
    -------
    DataFrame
        N rows, NaN where a quantity is not known: log₁₀ z, r, g−r and r−z, log₁₀ of the radius in
        arcsec, b/a, Sérsic index, and the columns of `xsaga.catalog.redshift_catalogs.MORPHOLOGY`.
    """
    is_galaxy = labels["kind"].isin(["", "galaxy"]) & ~labels["shred"] & (labels["z"] > 0)
    radius = labels["radius"].where(labels["radius"] > 0)
    return pd.DataFrame(
        {
            "log z": np.log10(labels["z"].where(is_galaxy)),
            "r": labels["mag_r"],
            "g-r": labels["mag_g"] - labels["mag_r"],
            "r-z": labels["mag_r"] - labels["mag_z"],
            "log radius": np.log10(radius),
            "b/a": labels["ba"].where(radius.notna()),
            "sersic": labels["sersic"].where(radius.notna()),
            **labels[[name for name in labels.columns if name.startswith(MORPHOLOGY)]],
        }
    )


def _parts(wanted: pd.DataFrame) -> list[pd.DataFrame]:
    return [wanted.iloc[start : start + PART] for start in range(0, len(wanted), PART)]
