"""What is judged: all sources of a run with their scores, and the area they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xsaga.targets.provenance import WeightsRecord


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that is scored, read.

    Parameters
    ----------
    folder : Path
        The run folder, for its name; nothing is read from it.
    fingerprint : str
        Of the run.
    weights : WeightsRecord
        The model that gave the scores.
    sources : DataFrame
        Every source that entered a tile, by ascending ``source_id``: columns of
        ``sources.parquet``, ``p_lowz`` (NaN without a score) and ``psfsize_r`` (arcsec; NaN where
        not known).
    area_deg2 : float or None
        Area of the run.
    area_from : str
        How that is known, or why it is not.
    psf_from : str
        Name of the bricks table, or why there is no PSF.
    """

    folder: Path
    fingerprint: str
    weights: WeightsRecord
    sources: pd.DataFrame
    area_deg2: float | None
    area_from: str
    psf_from: str
