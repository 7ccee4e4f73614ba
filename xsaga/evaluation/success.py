"""How many targets were what the list promised: shares by tier and night, gain, surprises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xsaga.evaluation.intervals import Estimate, rate_ratio, share, wilson

PUBLISHED_TALLY = (
    ("CNN", 0.201),
    ("photometric", 0.015),
    ("photometric", 0.009),
)
"""Share of DESI LOW-Z targets at z < 0.03, by what selected them: the survey's own tally by
night, as the project's facts quote it."""


@dataclass(frozen=True)
class Tally:
    """What became of observed targets; each counts once.

    Parameters
    ----------
    observed : int
        Targets with a spectrum.
    good : int
        Those with a good redshift.
    lowz : int
        Those of these below the limit.
    success : Estimate
        ``good / observed``.
    share : Estimate
        ``lowz / good``: what is known of the targets that gave a redshift, no more.
    expected : float
        Sum of p_lowz over the good redshifts.
    """

    observed: int
    good: int
    lowz: int
    success: Estimate
    share: Estimate
    expected: float


@dataclass(frozen=True)
class Gain:
    """How many times as large a share one tier has as others.

    Parameters
    ----------
    tier : int
        The tier.
    over : tuple of int
        The tiers that it is compared with, taken together.
    ratio : Estimate
        Ratio of the shares with its score interval.
    """

    tier: int
    over: tuple[int, ...]
    ratio: Estimate


def first_results(spectra: pd.DataFrame) -> pd.DataFrame:
    """Reduce spectra to what they say of each target on each night, until it has a redshift.

    Within a night the best spectrum of a target stands for it. The first night with a good
    redshift decides, and later spectra say nothing more: an outcome that could still change would
    make the sequential test (`xsaga.evaluation.sequential`) wrong.

    Parameters
    ----------
    spectra : DataFrame
        ``target`` (what tells targets apart), ``night`` (YYYYMMDD; 0: not known, comes first),
        ``good`` (bool), ``delta_chi2`` (NaN: not known) and ``z_quality``. The best is a good one,
        then that of highest ``delta_chi2``, then of highest ``z_quality``, then the first.

    Returns
    -------
    DataFrame
        One row per target and night up to the first good one, by night, with ``last`` (bool):
        whether it is the target's last row, which stands for it in a total.
    """
    order = np.lexsort(
        (
            -spectra["z_quality"].to_numpy(np.float64),
            np.nan_to_num(-spectra["delta_chi2"].to_numpy(np.float64), nan=np.inf),
            ~spectra["good"].to_numpy(bool),
            spectra["night"].to_numpy(),
        )
    )
    ordered = spectra.iloc[order]
    results = ordered[~ordered.duplicated(["target", "night"])]
    good = results["good"].to_numpy(bool)
    settled = pd.Series(np.where(good, results["night"], np.iinfo(np.int64).max), results.index)
    first_good = settled.groupby(results["target"].to_numpy()).transform("min").to_numpy()
    results = results[results["night"].to_numpy() <= first_good]
    results = results.reset_index(drop=True)
    last: pd.DataFrame = results.assign(last=~results.duplicated("target", keep="last"))
    return last


def tally(results: pd.DataFrame) -> Tally:
    """Count targets.

    Parameters
    ----------
    results : DataFrame
        One row per target: ``good``, ``lowz`` (bool), ``p_lowz``.
    """
    good = results["good"].to_numpy(bool)
    lowz = good & results["lowz"].to_numpy(bool)
    n_good, n_lowz = int(good.sum()), int(lowz.sum())
    return Tally(
        len(results),
        n_good,
        n_lowz,
        share(n_good, len(results)),
        share(n_lowz, n_good),
        float(results["p_lowz"].to_numpy(np.float64)[good].sum()),
    )


def by_night(results: pd.DataFrame, tiers: Sequence[int]) -> pd.DataFrame:
    """Count by night and tier, each night by itself and all nights up to it.

    Parameters
    ----------
    results : DataFrame
        Of `first_results`, with ``tier``, ``lowz`` and ``p_lowz``.
    tiers : sequence of int
        Tiers to tell of, also where a night has none.

    Returns
    -------
    DataFrame
        A row for each night and tier: ``night``, ``tier``, ``observed``, ``good``, ``lowz``,
        ``expected``, ``share`` with ``share_low`` and ``share_high`` (Wilson), and the same as
        ``total_good``, ``total_lowz``, ``total_expected``, ``total_share``, … of all nights so
        far.
    """
    good = results["good"].to_numpy(bool)
    counted = pd.DataFrame(
        {
            "night": results["night"].to_numpy(np.int64),
            "tier": results["tier"].to_numpy(np.int64),
            "observed": 1,
            "good": good.astype(np.int64),
            "lowz": (good & results["lowz"].to_numpy(bool)).astype(np.int64),
            "expected": np.where(good, results["p_lowz"].to_numpy(np.float64), 0.0),
        }
    )
    nights = np.unique(counted["night"])
    cells = pd.MultiIndex.from_product([nights, tiers], names=["night", "tier"])
    summed: pd.DataFrame = counted.groupby(["night", "tier"]).sum()
    table = summed.reindex(cells, fill_value=0).reset_index()
    _add_shares(table, "")
    for name in ("good", "lowz", "expected"):
        table[f"total_{name}"] = table.groupby("tier")[name].cumsum()
    _add_shares(table, "total_")
    return table


def gains(tallies: dict[int, Tally], reference: tuple[int, ...]) -> tuple[Gain, ...]:
    """Compare every other tier with each reference tier and with all of them together.

    Parameters
    ----------
    tallies : dict of int to Tally
        By tier.
    reference : tuple of int
        Tiers that are compared with.
    """
    together = [reference] if len(reference) > 1 else []
    return tuple(
        Gain(tier, over, _ratio(tallies[tier], [tallies[each] for each in over]))
        for tier in sorted(set(tallies) - set(reference))
        for over in [*((each,) for each in reference), *together]
    )


def surprises(results: pd.DataFrame, count: int) -> pd.DataFrame:
    """List the redshifts that the probabilities expected least, to look at.

    Parameters
    ----------
    results : DataFrame
        One row per target: ``good``, ``lowz``, ``p_lowz``, ``tier``.
    count : int
        At most so many of each kind.

    Returns
    -------
    DataFrame
        The rows with ``surprise`` added: 'far' (a high ``p_lowz`` at or above the limit, the
        highest first), then 'near' (a low one below the limit, the lowest first; not in tier 1
        where there are others).
    """
    good, lowz = results["good"].to_numpy(bool), results["lowz"].to_numpy(bool)
    tier = results["tier"].to_numpy()
    late = (tier > 1) | bool((tier == 1).all())
    p = results["p_lowz"].to_numpy(np.float64)
    far, near = np.flatnonzero(good & ~lowz), np.flatnonzero(good & lowz & late)
    far = far[np.argsort(-p[far], kind="stable")][:count]
    near = near[np.argsort(p[near], kind="stable")][:count]
    listed: pd.DataFrame = results.iloc[np.concatenate([far, near])].reset_index(drop=True)
    return listed.assign(surprise=np.repeat(["far", "near"], [len(far), len(near)]))


def _add_shares(table: pd.DataFrame, prefix: str) -> None:
    lowz, good = table[f"{prefix}lowz"].to_numpy(), table[f"{prefix}good"].to_numpy()
    low, high = wilson(lowz, good)
    table[f"{prefix}share"] = np.where(good > 0, lowz / np.maximum(good, 1), np.nan)
    table[f"{prefix}share_low"], table[f"{prefix}share_high"] = low, high


def _ratio(above: Tally, below: Sequence[Tally]) -> Estimate:
    return rate_ratio(
        above.lowz, above.good, sum(each.lowz for each in below), sum(each.good for each in below)
    )
