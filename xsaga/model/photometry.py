"""What a network takes from the catalog beside the cutout.

Magnitudes and sizes were measured by the survey with the point spread function, the weights and
the neighbours at hand. A network that is given them need not measure them again, and can spend its
convolutions on structure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.errors import ModelError

PHOTOMETRY = ("mag_r", "g-r", "r-z", "sb_r", "log radius", "ba", "sersic")
"""Quantities that `catalog_photometry` gives, in this order.

Magnitudes and colours are dereddened AB, ``sb_r`` is in mag arcsec⁻², ``log radius`` is log₁₀ of
the half-light radius in arcsec. Models depend on the order: it never changes.
"""

PHOTOMETRY_COLUMNS = ("mag_g", "mag_r", "mag_z", "sb_r", "radius", "ba", "sersic")
"""Columns of a table of sources that they come from."""

NO_PHOTOMETRY = "this network takes no photometry, it was made for images alone: leave it out"

DROPPED = 0.2
"""Share of the images that are learnt from without their photometry.

So a source whose photometry is not known is scored by its image, and the image always counts.
"""


def catalog_photometry(sources: pd.DataFrame) -> NDArray[np.float32]:
    """Give the photometry of sources as a network takes it.

    Parameters
    ----------
    sources : DataFrame
        N rows with `PHOTOMETRY_COLUMNS`: a table of sources, or of labels.

    Returns
    -------
    ndarray of float32, shape (N, len(PHOTOMETRY))
        NaN where a quantity is not known: what tells of the shape is not where there is no radius,
        as for point sources.
    """
    given = {name: sources[name].to_numpy(np.float64) for name in PHOTOMETRY_COLUMNS}
    has_shape = given["radius"] > 0
    radius = np.where(has_shape, given["radius"], np.nan)
    columns = {
        "mag_r": given["mag_r"],
        "g-r": given["mag_g"] - given["mag_r"],
        "r-z": given["mag_r"] - given["mag_z"],
        "log radius": np.log10(radius),
        **{name: np.where(has_shape, given[name], np.nan) for name in ("sb_r", "ba", "sersic")},
    }
    values = np.column_stack([columns[name] for name in PHOTOMETRY])
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32)


def never_known(photometry: NDArray[np.floating]) -> tuple[str, ...]:
    """Name the quantities that no source has.

    Parameters
    ----------
    photometry : ndarray, shape (N, len(PHOTOMETRY))
        Of `catalog_photometry`.
    """
    absent = np.isnan(photometry).all(axis=0)
    return tuple(name for name, gone in zip(PHOTOMETRY, absent, strict=True) if gone)


def checked_photometry(
    photometry: NDArray[np.floating] | None, count: int, quantities: int
) -> NDArray[np.float32] | None:
    """Refuse photometry that a network cannot take.

    Parameters
    ----------
    photometry : ndarray, shape (N, quantities), or None
        What was given.
    count : int
        N, the number of images.
    quantities : int
        That the network takes; 0 for the image alone.

    Returns
    -------
    ndarray of float32, shape (N, quantities), or None
        None where none was given.

    Raises
    ------
    ModelError
        If the network takes none, or the shape is another.
    """
    if photometry is None:
        return None
    if not quantities:
        raise ModelError(NO_PHOTOMETRY)
    if photometry.shape != (count, quantities):
        raise ModelError(
            f"photometry of shape {photometry.shape}: give ({count}, {quantities}), one row for "
            "each image"
        )
    return np.asarray(photometry, dtype=np.float32)
