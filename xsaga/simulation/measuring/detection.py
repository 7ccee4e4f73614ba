"""Finding sources on a coadd with SEP, the library of SExtractor's algorithms (Barbary 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import oaconvolve
from scipy.spatial import cKDTree

from xsaga.simulation.coadd_grid import PIXEL_SCALE
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.extras import import_sep
from xsaga.simulation.observing.observe import Coadd

Floats = NDArray[np.float64]
Reals = NDArray[np.float32]

THRESHOLD = 6.0
"""Signal to noise of a detection in the filtered stack, as legacypipe has it (Dey et al. 2019)."""

TYPICAL_COLOURS = (0.57, 1.0, 1.45)
"""Flux in g, r, z of the source that the stack is best for: g−r = 0.6, r−z = 0.4."""

DEBLEND_LEVELS, DEBLEND_CONTRAST = 32, 0.005
"""SExtractor's deblending; its contrast is over the light of the whole blend."""

MIN_PIXELS = 3
"""Pixels above the threshold that make a source, or a branch of one."""

LARGE_SEGMENT = 600
"""Pixels of segments that are searched for further peaks, see `knots_of`."""

KNOT_CONTRAST = 0.1
"""Light of such a peak above its surroundings, over all light there.

Legacypipe demands a saddle that is lower than the peak by as much.
"""

NOISE_BLOCK = 60
"""Side in pixels of the blocks in which the sky's noise is taken as constant."""

_PIXEL_STACK, _BRANCHES = 20_000_000, 100_000  # SEP's limits, large enough for a bright star


@dataclass(frozen=True)
class Detections:
    """What was found, all in pixels of the coadd; N sources.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Barycentre.
    a, b : ndarray, shape (N,)
        Root-mean-square extent along the major and minor axis.
    theta : ndarray, shape (N,)
        Angle of the major axis from +x towards +y in radians.
    segments : ndarray of int32, shape (pixels, pixels)
        0 for the sky, else 1 + the source that a pixel belongs to.
    """

    x: Floats
    y: Floats
    a: Floats
    b: Floats
    theta: Floats
    segments: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.x)


def sky_invvar(invvar: Reals) -> Reals:
    """Inverse variance of the sky alone, without the photon noise of sources.

    Parameters
    ----------
    invvar : ndarray, shape (3, pixels, pixels)
        Of the coadd.

    Returns
    -------
    ndarray, shape (3, blocks, blocks)
        The upper quartile of the pixels with data in each block of `NOISE_BLOCK` pixels; 0 without.
    """
    step = 4  # a sixteenth of the pixels tells the quartile well enough
    side = NOISE_BLOCK // step
    sample = invvar[:, ::step, ::step]
    pad = -sample.shape[1] % side
    sample = np.pad(sample, ((0, 0), (0, pad), (0, pad)))
    count = sample.shape[1] // side
    blocks = sample.reshape(3, count, side, count, side).transpose(0, 1, 3, 2, 4)
    ordered = np.sort(blocks.reshape(3, count, count, side * side), axis=-1)
    filled = (ordered > 0).sum(axis=-1)
    index = side * side - 1 - filled // 4
    return np.take_along_axis(ordered, index[..., np.newaxis], axis=-1)[..., 0]


def detection_stack(coadd: Coadd, conditions: Conditions) -> Reals:
    """Sum of the three bands weighted for the best signal to noise, in units of its own noise.

    Parameters
    ----------
    coadd : Coadd
        Images and inverse variances.
    conditions : Conditions
        How the noise of neighbouring pixels adds up.

    Returns
    -------
    ndarray, shape (pixels, pixels)
        Σ s I w / √(Σ s² w) with the inverse variance w of the sky alone and the colours s of
        `TYPICAL_COLOURS`; 0 where no band has data. Saturated pixels count as data.
    """
    pixels = coadd.image.shape[1]
    weights = sky_invvar(coadd.invvar) / conditions.noise_growth[:, np.newaxis, np.newaxis] ** 2
    stack = np.empty((pixels, pixels), dtype=np.float32)
    for block in range(weights.shape[1]):  # rows that fit the processor's cache
        rows = slice(block * NOISE_BLOCK, (block + 1) * NOISE_BLOCK)
        signal, power = (np.zeros(stack[rows].shape, dtype=np.float32) for _ in range(2))
        for colour, image, invvar, weight in zip(
            TYPICAL_COLOURS, coadd.image, coadd.invvar, weights, strict=True
        ):
            along = np.repeat(weight[block], NOISE_BLOCK)[:pixels].astype(np.float32)
            known = along * ((invvar[rows] > 0) | (image[rows] != 0))
            signal += np.float32(colour) * known * image[rows]
            power += np.float32(colour**2) * known
        stack[rows] = np.divide(signal, np.sqrt(power), out=signal, where=power > 0)
    return stack


def detect(coadd: Coadd, conditions: Conditions) -> Detections:
    """Find the sources of a coadd.

    Parameters
    ----------
    coadd : Coadd
        Images and inverse variances.
    conditions : Conditions
        PSF, for the filter.

    Returns
    -------
    Detections
        Everything whose filtered stack exceeds `THRESHOLD` times its noise, split where it has
        several peaks; ordered as SEP finds them.

    Raises
    ------
    MissingExtraError
        When SEP is not installed.
    """
    sep = import_sep()
    sep.set_extract_pixstack(_PIXEL_STACK)
    sep.set_sub_object_limit(_BRANCHES)
    kernel = _kernel(float(np.median(conditions.fwhm)))
    stack = detection_stack(coadd, conditions)
    noise = float(np.sqrt((kernel**2).sum()))
    found, segments = sep.extract(
        stack,
        THRESHOLD * noise,
        filter_kernel=kernel,
        filter_type="conv",
        minarea=MIN_PIXELS,
        deblend_nthresh=DEBLEND_LEVELS,
        deblend_cont=DEBLEND_CONTRAST,
        clean=True,
        segmentation_map=True,
    )
    columns = {name: found[name].astype(np.float64) for name in ("x", "y", "a", "b", "theta")}
    width = float(np.median(conditions.fwhm)) / PIXEL_SCALE
    large = np.flatnonzero(found["npix"] > LARGE_SEGMENT)
    x, y = knots_of(stack, coadd.invvar[1], segments, found[large], large + 1, width)
    return _with_knots(Detections(**columns, segments=segments), x, y, width)


def knots_of(
    stack: Reals,
    invvar: Reals,
    segments: NDArray[np.int32],
    large: NDArray[np.void],
    labels: NDArray[np.int64],
    width: float,
) -> tuple[Floats, Floats]:
    """Find peaks within large sources that stand out from their surroundings.

    SExtractor's deblending asks how much of the whole blend's light a branch holds, so that the
    knots of a bright galaxy drown; legacypipe compares each peak with the saddle next to it. Here
    it is compared with the ring around it.

    Parameters
    ----------
    stack : ndarray, shape (pixels, pixels)
        What `detection_stack` gave.
    invvar : ndarray, shape (pixels, pixels)
        Inverse variance in r, for the photon noise of the sources.
    segments : ndarray of int32, shape (pixels, pixels)
        0 for the sky.
    large : structured ndarray
        SEP's rows of the large sources.
    labels : ndarray of int
        Their numbers in `segments`.
    width : float
        FWHM of the PSF in pixels.

    Returns
    -------
    x, y : ndarray
        Pixels of the coadd. The brightest peak of a source is not among them, as that is the source
        itself, however far from its barycentre.
    """
    sigma = width / 2.355
    # a Gaussian filter of this width leaves 1 / √(4π σ²) of the noise of a pixel
    noise = 1 / np.sqrt(4 * np.pi * sigma**2)
    reach = int(np.ceil(2 * width))
    ring = _ring(1.5 * width)
    peaks = []
    for source, label in zip(large, labels, strict=True):
        rows = slice(max(source["ymin"] - reach, 0), source["ymax"] + reach + 1)
        columns = slice(max(source["xmin"] - reach, 0), source["xmax"] + reach + 1)
        smooth = ndimage.gaussian_filter(stack[rows, columns], sigma)
        rise = smooth - oaconvolve(smooth, ring, mode="same")
        weight = invvar[rows, columns]
        valid = (weight > 0) & (segments[rows, columns] == label)
        photon = np.sqrt(weight.max() / np.where(valid, weight, 1))
        valid &= smooth == ndimage.maximum_filter(smooth, size=2 * int(width / 2) + 1)
        valid &= smooth < smooth[valid].max(initial=-np.inf)
        valid &= rise > np.maximum(KNOT_CONTRAST * smooth, THRESHOLD * noise * photon)
        y, x = np.nonzero(valid)
        peaks.append(np.stack([x + columns.start, y + rows.start]))
    found = np.concatenate([np.empty((2, 0)), *peaks], axis=1)
    return found[0], found[1]


def _with_knots(found: Detections, x: Floats, y: Floats, width: float) -> Detections:
    """Add peaks that are not known yet, each with a small disc of pixels."""
    if len(found) == 0 or x.size == 0:
        return found
    distance, _ = cKDTree(np.column_stack([found.x, found.y])).query(np.column_stack([x, y]))
    new = distance > 0.75 * width
    x, y = x[new], y[new]
    reach = int(np.ceil(0.6 * width))
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.hypot(down, right) <= 0.6 * width
    limit = found.segments.shape[0] - 1
    rows = (y.astype(int)[:, np.newaxis] + down[disc]).clip(0, limit)
    columns = (x.astype(int)[:, np.newaxis] + right[disc]).clip(0, limit)
    segments = found.segments.copy()
    segments[rows, columns] = len(found) + 1 + np.arange(x.size)[:, np.newaxis]
    extent = np.full(x.size, width / 2.355)
    return Detections(
        x=np.concatenate([found.x, x]),
        y=np.concatenate([found.y, y]),
        a=np.concatenate([found.a, extent]),
        b=np.concatenate([found.b, extent]),
        theta=np.concatenate([found.theta, np.zeros(x.size)]),
        segments=segments,
    )


def _ring(radius: float) -> Reals:
    """Kernel of a ring one pixel wide that sums to 1."""
    reach = int(np.ceil(radius)) + 1
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    ring = np.clip(1 - np.abs(np.hypot(down, right) - radius), 0, 1)
    return np.asarray(ring / ring.sum(), dtype=np.float32)


def _kernel(fwhm: float) -> Reals:
    """Gaussian of the PSF's width that sums to 1."""
    sigma = fwhm / 2.355 / PIXEL_SCALE
    steps = np.arange(-4, 5)
    profile = np.exp(-0.5 * (steps / sigma) ** 2)
    kernel = np.outer(profile, profile)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)
