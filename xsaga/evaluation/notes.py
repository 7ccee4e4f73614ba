"""What a reader of an evaluation should know first."""

from __future__ import annotations

from collections.abc import Mapping

from xsaga.evaluation.evaluated_run import EvaluatedRun
from xsaga.evaluation.truth import JoinCounts, Labels
from xsaga.evaluation.yardstick import PUBLISHED_Z

MANY_UNLABELLED = 0.05


def notes(
    run: EvaluatedRun,
    labels: Labels,
    counts: JoinCounts,
    left_out: Mapping[str, int],
    unlabelled: float,
    fate: str,
) -> list[str]:
    """Write the notes.

    Parameters
    ----------
    run : EvaluatedRun
        What is judged.
    labels : Labels
        By what.
    counts : JoinCounts
        How they met.
    left_out : mapping of str to int
        Sources in the range that nothing can be judged by, by reason.
    unlabelled : float
        Share of the judged sources that have no label.
    fate : str
        What is made of these, in words.
    """
    found = []
    if labels.simulated:
        found.append("The sky is SIMULATED: nothing here was observed.")
    if run.weights.simulated:
        found.append(f"The weights ({run.weights.name}) were trained on simulated images.")
    if run.weights.simulated != labels.simulated:
        found.append("Weights and labels are not of the same kind of sky, simulated or real.")
    if run.card_missing:
        found.append(f"Not checked against the model's card: {run.card_missing}.")
    if run.calibrated_on:
        found.append(
            f"{run.calibrated_on:,} labelled sources lie where the model was calibrated: the "
            "reliability of its probabilities is not held out and is no aim here."
        )
    if labels.z_limit != PUBLISHED_Z:
        found.append(
            f"Low redshift is z < {labels.z_limit:g} here, but z < {PUBLISHED_Z:g} in the "
            "published lists: their purities do not compare."
        )
    if unlabelled > MANY_UNLABELLED:
        found.append(f"{unlabelled:.0%} of the sources in the range have no label and {fate}.")
    found += [
        f"{count:,} labelled sources in the range are left out: {reason}."
        for reason, count in left_out.items()
        if count
    ]
    if counts.id_elsewhere:
        found.append(
            f"{counts.id_elsewhere:,} labels have the id of a source elsewhere on the sky and were "
            "not matched by it."
        )
    if run.area_deg2 is None:
        found.append(f"No ranked lists: the area is not known ({run.area_from}).")
    return found
