"""How a list does by magnitude, surface brightness, colour and seeing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.evaluation.intervals import Estimate, rate

COLOUR_EDGES = (-0.1, 0.2, 0.4, 0.6, 0.8, 1.1)
BRIGHTNESS_EDGES = (18.0, 21.0, 22.0, 23.0, 24.0, 27.0)
MAGNITUDE_STEP = 0.5
SEEING_BINS = 4


@dataclass(frozen=True)
class Slice:
    """Sources in one range of a quantity.

    Parameters
    ----------
    low, high : float
        Range; the lower end belongs to it.
    labelled, lowz, selected : int
        Labelled sources, positives, and labelled sources in the list.
    base_rate, purity, completeness : Estimate
        With binomial intervals.
    mean_probability : float
        Of the labelled sources with a score; near the base rate where probabilities are right.
    """

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
    """A quantity in slices.

    Parameters
    ----------
    quantity, unit : str
        Which.
    slices : tuple of Slice
        From low to high.
    skipped : str
        Why there are none; empty when there are.
    """

    quantity: str
    unit: str
    slices: tuple[Slice, ...]
    skipped: str = ""


def slice_all(
    sources: pd.DataFrame,
    probability: NDArray[np.float64],
    threshold: float,
    r_range: tuple[float, float],
    psf_missing: str,
) -> list[Sliced]:
    """Slice the list of sources at or above a threshold.

    Parameters
    ----------
    sources : DataFrame
        A population with its truth (`xsaga.evaluation.truth.join_labels`).
    probability : ndarray of float64, shape (N,)
        Scores; NaN without one.
    threshold : float
        Lowest score in the list.
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
    colour = (sources["mag_g"] - sources["mag_r"]).to_numpy(np.float64)
    wanted = (
        ("r", "mag", sources["mag_r"].to_numpy(np.float64), np.linspace(*r_range, steps + 1), ""),
        (
            "sb_r",
            "mag/arcsec²",
            sources["sb_r"].to_numpy(np.float64),
            np.array(BRIGHTNESS_EDGES),
            "no source has a surface brightness",
        ),
        ("g−r", "mag", colour, np.array(COLOUR_EDGES), "no source has a g−r colour"),
        ("PSF FWHM in r", "arcsec", seeing, quantiles, psf_missing),
    )
    labelled = sources["labelled"].to_numpy(bool)
    lowz = sources["lowz"].to_numpy(bool)
    result = []
    for quantity, unit, values, edges, missing in wanted:
        if len(edges) < 2 or not np.isfinite(values).any():
            result.append(Sliced(quantity, unit, (), missing or "it is not known"))
            continue
        last = edges[-1]
        slices = tuple(
            _slice(
                float(low),
                float(high),
                labelled & (values >= low) & (values <= high if high == last else values < high),
                lowz,
                probability,
                threshold,
            )
            for low, high in pairwise(edges)
        )
        result.append(Sliced(quantity, unit, slices))
    return result


def _slice(
    low: float,
    high: float,
    inside: NDArray[np.bool_],
    lowz: NDArray[np.bool_],
    probability: NDArray[np.float64],
    threshold: float,
) -> Slice:
    chosen = inside & (probability >= threshold)
    count, positives = int(inside.sum()), int((inside & lowz).sum())
    found = int((chosen & lowz).sum())
    scored = probability[inside & np.isfinite(probability)]
    return Slice(
        low,
        high,
        count,
        positives,
        int(chosen.sum()),
        rate(positives, count),
        rate(found, int(chosen.sum())),
        rate(found, positives),
        float(scored.mean()) if len(scored) else float("nan"),
    )
