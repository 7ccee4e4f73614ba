"""One cutout as a file to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from xsaga.errors import ImagingError
from xsaga.imaging.cutouts import CutoutBatch, CutoutSource, CutoutStatus
from xsaga.imaging.rgb import viewer_rgb, write_png
from xsaga.paths import placed

SUFFIXES = (".fits", ".png")


def write_cutout(source: CutoutSource, ra: float, dec: float, path: Path) -> str:
    """Get one cutout and write it.

    Parameters
    ----------
    source : CutoutSource
        Where to take it from.
    ra, dec : float
        Position in degrees.
    path : Path
        ``.fits`` for nanomaggies per pixel (bands, y, x) with row 0 south, ``.png`` for the
        colours of the survey's viewer with north up and east left.

    Returns
    -------
    str
        One line on what was written.

    Raises
    ------
    ImagingError
        The file name ends in neither, or there is no such cutout; the message says why.
    """
    if path.suffix not in SUFFIXES:
        raise ImagingError(f"{path}: name a file that ends in {' or '.join(SUFFIXES)}")
    (batch,) = source.cutouts(np.array([ra]), np.array([dec]), np.array([0]))
    status = CutoutStatus(int(batch.status[0]))
    if status not in (CutoutStatus.OK, CutoutStatus.PARTIAL):
        raise ImagingError(
            f"no cutout at RA {ra:g}, Dec {dec:g}: {status.name.lower()}, {batch.reason[0]}"
        )
    if path.suffix == ".png":
        write_png(path, viewer_rgb(batch.images[0]))
    else:
        with placed(path) as temporary:
            _fits(source, batch, ra, dec).writeto(temporary)
    shares = ", ".join(
        f"{band} {share:.0%}"
        for band, share in zip(source.spec.bands, batch.coverage[0], strict=True)
    )
    return f"wrote {path} from {batch.origin[0]}; pixels with data: {shares}"


def _fits(source: CutoutSource, batch: CutoutBatch, ra: float, dec: float) -> fits.PrimaryHDU:
    """Make an image with a TAN header that has the position at its centre."""
    spec = source.spec
    hdu = fits.PrimaryHDU(batch.images[0])
    header = hdu.header
    header["BUNIT"] = "nanomaggy"
    header["BANDS"] = "".join(spec.bands)
    for number, band in enumerate(spec.bands):
        header[f"BAND{number}"] = band
    step = spec.pixel_scale / 3600
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"] = header["CRPIX2"] = (spec.size + 1) / 2
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -step, 0.0, 0.0, step
    header["COMMENT"] = "the WCS is right to half a pixel: pixels are not resampled"
    header["ORIGIN"] = "xsaga"
    header["IMAGEFRM"] = (batch.origin[0], "what the pixels were read from")
    return hdu
