"""A tiny survey with the layout of the Legacy Surveys and bricks of a few hundred pixels.

For what reads or serves a tree without minding the size of its bricks.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from astropy.io import fits

BRICKS = {"1500p010": (150.125, 1.0), "0001p007": (0.001, 0.75)}
"""Names and centres; the second straddles RA = 0."""

SIZE = 300
SCALE = 0.262 / 3600
EMPTY_COLUMNS = 60
"""So many columns at the eastern edge (low x) hold no data."""

FLUX = {"g": 1.0, "r": 2.0, "z": 3.0}
"""Peak of the one source at the centre of each brick, nanomaggies per pixel."""


def write_small_survey(root: Path, *, region: str = "south", release: str = "dr9") -> Path:
    """Write the tree below `root`: its region, its tables and a table of the whole sky."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2
    for name, (ra, dec) in BRICKS.items():
        for band, flux in FLUX.items():
            noise = np.random.default_rng(len(name) + ord(band)).normal(0, 0.01, (SIZE, SIZE))
            image = flux * np.exp(-(x**2 + y**2) / (2 * 2.5**2)) + noise
            weight = np.full((SIZE, SIZE), 1e4)
            image[:, :EMPTY_COLUMNS] = weight[:, :EMPTY_COLUMNS] = 0
            folder = root / region / "coadd" / name[:3] / name
            folder.mkdir(parents=True, exist_ok=True)
            for product, pixels in (("image", image), ("invvar", weight)):
                hdu = fits.ImageHDU(pixels.astype(np.float32))
                hdu.header.update(
                    CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=ra, CRVAL2=dec,
                    CRPIX1=(SIZE + 1) / 2, CRPIX2=(SIZE + 1) / 2,
                    CD1_1=-SCALE, CD1_2=0.0, CD2_1=0.0, CD2_2=SCALE, FILTER=band,
                )  # fmt: skip
                path = folder / f"legacysurvey-{name}-{product}-{band}.fits.fz"
                fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    _write_table(root / region / f"survey-bricks-{release}-{region}.fits.gz", BRICKS)
    _write_table(root / "survey-bricks.fits.gz", BRICKS | {"2000m100": (200.1, -10.0)})
    return root


def _write_table(path: Path, bricks: dict[str, tuple[float, float]]) -> None:
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("brickname", "8A", array=np.array(list(bricks))),
            fits.Column("ra", "D", array=[ra for ra, _ in bricks.values()]),
            fits.Column("dec", "D", array=[dec for _, dec in bricks.values()]),
        ]
    )
    with gzip.open(path, "wb", compresslevel=1) as file:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
