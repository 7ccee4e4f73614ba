"""How a list does by magnitude, surface brightness, colour and seeing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.evaluation.intervals import Estimate, rate

COLOUR_EDGES = (0.2, 0.4, 0.6, 0.8)
BRIGHTNESS_EDGES = (21.0, 22.0, 23.0, 24.0)
"""Edges between slices; the first and the last slice are open."""

MAGNITUDE_STEP = 0.5
SEEING_BINS = 4

NOT_KNOWN = "not known"

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slice:
    """Sources in one range of a quantity.

    Parameters
    ----------
    label : str
        The range in words; `NOT_KNOWN` for sources without a value.
    low, high : float
        Range; the lower end belongs to it. Infinite where it is open, NaN for `NOT_KNOWN`.
    labelled, lowz, selected : int
        Labelled sources, positives, and labelled sources in the list.
    base_rate, purity, completeness : Estimate
        With binomial intervals.
    mean_probability : float
        Of the labelled sources with a score; near the base rate where probabilities are right.
    """

    label: str
    low: float
    high: float
    labelled: int
    lowz: int
    selected: int
    base_rate: Estimate
    purity: Estimate
    completeness: Estimate
    mean_probability: float


@dataclass(frozen=True)
class Sliced:
    """A quantity in slices, which together hold every labelled source.

    Parameters
    ----------
    quantity, unit : str
        Which.
    slices : tuple of Slice
        From low to high; last those without a value, if there are some.
    skipped : str
        Why there are none; empty when there are.
    """

    quantity: str
    unit: str
    slices: tuple[Slice, ...]
    skipped: str = ""


def slice_all(
    sources: pd.DataFrame,
    probability: Floats,
    in_list: Mask,
    r_range: tuple[float, float],
    psf_missing: str,
) -> list[Sliced]:
    """Slice a list.

    Parameters
    ----------
    sources : DataFrame
        A population with its truth (`xsaga.evaluation.truth.join_labels`).
    probability : ndarray of float64, shape (N,)
        Of low redshift; NaN without a score.
    in_list : ndarray of bool, shape (N,)
        Which sources the list holds.
    r_range : tuple of float
        Magnitudes that the population spans.
    psf_missing : str
        Why the seeing may not be known.
    """
    steps = max(1, round((r_range[1] - r_range[0]) / MAGNITUDE_STEP))
    seeing = sources["psfsize_r"].to_numpy(np.float64)
    known = seeing[np.isfinite(seeing)]
    shares = np.linspace(0, 1, SEEING_BINS + 1)
    quantiles = np.unique(np.quantile(known, shares)) if len(known) else np.empty(0)
    wanted = (
        ("r", "mag", sources["mag_r"], np.linspace(*r_range, steps + 1), ""),
        (
            "sb_r",
            "mag/arcsec²",
            sources["sb_r"],
            np.array([-np.inf, *BRIGHTNESS_EDGES, np.inf]),
            "no source has a surface brightness",
        ),
        (
            "g−r",
            "mag",
            sources["mag_g"] - sources["mag_r"],
            np.array([-np.inf, *COLOUR_EDGES, np.inf]),
            "no source has a g−r colour",
        ),
        ("PSF FWHM in r", "arcsec", seeing, quantiles, psf_missing),
    )
    labelled = sources["labelled"].to_numpy(bool)
    lowz = sources["lowz"].to_numpy(bool)
    result = []
    for quantity, unit, column, edges, missing in wanted:
        values = np.asarray(column, np.float64)
        if len(edges) < 2 or not np.isfinite(values).any():
            result.append(Sliced(quantity, unit, (), missing or "it is not known"))
            continue
        slices = tuple(
            _slice((low, high), labelled & inside, lowz, probability, in_list)
            for low, high, inside in _ranges(values, edges)
            if np.isfinite([low, high]).any() or (labelled & inside).any()
        )
        result.append(Sliced(quantity, unit, slices))
    return result


def _ranges(values: Floats, edges: Floats) -> list[tuple[float, float, Mask]]:
    """Give each range and which values are in it; the last is that of the values that are NaN."""
    ranges = [
        (float(low), float(high), (values >= low) & ((values < high) | (high == edges[-1])))
        for low, high in pairwise(edges)
    ]
    return [*ranges, (float("nan"), float("nan"), np.isnan(values))]


def _label(low: float, high: float) -> str:
    if np.isnan(low):
        return NOT_KNOWN
    if np.isinf(low):
        return f"< {high:.3g}"
    return f"≥ {low:.3g}" if np.isinf(high) else f"{low:.3g} to {high:.3g}"


def _slice(
    span: tuple[float, float], inside: Mask, lowz: Mask, probability: Floats, in_list: Mask
) -> Slice:
    chosen = inside & in_list
    count, positives = int(inside.sum()), int((inside & lowz).sum())
    found = int((chosen & lowz).sum())
    scored = probability[inside & np.isfinite(probability)]
    return Slice(
        _label(*span),
        *span,
        count,
        positives,
        int(chosen.sum()),
        rate(positives, count),
        rate(found, int(chosen.sum())),
        rate(found, positives),
        float(scored.mean()) if len(scored) else float("nan"),
    )
