"""What is judged: all sources of a run with their scores, and the area they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xsaga.model.novelty import Novelty
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
        ``sources.parquet``; as the run's target list has them ``p_lowz`` and ``rank`` (NaN without
        a score) and ``unfamiliar`` (bool); ``psfsize_r`` (arcsec; NaN where not known).
    base_rate : str
        What the probabilities are for, in words.
    unfamiliar_last : bool
        Whether unfamiliar sources are ranked after all others.
    z_limit : float or None
        Redshift below which the model's labels were positive; None where its card does not tell.
    novelty : Novelty or None
        What the model's card says of UNFAMILIAR; None where it says nothing.
    card_missing : str
        Why the model's card is not known; empty where it is.
    calibrated_on : int
        Labelled sources that lie where the model was calibrated.
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
    base_rate: str
    unfamiliar_last: bool
    z_limit: float | None
    novelty: Novelty | None
    card_missing: str
    calibrated_on: int
    area_deg2: float | None
    area_from: str
    psf_from: str
