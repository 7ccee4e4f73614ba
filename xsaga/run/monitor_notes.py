"""What a reader of the monitor should know first."""

from __future__ import annotations

import pandas as pd

from xsaga.evaluation.yardstick import PUBLISHED_Z
from xsaga.run.observed_targets import ObservedTargets
from xsaga.run.read_spectra import Spectra


def monitor_notes(
    seen: ObservedTargets,
    spectra: Spectra,
    totals: pd.DataFrame,
    z_limit: float,
    *,
    as_published: bool,
) -> list[str]:
    """Write the notes.

    Parameters
    ----------
    seen : ObservedTargets
        Spectra of targets.
    spectra : Spectra
        All spectra.
    totals : DataFrame
        One row per observed target: ``good``, ``other``, ``lowz``.
    z_limit : float
        Nearer galaxies are what was looked for.
    as_published : bool
        Whether p_lowz is for that limit.
    """
    found = []
    if spectra.simulated:
        found.append("The redshifts are SIMULATED: nothing here was observed.")
    if not seen.targets:
        found.append("The lists hold no targets.")
    elif not totals["good"].any():
        found.append("No target has a good redshift yet.")
    found += spectra.warnings
    if seen.counts.before_first_list:
        found.append(
            f"{seen.counts.before_first_list:,} spectra are from before the first list and were "
            "not judged."
        )
    if seen.counts.id_elsewhere:
        found.append(
            f"{seen.counts.id_elsewhere:,} spectra have the TARGETID of a target elsewhere on the "
            "sky and were not matched by it."
        )
    others = int(totals["other"].sum())
    if others:
        found.append(
            f"{others:,} targets are of a class that cannot be near (a star, a quasar) and "
            "count as good redshifts that are not near."
        )
    if not as_published:
        found.append(
            f"p_lowz is not for z < {z_limit:g}: nothing is expected of it, and neither its "
            "calibration nor its drift can be told."
        )
    if z_limit != PUBLISHED_Z:
        found.append(
            f"Near is z < {z_limit:g} here, but z < {PUBLISHED_Z:g} in the published tally: they "
            "do not compare."
        )
    if len({used.provenance.tiers for used in seen.lists}) > 1:
        found.append(
            "The lists chose their tiers in different ways; the words are those of the newest."
        )
    return found
