"""FITS files that were cut short."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from astropy.utils.exceptions import AstropyUserWarning


@contextmanager
def truncation_refused() -> Iterator[None]:
    """Make astropy raise, not only warn, for a file that is shorter than its headers say.

    Other warnings of the block, on units for one, are silenced: they do not concern positions.

    Raises
    ------
    OSError
        When a FITS file opened in the block was cut short.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", ".*truncated", AstropyUserWarning)
        try:
            yield
        except AstropyUserWarning as warning:
            raise OSError(str(warning)) from warning
