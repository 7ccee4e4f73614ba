"""The page of a run, from the finished files of its folder."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xsaga.config import RunConfig
from xsaga.imaging.rgb import png_bytes, viewer_rgb
from xsaga.imaging.store import read_cutouts
from xsaga.paths import RunPaths
from xsaga.report.facts import ReportFacts
from xsaga.report.page import write_report
from xsaga.run.folder import ranked_facts, read_partition, read_run_config
from xsaga.run.status import RunCounts, failure_table
from xsaga.sky.tiles import tile_pixels
from xsaga.targets.provenance import Provenance

TOP = 60
"""Targets shown with their picture."""


def write_run_report(
    paths: RunPaths, targets: pd.DataFrame, provenance: Provenance, counts: RunCounts
) -> None:
    """Write the page of a run that is ranked.

    Parameters
    ----------
    paths : RunPaths
        The run folder.
    targets : DataFrame
        The ranked list, best first.
    provenance : Provenance
        What the targets were made from.
    counts : RunCounts
        Where every row went.

    Raises
    ------
    MissingExtraError
        jinja2 is not installed.
    RunError
        The folder is not complete, or the page cannot be written.
    """
    config, summary = read_run_config(paths), read_partition(paths)
    facts = ReportFacts(
        title=f"xsaga targets: {paths.folder.resolve().name}",
        provenance=provenance,
        counts=counts,
        cutflow=summary.cut_flow.to_frame(),
        targets=targets,
        failures=failure_table(paths),
        pictures=_pictures(paths, targets.head(TOP), config.footprint.order),
        warnings=(*summary.warnings, *_warnings(config)),
        top=TOP,
        viewer_layer=config.imaging.layer,
        base_rate=ranked_facts(paths).base_rate,
    )
    write_report(facts, paths.report)


def _warnings(config: RunConfig) -> tuple[str, ...]:
    any_release = (
        "Any image release was allowed (--any-release): if the model was not made for this one, "
        "its probabilities are not calibrated."
    )
    return (any_release,) if config.model.any_release else ()


def _pictures(paths: RunPaths, best: pd.DataFrame, order: int) -> dict[int, bytes]:
    """PNG of the targets whose cutouts were kept."""
    pixels = tile_pixels(best["ra"], best["dec"], order)
    pictures: dict[int, bytes] = {}
    for pixel in np.unique(pixels).tolist():
        tile = paths.tile(order, pixel)
        if not tile.cutout_index.is_file():
            continue
        cutouts = read_cutouts(tile)
        wanted = best["source_id"][pixels == pixel]
        rows = cutouts.index[cutouts.index["source_id"].isin(wanted)]
        pictures |= {
            int(source): png_bytes(viewer_rgb(cutouts.images[row]))
            for source, row in zip(rows["source_id"], rows["row"], strict=True)
        }
    return pictures
