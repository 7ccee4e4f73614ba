"""Colours of stellar populations in DECam g, r, z at any redshift, with emission lines.

A galaxy's light is one of a family of spectra that its rest-frame g−r names:

* an evolved part, Eʷ·A¹⁻ʷ: between the elliptical galaxy E of Coleman, Wu & Weedman (1980, extended
  by Bolzonella et al. 2000) and the A0 star Vega (A), that is between old and 300 Myr old stars;
* a young part with the share y of the light at 5500 Å, a black body of 25,000 K (OB stars) without
  light below 912 Å, dimmed by exp(−0.46 · 5500 Å/λ). y is 0.3 up to g−r = 0.35, falling to none at
  0.74: massive star-forming discs are dustier and older, red galaxies have no young stars.

That is a caricature of a stellar-population model. y was chosen so that r−z at given g−r is that of
the few real sources at hand (medians to 0.1 mag for 0.45 < g−r < 1.3; redder ones are four from one
cluster, and were not matched) and so that blue galaxies of SAGA DR3 have nearly the same colours at
rest from z = 0.1 to 0.4; with y = 0.2 they grew bluer with z, and r−z came out 0.15 mag too blue.
``tests/simulation/test_stellar_colours.py`` computes the table anew.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

Floats = NDArray[np.float64]

REST_COLOURS = (-0.1, 0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Rest-frame g−r of the tabulated spectra."""

TABLE_REDSHIFTS = (
    0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.6,
)  # fmt: skip

# Per rest-frame colour: g−r, r−z and the K correction in r at each redshift, two lines each.
_TABLE = """
-0.10 -0.07 -0.04 0.02 0.10 0.19 0.29 0.38 0.47
  0.56 0.61 0.60 0.51 0.42 0.32 0.28 0.30 0.36
-0.20 -0.22 -0.22 -0.24 -0.23 -0.21 -0.19 -0.18 -0.15
  -0.12 -0.08 -0.02 0.16 0.33 0.50 0.65 0.66 0.34
0.00 -0.05 -0.10 -0.16 -0.23 -0.29 -0.35 -0.40 -0.43
  -0.47 -0.49 -0.49 -0.42 -0.34 -0.24 -0.21 -0.23 -0.24
0.10 0.13 0.16 0.20 0.27 0.34 0.42 0.48 0.52
  0.56 0.56 0.53 0.43 0.35 0.28 0.28 0.29 0.36
0.02 0.01 0.01 0.00 0.01 0.03 0.05 0.07 0.09
  0.13 0.17 0.23 0.38 0.49 0.59 0.64 0.57 0.33
0.00 -0.03 -0.06 -0.09 -0.13 -0.16 -0.19 -0.22 -0.23
  -0.24 -0.23 -0.21 -0.13 -0.06 0.01 0.00 -0.01 -0.03
0.25 0.28 0.30 0.33 0.38 0.44 0.50 0.53 0.54
  0.55 0.52 0.48 0.37 0.30 0.25 0.26 0.27 0.36
0.21 0.20 0.19 0.19 0.20 0.22 0.23 0.26 0.28
  0.31 0.35 0.40 0.52 0.58 0.64 0.61 0.49 0.30
0.00 -0.02 -0.03 -0.04 -0.06 -0.06 -0.08 -0.08 -0.07
  -0.06 -0.05 -0.01 0.08 0.14 0.18 0.15 0.13 0.10
0.40 0.43 0.45 0.47 0.52 0.57 0.62 0.63 0.62
  0.61 0.56 0.50 0.38 0.30 0.25 0.26 0.27 0.36
0.38 0.37 0.37 0.36 0.38 0.40 0.41 0.45 0.47
  0.50 0.53 0.59 0.69 0.72 0.76 0.68 0.50 0.31
0.00 0.00 0.00 0.01 0.02 0.03 0.04 0.06 0.09
  0.11 0.15 0.20 0.31 0.38 0.42 0.39 0.37 0.34
0.50 0.53 0.56 0.59 0.66 0.73 0.79 0.81 0.82
  0.81 0.75 0.68 0.52 0.42 0.35 0.33 0.31 0.36
0.45 0.44 0.45 0.45 0.47 0.49 0.51 0.56 0.59
  0.62 0.67 0.74 0.88 0.93 0.98 0.90 0.69 0.41
0.00 0.01 0.02 0.04 0.06 0.09 0.11 0.15 0.19
  0.23 0.29 0.37 0.53 0.64 0.72 0.73 0.75 0.75
0.60 0.64 0.68 0.72 0.81 0.91 1.01 1.05 1.08
  1.09 1.03 0.95 0.76 0.63 0.53 0.48 0.40 0.38
0.52 0.51 0.52 0.52 0.55 0.58 0.61 0.66 0.70
  0.75 0.82 0.91 1.10 1.20 1.29 1.23 1.00 0.62
0.00 0.01 0.03 0.06 0.10 0.14 0.18 0.23 0.30
  0.36 0.43 0.55 0.78 0.96 1.10 1.18 1.27 1.35
0.70 0.76 0.80 0.86 0.99 1.14 1.29 1.39 1.48
  1.55 1.50 1.45 1.29 1.18 1.08 1.01 0.76 0.43
0.57 0.57 0.58 0.59 0.62 0.67 0.70 0.77 0.82
  0.89 0.97 1.09 1.36 1.55 1.75 1.80 1.67 1.31
0.00 0.02 0.05 0.09 0.14 0.20 0.25 0.32 0.40
  0.48 0.59 0.74 1.07 1.36 1.63 1.88 2.17 2.59
0.80 0.86 0.92 0.98 1.13 1.31 1.50 1.64 1.77
  1.88 1.85 1.84 1.78 1.84 1.96 2.41 2.14 0.92
0.65 0.65 0.66 0.68 0.72 0.76 0.81 0.88 0.94
  1.02 1.11 1.25 1.57 1.81 2.09 2.26 2.35 2.91
0.00 0.03 0.06 0.12 0.18 0.25 0.32 0.41 0.51
  0.61 0.73 0.91 1.31 1.68 2.04 2.46 3.06 4.61
"""

_COLOUR_RANGE = (-0.3, 0.86)
"""Rest-frame g−r to which the table is extrapolated."""

# Rest wavelength in Å and equivalent width over that of Hα for [O II], Hβ and [O III], and Hα with
# [N II] and [S II], in a metal-poor and a metal-rich star-forming galaxy: round values, about those
# of integrated spectra (Kennicutt 1992), not fitted.
_LINES = ((3728.0, 0.6, 0.3), (4861.0, 0.2, 0.2), (4993.0, 1.0, 0.15), (6590.0, 1.2, 1.5))

# Blue and red half-power wavelengths of DECam g, r, z, and how softly they fall, in Å.
_BANDS = ((4030.0, 5500.0), (5680.0, 7150.0), (8480.0, 9950.0))
_BAND_EDGE = 40.0

MEDIAN_HALPHA = 16.0
"""Median equivalent width in Å of Hα of the star-forming satellites in SAGA DR3 table C3; it hardly
depends on stellar mass. Table colours of star-forming galaxies include lines of that strength."""


def observed_colours(rest_gr: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
    """Observed colours of the family of spectra.

    Parameters
    ----------
    rest_gr : ndarray, shape (N,)
        Rest-frame g−r, AB; beyond −0.3 and 0.86 those limits.
    z : ndarray, shape (N,)
        Redshift from 0 to 1.6.

    Returns
    -------
    g_r, r_z : ndarray, shape (N,)
        Observed colours, AB mag, before the Galaxy's dust.
    k_r : ndarray, shape (N,)
        K correction in r: absolute = apparent − distance modulus − k_r.
    """
    colour = np.clip(rest_gr, *_COLOUR_RANGE)
    values = _interpolator()(np.column_stack([colour, np.clip(z, 0.0, TABLE_REDSHIFTS[-1])]))
    return values[:, 0], values[:, 1], values[:, 2]


def line_shift(halpha: Floats, metal_rich: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Change of g−r and r−z by emission lines stronger or weaker than the median.

    Parameters
    ----------
    halpha : ndarray, shape (N,)
        Equivalent width of Hα in Å, at rest.
    metal_rich : ndarray, shape (N,)
        0 for line ratios of dwarfs to 1 for those of massive spirals.
    z : ndarray, shape (N,)
        Redshift: lines walk through the bands.

    Returns
    -------
    g_r, r_z : ndarray, shape (N,)
        To be added to the colours of `observed_colours`.
    """
    blue, red = np.array(_BANDS).T
    gain = np.zeros((z.size, len(_BANDS)))
    median = np.zeros_like(gain)
    for wavelength, poor, rich in _LINES:
        at = (wavelength * (1 + z))[:, np.newaxis]
        within = (
            0.25 * (1 + np.tanh((at - blue) / _BAND_EDGE)) * (1 + np.tanh((red - at) / _BAND_EDGE))
        )
        ratio = (poor + (rich - poor) * metal_rich) * (1 + z)
        share = within * ratio[:, np.newaxis] / (red - blue)
        gain += share * halpha[:, np.newaxis]
        median += share * MEDIAN_HALPHA
    shift = -2.5 * np.log10((1 + gain) / (1 + median))
    return shift[:, 0] - shift[:, 1], shift[:, 1] - shift[:, 2]


@cache
def _interpolator() -> RegularGridInterpolator:
    shape = (len(REST_COLOURS), 3, len(TABLE_REDSHIFTS))
    values = np.array(_TABLE.split(), dtype=np.float64).reshape(shape).transpose(0, 2, 1)
    grid = (np.array(REST_COLOURS), np.array(TABLE_REDSHIFTS))
    return RegularGridInterpolator(grid, values, bounds_error=False, fill_value=None)
