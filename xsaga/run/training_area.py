"""The part of the sky that a model learnt from, kept beside its weights, and who must not be there.

What is judged or calibrated on objects that the networks have seen looks better than it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mocpy import MOC

from xsaga.errors import EvaluationError
from xsaga.evaluation.truth import Labels, join_labels
from xsaga.model.card import LEARNT_FILE
from xsaga.paths import placed
from xsaga.sky.pixel_regions import MocRegion
from xsaga.sky.tiles import tile_pixels

ORDER = 8
"""HEALPix order of the area: pixels of 14', between a cutout and a field of hosts."""


def write_learnt_area(folder: Path, objects: pd.DataFrame) -> None:
    """Write the pixels that hold objects as a MOC into a model's folder.

    Parameters
    ----------
    folder : Path
        Of the model; made if absent.
    objects : DataFrame
        What was learnt from: ``ra``, ``dec`` (deg); at least one.
    """
    pixels = np.unique(tile_pixels(objects["ra"], objects["dec"], ORDER)).astype(np.uint64)
    moc = MOC.from_healpix_cells(pixels, np.full(len(pixels), ORDER, np.uint8), ORDER)
    with placed(folder / LEARNT_FILE) as temporary:
        moc.save(temporary, "fits", overwrite=True)


def learnt_area(folder: Path) -> MocRegion | None:
    """Read where a model learnt.

    Parameters
    ----------
    folder : Path
        Of the model, see `xsaga.model.weights.model_folder`.

    Returns
    -------
    MocRegion or None
        None for a model that does not tell it, of an earlier xsaga.

    Raises
    ------
    FootprintError
        The file is damaged.
    """
    path = folder / LEARNT_FILE
    return MocRegion.from_file(path) if path.is_file() else None


def refuse_learnt(folder: Path, sources: pd.DataFrame, labels: Labels) -> None:
    """Refuse labels of sources that lie where a model learnt.

    Parameters
    ----------
    folder : Path
        Of the model.
    sources : DataFrame
        Sources that would be judged or calibrated on: ``source_id``, ``ra``, ``dec``.
    labels : Labels
        What is known of them; labels of no such source do not matter.

    Raises
    ------
    EvaluationError
        A labelled source lies in a pixel of `learnt_area`.
    FootprintError
        The file of the area is damaged.
    """
    area = learnt_area(folder)
    if area is None:
        return
    inside = sources[area.contains(sources["ra"], sources["dec"])].reset_index(drop=True)
    count = int(join_labels(inside, labels)[0]["labelled"].sum()) if len(inside) else 0
    if count:
        raise EvaluationError(
            f"{labels.path}: {count:,} of the labelled sources lie where the model learnt "
            f"({folder / LEARNT_FILE}): give labels of other fields"
        )
