"""Tiers: rules that say which sources each takes, and taking them in order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xsaga.errors import ConfigError, nearest_name
from xsaga.targets.density import PixelAreas, evenly_dense

ALL = "all"
"""Condition that every source meets."""

_DENSITY = re.compile(r"(?P<number>\S+?)\s*(/|per)\s*(deg2|deg\^2|deg²)")
_LIMIT = re.compile(r"(?P<name>p|p_lowz|r|mag_r)\s*(?P<sign>>=|<=)\s*(?P<number>\S+)")


@dataclass(frozen=True)
class TierRule:
    """What a source must be for a tier to take it; all of it must hold.

    Parameters
    ----------
    words : str
        The rule as it was given.
    per_deg2 : float, optional
        Take only the best so many per square degree of those that meet the rest.
    p_min : float, optional
        Least `p_lowz`.
    r_min, r_max : float, optional
        Range of dereddened r magnitude, inclusive.
    cuts : tuple of str
        Named photometric cuts.
    """

    words: str
    per_deg2: float | None = None
    p_min: float | None = None
    r_min: float | None = None
    r_max: float | None = None
    cuts: tuple[str, ...] = ()

    @property
    def by_score(self) -> bool:
        """Whether the score decides: such a tier takes no source whose score is not trusted."""
        return self.per_deg2 is not None or self.p_min is not None


def parse_tier(words: str, cut_names: Sequence[str]) -> TierRule:
    """Read a rule.

    Parameters
    ----------
    words : str
        Conditions with commas between: ``20/deg2`` (the best per area), ``p>=0.5`` or a number,
        ``r>=19``, ``r<=21``, the name of photometric cuts, ``all``.
    cut_names : sequence of str
        Names of photometric cuts.

    Raises
    ------
    ConfigError
        A condition is none of these, comes twice, or its number makes no sense.
    """
    found: dict[str, float] = {}
    cuts: list[str] = []

    def note(name: str, text: str, low: float, high: float) -> None:
        try:
            number = float(text)
        except ValueError:
            number = np.nan
        if not low < number < high:
            limits = f"between {low:g} and {high:g}" if np.isfinite(high) else f"above {low:g}"
            raise ConfigError(f"tier {words!r}: {text} must be a number {limits}")
        if name in found:
            raise ConfigError(f"tier {words!r}: two conditions of one kind: give one")
        found[name] = number

    for condition in (part.strip() for part in words.split(",")):
        if density := _DENSITY.fullmatch(condition):
            note("per_deg2", density["number"], 0, np.inf)
        elif limit := _LIMIT.fullmatch(condition):
            if limit["name"] in ("p", "p_lowz"):
                if limit["sign"] == "<=":
                    raise ConfigError(f"tier {words!r}: give a lower limit, p>={limit['number']}")
                note("p_min", limit["number"], 0, 1)
            else:
                name = "r_min" if limit["sign"] == ">=" else "r_max"
                note(name, limit["number"], -50, 50)
        elif re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", condition):
            note("p_min", condition, 0, 1)
        elif condition in cut_names:
            cuts.append(condition)
        elif condition != ALL:
            raise ConfigError(
                f"tier {words!r}: unknown condition {condition!r}: "
                f"{nearest_name(condition, [*cut_names, ALL])} Or write N/deg2, p>=P, r>=MAG, "
                "r<=MAG"
            )
    return TierRule(words, cuts=tuple(cuts), **found)


@dataclass(frozen=True)
class Tiers:
    """The tiers of a list.

    Parameters
    ----------
    rules : tuple of TierRule
        Tier 1 first. A source goes into the first tier that takes it.
    priorities : tuple of int
        Priority of each tier, not ascending. The default is that of DESI's LOW_Z_TIER1 to
        LOW_Z_TIER3 (desitarget's secondary bits).

    Raises
    ------
    ConfigError
        When there is no tier, or priorities are not as said above.
    """

    rules: tuple[TierRule, ...]
    priorities: tuple[int, ...] = (80, 70, 60)

    def __post_init__(self) -> None:
        rules, priorities = self.rules, self.priorities
        if not rules:
            raise ConfigError("no tier: give at least one, e.g. --tier all")
        if len(rules) > np.iinfo(np.int16).max:
            raise ConfigError(f"{len(rules)} tiers: at most 32,767 can be")
        limits = [rule.p_min for rule in rules if rule == TierRule(rule.words, p_min=rule.p_min)]
        if any(a is not None and b is not None and a <= b for a, b in pairwise(limits)):
            raise ConfigError(
                f"tiers {[rule.words for rule in rules]}: give limits of p strictly descending, "
                "tier 1 first"
            )
        if len(priorities) < len(rules):
            raise ConfigError(
                f"priorities {list(priorities)}: there are {len(rules)} tiers, give one priority "
                "for each"
            )
        if not all(0 <= priority <= np.iinfo(np.int32).max for priority in priorities):
            raise ConfigError(f"priorities {list(priorities)}: each must be 0 or more")
        if any(low > high for high, low in pairwise(priorities)):
            raise ConfigError(
                f"priorities {list(priorities)}: a better tier cannot have the lower priority"
            )

    @classmethod
    def parse(
        cls, words: Sequence[str], priorities: Sequence[int], cut_names: Sequence[str]
    ) -> Tiers:
        """Read the tiers of a configuration; see `parse_tier`."""
        return cls(tuple(parse_tier(each, cut_names) for each in words), tuple(priorities))

    @property
    def cut_names(self) -> tuple[str, ...]:
        """Photometric cuts that the rules name, each once."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.cuts))

    @property
    def by_density(self) -> bool:
        """Whether a rule asks for an area."""
        return any(rule.per_deg2 is not None for rule in self.rules)


@dataclass(frozen=True)
class TierChoice:
    """What the rules look at: N sources, best first.

    Parameters
    ----------
    probability : ndarray of float, shape (N,)
        `p_lowz`.
    mag_r : ndarray of float, shape (N,)
        Dereddened; NaN meets no limit.
    trusted : ndarray of bool, shape (N,)
        Whether the score means something.
    passes : mapping of str to ndarray of bool, shape (N,)
        Which sources pass each of `Tiers.cut_names`.
    pixel : ndarray of int64, shape (N,)
        NESTED pixel of order ``areas.order``.
    areas : PixelAreas, optional
        Where to choose from; needed where a rule asks for a density.
    """

    probability: NDArray[np.floating]
    mag_r: NDArray[np.floating]
    trusted: NDArray[np.bool_]
    passes: Mapping[str, NDArray[np.bool_]]
    pixel: NDArray[np.int64]
    areas: PixelAreas | None = None

    def tiers(self, tiers: Tiers, eligible: NDArray[np.bool_]) -> NDArray[np.int16]:
        """Give each source the first tier that takes it.

        Parameters
        ----------
        tiers : Tiers
            The rules.
        eligible : ndarray of bool, shape (N,)
            Sources that may be in a tier.

        Returns
        -------
        ndarray of int16, shape (N,)
            From 1; 0 for sources that no tier takes.
        """
        tier = np.zeros(len(eligible), dtype=np.int16)
        for number, rule in enumerate(tiers.rules, start=1):
            free = eligible & (tier == 0) & self._meets(rule)
            if rule.per_deg2 is not None:
                if self.areas is None:
                    raise ConfigError(f"tier {rule.words!r}: the area is not known")
                free = evenly_dense(self.pixel, free, rule.per_deg2, self.areas)
            tier[free] = number
        return tier

    def _meets(self, rule: TierRule) -> NDArray[np.bool_]:
        meets = self.trusted.copy() if rule.by_score else np.ones(len(self.trusted), dtype=bool)
        if rule.p_min is not None:
            # In the precision of p_lowz: a float32 of 0.7 is in a tier that begins at 0.7.
            meets &= self.probability >= self.probability.dtype.type(rule.p_min)
        if rule.r_min is not None:
            meets &= self.mag_r >= rule.r_min
        if rule.r_max is not None:
            meets &= self.mag_r <= rule.r_max
        for name in rule.cuts:
            meets &= self.passes[name]
        return meets
