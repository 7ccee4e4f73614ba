"""Under which conditions a brick was observed: PSF, depth, missing data, satellites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick, bricks_in_box
from xsaga.simulation.coadd_grid import BRICK_PIXELS, PIXEL_SCALE
from xsaga.simulation.galactic import Region, region_of
from xsaga.simulation.sky_model import BANDS, SkyModel

Floats = NDArray[np.float64]

NOMINAL_DEPTH: dict[Region, tuple[float, float, float]] = {
    "south": (24.7, 23.9, 23.0),
    "north": (24.3, 23.7, 23.1),
}
"""5σ point-source depth in g, r, z of two exposures: DECaLS; BASS and MzLS (Dey et al. 2019)."""

ELECTRONS_PER_NANOMAGGY = (5600.0, 4800.0, 6300.0)
"""Rough yield of two DECam exposures in g, r, z (zero points of Dey et al. 2019); BASS and MzLS
collect about as much, by longer exposures on smaller mirrors."""

EXTINCTION = (3.214, 2.165, 1.211)
"""A/E(B−V) in g, r, z as the Legacy Surveys use it."""

MOFFAT_BETA = 3.2
"""Index of the PSF's Moffat core where nothing else is said."""

N_EXPOSURES = 2
"""Exposures per band of a nominal coadd."""

NATIVE_SCALE: dict[Region, tuple[float, float, float]] = {
    "south": (0.2637, 0.2637, 0.2637),
    "north": (0.454, 0.454, 0.262),
}
"""Arcsec per pixel of the cameras in g, r, z: DECam; 90Prime, 90Prime, Mosaic-3."""

NORTH_R = (-0.0382, 0.0108)
"""r of BASS minus r of DECam: slope with g−r, and offset (Mao et al. 2024, SAGA III)."""

WING_LIGHT = (0.0141, 0.0103, 0.0145)
"""Share of a star's light in the PSF's outer wings in g, r, z; see `xsaga.simulation.psf`."""

_FWHM: dict[Region, tuple[float, float, float]] = {
    "south": (1.29, 1.18, 1.11),
    "north": (1.61, 1.47, 1.01),
}
"""Median delivered FWHM in arcsec in g, r, z (Dey et al. 2019, table 4)."""

_FWHM_SCATTER = 0.09  # of ln FWHM, between coadds
_FWHM_LIMITS: dict[Region, tuple[float, float]] = {"south": (0.95, 1.7), "north": (0.85, 2.1)}
_BETA_LIMITS, _BETA_SCATTER = (2.7, 3.7), 0.12
_SHEAR = 0.012
_DEPTH_SCATTER = 0.08
_EXPOSURES, _EXPOSURE_CHANCES = (1, 2, 3, 4), (0.1, 0.5, 0.28, 0.12)
_PATCH_CHANCE = 0.25
_PATCH_SIDES = (0.03, 0.06)
_HALO_LEFT = (0.1, 0.4)
_TRAIL_CHANCE = 0.04
_TRAIL_STREAM = 11


@dataclass(frozen=True)
class Patch:
    """A rectangle without data.

    Parameters
    ----------
    bands : tuple of int
        Indices of the bands it is missing in.
    x0, x1, y0, y1 : float
        Its edges as fractions of the side of the coadd.
    """

    bands: tuple[int, ...]
    x0: float
    x1: float
    y0: float
    y1: float


@dataclass(frozen=True)
class SatelliteTrail:
    """A straight streak left by a satellite in one exposure of one band.

    Parameters
    ----------
    band : int
        Index of the band.
    ra, dec : float
        Middle in degrees.
    angle : float
        Direction in radians from west towards north, as seen on the coadd.
    length : float
        Degrees.
    brightness : float
        Nanomaggies per arcsec of trail in the coadd.
    flagged : bool
        Whether the pipeline saw it, so that its pixels are masked out.
    """

    band: int
    ra: float
    dec: float
    angle: float
    length: float
    brightness: float
    flagged: bool


@dataclass(frozen=True)
class Conditions:
    """Observing conditions, a value per band in the order g, r, z.

    Parameters
    ----------
    fwhm : tuple of float
        Of the PSF's core on the coadd, pixel included, in arcsec.
    depth : tuple of float
        5σ magnitude of a point source.
    patch : Patch or None
        Where data are missing.
    beta : tuple of float
        Moffat index of the PSF's core.
    shear : tuple of (float, float)
        Reduced shear (g1, g2) of the PSF's core along and across the x axis.
    exposures : tuple of int
        Exposures in the coadd; the depth includes their number.
    region : {'south', 'north'}
        Which survey: the pixels of its cameras decide how the noise is correlated.
    halo_left : float
        Share of the outer wings of the brightest stars that the subtraction of halos leaves.
    trails : tuple of SatelliteTrail
        Those that may cross the coadd.
    """

    fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    patch: Patch | None = None
    beta: tuple[float, ...] = (MOFFAT_BETA,) * len(BANDS)
    shear: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * len(BANDS)
    exposures: tuple[int, ...] = (N_EXPOSURES,) * len(BANDS)
    region: Region = "south"
    halo_left: float = 1.0
    trails: tuple[SatelliteTrail, ...] = ()

    @property
    def psf_pixels(self) -> Floats:
        """Effective number of pixels under the PSF, 1 / Σ PSF², shape (3,)."""
        beta, wings = np.array(self.beta), np.array(WING_LIGHT)
        alpha = np.array(self.fwhm) / (2 * np.sqrt(2 ** (1 / beta) - 1))
        area = np.pi * alpha**2 * (2 * beta - 1) / (beta - 1) ** 2
        return np.asarray(area / PIXEL_SCALE**2 / (1 - wings) ** 2)

    @property
    def sky_sigma(self) -> Floats:
        """Noise of a pixel without sources in nanomaggies as `invvar` states it, shape (3,).

        As in the survey's coadds that is the noise of the camera's own pixels, brought to the area
        of a coadd pixel; that it is correlated there is not in `invvar`: see `noise_growth`.
        """
        faintest = 10 ** (-0.4 * (np.array(self.depth) - 22.5))
        return np.asarray(faintest / 5 / np.sqrt(self.psf_pixels) / self.noise_growth)

    @property
    def noise_growth(self) -> Floats:
        """Noise of a wide aperture over that of as many independent pixels of `sky_sigma`, (3,).

        The camera's pixel over the coadd's: the coadds of the coarse 90Prime pixels hold fewer
        independent values than pixels.
        """
        return np.asarray(np.array(NATIVE_SCALE[self.region]) / PIXEL_SCALE)

    @property
    def electrons(self) -> Floats:
        """Electrons per nanomaggy in the whole coadd, shape (3,)."""
        return np.asarray(np.array(ELECTRONS_PER_NANOMAGGY) * self.exposures / N_EXPOSURES)


def observing_conditions(brick: Brick, sky: SkyModel) -> Conditions:
    """Draw the conditions of one brick.

    FWHM, depth and number of exposures vary by band as in the survey of the brick's region; a
    quarter of the bricks lack a patch, a few per cent are crossed by a satellite.
    """
    rng = sky.generator(brick, 1)
    region = region_of(brick.ra, brick.dec)
    fwhm = np.array(_FWHM[region]) * np.exp(rng.normal(0, _FWHM_SCATTER, len(BANDS)))
    low, high = _FWHM_LIMITS[region]
    fwhm = fwhm.clip(low, high)
    exposures = rng.choice(_EXPOSURES, len(BANDS), p=_EXPOSURE_CHANCES)
    depth = NOMINAL_DEPTH[region] + rng.normal(0, _DEPTH_SCATTER, len(BANDS))
    depth += 1.25 * np.log10(exposures / N_EXPOSURES)
    # a point source drowns in more sky where the seeing is bad
    depth -= 2.5 * np.log10(fwhm / _FWHM[region])
    beta = rng.uniform(*_BETA_LIMITS) + rng.normal(0, _BETA_SCATTER, len(BANDS))
    shear = rng.normal(0, _SHEAR, (len(BANDS), 2))
    halo_left = float(rng.uniform(*_HALO_LEFT)) if region == "south" else 1.0
    return Conditions(
        fwhm=tuple(fwhm.tolist()),
        depth=tuple(depth.tolist()),
        patch=_draw_patch(rng),
        beta=tuple(beta.tolist()),
        shear=tuple((float(g1), float(g2)) for g1, g2 in shear),
        exposures=tuple(exposures.tolist()),
        region=region,
        halo_left=halo_left,
        trails=_trails_near(brick, sky),
    )


def northern_r(mag_g: Floats, mag_r: Floats) -> Floats:
    """Magnitude r in the system of BASS of objects with DECam magnitudes g and r."""
    slope, offset = NORTH_R
    return np.asarray(mag_r + slope * (mag_g - mag_r) + offset)


def _draw_patch(rng: np.random.Generator) -> Patch | None:
    if rng.random() >= _PATCH_CHANCE:
        return None
    everything = tuple(range(len(BANDS)))
    bands = everything if rng.random() < 0.5 else (int(rng.integers(len(BANDS))),)
    x0, y0 = rng.uniform(0.15, 0.8, 2)
    width, height = rng.uniform(*_PATCH_SIDES, 2)
    return Patch(bands, float(x0), float(x0 + width), float(y0), float(y0 + height))


def _trails_near(brick: Brick, sky: SkyModel) -> tuple[SatelliteTrail, ...]:
    """Trails that begin in a brick or its neighbours, so that adjoining coadds share them."""
    reach = BRICK_PIXELS * PIXEL_SCALE / 3600 / 2 + 0.05
    drawn = [_draw_trail(near, sky) for near in bricks_in_box(brick.ra, brick.dec, reach, reach)]
    return tuple(trail for trail in drawn if trail is not None)


def _draw_trail(brick: Brick, sky: SkyModel) -> SatelliteTrail | None:
    """Draw the trail whose middle lies in a brick, if there is one."""
    rng = sky.generator(brick, _TRAIL_STREAM)
    if rng.random() >= _TRAIL_CHANCE:
        return None
    return SatelliteTrail(
        band=int(rng.integers(len(BANDS))),
        ra=float(rng.uniform(brick.ra1, brick.ra2)),
        dec=float(rng.uniform(brick.dec1, brick.dec2)),
        angle=float(rng.uniform(0, np.pi)),
        length=float(rng.uniform(0.05, 0.3)),  # to the end of a CCD of 0.15° by 0.3°
        # the middle of the streak is at 0.7 to 14 times the noise of a pixel
        brightness=float(np.exp(rng.uniform(np.log(0.1), np.log(2.0)))),
        flagged=bool(rng.random() < 0.5),
    )
