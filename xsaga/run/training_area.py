"""Where on the sky a model learnt and was calibrated, kept beside its weights.

What is judged or calibrated on objects that the networks have seen looks better than it is; so do
probabilities that are judged on the objects that they were calibrated on.
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
"""HEALPix order of the areas: pixels of 14', between a cutout and a field of hosts."""


def write_area(path: Path, objects: pd.DataFrame) -> None:
    """Write the pixels that hold objects as a MOC.

    Parameters
    ----------
    path : Path
        `LEARNT_FILE` or `CALIBRATED_FILE` in the folder of a model, which is made if absent.
    objects : DataFrame
        What was learnt from or calibrated on: ``ra``, ``dec`` (deg); at least one.
    """
    pixels = np.unique(tile_pixels(objects["ra"], objects["dec"], ORDER)).astype(np.uint64)
    moc = MOC.from_healpix_cells(pixels, np.full(len(pixels), ORDER, np.uint8), ORDER)
    with placed(path) as temporary:
        moc.save(temporary, "fits", overwrite=True)


def read_area(path: Path) -> MocRegion | None:
    """Read an area that `write_area` wrote.

    Returns
    -------
    MocRegion or None
        None where there is no such file: the model does not tell.

    Raises
    ------
    FootprintError
        The file is damaged.
    """
    return MocRegion.from_file(path) if path.is_file() else None


def labelled_within(path: Path, simulated: bool, sources: pd.DataFrame, labels: Labels) -> int:
    """Count labelled sources in an area.

    Parameters
    ----------
    path : Path
        File of the area; none of the sources is in one that is not told.
    simulated : bool
        Whether the area is one of a simulated sky. The real sky and a simulated one share places,
        but no pixels: labels of the other have no source in it.
    sources : DataFrame
        Sources: ``source_id``, ``ra``, ``dec``.
    labels : Labels
        What is known of them; labels of no such source do not matter.

    Raises
    ------
    FootprintError
        The file is damaged.
    """
    area = read_area(path) if labels.simulated == simulated else None
    if area is None:
        return 0
    inside = sources[area.contains(sources["ra"], sources["dec"])].reset_index(drop=True)
    return int(join_labels(inside, labels)[0]["labelled"].sum()) if len(inside) else 0


def refuse_learnt(folder: Path, simulated: bool, sources: pd.DataFrame, labels: Labels) -> None:
    """Refuse labels of sources that lie where a model learnt.

    Parameters
    ----------
    folder : Path
        Of the model.
    simulated : bool
        Whether the model learnt from simulated images.
    sources : DataFrame
        Sources that would be judged or calibrated on: ``source_id``, ``ra``, ``dec``.
    labels : Labels
        What is known of them.

    Raises
    ------
    EvaluationError
        A labelled source lies where the model learnt.
    FootprintError
        The file of the area is damaged.
    """
    count = labelled_within(folder / LEARNT_FILE, simulated, sources, labels)
    if count:
        raise EvaluationError(
            f"{labels.path}: {count:,} of the labelled sources lie where the model learnt "
            f"({folder / LEARNT_FILE}): give labels of other fields"
        )
