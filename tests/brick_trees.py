"""Small brick trees for tests: bricks of a few hundred pixels with whole numbers in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from xsaga.imaging.brick_tree import image_path, in_region
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutBatch
from xsaga.imaging.tangent import TangentGrid

BANDS = ("g", "r", "z")
SCALE = 0.262 / 3600


def brick_grid(ra: float, dec: float, size: int = 300) -> TangentGrid:
    """Grid of a brick: north up, centred on the brick."""
    middle = (size - 1) / 2
    return TangentGrid(ra, dec, middle, middle, (-SCALE, 0.0, 0.0, SCALE), size, size)


def grid_header(grid: TangentGrid) -> fits.Header:
    """FITS keywords of a grid."""
    keys = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    header.update({"CRVAL1": grid.ra, "CRVAL2": grid.dec})
    header.update({"CRPIX1": grid.x + 1, "CRPIX2": grid.y + 1})
    header.update(dict(zip(keys, grid.cd, strict=True)))
    return header


@dataclass
class TreeWriter:
    """Writes bricks below `root` and, at the end, the bricks tables."""

    root: Path
    listed: dict[str, list[tuple[str, float, float]]] = field(default_factory=dict)

    def path(self, region: str, brick: str, product: str, band: str) -> Path:
        """Where a file of a brick is."""
        return self.root / image_path(region, brick, product, band)

    def add(
        self,
        region: str,
        brick: str,
        grid: TangentGrid,
        image: NDArray[np.float64],
        invvar: NDArray[np.float64] | None = None,
        bands: tuple[str, ...] = BANDS,
    ) -> None:
        """Write the same pixels in all bands, times 1, 2, 3 …; whole numbers stay exact."""
        weights = np.ones_like(image) if invvar is None else invvar
        for number, band in enumerate(bands, start=1):
            for product, plane in (("image", image * number), ("invvar", weights)):
                self.write(self.path(region, brick, product, band), plane, grid)
        centre = grid.to_sky((grid.width - 1) / 2, (grid.height - 1) / 2)
        self.listed.setdefault(region, []).append((brick, float(centre[0]), float(centre[1])))

    @staticmethod
    def write(path: Path, plane: NDArray[np.float64], grid: TangentGrid) -> None:
        """Write one file, compressed as public coadds are; whole numbers without loss."""
        path.parent.mkdir(parents=True, exist_ok=True)
        exact = plane.astype(np.int32) if np.isfinite(plane).all() else plane.astype(np.float32)
        hdu = fits.CompImageHDU(
            exact,
            header=grid_header(grid),
            compression_type="RICE_1" if exact.dtype == np.int32 else "GZIP_1",
            tile_shape=(100, 100),
            quantize_level=0,
        )
        hdu.writeto(path, overwrite=True)

    def finish(self) -> Path:
        """Write the bricks tables; give the root of the tree."""
        for region, bricks in self.listed.items():
            table = Table(rows=bricks, names=("BRICKNAME", "RA", "DEC"))
            name = f"survey-bricks-test-{region}.fits.gz"
            table.write(self.root / in_region(region, name), overwrite=True)
        return self.root


def collect(source: BrickSource, ra: object, dec: object) -> CutoutBatch:
    """All cutouts in the order they were asked for; each must be answered exactly once."""
    ra_, dec_ = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    batches = list(source.cutouts(ra_, dec_, np.arange(len(ra_))))
    assert all(len(batch) <= 256 for batch in batches)
    index = np.concatenate([batch.index for batch in batches])
    assert sorted(index.tolist()) == list(range(len(ra_)))
    order = np.argsort(index)
    reason = [text for batch in batches for text in batch.reason]
    origin = [text for batch in batches for text in batch.origin]
    return CutoutBatch(
        index=index[order],
        images=np.concatenate([batch.images for batch in batches])[order],
        coverage=np.concatenate([batch.coverage for batch in batches])[order],
        status=np.concatenate([batch.status for batch in batches])[order],
        reason=[reason[place] for place in order],
        origin=[origin[place] for place in order],
    )
