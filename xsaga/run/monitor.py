"""`xsaga monitor`: what the published targets turned out to be.

Keys of ``monitor.json`` (numbers that cannot be measured are null; an *estimate* is an object of
``value``, ``low`` and ``high``, a 95 % interval, where a null end of a known one is infinite):

``format``, ``xsaga_version``
    Of the file and of the program.
``where``, ``simulated``, ``z_limit``, ``radius_arcsec``, ``redshifts``, ``weights``
    What was joined, and how.
``lists``
    The lists in force on nights with spectra: their targets by tier.
``spectra``
    What became of every row of the redshift files.
``tiers``, ``all``
    Targets, those observed, with a good redshift and near, each target once.
``gains``, ``published``
    Shares of tiers over those of the photometric ones; what DESI LOW-Z published.
``nights``
    The same numbers by night and tier, and summed up to each night (``total_…``).
``calibration``
    p_lowz against what was found; null where it is for another limit.
``drift``
    The sequential test (`xsaga.evaluation.sequential`); null as above.
``notes``
    What a reader should know first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xsaga import __version__
from xsaga.catalog.cuts import CUT_NAMES
from xsaga.errors import ConfigError, EvaluationError
from xsaga.evaluation.intervals import count_ratio
from xsaga.evaluation.json_types import plain
from xsaga.evaluation.reliability import reliability
from xsaga.evaluation.sequential import ALPHA, Drift, drift
from xsaga.evaluation.success import (
    PUBLISHED_TALLY,
    by_night,
    first_results,
    gains,
    tally,
)
from xsaga.run.monitor_files import Monitored, misses_table, nightly_table
from xsaga.run.monitor_notes import monitor_notes
from xsaga.run.observed_targets import ListInForce, ObservedTargets, join_spectra
from xsaga.run.published_lists import PublishedLists, night_text
from xsaga.run.read_spectra import Spectra, SpectraSettings, read_all_spectra
from xsaga.targets.tiers import parse_tier

FORMAT = 1


@dataclass(frozen=True)
class MonitorSettings:
    """How targets are judged.

    Parameters
    ----------
    spectra : SpectraSettings
        How redshifts are read.
    radius : float
        Arcseconds within which a spectrum is of a target.
    z_limit : float or None
        Nearer galaxies are what was looked for; None: the limit of the lists.
    alpha : float
        Chance that the test of drift ever raises a false alarm.
    misses : int
        At most so many confident misses of each kind are listed.
    """

    spectra: SpectraSettings = field(default_factory=SpectraSettings)
    radius: float = 1.0
    z_limit: float | None = None
    alpha: float = ALPHA
    misses: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ConfigError(f"a false-alarm rate of {self.alpha:g}: give one between 0 and 1")


def monitor(
    lists: PublishedLists, redshifts: Sequence[Path], settings: MonitorSettings
) -> Monitored:
    """Judge published targets by redshifts. Nothing is written.

    Raises
    ------
    CatalogError, TargetsError, RunError
        A file cannot be read.
    ConfigError
        The settings do not fit lists and redshifts.
    EvaluationError
        No spectrum is of a target, or what is simulated would be mixed with what is real.
    """
    spectra = read_all_spectra(redshifts, settings.spectra, lists)
    seen = join_spectra(lists, spectra.table, settings.radius, spectra.simulated)
    _refuse_no_match(seen, spectra, lists, settings.radius)
    limits = {used.provenance.weights.z_limit for used in seen.lists}
    z_limit = _z_limit(limits, settings.z_limit, lists)
    as_published = limits <= {z_limit}
    results = first_results(seen.spectra)
    near = results["good"] & ~results["other"] & (results["z"] < z_limit)
    results = results.assign(lowz=near.to_numpy(bool))
    totals = results[results["last"]]
    tiers = _tiers(seen)
    table = by_night(results, tiers)
    tallies = {tier: tally(totals[totals["tier"] == tier]) for tier in tiers}
    every = tally(totals)
    if not as_published:  # then p_lowz says nothing of what is found
        table[["expected", "total_expected"]] = np.nan
        tallies = {tier: replace(each, expected=np.nan) for tier, each in tallies.items()}
        every = replace(every, expected=np.nan)
    words = {tier: _words(seen.lists, tier) for tier in tiers}
    reference = _reference(seen.lists, tiers)
    calibration, test = _calibration(totals, settings.alpha) if as_published else (None, None)
    content = {
        "format": FORMAT,
        "xsaga_version": __version__,
        "where": str(lists.where),
        "simulated": spectra.simulated,
        "z_limit": z_limit,
        "star_z": settings.spectra.star_z,
        "radius_arcsec": settings.radius,
        "redshifts": spectra.files,
        "weights": list(dict.fromkeys(used.provenance.weights.name for used in seen.lists)),
        "lists": [_list(used) for used in seen.lists],
        "spectra": _fates(seen, spectra, results),
        "tiers": [
            {
                "tier": tier,
                "words": words[tier],
                "reference": tier in reference,
                "targets": seen.targets.get(tier, 0),
                **plain(tallies[tier]),
                "not_good": _not_good(totals[totals["tier"] == tier]),
                "found_over_expected": count_ratio(tallies[tier].lowz, tallies[tier].expected),
            }
            for tier in tiers
        ],
        "all": {
            "targets": sum(seen.targets.values()),
            **plain(every),
            "not_good": _not_good(totals),
            "other_class": int(totals["other"].sum()),
            "found_over_expected": count_ratio(every.lowz, every.expected),
        },
        "reference": {
            "tiers": reference,
            "photometric": _is_photometric(seen.lists, reference),
        },
        "gains": gains(tallies, reference),
        "published": [{"by": by, "share": value} for by, value in PUBLISHED_TALLY],
        "nights": _night_rows(table),
        "calibration": calibration,
        "drift": _drift_content(test),
        "notes": monitor_notes(seen, spectra, totals, z_limit, as_published=as_published),
    }
    return Monitored(
        plain(content),
        nightly_table(table, lists, seen, words),
        misses_table(totals, settings.misses, lists, simulated=spectra.simulated),
    )


def is_photometric(words: str) -> bool:
    """Tell whether the words of a tier name photometric cuts, and nothing of a score.

    A tier is a list of conditions such as ``20/deg2``, ``p>=0.5``, ``saga2`` or ``r<=21``
    (`xsaga.targets.tiers.parse_tier`).
    """
    try:
        rule = parse_tier(words, CUT_NAMES)
    except ConfigError:  # of a list that another version made
        return False
    return not rule.by_score and any(name != "none" for name in rule.cuts)


def _refuse_no_match(
    seen: ObservedTargets, spectra: Spectra, lists: PublishedLists, radius: float
) -> None:
    counts, rows = seen.counts, len(spectra.table)
    files = ", ".join(each.path for each in spectra.files)
    if rows == 0:
        raise EvaluationError(f"{files}: no redshifts: the table has no rows")
    if counts.before_first_list == rows:
        raise EvaluationError(
            f"{files}: all {rows:,} spectra are from before the first list of {lists.where} "
            f"({lists.lists[0].name}): none can be judged"
        )
    if counts.by_targetid + counts.by_position or not seen.targets:
        return
    elsewhere = (
        f" ({counts.id_elsewhere:,} have the TARGETID of a target elsewhere: another sky?)"
        if counts.id_elsewhere
        else ""
    )
    raise EvaluationError(
        f'{files}: none of {rows:,} spectra is of a target of {lists.where} within {radius:g}"'
        f"{elsewhere}: give redshifts of its targets, or a larger --radius"
    )


def _z_limit(limits: set[float], wanted: float | None, lists: PublishedLists) -> float:
    if wanted is not None:
        return wanted
    if len(limits) > 1:
        told = ", ".join(f"{limit:g}" for limit in sorted(limits))
        raise ConfigError(f"{lists.where}: lists are of z < {told}: give --z-limit")
    return limits.pop()


def _tiers(seen: ObservedTargets) -> list[int]:
    told = max((len(used.provenance.tiers) for used in seen.lists), default=0)
    return sorted({*range(1, told + 1), *seen.targets})


def _words(lists: Sequence[ListInForce], tier: int) -> str:
    """Tell what chose a tier, by the newest list."""
    told = lists[-1].provenance.tiers
    return told[tier - 1] if tier <= len(told) else ""


def _reference(lists: Sequence[ListInForce], tiers: Sequence[int]) -> tuple[int, ...]:
    """Tiers that others are compared with: the photometric ones of all lists, else the last."""
    found = [tier for tier in tiers if _is_photometric(lists, (tier,))]
    return tuple(found or tiers[-1:])


def _is_photometric(lists: Sequence[ListInForce], tiers: Sequence[int]) -> bool:
    return bool(tiers) and all(
        tier <= len(used.provenance.tiers) and is_photometric(used.provenance.tiers[tier - 1])
        for used in lists
        for tier in tiers
    )


def _list(used: ListInForce) -> dict[str, Any]:
    return {
        "name": used.name,
        "path": str(used.path),
        "created": used.provenance.created,
        "weights": used.provenance.weights.name,
        "tiers": list(used.provenance.tiers),
        "targets": used.targets,
    }


def _fates(seen: ObservedTargets, spectra: Spectra, results: pd.DataFrame) -> dict[str, int]:
    counts = seen.counts
    return {
        "rows": len(spectra.table),
        "before_first_list": counts.before_first_list,
        "of_no_target": counts.unmatched,
        "of_targets": len(seen.spectra),
        "by_targetid": counts.by_targetid,
        "by_position": counts.by_position,
        "id_elsewhere": counts.id_elsewhere,
        "first_good": int(results["good"].sum()),
        "not_good": int((~seen.spectra["good"].astype(bool)).sum()),
        "repeats": int(seen.spectra["good"].sum() - results["good"].sum()),
    }


def _not_good(totals: pd.DataFrame) -> dict[str, int]:
    """Targets without a good redshift, by reason."""
    failed = totals[~totals["good"].to_numpy(bool)]
    counts = failed["why_not"].astype(str).value_counts().sort_index()
    return {str(reason): int(count) for reason, count in counts.items()}


def _calibration(totals: pd.DataFrame, alpha: float) -> tuple[dict[str, Any], Drift]:
    """p_lowz against what was found, of targets whose score is to be trusted."""
    good = totals["good"].to_numpy(bool)
    trusted = ~totals["unfamiliar"].to_numpy(bool)
    judged = totals[good & trusted]
    p, lowz = judged["p_lowz"].to_numpy(np.float64), judged["lowz"].to_numpy(bool)
    test = drift(judged["night"].to_numpy(np.int64), p, lowz, alpha)
    found, expected = int(lowz.sum()), float(p.sum())
    content = {
        "redshifts": len(p),
        "unfamiliar_left_out": int((good & ~trusted).sum()),
        "lowz": found,
        "expected": expected,
        "found_over_expected": count_ratio(found, expected),
        "odds_factor": test.odds_factor,
        "reliability": [reliability(p, lowz, each) for each in ("equal width", "equal count")]
        if len(p)
        else [],
    }
    return content, test


def _drift_content(test: Drift | None) -> dict[str, Any] | None:
    if test is None:
        return None
    return {
        "alpha": test.alpha,
        "alarm_level": test.alarm_level,
        "alarm_night": None if test.alarm_night is None else night_text(test.alarm_night),
        "direction": test.direction,
        "since": None if test.since is None else night_text(test.since),
        "odds_factor_since": test.odds_factor_since,
        "p_value": test.p_value,
        "nights": [{**plain(each), "night": night_text(each.night)} for each in test.nights],
    }


def _night_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {**{str(name): value for name, value in row.items()}, "night": night_text(row["night"])}
        for row in table.to_dict("records")
    ]
