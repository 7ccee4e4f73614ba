"""What there is to know about a score, in a place that needs no network to read it."""

from __future__ import annotations

from enum import IntFlag


class ScoreFlag(IntFlag):
    """What to know about a score; the bits never change their meaning."""

    PARTIAL = 1
    """Some pixels of the cutout hold no data."""
    LOW_COVERAGE = 2
    """Little of the cutout holds data: do not trust the score."""
    RESAMPLED = 4
    """The cutout was resampled to the model's pixel scale."""
    CLIPPED = 8
    """A pixel was too bright for the half-precision store and was clipped."""
    NOT_FINITE = 16
    """The image holds no pixels, or NaN or infinity; it has no score (NaN)."""
    UNFAMILIAR = 32
    """The cutout is unlike all that the model was trained on: do not trust the score."""
