"""What the project wants of a model, and whether a run reaches it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xsaga.evaluation.intervals import Estimate
from xsaga.evaluation.populations import HEADLINE_DENSITY, MODEL, PopulationResult
from xsaga.evaluation.reliability import JUDGED_ABOVE, Reliability

OVER_CUTS, OVER_BASELINE, NEAR = 15.0, 1.5, 0.94
"""Purity over the cuts', over the best baseline's; completeness of the ranked list."""

CALIBRATION_ERROR = 0.01
BINNING = "equal width"
"""Reliability diagram that the aims are for; in it each probability has its own bin."""

AT_LEAST, AT_MOST = "at least", "at most"


@dataclass(frozen=True)
class Aim:
    """One aim.

    Parameters
    ----------
    what : str
        Of which number.
    bound : {'at least', 'at most'}
        Which side of `aim` meets it.
    aim : float
        The number wanted.
    reached : Estimate
        The number measured.
    met : bool or None
        None where it was not measured.
    """

    what: str
    bound: str
    aim: float
    reached: Estimate
    met: bool | None


def aims(
    result: PopulationResult | None, diagrams: Sequence[Reliability], near_z: float
) -> list[Aim]:
    """Compare with the aims.

    Parameters
    ----------
    result : PopulationResult or None
        Of the sources that pass desi-lowz.
    diagrams : sequence of Reliability
        Of the headline population.
    near_z : float
        Redshift below which completeness of the ranked list is measured.
    """
    compared = [] if result is None else _of_lists(result, near_z)
    return compared + [aim for diagram in diagrams for aim in _of_reliability(diagram)]


def _of_lists(result: PopulationResult, near_z: float) -> list[Aim]:
    model = result.scorers[MODEL]
    return [
        _aim(
            "purity at 90 % completeness over that of desi-lowz", OVER_CUTS, model.purity_over_cuts
        ),
        _aim(
            "purity at 90 % completeness over the best baseline's",
            OVER_BASELINE,
            model.purity_over_best_baseline,
        ),
        _aim(
            f"completeness at z < {near_z:g} of {HEADLINE_DENSITY:g} targets per deg²",
            NEAR,
            model.headline_completeness,
        ),
    ]


def _of_reliability(diagram: Reliability) -> list[Aim]:
    if diagram.binning != BINNING:
        return []
    inside = diagram.agreeing / diagram.judged if diagram.judged else math.nan
    return [
        _aim(
            f"expected calibration error in bins of {diagram.binning}",
            CALIBRATION_ERROR,
            Estimate(diagram.expected_calibration_error),
            AT_MOST,
        ),
        _aim(
            f"share of the bins above p = {JUDGED_ABOVE:g} whose interval holds the mean p "
            f"({diagram.agreeing} of {diagram.judged})",
            1.0,
            Estimate(inside),
        ),
    ]


def _aim(what: str, aim: float, reached: Estimate, bound: str = AT_LEAST) -> Aim:
    value = reached.value
    met = None if math.isnan(value) else value >= aim if bound == AT_LEAST else value <= aim
    return Aim(what, bound, aim, reached, met)
