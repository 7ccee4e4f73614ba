"""Checking and reading one FITS cutout, from a file or from the cutout service."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from xsaga.errors import ImagingError
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.imaging.fits_check import DAMAGE, IncompleteFitsError, complete_stream, one_line
from xsaga.imaging.tangent import TangentGrid, cd_matrix
from xsaga.reading import TooLargeError, read_bytes, reason_of, unpacked

SCALE_TOLERANCE = 0.01
"""Relative difference of pixel scales that still counts as the same."""

MAX_BYTES = 128 << 20
"""Bytes of a cutout, unpacked: three bands of 3,300 pixels on a side; the service gives 3,000."""


CENTRE_TOLERANCE = 1.0
"""Pixels that the middle of an image may be off the position that was asked for."""


class CutoutUnusable(ImagingError):  # noqa: N818 - an outcome of one cutout, named as such
    """A cutout that is there but cannot be used; the message is the reason."""


class CutoutEmpty(CutoutUnusable):
    """A sound cutout in which no pixel holds data."""


def read_cutout(
    data: bytes | Path,
    spec: CutoutSpec,
    *,
    exact_size: bool,
    nan_is_no_data: bool = False,
    centre: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """Read a FITS cutout after checking all that can be wrong with it.

    The image is the first one in the file, (band, y, x) with row 0 south; bands are found by the
    header (BANDS, or BAND0, BAND1 …) where it has them and must otherwise be as many as wanted.

    Parameters
    ----------
    data : bytes or Path
        FITS file, also gzip- or tile-compressed: its content, or where it is.
    spec : CutoutSpec
        Geometry and bands that are wanted.
    exact_size : bool
        Whether the image must have exactly the wanted size. If not, a larger one is cropped
        around pixel ``n // 2``, which becomes pixel ``size // 2``.
    nan_is_no_data : bool
        Take NaN for "no data" instead of refusing it.
    centre : tuple of float, optional
        RA and Dec in degrees that the middle of the image must have, to a pixel, where the header
        tells: an answer to another question may look like a good one.

    Returns
    -------
    ndarray of float32, shape (bands, size, size)
        0 where there is no data.

    Raises
    ------
    CutoutUnusable
        Truncated, not FITS, wrong shape, bands, pixel scale, orientation or position, not finite.
    CutoutEmpty
        All pixels are zero.
    OSError
        When the file cannot be read at all.
    """
    try:
        if isinstance(data, Path):
            content = read_bytes(data, MAX_BYTES)
        else:
            content = unpacked(data, MAX_BYTES)
    except TooLargeError as error:
        raise CutoutUnusable(str(error)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CutoutUnusable(f"truncated or broken gzip file ({reason_of(error)})") from error
    try:
        with fits.open(complete_stream(content), memmap=False) as hdus:
            hdu = next((h for h in hdus if h.is_image and h.header.get("NAXIS", 0) >= 2), None)
            if hdu is None:
                raise CutoutUnusable("the FITS file has no image")
            header, image = hdu.header, np.asarray(hdu.data)
        planes = _wanted_planes(image, header, spec)
        _check_pixels(header, spec)
        if centre is not None:
            _check_centre(header, planes.shape[1:], centre)
        cropped = _cropped(planes, spec.size, exact_size=exact_size)
        pixels = np.array(cropped, dtype=np.float32)  # native byte order, own memory
    except IncompleteFitsError as error:
        raise CutoutUnusable(str(error)) from error
    except DAMAGE as error:
        raise CutoutUnusable(f"not a readable FITS image ({one_line(error)})") from error
    if nan_is_no_data:
        np.copyto(pixels, 0, where=np.isnan(pixels))
    if not np.isfinite(pixels).all():
        raise CutoutUnusable("some pixels are not finite")
    if not pixels.any():
        raise CutoutEmpty("all pixels are zero")
    return pixels


def nonzero_coverage(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fraction of pixels with data in each band, where 0 means no data.

    Parameters
    ----------
    images : ndarray of float32, shape (..., bands, size, size)

    Returns
    -------
    ndarray of float32, shape (..., bands)
    """
    return np.asarray((images != 0).mean(axis=(-2, -1)), dtype=np.float32)


def _wanted_planes(
    image: NDArray[np.generic], header: fits.Header, spec: CutoutSpec
) -> NDArray[np.generic]:
    planes = image[np.newaxis] if image.ndim == 2 else image
    if planes.ndim != 3 or 0 in planes.shape:
        raise CutoutUnusable(f"image of shape {image.shape}, wanted (band, y, x)")
    bands = _named_bands(header)
    if not bands:
        if len(planes) != len(spec.bands):
            raise CutoutUnusable(f"{len(planes)} bands, wanted {''.join(spec.bands)}")
        return planes
    if len(bands) != len(planes):
        raise CutoutUnusable(f"{len(planes)} planes, but the header names bands {''.join(bands)}")
    if any(band not in bands for band in spec.bands):
        raise CutoutUnusable(f"bands {''.join(bands)}, wanted {''.join(spec.bands)}")
    return planes[[bands.index(band) for band in spec.bands]]


def _named_bands(header: fits.Header) -> list[str]:
    """Bands as the cutout service writes them: BAND0, BAND1 …, else one letter each in BANDS."""
    numbered: list[str] = []
    while f"BAND{len(numbered)}" in header:
        numbered.append(str(header[f"BAND{len(numbered)}"]).strip())
    listed = list(str(header.get("BANDS", "")).strip())
    if numbered and listed and sorted("".join(numbered)) == sorted(listed) and numbered != listed:
        raise CutoutUnusable(
            f"the header names bands {''.join(listed)} and {''.join(numbered)}: which is which?"
        )
    return numbered or listed


def _check_pixels(header: fits.Header, spec: CutoutSpec) -> None:
    """Refuse another pixel scale or orientation, where the header tells."""
    try:
        cd = cd_matrix(header)
        if cd is not None:
            scale = float(np.sqrt(abs(cd[0] * cd[3] - cd[1] * cd[2])) * 3600)
        elif "PIXSCALE" in header:
            scale = float(header["PIXSCALE"])
        else:
            return
    except (TypeError, ValueError) as error:
        raise CutoutUnusable(f"unusable WCS: {error}") from error
    if abs(scale / spec.pixel_scale - 1) > SCALE_TOLERANCE:
        raise CutoutUnusable(f"pixel scale {scale:.4g} arcsec, wanted {spec.pixel_scale:.4g}")
    if cd is not None and not (cd[0] < 0 < cd[3] and abs(cd[1] * cd[2]) < -cd[0] * cd[3] / 100):
        raise CutoutUnusable("the image is not north up and east left")


def _check_centre(header: fits.Header, shape: tuple[int, ...], centre: tuple[float, float]) -> None:
    """Refuse an image of another place, where the header tells."""
    names = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")
    try:
        cd = cd_matrix(header)
        if cd is None or any(name not in header for name in names):
            return
        ra, dec, x, y = (float(header[name]) for name in names)
    except (TypeError, ValueError) as error:
        raise CutoutUnusable(f"unusable WCS: {error}") from error
    height, width = shape
    at_x, at_y = TangentGrid(ra, dec, x - 1, y - 1, cd, width, height).to_pixel(*centre)
    off = np.hypot(at_x - (width - 1) / 2, at_y - (height - 1) / 2)
    if not off <= CENTRE_TOLERANCE:
        raise CutoutUnusable(f"an image of another place, around RA {ra:.5f}, Dec {dec:.5f}")


def _cropped(planes: NDArray[np.generic], size: int, *, exact_size: bool) -> NDArray[np.generic]:
    height, width = planes.shape[1:]
    if (exact_size and (height, width) != (size, size)) or min(height, width) < size:
        raise CutoutUnusable(f"{width} x {height} pixels, wanted {size} x {size}")
    y, x = height // 2 - size // 2, width // 2 - size // 2
    return planes[:, y : y + size, x : x + size]
