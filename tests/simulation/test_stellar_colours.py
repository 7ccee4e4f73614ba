from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq

from tests.shared_data import needs_shared, shared
from xsaga.simulation.population.stellar_colours import (
    MEDIAN_HALPHA,
    REST_COLOURS,
    TABLE_REDSHIFTS,
    line_shift,
    observed_colours,
)

Floats = NDArray[np.float64]

WAVELENGTH = np.arange(1000.0, 21000.0, 5.0)


def template(name: str) -> Floats:
    """Flux density per wavelength, one at 5500 Å, of a spectrum that GalSim ships."""
    galsim = pytest.importorskip("galsim")
    wavelength, flux = np.loadtxt(Path(galsim.meta_data.share_dir, "SEDs", name), unpack=True)
    angstrom = wavelength * (10 if name == "vega.txt" else 1)
    values = np.interp(WAVELENGTH, angstrom, flux)
    return np.asarray(values / np.interp(5500, WAVELENGTH, values))


def spectrum(old: Floats, a_star: Floats, weight: float, share: float) -> Floats:
    """Return the spectrum that the module describes."""
    hot = WAVELENGTH**-5 / np.expm1(1.4388e8 / (WAVELENGTH * 25000.0))
    hot = np.where(WAVELENGTH < 912, 0, hot) * 10 ** (-0.4 * 0.5 * 5500 / WAVELENGTH)
    hot /= np.interp(5500, WAVELENGTH, hot)
    evolved = np.clip(old, 1e-9, None) ** weight * np.clip(a_star, 1e-9, None) ** (1 - weight)
    return np.asarray((1 - share) * evolved + share * hot)


def magnitudes(flux: Floats, z: float) -> Floats:
    """AB magnitudes in DECam g, r, z of a spectrum seen at a redshift, but for a constant."""
    found = []
    for band in "grz":
        curve = np.loadtxt(shared("filters", f"decam.{band}.am1p4.dat.txt"), unpack=True)
        inside = curve[1] > 1e-4
        seen = np.arange(curve[0][inside].min(), curve[0][inside].max(), 2.0)
        through = np.interp(seen, *curve)
        light = np.interp(seen / (1 + z), WAVELENGTH, flux) / (1 + z)
        found.append(-2.5 * np.log10((light * through * seen).sum() / (through / seen).sum()))
    return np.array(found)


@needs_shared
@pytest.mark.parametrize("rest_gr", REST_COLOURS)
def test_the_table_is_that_of_the_spectra(rest_gr: float) -> None:
    old, a_star = template("CWW_E_ext_more.sed"), template("vega.txt")
    share = float(np.interp(rest_gr, [0.35, 0.74], [0.3, 0.0]))

    def excess(weight: float) -> float:
        g, r, _ = magnitudes(spectrum(old, a_star, weight, share), 0.0)
        return float(g - r - rest_gr)

    flux = spectrum(old, a_star, brentq(excess, -0.5, 2.5, xtol=1e-3), share)
    at_rest = magnitudes(flux, 0.0)
    for z in TABLE_REDSHIFTS[::4]:
        g, r, z_band = magnitudes(flux, z)
        expected = g - r, r - z_band, r - at_rest[1]
        tabulated = observed_colours(np.array([rest_gr]), np.array([z]))
        np.testing.assert_allclose(np.ravel(tabulated), expected, atol=0.012)


def test_at_rest_the_colour_is_the_one_asked_for() -> None:
    rest = np.linspace(-0.2, 0.85, 30)
    gr, rz, k_r = observed_colours(rest, np.zeros(30))
    np.testing.assert_allclose(gr, rest, atol=0.01)
    np.testing.assert_allclose(k_r, 0, atol=0.01)
    assert (np.diff(rz) > 0).all()


def test_lines_of_median_strength_change_nothing() -> None:
    z = np.linspace(0, 1, 20)
    for shift in line_shift(np.full(20, MEDIAN_HALPHA), np.zeros(20), z):
        np.testing.assert_allclose(shift, 0, atol=1e-12)


def test_strong_lines_pass_through_the_bands() -> None:
    z = np.array([0.02, 0.2])
    gr, rz = line_shift(np.full(2, 150.0), np.zeros(2), z)
    # Hα and [O III] are in r and g when near, [O III] in r and Hα in none at z = 0.2
    assert rz[0] < -0.08
    assert gr[1] > 0.04
    assert abs(gr[0]) < 0.05
