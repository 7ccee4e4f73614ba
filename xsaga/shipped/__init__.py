"""Files that ship with xsaga: column maps, named footprints, the model and its card.

In a wheel they lie inside this package; in a checkout, at the top of the repository.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def _folder(name: str) -> Path:
    packaged = Path(str(files("xsaga.shipped"))) / name
    return packaged if packaged.is_dir() else packaged.parents[2] / name


def catalogs_folder() -> Path:
    """Folder of shipped column maps and footprints (``catalogs/`` of the repository)."""
    return _folder("catalogs")


def weights_folder() -> Path:
    """Folder of shipped models (``weights/`` of the repository)."""
    return _folder("weights")
