"""The sky that baselines are trained on: a catalog read as a run reads it, with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from xsaga.catalog.readers import Catalog
from xsaga.catalog.sources import complete_sources
from xsaga.errors import EvaluationError
from xsaga.evaluation.baselines import TrainingSet
from xsaga.evaluation.exclusions import CONFLICT, UNKNOWN, left_out_counts, why_left_out
from xsaga.evaluation.intervals import PATCH_ORDER
from xsaga.evaluation.truth import Labels, join_labels
from xsaga.sky.tiles import tile_pixels

MARGIN = 0.25
"""Magnitudes beyond the evaluated range in which sources are trained on too."""

REPEATED = "with the identifier of an earlier row"


@dataclass(frozen=True)
class TrainingSky:
    """Catalog and labels of a training sky.

    Parameters
    ----------
    catalog : sequence of str
        Files, patterns or folders.
    labels : Labels
        Of their sources.
    """

    catalog: Sequence[str]
    labels: Labels


def read_training_set(
    sky: TrainingSky, r_range: tuple[float, float], evaluated: pd.DataFrame, labels: Labels
) -> TrainingSet:
    """Read the labelled sources of a training sky near a range of magnitudes.

    Of rows with the same identifier the first is taken, as a run does. Sources that were added to a
    simulated sky for training are taken too: that is what they are for.

    Parameters
    ----------
    sky : TrainingSky
        Catalog and labels to train on.
    r_range : tuple of float
        Evaluated range of r.
    evaluated : DataFrame
        Sources that will be judged: ``ra``, ``dec``.
    labels : Labels
        By what.

    Raises
    ------
    EvaluationError
        The labels are of another class, sky or sources or hold too few positives, or the training
        sky shares patches of sky with the evaluated sources: then nothing would be held out.
    CatalogError
        The catalog cannot be read.
    """
    if (sky.labels.z_limit, sky.labels.simulated) != (labels.z_limit, labels.simulated):
        kinds = [
            f"z < {each.z_limit:g} on a {'simulated' if each.simulated else 'real'} sky"
            for each in (sky.labels, labels)
        ]
        raise EvaluationError(
            f"{sky.labels.path}: labels of {kinds[0]}, for sources that are judged by labels of "
            f"{kinds[1]}: baselines must be trained for what they are judged by"
        )
    low, high = r_range[0] - MARGIN, r_range[1] + MARGIN
    parts = []
    for batch in Catalog.of(sky.catalog).batches():
        sources = complete_sources(batch.sources)
        parts.append(sources[sources["mag_r"].between(low, high)])
    rows = pd.concat(parts, ignore_index=True)
    sources = rows.drop_duplicates("source_id", ignore_index=True)
    joined, counts = join_labels(sources, sky.labels)
    if not joined["labelled"].any():
        raise EvaluationError(
            f"{sky.labels.path}: none of {counts.labels:,} labels is of a source of the training "
            f"catalog at {low:g} < r < {high:g}: give the labels of that sky"
        )
    shared = np.intersect1d(
        tile_pixels(sources["ra"], sources["dec"], PATCH_ORDER),
        tile_pixels(evaluated["ra"], evaluated["dec"], PATCH_ORDER),
    )
    if len(shared):
        raise EvaluationError(
            f"the training sky shares {len(shared)} patches of sky with the run: baselines must "
            "be trained elsewhere; without --baseline-training they are trained in folds"
        )
    why = why_left_out(joined)
    out = np.isin(why, (UNKNOWN, CONFLICT))
    reasons = {REPEATED: len(rows) - len(sources), **left_out_counts(why[out])}
    return replace(
        TrainingSet.of(joined[~out]),
        left_out={reason: count for reason, count in reasons.items() if count},
    )
