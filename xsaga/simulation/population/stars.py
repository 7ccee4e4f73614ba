"""Which stars and quasars there are: counts by place in the Galaxy, magnitudes and colours.

Stars are counted through the Galaxy: a local luminosity function, spread over an exponential thin
and thick disc and an oblate halo with the shapes of Jurić et al. (2008). The local shares of thick
disc and halo lie between theirs and lower ones (Phleps et al. 2005, Chang et al. 2011), as the two
bracket the counts. Over the whole sky the counts to magnitude 12 are those of Tycho-2 and UCAC4.
Quasars follow counts that do not depend on place. White dwarfs and binaries are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsaga.simulation.bricks import Brick
from xsaga.simulation.galactic import galactic_coordinates
from xsaga.simulation.sky_model import SkyModel

Floats = NDArray[np.float64]

BRIGHTEST, FAINTEST = 6.0, 24.5
"""r magnitudes between which stars are drawn."""

# Stars per 10⁴ pc³ and magnitude by absolute V magnitude from −1 to 17, giants included: rounded
# between the luminosity functions of Allen's Astrophysical Quantities and of Wielen et al. (1983).
_MV = np.arange(-1.0, 18.0)
_LUMINOSITY = (0.25, 1, 3, 5, 10, 17, 27, 30, 28, 31, 40, 62, 85, 105, 95, 85, 75, 70, 60)

# g−r and r−z of main-sequence stars of solar abundance by absolute V: B−V of the sequence with
# g−r = 1.02 (B−V) − 0.22 (Jester et al. 2005), r−z along the stellar locus (Covey et al. 2007)
# and of M dwarfs by type (West et al. 2011).
_GR = (-0.3, -0.2, -0.12, 0.05, 0.2, 0.34, 0.48, 0.62, 0.85, 1.13, 1.32, 1.4, 1.42, 1.43, 1.44,
       1.46, 1.5, 1.55, 1.6)  # fmt: skip
_RZ = (-0.45, -0.35, -0.3, -0.18, -0.02, 0.1, 0.19, 0.28, 0.43, 0.68, 1.0, 1.38, 1.7, 1.92, 2.17,
       2.42, 2.62, 2.85, 3.1)  # fmt: skip

SUN_RADIUS, SUN_HEIGHT = 8000.0, 25.0
"""Place of the Sun in parsec: from the Galaxy's centre, above its plane (Jurić et al. 2008)."""

_GIANT = 3.5  # absolute V above which a star of an old population is a giant
_MODULUS = np.arange(-2.0, 24.0, 0.25)  # of distance
_STEP = 0.5  # of absolute magnitude

# Cumulative counts of quasars per deg² by r (Palanque-Delabrouille et al. 2016, rounded).
_QUASAR_R = (16.0, 17.0, 18.0, 19.0, 20.0, 21.0, 22.0, 23.0)
_QUASARS = (0.04, 0.25, 1.6, 7.5, 22.0, 47.0, 95.0, 170.0)

_ZEROS = (
    "radius", "pa", "sersic", "bulge", "bar", "nucleus", "knots_light", "arms", "bulge_radius",
    "bulge_sersic", "bulge_ba", "bar_radius", "pitch", "knot_size", "lopsided", "merger",
    "bulge_gr", "bulge_rz", "knots_gr", "knots_rz",
)  # fmt: skip


@dataclass(frozen=True)
class _Population:
    """Stars of one age: how their colours differ from the main sequence of the disc.

    `share` is their local number over that of the thin disc, `giants` the share of the luminosity
    function's stars above `_GIANT` that they have, all giants in an old population.
    """

    name: str
    share: float
    giants: float
    bluer: float


_POPULATIONS = (
    _Population("thin", 1.0, 1.0, 0.0),
    _Population("thick", 0.10, 0.3, 0.06),
    _Population("halo", 0.0028, 0.3, 0.17),
)


def star_counts(ra: float, dec: float) -> tuple[Floats, Floats]:
    """Stars per deg² towards a place.

    Parameters
    ----------
    ra, dec : float
        Degrees.

    Returns
    -------
    magnitude : ndarray, shape (M,)
        r, dereddened.
    brighter : ndarray, shape (M,)
        Stars per deg² brighter than that.
    """
    magnitude, number = (part.ravel() for part in _cells(ra, dec)[:2])
    edges = np.arange(BRIGHTEST, FAINTEST + 0.25, 0.5)
    counts = np.histogram(magnitude, edges, weights=number)[0]
    return edges[1:], counts.cumsum()


def draw_stars(brick: Brick, sky: SkyModel, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the stars and quasars of a brick: rows of the truth table without positions and ids.

    Parameters
    ----------
    brick : Brick
        Where; its centre's place in the Galaxy sets the counts.
    sky : SkyModel
        Density.
    rng : numpy.random.Generator
        Random numbers.
    """
    area = brick.area_deg2 * sky.density
    points = pd.concat([_draw_stars(brick, area, rng), _draw_quasars(area, rng)], ignore_index=True)
    count = len(points)
    points["is_lowz"] = np.zeros(count, dtype=bool)
    points["logmstar"] = np.full(count, np.nan)
    points["quiescent"] = np.zeros(count, dtype=bool)
    points["ba"] = np.ones(count)
    for name in _ZEROS:
        points[name] = np.zeros(count)
    for name in ("n_arms", "knots", "structure_seed"):
        points[name] = np.zeros(count, dtype=np.int64)
    points["training"] = np.zeros(count, dtype=bool)
    return points


def _draw_stars(brick: Brick, area: float, rng: np.random.Generator) -> pd.DataFrame:
    """Draw cells of population, absolute magnitude and distance, then a place within each."""
    magnitude, number, absolute, old = (part.ravel() for part in _cells(brick.ra, brick.dec))
    seen = (magnitude > BRIGHTEST) & (magnitude < FAINTEST)
    cumulative = number[seen].cumsum()
    count = rng.poisson(area * cumulative[-1])
    cell = np.flatnonzero(seen)[np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count))]
    jitter = rng.uniform(-0.5, 0.5, count) * _STEP
    r = magnitude[cell] + jitter + rng.uniform(-0.125, 0.125, count)
    m, population = absolute[cell] + jitter, old[cell].astype(int)

    gr, rz = np.interp(m, _MV, _GR), np.interp(m, _MV, _RZ)
    bluer = np.array([p.bluer for p in _POPULATIONS])[population]
    # metal-poor stars are bluer at the same luminosity; in M dwarfs it hardly shows in g−r
    gr -= bluer * np.interp(m, [3, 4, 8, 10], [0.6, 1, 1, 0.1])
    # giants: of the old populations all bright stars, of the disc half of those before the turnoff
    giant = (m < _GIANT) & ((population > 0) | (rng.random(count) < 0.5))
    gr = np.where(giant, 0.62 + 0.1 * (_GIANT - m) - bluer, gr)
    rz = np.where(giant, np.interp(gr, _GR[4:10], _RZ[4:10]), rz)
    gr += rng.normal(0, 0.035, count)  # abundances; the width of the locus
    rz += rng.normal(0, 0.035, count)
    return _points("star", np.zeros(count), r, gr, rz)


def _draw_quasars(area: float, rng: np.random.Generator) -> pd.DataFrame:
    """Draw quasars: blue, their colours moved by emission lines that cross the bands."""
    count = rng.poisson(area * _QUASARS[-1])
    log_counts = np.log(rng.uniform(_QUASARS[0], _QUASARS[-1], count))
    r = np.interp(log_counts, np.log(_QUASARS), _QUASAR_R)
    z = (0.3 + rng.gamma(4.0, 0.36, count)).clip(0.3, 4.0)
    gr = 0.16 + 0.08 * np.sin(2 * np.pi * z / 0.9) + rng.normal(0, 0.11, count)
    gr += 0.7 * np.clip(z - 2.9, 0, 1)  # the Lyman-α forest enters g
    rz = 0.24 + 0.1 * np.cos(2 * np.pi * z / 1.1) + rng.normal(0, 0.14, count)
    return _points("quasar", z, r, gr, rz)


def _points(kind: str, z: Floats, r: Floats, gr: Floats, rz: Floats) -> pd.DataFrame:
    kinds = np.full(r.size, kind, dtype=object)
    return pd.DataFrame({"kind": kinds, "z": z, "mag_g": r + gr, "mag_r": r, "mag_z": r - rz})


def _cells(ra: float, dec: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Count stars by population, absolute magnitude and distance.

    Returns
    -------
    magnitude, number, absolute, population : ndarray, each of shape (P, M, D)
        Apparent r, stars per deg², absolute V, index of the population.
    """
    longitude, latitude = (
        part[0] for part in galactic_coordinates(np.array([ra]), np.array([dec]))
    )
    absolute = np.arange(_MV[0], _MV[-1], _STEP) + _STEP / 2
    luminosity = 1e-4 * _STEP * np.exp(np.interp(absolute, _MV, np.log(_LUMINOSITY)))
    # V = g − 0.59 (g−r) − 0.01 (Jester et al. 2005)
    red = absolute - 0.41 * np.interp(absolute, _MV, _GR) + 0.01
    distance = 10 ** (0.2 * _MODULUS + 1)
    shell = np.radians(1) ** 2 * distance**3 * np.log(10) / 5 * (_MODULUS[1] - _MODULUS[0])
    numbers = []
    for population in _POPULATIONS:
        stars = luminosity * population.share
        stars = np.where(absolute < _GIANT, stars * population.giants, stars)
        density = _density(population.name, longitude, latitude, distance, absolute)
        numbers.append(stars[:, np.newaxis] * density * shell)
    number = np.stack(numbers)
    magnitude = np.broadcast_to(red[:, np.newaxis] + _MODULUS, number.shape)
    kinds = np.arange(len(_POPULATIONS), dtype=np.float64)[:, np.newaxis, np.newaxis]
    return (
        magnitude,
        number,
        np.broadcast_to(absolute[:, np.newaxis], number.shape),
        np.broadcast_to(kinds, number.shape),
    )


def _density(
    name: str, longitude: float, latitude: float, distance: Floats, absolute: Floats
) -> Floats:
    """Return a population's density along a line of sight over the local one, shape (M, D)."""
    lon, lat = np.radians([longitude, latitude])
    height = distance * np.sin(lat) + SUN_HEIGHT
    x = SUN_RADIUS - distance * np.cos(lat) * np.cos(lon)
    radius = np.hypot(x, distance * np.cos(lat) * np.sin(lon))
    if name == "halo":
        oblate = np.sqrt(radius**2 + (height / 0.64) ** 2)
        fall = (np.maximum(oblate, 500.0) / SUN_RADIUS) ** -2.77
        return np.broadcast_to(fall, (absolute.size, distance.size))
    if name == "thick":
        scale_height, scale_length = np.full(absolute.size, 900.0), 3600.0
    else:
        # young, bright stars keep to the plane (Bahcall & Soneira 1980)
        scale_height, scale_length = np.interp(absolute, [2.3, 5.1], [90.0, 300.0]), 2600.0
    above = (np.abs(height) - SUN_HEIGHT) / scale_height[:, np.newaxis]
    return np.asarray(np.exp(-above - (radius - SUN_RADIUS) / scale_length))
