"""The summary of a night: numbers for machines, at most 25 lines for mail or chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pandas as pd

from xsaga.run.nightly_changes import ADDED, CHANGED, REMOVED

MAX_LINES: Final = 25
_TIERS_SHOWN, _WORDS_SHOWN, _REMARKS_SHOWN = 5, 5, 3
_SHARE_LOST = 0.5


@dataclass(frozen=True)
class TierCount:
    """Targets of one tier.

    Parameters
    ----------
    tier : int
        1 = best.
    words : str
        What chose it; empty if not known.
    priority : int
        Of its targets.
    targets, before : int
        In this list and in the list before.
    """

    tier: int
    words: str
    priority: int
    targets: int
    before: int


@dataclass(frozen=True)
class NightSummary:
    """What a night with a new list has to tell; the keys of ``summary.json``.

    Parameters
    ----------
    night, list : str
        Date, and name of the list.
    previous : str
        Name of the list before; empty for the first.
    complete : bool
        Whether all candidates are done; if not, time ran out.
    run : str
        Run folder whose scores made the list.
    inputs : str
        Fingerprint of all that it was made from, but for the imaging.
    targets, targets_before : int
        In this list and in the list before.
    tiers : tuple of TierCount
        By tier.
    added, changed, removed : mapping of str to int
        How many sources, by why.
    not_targets : mapping of str to int
        Scored sources that are no targets, by reason.
    counts : mapping
        Where every row of the catalog went, as `xsaga status` counts.
    failed : mapping of str to int
        Candidates that could not be scored, by outcome.
    waiting : int
        Candidates that are not scored yet.
    carried_over : int
        Candidates with their score of an earlier night, because time ran out.
    tiles : mapping of str to int
        Tiles with candidates: kept, rescored, scored, waiting.
    exports : tuple of str
        Formats written.
    weights : mapping
        Name, SHA-256 and whether simulated.
    ranking : mapping
        Settings of the ranking.
    base_rate : str
        What the probabilities are for.
    area_deg2 : float or None
        Area that the targets were chosen from.
    warnings, to_do : tuple of str
        What looks wrong, and what to do about it.
    seconds : float
        Run time until the list was ready.
    peak_memory_mib : float
        Most memory that the process held.
    """

    night: str
    list: str
    previous: str
    complete: bool
    run: str
    inputs: str
    targets: int
    targets_before: int
    tiers: tuple[TierCount, ...]
    added: Mapping[str, int]
    changed: Mapping[str, int]
    removed: Mapping[str, int]
    not_targets: Mapping[str, int]
    counts: Mapping[str, Any]
    failed: Mapping[str, int]
    waiting: int
    carried_over: int
    tiles: Mapping[str, int]
    exports: tuple[str, ...]
    weights: Mapping[str, Any]
    ranking: Mapping[str, Any]
    base_rate: str
    area_deg2: float | None
    warnings: tuple[str, ...]
    to_do: tuple[str, ...]
    seconds: float
    peak_memory_mib: float
    status: str = field(default="published")

    def to_dict(self) -> dict[str, Any]:
        """Give JSON types."""
        return asdict(self)

    def format(self) -> str:
        """Give at most `MAX_LINES` lines of plain text."""
        return "\n".join(_lines(self)[:MAX_LINES])


def tier_counts(
    before: pd.DataFrame, after: pd.DataFrame, words: Sequence[str], priorities: Sequence[int]
) -> tuple[TierCount, ...]:
    """Count the targets of each tier of two lists; words and priorities are those of today."""
    old, new = (table["tier"].value_counts() for table in (before, after))
    tiers = sorted(set(old.index) | set(new.index) | set(range(1, len(words) + 1)))
    return tuple(
        TierCount(
            int(tier),
            words[tier - 1] if tier <= len(words) else "",
            priorities[tier - 1] if tier <= len(priorities) else 0,
            int(new.get(tier, 0)),
            int(old.get(tier, 0)),
        )
        for tier in tiers
    )


def reasons(changes: pd.DataFrame, what: str) -> dict[str, int]:
    """Count the sources of one kind of change by why, most first."""
    counts = changes.loc[changes["what"] == what, "why"].value_counts()
    return {str(why): int(count) for why, count in counts.items()}


def loss_warning(before: int, removed: Mapping[str, int]) -> str:
    """Say so when most of a list is gone: that is often a fault of the input; else empty."""
    lost = sum(removed.values())
    if before and lost > _SHARE_LOST * before:
        return f"{lost:,} of the {before:,} targets before are gone: make sure that is meant"
    return ""


def _lines(night: NightSummary) -> list[str]:
    totals = {
        what: sum(counts.values())
        for what, counts in (
            (ADDED, night.added),
            (CHANGED, night.changed),
            (REMOVED, night.removed),
        )
    }
    since = f"since {night.previous}" if night.previous else "the first list"
    title = (
        f"xsaga nightly {night.night}: {night.targets:,} targets in lists/{night.list} "
        f"(+{totals[ADDED]:,} -{totals[REMOVED]:,}, {totals[CHANGED]:,} changed, {since})"
    )
    lines = [title]
    if night.weights["simulated"]:
        lines.append("SIMULATED WEIGHTS: no basis for observing")
    if not night.complete:
        lines.append(
            f"OUT OF TIME: {night.tiles['waiting']} of {sum(night.tiles.values())} tiles are not "
            f"done: {night.carried_over:,} sources have an older night's score, "
            f"{night.waiting:,} wait"
        )
    lines += [_tier_line(tier) for tier in night.tiers[:_TIERS_SHOWN]]
    rest = night.tiers[_TIERS_SHOWN:]
    if rest:
        lines.append(f"  {len(rest)} more tiers: {sum(t.targets for t in rest):,} targets")
    for what, counts in (
        (ADDED, night.added),
        (CHANGED, night.changed),
        (REMOVED, night.removed),
    ):
        if counts:
            lines.append(f"{what} {totals[what]:,}: {_words(counts)}")
    if night.not_targets:
        lines.append(f"scored, but no targets: {_words(night.not_targets)}")
    tiles = ", ".join(f"{count} {name}" for name, count in night.tiles.items() if count)
    lines.append(
        f"{night.counts['candidates']:,} candidates, {night.counts['scored']:,} with a score; "
        f"tiles: {tiles or 'none'}"
    )
    if night.failed:
        lines.append(f"failed {sum(night.failed.values()):,}: {_words(night.failed)}")
    lines += _some("warning", night.warnings) + _some("to do", night.to_do)
    if night.exports:
        lines.append(f"exports: {', '.join(night.exports)}")
    lines.append(
        f"run time {duration(night.seconds)}, peak memory {night.peak_memory_mib:,.0f} MiB"
    )
    return lines


def _tier_line(tier: TierCount) -> str:
    difference = f" ({tier.targets - tier.before:+,})" if tier.targets != tier.before else ""
    words = f" {tier.words}" if tier.words else ""
    return f"  tier {tier.tier}{words}, priority {tier.priority}: {tier.targets:,}{difference}"


def _words(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{why} {count:,}" for why, count in ordered[:_WORDS_SHOWN]]
    others = sum(count for _, count in ordered[_WORDS_SHOWN:])
    return ", ".join(shown + ([f"others {others:,}"] if others else []))


def _some(title: str, texts: Sequence[str]) -> list[str]:
    more = len(texts) - _REMARKS_SHOWN
    shown = [f"{title}: {' '.join(text.split())}" for text in texts[:_REMARKS_SHOWN]]
    return shown + ([f"{title}: {more} more in summary.json"] if more > 0 else [])


def duration(seconds: float) -> str:
    """Seconds in words, e.g. ``2 h 03 min``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.0f} s"
