"""Isolated galaxies drawn by the simulation's renderer, detected and measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tests.drawn_galaxies import SMOOTH
from xsaga.simulation.conditions import Conditions
from xsaga.simulation.drawing.points import draw_points
from xsaga.simulation.drawing.render import draw_galaxies, observed_fluxes
from xsaga.simulation.measuring.detection import Detections, detect
from xsaga.simulation.measuring.measurement import Measured, measure
from xsaga.simulation.observing.observe import Coadd

CONDITIONS = Conditions(fwhm=(1.35, 1.25, 1.15), depth=(24.7, 23.9, 23.0))
SPACING = 150
"""Pixels between the galaxies."""


@dataclass(frozen=True)
class Field:
    """Objects on a grid, what was drawn of them and what was found.

    `row` and `found` pair objects with the nearest source within 1".
    """

    objects: pd.DataFrame
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    fluxes: NDArray[np.float64]
    coadd: Coadd
    detections: Detections
    measured: Measured
    row: NDArray[np.int64]
    found: NDArray[np.int64]


def random_galaxies(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw Sérsic ellipses with the sizes of SAGA's galaxies: rows of the truth table."""
    r = rng.uniform(17.5, 22.5, count)
    ba = rng.uniform(0.25, 1, count)
    # medians of SAGA DR3 table C2
    brightness = np.interp(r, [17.5, 18.5, 19.5, 20.4], [20.96, 21.49, 21.7, 21.96])
    brightness += rng.normal(0, 0.7, count)
    radius = np.sqrt(10 ** (0.4 * (brightness - r)) / 2 / np.pi / ba).clip(0.15, 5)
    return pd.DataFrame([SMOOTH] * count).assign(
        mag_g=r + 0.6,
        mag_r=r,
        mag_z=r - 0.35,
        ba=ba,
        radius=radius,
        pa=rng.uniform(0, 180, count),
        sersic=rng.choice([0.5, 1.0, 2.0, 4.0], count),
        ebv=0.0,
    )


def observed_field(objects: pd.DataFrame, rng: np.random.Generator) -> Field:
    """Draw objects on a grid with noise, find and measure them; needs GalSim and SEP."""
    pytest.importorskip("galsim", reason="needs the extra [sim]")
    pytest.importorskip("sep", reason="needs the extra [sim]")
    side = int(np.ceil(np.sqrt(len(objects))))
    place = np.arange(len(objects))
    x, y = (
        (index + 0.5) * SPACING + rng.uniform(-0.5, 0.5, len(objects))
        for index in (place % side, place // side)
    )
    pixels = side * SPACING
    fluxes = observed_fluxes(objects)
    model = np.zeros((3, pixels, pixels), dtype=np.float32)
    galaxy = (objects["kind"] == "galaxy").to_numpy()
    draw_galaxies(model, CONDITIONS, objects[galaxy], x[galaxy], y[galaxy], fluxes[galaxy])
    draw_points(model, CONDITIONS, x[~galaxy], y[~galaxy], fluxes[~galaxy])
    electrons = CONDITIONS.electrons[:, np.newaxis, np.newaxis]
    variance = CONDITIONS.sky_sigma[:, np.newaxis, np.newaxis] ** 2
    variance = variance + np.maximum(model, 0) / electrons
    # white noise as strong as that which the fits expect of correlated pixels
    growth = CONDITIONS.noise_growth[:, np.newaxis, np.newaxis]
    image = model + growth * np.sqrt(variance) * rng.standard_normal(model.shape)
    coadd = Coadd(
        image.astype(np.float32),
        (1 / variance).astype(np.float32),
        np.zeros((pixels, pixels), dtype=np.int16),
    )
    detections = detect(coadd, CONDITIONS)
    no = np.zeros(len(detections), dtype=np.bool_)
    measured = measure(coadd, CONDITIONS, detections, no, no)
    tree = cKDTree(np.column_stack([measured.x, measured.y]))
    distance, nearest = tree.query(np.column_stack([x, y]))
    row = np.flatnonzero(distance < 1 / 0.262)
    return Field(objects, x, y, fluxes, coadd, detections, measured, row, nearest[row])
