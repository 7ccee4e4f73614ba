"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from xsaga.run.status import RunCounts
from xsaga.targets.provenance import Provenance


@dataclass(frozen=True)
class ReportFacts:
    """All that the page of a run shows.

    Parameters
    ----------
    title : str
        Heading of the page.
    provenance : Provenance
        What the targets were made from.
    counts : RunCounts
        Where every row went.
    cutflow : DataFrame
        How many sources passed each step of the cuts; shown as it is.
    targets : DataFrame
        The whole ranked list, best first, with the columns that `REQUIRED` names.
    failures : DataFrame
        Candidates without a score; shown as it is, the first of them.
    pictures : mapping of int to bytes
        PNG of a target by `source_id`; targets without one get a placeholder.
    warnings : tuple of str
        What the user should know before trusting the list.
    top : int
        Targets shown with all their numbers.
    viewer_layer : str
        Layer that links to the Legacy Survey viewer open.
    base_rate : str
        Rate of nearby galaxies that the probabilities are for, in words; empty if not known.
    """

    title: str
    provenance: Provenance
    counts: RunCounts
    cutflow: pd.DataFrame
    targets: pd.DataFrame
    failures: pd.DataFrame
    pictures: Mapping[int, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    top: int = 60
    viewer_layer: str = "ls-dr9"
    base_rate: str = ""


REQUIRED = (
    "source_id",
    "ra",
    "dec",
    "p_lowz",
    "p_lowz_std",
    "rank",
    "tier",
    "mag_g",
    "mag_r",
    "mag_z",
    "coverage_g",
    "coverage_r",
    "coverage_z",
    "score_flags",
    "type",
)
"""Columns of the target list that the page shows."""
