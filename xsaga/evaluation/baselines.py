"""What catalog photometry alone can do: forests and boosting on the same sources.

Three classifiers are trained on a training sky, or, where none is given, on the evaluated sky in
folds that keep patches of sky together:

* a random forest,
* histogram gradient boosting,
* a random forest that knows the errors of measurement, after the probabilistic random forest of
  Reis, Baron & Shahaf (2019): every source is a distribution, not a point. It is trained on noisy
  copies of the sources and gives the mean over noisy copies of those that it judges.

Classes are weighted to count the same. Hyper-parameters are chosen by the average precision in
folds of the training set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import EvaluationError, MissingExtraError
from xsaga.evaluation.curves import RankedSample, average_precision
from xsaga.evaluation.features import FEATURES, drawn_features, measured_features
from xsaga.evaluation.intervals import sky_patches

TRAINING_ROWS = 100_000
"""Most training sources: all positives and a random choice of the others."""

TUNING_ROWS = 20_000
"""Most sources that hyper-parameters are chosen on."""

TUNING_TREES, TREES = 60, 150
TUNING_FOLDS, FOLDS = 3, 5
TRAINING_COPIES, JUDGED_COPIES = 5, 8
"""Noisy copies of a source in training, and when it is judged."""

DIGITS = 12
"""Decimals of a score: sums that differ in the last bit only are equal scores."""

FEWEST_POSITIVES = 20
"""A classifier is not trained on fewer."""

FOREST, BOOSTING, PROBABILISTIC = (
    "random forest",
    "gradient boosting",
    "probabilistic random forest",
)
BASELINES = (FOREST, BOOSTING, PROBABILISTIC)

FOREST_CHOICES: tuple[dict[str, Any], ...] = tuple(
    {"min_samples_leaf": leaf, "max_features": "sqrt"} for leaf in (2, 5, 15)
)
BOOSTING_CHOICES: tuple[dict[str, Any], ...] = tuple(
    {"learning_rate": rate, "max_leaf_nodes": leaves, "l2_regularization": 1.0}
    for rate in (0.03, 0.1)
    for leaves in (8, 31)
)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Groups = NDArray[np.int64]
Features = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingSet:
    """Labelled sources that baselines learn from.

    Parameters
    ----------
    sources : DataFrame
        Columns of `xsaga.catalog.schema.SOURCE_FIELDS`.
    positive : ndarray of bool, shape (N,)
        True below the labels' limit of redshift.
    group : ndarray of int64, shape (N,)
        Patch of sky; a fold holds whole patches.
    left_out : mapping of str to int
        Sources that are not among them, by reason.
    """

    sources: pd.DataFrame
    positive: Mask
    group: Groups
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, joined: pd.DataFrame) -> TrainingSet:
        """Take the labelled ones of sources with their truth.

        Raises
        ------
        EvaluationError
            There are fewer than `FEWEST_POSITIVES` positives.
        """
        labelled = joined[joined["labelled"]].reset_index(drop=True)
        positive = labelled["lowz"].to_numpy(bool)
        if positive.sum() < FEWEST_POSITIVES:
            raise EvaluationError(
                f"{int(positive.sum())} labelled galaxies at low redshift to train the baselines "
                f"on, {FEWEST_POSITIVES} needed: give a larger training sky, or --no-baselines"
            )
        return cls(labelled, positive, sky_patches(labelled["ra"], labelled["dec"]))

    def take(self, rows: NDArray[np.intp] | Mask) -> TrainingSet:
        """Take some of the sources."""
        part = self.sources[rows] if rows.dtype == bool else self.sources.iloc[rows]
        return replace(
            self,
            sources=part.reset_index(drop=True),
            positive=self.positive[rows],
            group=self.group[rows],
        )

    def at_most(self, count: int, rng: np.random.Generator) -> TrainingSet:
        """All positives (half of `count` at most) and a random choice of the others."""
        if len(self.positive) <= count:
            return self
        near = rng.permutation(np.flatnonzero(self.positive))[: count // 2]
        far = rng.permutation(np.flatnonzero(~self.positive))[: count - len(near)]
        return self.take(np.sort(np.concatenate([near, far])))


@dataclass(frozen=True)
class BaselineScores:
    """Scores of the trained baselines.

    Parameters
    ----------
    scores : dict of str to ndarray of float64, shape (N,)
        By name, for the evaluated sources. They rank, they are no probabilities.
    facts : dict
        Features, training set and hyper-parameters, in JSON types.
    """

    scores: dict[str, Floats]
    facts: dict[str, Any]


def require_sklearn() -> None:
    """Refuse to go on without scikit-learn.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError("scikit-learn", "report") from None


def score_held_out(
    training: TrainingSet, evaluated: pd.DataFrame, seed: int, workers: int
) -> BaselineScores:
    """Train on one sky, judge another.

    Parameters
    ----------
    training : TrainingSet
        Of a sky that holds none of the evaluated sources.
    evaluated : DataFrame
        Sources to judge.
    seed : int
        Of everything random.
    workers : int
        Threads.
    """
    chosen = _tune(training, seed, workers)
    scores = _fit_and_score(training, evaluated, chosen, seed, workers)
    return BaselineScores(scores, _facts("a training sky", training, chosen))


def score_in_folds(joined: pd.DataFrame, seed: int, workers: int) -> BaselineScores:
    """Judge each source with classifiers trained on other patches of the same sky.

    Parameters
    ----------
    joined : DataFrame
        Sources with their truth.
    seed, workers : int
        As for `score_held_out`.

    Raises
    ------
    EvaluationError
        There are too few positives or patches.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    training = TrainingSet.of(joined)
    patches = len(np.unique(training.group[training.positive]))
    if patches < FOLDS:
        raise EvaluationError(
            f"low-redshift galaxies in {patches} patches of sky, {FOLDS} needed to train baselines "
            "in folds: give --baseline-training and --baseline-labels, or --no-baselines"
        )
    chosen = _tune(training, seed, workers)
    scores = {name: np.full(len(joined), np.nan) for name in BASELINES}
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    groups = sky_patches(joined["ra"], joined["dec"])
    for kept, out in folds.split(groups, joined["lowz"].to_numpy(bool), groups):
        fitted = _fit_and_score(
            TrainingSet.of(joined.iloc[kept]), joined.iloc[out], chosen, seed, workers
        )
        for name, values in fitted.items():
            scores[name][out] = values
    how = f"{FOLDS} folds of the evaluated sky that keep patches of sky together"
    return BaselineScores(scores, _facts(how, training, chosen))


def _facts(how: str, training: TrainingSet, chosen: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "trained_on": how,
        "training_sources": len(training.positive),
        "training_lowz": int(training.positive.sum()),
        "training_left_out": dict(training.left_out),
        "most_training_sources": TRAINING_ROWS,
        "features": list(FEATURES),
        "missing_values": "a value of their own at each split",
        "class_weights": "balanced",
        "noisy_copies": {"training": TRAINING_COPIES, "judged": JUDGED_COPIES},
        "hyperparameters": {
            FOREST: {"trees": TREES, **chosen[FOREST]},
            BOOSTING: {"iterations": TREES, **chosen[BOOSTING]},
            PROBABILISTIC: {"trees": TREES, **chosen[FOREST]},
        },
        "chosen_by": f"average precision in {TUNING_FOLDS} folds of at most {TUNING_ROWS} of them",
    }


def _forest(choice: dict[str, Any], trees: int, seed: int, workers: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        trees, class_weight="balanced_subsample", random_state=seed, n_jobs=workers, **choice
    )


def _boosting(choice: dict[str, Any], iterations: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=iterations,
        class_weight="balanced",
        early_stopping=False,
        random_state=seed,
        **choice,
    )


def _tune(training: TrainingSet, seed: int, workers: int) -> dict[str, dict[str, Any]]:
    """Choose hyper-parameters of forest and boosting."""
    sample = training.at_most(TUNING_ROWS, np.random.default_rng(seed))
    features = _kept(measured_features(training.sources))
    values = measured_features(sample.sources)[:, features]
    return {
        FOREST: _best(
            FOREST_CHOICES,
            lambda choice: _forest(choice, TUNING_TREES, seed, workers),
            values,
            sample,
            seed,
        ),
        BOOSTING: _best(
            BOOSTING_CHOICES, lambda choice: _boosting(choice, TREES, seed), values, sample, seed
        ),
    }


def _best(
    choices: tuple[dict[str, Any], ...],
    make: Callable[[dict[str, Any]], Any],
    values: Features,
    sample: TrainingSet,
    seed: int,
) -> dict[str, Any]:
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(TUNING_FOLDS, shuffle=True, random_state=seed)
    splits = [
        (kept, out)
        for kept, out in folds.split(values, sample.positive, sample.group)
        if sample.positive[kept].any() and sample.positive[out].any()
    ]
    precision = []
    for choice in choices:
        held_out = np.full(len(values), np.nan)
        for kept, out in splits:
            classifier = make(choice).fit(values[kept], sample.positive[kept])
            held_out[out] = _probability(classifier, values[out])
        precision.append(
            average_precision(
                RankedSample.of(held_out, sample.positive, np.isfinite(held_out), sample.group)
            )
        )
    return choices[int(np.nanargmax(precision))] if splits else choices[0]


def _fit_and_score(
    training: TrainingSet,
    evaluated: pd.DataFrame,
    chosen: dict[str, dict[str, Any]],
    seed: int,
    workers: int,
) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    training = training.at_most(TRAINING_ROWS, rng)
    values = measured_features(training.sources)
    features = _kept(values)
    judged = measured_features(evaluated)[:, features]
    scores = {}
    forest = _forest(chosen[FOREST], TREES, seed, workers)
    scores[FOREST] = _probability(forest.fit(values[:, features], training.positive), judged)
    boosting = _boosting(chosen[BOOSTING], TREES, seed)
    scores[BOOSTING] = _probability(boosting.fit(values[:, features], training.positive), judged)
    copies = [drawn_features(training.sources, rng)[:, features] for _ in range(TRAINING_COPIES)]
    forest = _forest(chosen[FOREST], TREES, seed, workers)
    # Each tree sees as many sources as one of the plain forest, drawn from all copies.
    forest.set_params(max_samples=1 / TRAINING_COPIES)
    forest.fit(np.concatenate(copies), np.tile(training.positive, TRAINING_COPIES))
    scores[PROBABILISTIC] = np.mean(
        [
            _probability(forest, drawn_features(evaluated, rng)[:, features])
            for _ in range(JUDGED_COPIES)
        ],
        axis=0,
    )
    return scores


def _kept(values: Features) -> NDArray[np.intp]:
    """Features that vary: a catalog may lack some altogether."""
    with np.errstate(all="ignore"):
        known = np.isfinite(values)
        lowest = np.where(known, values, np.inf).min(axis=0)
        highest = np.where(known, values, -np.inf).max(axis=0)
    return np.flatnonzero(highest > lowest)


def _probability(classifier: Any, values: Features) -> Floats:
    """Probability of True, the same whatever the number of threads."""
    # A forest's threads add the trees' probabilities in the order in which they get done, and
    # sums of floating-point numbers depend on the order: one thread has only one order.
    if hasattr(classifier, "n_jobs"):
        classifier.set_params(n_jobs=1)
    probability = np.asarray(classifier.predict_proba(values)[:, 1], np.float64)
    return np.round(probability, DIGITS)
