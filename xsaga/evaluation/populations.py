"""Everything that is measured of one population of sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.evaluation.curves import (
    COMPLETENESS_LEVELS,
    CurvePoint,
    FixedCompleteness,
    RankedSample,
    average_precision,
    completeness_curve,
    fixed_completeness,
    purity_at,
)
from xsaga.evaluation.intervals import (
    Estimate,
    PatchBootstrap,
    percentile_interval,
    rate,
    sky_patches,
)
from xsaga.evaluation.yardstick import RankedList, ranked_lists

HEADLINE_COMPLETENESS = 0.9
HEADLINE_DENSITY = 20.0
"""Targets per square degree."""

MODEL = "model"
REFERENCE_CUTS = "desi-lowz"

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class CutResult:
    """What a photometric cut selects of a population.

    Parameters
    ----------
    selected : int
        Sources.
    purity : Estimate
        Share of positives among its labelled sources: the efficiency of the cut.
    completeness : Estimate
        Share of the population's positives.
    """

    selected: int
    purity: Estimate
    completeness: Estimate


@dataclass(frozen=True)
class ScorerResult:
    """How one scorer does in a population.

    Parameters
    ----------
    scored : int
        Sources that have a score; positives without one count as missed.
    average_precision : Estimate
        Interval from the bootstrap by patch of sky.
    purity_at_completeness : list of FixedCompleteness
        For each of `COMPLETENESS_LEVELS`.
    purity_over_cuts : Estimate
        Purity at `HEADLINE_COMPLETENESS` over that of `REFERENCE_CUTS`, both of the same draws.
    purity_over_best_baseline : Estimate
        The same over the best trained baseline; NaN where there is none, and for baselines.
    ranked_lists : list of RankedList
        Empty where the area is not known.
    curve : list of CurvePoint
        Purity against completeness.
    """

    scored: int
    average_precision: Estimate
    purity_at_completeness: list[FixedCompleteness]
    purity_over_cuts: Estimate
    purity_over_best_baseline: Estimate
    ranked_lists: list[RankedList]
    curve: list[CurvePoint]

    @property
    def headline_purity(self) -> Estimate:
        """Purity at `HEADLINE_COMPLETENESS`."""
        return next(
            at.purity
            for at in self.purity_at_completeness
            if at.completeness == HEADLINE_COMPLETENESS
        )

    @property
    def headline_completeness(self) -> Estimate:
        """Completeness of near galaxies of `HEADLINE_DENSITY` targets per square degree."""
        found = [a.completeness for a in self.ranked_lists if a.per_deg2 == HEADLINE_DENSITY]
        return found[0] if found else Estimate(float("nan"))


@dataclass(frozen=True)
class PopulationResult:
    """What was measured of a population.

    Parameters
    ----------
    meaning : str
        Which sources, in words.
    sources, labelled, lowz, near : int
        All; those with a label; those at low redshift; those below `NEAR_Z` too.
    base_rate : Estimate
        Share of positives among labelled sources.
    patches : int
        Patches of sky in the bootstrap.
    best_baseline : str
        The trained baseline with the highest headline purity; empty where there is none.
    cuts : dict of str to CutResult
        By name.
    scorers : dict of str to ScorerResult
        The model and the trained baselines.
    """

    meaning: str
    sources: int
    labelled: int
    lowz: int
    near: int
    base_rate: Estimate
    patches: int
    best_baseline: str
    cuts: dict[str, CutResult]
    scorers: dict[str, ScorerResult] = field(default_factory=dict)


@dataclass(frozen=True)
class Population:
    """Sources with truth and scores.

    Parameters
    ----------
    meaning : str
        Which sources, in words.
    sources : DataFrame
        ``source_id``, ``ra``, ``dec``, ``rank`` (in the run's target list) and the truth of
        `xsaga.evaluation.truth.join_labels`, with ``near`` (low redshift and below `NEAR_Z`).
    scores : mapping of str to ndarray of float64, shape (N,)
        By scorer, `MODEL` first (`xsaga.evaluation.curves.ranking_score`); NaN without a score.
    passes : mapping of str to ndarray of bool, shape (N,)
        Which sources pass each named cut.
    """

    meaning: str
    sources: pd.DataFrame
    scores: Mapping[str, Floats]
    passes: Mapping[str, Mask]

    def mask(self, name: str) -> Mask:
        """Give a column of truth."""
        return self.sources[name].to_numpy(bool)


def measure(
    population: Population, area_deg2: float | None, resamples: int, seed: int
) -> PopulationResult:
    """Measure all scorers and cuts of a population that holds positives.

    Parameters
    ----------
    population : Population
        What to measure.
    area_deg2 : float, optional
        Area of the run; no ranked lists without it.
    resamples, seed : int
        Of the bootstrap.
    """
    lowz, labelled = population.mask("lowz"), population.mask("labelled")
    patch = sky_patches(population.sources["ra"], population.sources["dec"])
    patches = int(patch.max()) + 1
    bootstrap = PatchBootstrap.of(patches, resamples, seed)
    samples = {
        name: RankedSample.of(score, lowz, labelled, patch)
        for name, score in population.scores.items()
    }
    at_headline: dict[str, Callable[[Floats | None], float]] = {
        name: partial(_headline, sample) for name, sample in samples.items()
    }
    once = {name: statistic(None) for name, statistic in at_headline.items()}
    draws = {name: bootstrap.values(statistic) for name, statistic in at_headline.items()}
    cut = population.passes[REFERENCE_CUTS]
    counts = (
        np.bincount(patch[lowz & cut], minlength=patches).astype(np.float64),
        np.bincount(patch[labelled & cut], minlength=patches).astype(np.float64),
    )
    cut_once = _share(*counts, np.ones(patches))
    cut_draws = bootstrap.values(lambda weights: _share(*counts, weights))
    trained = {name: value for name, value in once.items() if name != MODEL and value == value}
    best = max(trained, key=lambda name: trained[name], default="")
    scorers = {}
    for name, sample in samples.items():
        over_best = Estimate(float("nan"))
        if name == MODEL and best:
            over_best = _ratio(once[name], draws[name], once[best], draws[best])
        scorers[name] = ScorerResult(
            scored=int(np.isfinite(sample.score).sum()),
            average_precision=percentile_interval(
                average_precision(sample), bootstrap.values(partial(average_precision, sample))
            ),
            purity_at_completeness=[
                fixed_completeness(sample, level, bootstrap) for level in COMPLETENESS_LEVELS
            ],
            purity_over_cuts=_ratio(once[name], draws[name], cut_once, cut_draws),
            purity_over_best_baseline=over_best,
            ranked_lists=_lists(population, name, area_deg2),
            curve=completeness_curve(sample),
        )
    return PopulationResult(
        meaning=population.meaning,
        sources=len(lowz),
        labelled=int(labelled.sum()),
        lowz=int(lowz.sum()),
        near=int(population.mask("near").sum()),
        base_rate=rate(int(lowz.sum()), int(labelled.sum())),
        patches=patches,
        best_baseline=best,
        cuts={
            name: CutResult(
                int(passed.sum()),
                rate(int((passed & lowz).sum()), int((passed & labelled).sum())),
                rate(int((passed & lowz).sum()), int(lowz.sum())),
            )
            for name, passed in population.passes.items()
        },
        scorers=scorers,
    )


def _headline(sample: RankedSample, weights: Floats | None) -> float:
    return purity_at(sample, HEADLINE_COMPLETENESS, weights)


def _share(found: Floats, judged: Floats, weights: Floats) -> float:
    total = float(judged @ weights)
    return float(found @ weights) / total if total else float("nan")


def _ratio(value: float, draws: Floats, by: float, by_draws: Floats) -> Estimate:
    with np.errstate(all="ignore"):
        ratio, spread = float(np.divide(value, by)), np.divide(draws, by_draws)
    if not np.isfinite(ratio):
        return Estimate(float("nan"))
    return percentile_interval(ratio, np.where(np.isfinite(spread), spread, np.nan))


def _lists(population: Population, name: str, area_deg2: float | None) -> list[RankedList]:
    if area_deg2 is None:
        return []
    delivered = -population.sources["rank"].to_numpy(np.float64)
    return ranked_lists(
        delivered if name == MODEL else population.scores[name],
        population.sources["source_id"].to_numpy(np.int64),
        population.mask("lowz"),
        population.mask("near"),
        population.mask("labelled"),
        area_deg2,
    )
