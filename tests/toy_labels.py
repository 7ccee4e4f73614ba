"""Labelled objects with toy cutouts in FITS files, and the options to train on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits

from tests.toy_cutouts import toy_cutouts
from xsaga.catalog.label_file import write_labels

SIZE = 32


@dataclass(frozen=True)
class ToyLabels:
    """Where labels and cutouts are."""

    labels: Path
    files: Path

    @property
    def options(self) -> list[str]:
        """Options of a small and quick training on them."""
        return [
            *("--labels", str(self.labels)),
            *("--files", str(self.files)),
            *("--size", str(SIZE)),
            *("--release", "toy"),
            *("--device", "cpu"),
            *("--precision", "float32"),
            *("--folds", "2"),
            *("--epochs", "3"),
            *("--batch-size", "8"),
            *("--learning-rate", "0.01"),
            *("--seed", "3"),
        ]


def make_toy_labels(folder: Path, count: int = 96) -> ToyLabels:
    """Write labels of objects in 8 patches of sky, and their cutouts."""
    images, wide = toy_cutouts(count, SIZE, seed=31, dtype=np.float32)
    random = np.random.default_rng(32)
    number = np.arange(count)
    table = pd.DataFrame(
        {
            "label_id": 1000 + number,
            "ra": 150 + random.uniform(0, 1, count),
            "dec": 2 + random.uniform(0, 1, count),
            "z": np.where(wide, 0.01, 0.2),
            "z_quality": np.full(count, 4, np.int32),
            "is_lowz": wide,
            "shred": False,
            "training": False,
            "kind": "galaxy",
            **{
                name: random.uniform(18, 21, count).astype(np.float32)
                for name in ("mag_g", "mag_r", "mag_z", "sb_r", "radius", "ba", "sersic")
            },
            "source": "toy",
            "host": "",
            "group": number % 8,
            "n_matched": np.ones(count, np.int32),
            "conflict": False,
        }
    )
    files = folder / "files"
    files.mkdir(parents=True)
    for label_id, image in zip(table["label_id"], images, strict=True):
        fits.PrimaryHDU(image).writeto(files / f"{label_id}.fits")
    labels = folder / "labels.parquet"
    record = {"z_limit": 0.03, "min_quality": 3, "simulated": True}
    write_labels(labels, table, table.iloc[:0], record)
    return ToyLabels(labels, files)


def rewrite_labels(toys: ToyLabels, table: pd.DataFrame) -> None:
    """Put another table in place of the labels."""
    record = {"z_limit": 0.03, "min_quality": 3, "simulated": True}
    write_labels(toys.labels, table, table.iloc[:0], record)
