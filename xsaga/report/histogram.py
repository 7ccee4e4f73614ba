"""Where the bars of a histogram go, for the page to draw as SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram, in SVG units, with the text that names it."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in SVG units."""

    at: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Counts of probabilities on a logarithmic scale.

    Parameters
    ----------
    width, height : float
        Size of the plotting area in SVG units.
    bars : tuple of Bar
        Bins that are not empty.
    across, up : tuple of Tick
        Ticks of the two axes.
    """

    width: float
    height: float
    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def probability_histogram(
    probability: NDArray[np.floating],
    *,
    bins: int = 20,
    width: float = 600,
    height: float = 300,
) -> Histogram:
    """Place a histogram of probabilities from 0 to 1.

    Parameters
    ----------
    probability : ndarray, shape (N,)
        Values from 0 to 1.
    bins : int
        Number of equal bins.
    width, height : float
        Size of the plotting area in SVG units.

    Returns
    -------
    Histogram
        A bar's height goes with log10(1 + count): a single source can be seen beside a million.
    """
    counts, edges = np.histogram(probability, bins=bins, range=(0, 1))
    tallest = max(int(counts.max(initial=0)), 1)
    heights = np.log10(1 + counts) / np.log10(1 + tallest) * height
    bars = tuple(
        Bar(
            x=round(float(low * width) + 1, 2),
            y=round(float(height - up), 2),
            width=round(float((high - low) * width) - 2, 2),
            height=round(float(up), 2),
            label=f"{low:.2f} to {high:.2f}: {count:,}",
        )
        for low, high, up, count in zip(edges[:-1], edges[1:], heights, counts, strict=True)
        if count
    )
    decades = [10**power for power in range(len(str(tallest)))]
    up_ticks = tuple(
        Tick(round(height * float(1 - np.log10(1 + n) / np.log10(1 + tallest)), 2), f"{n:,}")
        for n in decades
    )
    across = tuple(Tick(round(width * fifth / 5, 2), f"{fifth / 5:.1f}") for fifth in range(6))
    return Histogram(width, height, bars, across, up_ticks)
