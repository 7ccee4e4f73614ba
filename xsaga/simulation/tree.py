"""Writing a Legacy Surveys tree: coadds, bricks tables, sweeps, the truth.

The same input gives the same bytes: no dates, dithering seeded by the brick, and no gzip stream
with a time stamp. Files carry SIMULAT = T in their header.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick
from xsaga.simulation.coadd_grid import CoaddGrid
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.galactic import region_of
from xsaga.simulation.observing.observe import Coadd
from xsaga.simulation.sky_model import BANDS

IMAGE_RELEASE = "xsaga-sim"
"""Name of the image release, in the headers of all simulated files."""

TILE_SHAPE = (100, 100)
"""Compression tiles, as those of the public coadds."""

NOISE_STEPS = 8.0
"""Quantisation steps per standard deviation of the sky: adds 0.07 % to its noise."""


INVVAR_STEP = 5e-5
"""Quantisation step over the sky's inverse variance: small beside the cores of bright stars too."""


def coadd_folder(root: Path, brick: Brick) -> Path:
    """Folder of one brick's coadds below the root of the tree."""
    return root / region_of(brick.ra, brick.dec) / "coadd" / brick.name[:3] / brick.name


def write_coadd(
    root: Path, brick: Brick, grid: CoaddGrid, coadd: Coadd, conditions: Conditions
) -> None:
    """Write images, inverse variances and maskbits of one brick.

    Parameters
    ----------
    root : Path
        Root of the tree.
    brick : Brick
        Which brick.
    grid : CoaddGrid
        Its pixels.
    coadd : Coadd
        Their values.
    conditions : Conditions
        Depth, which sets the quantisation, and PSF, for the header.
    """
    folder = coadd_folder(root, brick)
    folder.mkdir(parents=True)
    stem = f"legacysurvey-{brick.name}"
    for i, band in enumerate(BANDS):
        sigma = float(conditions.sky_sigma[i])
        header = _coadd_header(brick, grid)
        header["FILTER"] = (band, "Band")
        header["PSFSIZE"] = (round(conditions.fwhm[i], 4), "[arcsec] FWHM of the PSF")
        header["PSFDEPTH"] = (
            round(conditions.depth[i], 4),
            "[mag] 5-sigma depth of a point source",
        )
        header["NEXP"] = (conditions.exposures[i], "exposures in the coadd")
        header["MAGZERO"] = (22.5, "Magnitude zeropoint")
        for kind, pixels, step, unit in (
            ("image", coadd.image[i], sigma / NOISE_STEPS, "nanomaggy"),
            ("invvar", coadd.invvar[i], INVVAR_STEP / sigma**2, "1/nanomaggy^2"),
        ):
            header["IMTYPE"] = (kind, "LegacySurvey image type")
            header["BUNIT"] = (unit, "AB mag = 22.5 - 2.5*log10(nanomaggy)")
            compressed = fits.CompImageHDU(
                pixels,
                header,
                compression_type="RICE_1",
                tile_shape=TILE_SHAPE,
                quantize_level=-step,  # negative: an absolute step
                quantize_method=fits.hdu.compressed.SUBTRACTIVE_DITHER_2,  # keeps zeros exact
                dither_seed=1 + (brick.brickid + i) % 10000,
            )
            compressed.writeto(folder / f"{stem}-{kind}-{band}.fits.fz")
    header = _coadd_header(brick, grid)
    header["IMTYPE"] = ("maskbits", "LegacySurvey image type")
    fits.CompImageHDU(
        coadd.maskbits, header, compression_type="RICE_1", tile_shape=TILE_SHAPE
    ).writeto(folder / f"{stem}-maskbits.fits.fz")


def write_bricks_tables(
    root: Path, bricks: list[Brick], conditions: list[Conditions], ebv: list[float]
) -> None:
    """Write ``survey-bricks.fits.gz`` and a table of coverage for each region.

    Unlike the survey's, all list simulated bricks only.

    Parameters
    ----------
    root : Path
        Root of the tree.
    bricks : list of Brick
        All simulated bricks.
    conditions : list of Conditions
        Of each brick.
    ebv : list of float
        Reddening of each brick in mag.
    """
    geometry = {
        "BRICKNAME": np.array([brick.name for brick in bricks], dtype="S8"),
        "BRICKID": np.array([brick.brickid for brick in bricks], dtype=np.int32),
        "BRICKQ": np.array([brick.brickq for brick in bricks], dtype=np.int16),
        "BRICKROW": np.array([brick.row for brick in bricks], dtype=np.int32),
        "BRICKCOL": np.array([brick.col for brick in bricks], dtype=np.int32),
        "RA": np.array([brick.ra for brick in bricks]),
        "DEC": np.array([brick.dec for brick in bricks]),
        "RA1": np.array([brick.ra1 for brick in bricks]),
        "RA2": np.array([brick.ra2 for brick in bricks]),
        "DEC1": np.array([brick.dec1 for brick in bricks]),
        "DEC2": np.array([brick.dec2 for brick in bricks]),
    }
    _write_gzipped(root / "survey-bricks.fits.gz", Table(geometry))
    coverage: dict[str, NDArray[np.generic]] = {k.lower(): v for k, v in geometry.items()}
    coverage["area"] = np.array([brick.area_deg2 for brick in bricks])
    for i, band in enumerate(BANDS):
        coverage[f"nexp_{band}"] = np.array([c.exposures[i] for c in conditions], np.int16)
        coverage[f"psfsize_{band}"] = np.array([c.fwhm[i] for c in conditions], np.float32)
        coverage[f"psfdepth_{band}"] = np.array([c.depth[i] for c in conditions], np.float32)
    coverage["ebv"] = np.array(ebv, np.float32)
    regions = np.array([region_of(brick.ra, brick.dec) for brick in bricks])
    for region in sorted(set(regions.tolist())):
        path = root / region / f"survey-bricks-sim-{region}.fits.gz"
        _write_gzipped(path, Table(coverage)[regions == region])


def sweep_name(ra: float, dec: float) -> str:
    """Name of the sweep file of a position: boxes of 10° by 5°, by their corners."""
    ra1, dec1 = int(ra // 10 * 10), int(dec // 5 * 5)
    low, high = (f"{'p' if d >= 0 else 'm'}{abs(d):03d}" for d in (dec1, dec1 + 5))
    return f"sweep-{ra1:03d}{low}-{ra1 + 10:03d}{high}.fits"


def write_sweeps(root: Path, sources: Table) -> list[str]:
    """Write ``sweep/9.0/sweep-*.fits``, one per box that holds sources; return their names."""
    folder = root / "sweep" / "9.0"
    folder.mkdir(parents=True)
    names = np.array(
        [sweep_name(ra, dec) for ra, dec in zip(sources["RA"], sources["DEC"], strict=True)]
    )
    present = sorted(set(names.tolist()))
    for name in present:
        table = fits.BinTableHDU(sources[names == name], name="SWEEP")
        _mark(table.header)
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / name)
    return present


def write_truth(path: Path, truth: pd.DataFrame, settings: Mapping[str, object]) -> None:
    """Write the truth table as Parquet, the settings as JSON under ``xsaga.simulation``."""
    table = pa.Table.from_pandas(truth, preserve_index=False)
    record = json.dumps({"release": IMAGE_RELEASE, **settings}, sort_keys=True)
    metadata = {**(table.schema.metadata or {}), b"xsaga.simulation": record.encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")


def _coadd_header(brick: Brick, grid: CoaddGrid) -> fits.Header:
    header = fits.Header()
    _mark(header)
    header["BRICKNAM"] = (brick.name, "LegacySurvey brick RRRr[pm]DDd")
    header["BRICKID"] = (brick.brickid, "LegacySurvey brick id")
    header["RAMIN"] = (brick.ra1, "Brick RA min")
    header["RAMAX"] = (brick.ra2, "Brick RA max")
    header["DECMIN"] = (brick.dec1, "Brick Dec min")
    header["DECMAX"] = (brick.dec2, "Brick Dec max")
    # the survey writes the CD matrix, astropy would write PC and CDELT
    wcs = grid.wcs
    for i in (0, 1):
        header[f"CTYPE{i + 1}"] = (wcs.wcs.ctype[i], "TANgent plane")
        header[f"CRVAL{i + 1}"] = (float(wcs.wcs.crval[i]), "[deg] Reference RA, Dec")
        header[f"CRPIX{i + 1}"] = (float(wcs.wcs.crpix[i]), "Reference x, y")
        for j in (0, 1):
            header[f"CD{i + 1}_{j + 1}"] = (float(wcs.wcs.cd[i, j]), "CD matrix")
    header["EQUINOX"] = 2000.0
    return header


def _mark(header: fits.Header) -> None:
    """Say in a header that nothing here was observed."""
    header["SIMULAT"] = (True, "made by xsaga simulate, not observed")
    header["RELEASE"] = (IMAGE_RELEASE, "image release")
    header["SURVEY"] = ("simulated", "Survey name")


def _write_gzipped(path: Path, table: Table) -> None:
    hdu = fits.BinTableHDU(table)
    _mark(hdu.header)
    plain = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(plain)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(plain.getvalue(), mtime=0))
