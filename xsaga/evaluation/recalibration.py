"""A calibration fitted on the sources that a run scored, for the logit that they were scored by.

In training a calibration can rest only on what single members say of objects that they did not
learn from, at the mix of the training's labels. Here it rests on the mean logit of the whole
ensemble, from which `p_lowz` is made, for sources of the very population that is searched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import EvaluationError
from xsaga.evaluation.exclusions import left_out_counts, why_left_out
from xsaga.evaluation.reliability import Reliability, reliability
from xsaga.evaluation.truth import Labels, join_labels, refuse_other_sky
from xsaga.model.calibration import Calibration, fit_calibration
from xsaga.model.scoring import ScoreFlag

FEWEST = 20
"""A calibration is not fitted on fewer sources of a class: with so many its slope is uncertain by
about a sixth."""

BINNING = "equal width"

UNLABELLED, UNFAMILIAR = "without a label", "unfamiliar to the model"
"""Why a scored source is left out, beside the reasons of `xsaga.evaluation.exclusions`."""


@dataclass(frozen=True)
class CalibrationSample:
    """Scored sources of known class.

    Parameters
    ----------
    logit : ndarray of float64, shape (N,)
        Mean of the members' logits.
    p_lowz : ndarray of float64, shape (N,)
        What the run said.
    positive : ndarray of bool, shape (N,)
        True below the labels' limit of redshift.
    positions : DataFrame
        N rows of ``ra``, ``dec`` (deg).
    left_out : dict of str to int
        Scored sources that are not in the sample, by the first reason that holds.
    """

    logit: NDArray[np.float64]
    p_lowz: NDArray[np.float64]
    positive: NDArray[np.bool_]
    positions: pd.DataFrame
    left_out: dict[str, int]


@dataclass(frozen=True)
class Recalibration:
    """A calibration and what it does on the sample that it was fitted on.

    Parameters
    ----------
    sample : CalibrationSample
        Fitted on.
    calibration : Calibration
        For the logits; both its rates are the share of positives in the sample.
    before, after : Reliability
        Of the run's probabilities and of the new ones, on the sample.
    """

    sample: CalibrationSample
    calibration: Calibration
    before: Reliability
    after: Reliability


def calibration_sample(scored: pd.DataFrame, labels: Labels, run: str) -> CalibrationSample:
    """Take the scored sources whose class is known.

    Parameters
    ----------
    scored : DataFrame
        Scored sources: ``source_id``, ``ra``, ``dec``, ``logit``, ``p_lowz``, ``score_flags``.
    labels : Labels
        What is known.
    run : str
        Name of the run in messages.

    Raises
    ------
    EvaluationError
        The labels are not of these sources, or leave fewer than `FEWEST` sources of a class.
    """
    joined, counts = join_labels(scored, labels)
    refuse_other_sky(labels, counts, run)
    unlabelled = ~joined["labelled"].to_numpy(bool)
    why = why_left_out(joined)
    flags = joined["score_flags"].to_numpy(np.int64)
    known = ~unlabelled & (why == "")
    unfamiliar = known & ((flags & ScoreFlag.UNFAMILIAR) != 0)
    used = joined[known & ~unfamiliar]
    positive = used["lowz"].to_numpy(bool)
    near, far = int(positive.sum()), int((~positive).sum())
    if min(near, far) < FEWEST:
        raise EvaluationError(
            f"{labels.path}: {near:,} sources of {run} that can be calibrated on are at "
            f"z < {labels.z_limit:g} and {far:,} beyond, {FEWEST} of each needed: give more labels"
        )
    return CalibrationSample(
        used["logit"].to_numpy(np.float64),
        used["p_lowz"].to_numpy(np.float64),
        positive,
        used[["ra", "dec"]],
        {
            UNLABELLED: int(unlabelled.sum()),
            **left_out_counts(why),
            UNFAMILIAR: int(unfamiliar.sum()),
        },
    )


def recalibrate(sample: CalibrationSample) -> Recalibration:
    """Fit a calibration on a sample.

    Raises
    ------
    EvaluationError
        Higher scores are not more likely positive.
    """
    calibration = fit_calibration(sample.logit, sample.positive)
    if calibration.slope <= 0:
        raise EvaluationError(
            f"higher scores are not more likely at low redshift (slope {calibration.slope:.3g}) "
            f"in these {len(sample.positive):,} sources: are the labels of these sources?"
        )
    return Recalibration(
        sample,
        calibration,
        reliability(sample.p_lowz, sample.positive, BINNING),
        reliability(calibration.probability(sample.logit), sample.positive, BINNING),
    )
