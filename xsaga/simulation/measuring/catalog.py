"""The catalog of a simulated brick, measured on its images, in the columns of a sweep file.

Sources are detected and fitted on the coadd alone, so blends, shreds and the errors of the fits are
what they are on real images. Truth enters where the survey takes it from other catalogs: Gaia stars
and the large galaxies of the SGA.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from xsaga.simulation.bricks import Brick
from xsaga.simulation.coadd_grid import PIXEL_SCALE, CoaddGrid
from xsaga.simulation.conditions import EXTINCTION, Conditions
from xsaga.simulation.drawing.render import observed_fluxes
from xsaga.simulation.drawing.sersic_transform import fiber_fractions
from xsaga.simulation.extras import import_sep
from xsaga.simulation.measuring.detection import Detections, detect
from xsaga.simulation.measuring.measurement import Measured, measure
from xsaga.simulation.measuring.profile_fit import E1, E2, INDEX, half_light_radius
from xsaga.simulation.measuring.source_types import SERSIC_INDEX, SourceType
from xsaga.simulation.measuring.truth_match import APERTURE, Matches, match_truth
from xsaga.simulation.observing.masks import BRIGHT, GALAXY
from xsaga.simulation.observing.observe import Coadd
from xsaga.simulation.sky_model import BANDS, RELEASE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GAIN = 5.0**2 + 2
"""Gain of χ² that a source must bring to be kept (Dey et al. 2019, section 8)."""

GAIA_LIMIT = 20.5
"""Stars brighter than this r carry REF_CAT and a proper motion."""

GAIA_POINTS = 18.0
"""Gaia stars brighter than this are fitted as points whatever they look like."""

LARGE_GALAXY = 13.5
"""Galaxies brighter than this r are in the catalog of large galaxies: REF_CAT = L3."""

MORPHOLOGY = ("bulge", "bar", "arms", "nucleus", "knots_light", "lopsided", "merger")
"""What the truth table tells of a galaxy's looks and the table of redshifts repeats."""

UNITS = {
    "RA": "deg",
    "DEC": "deg",
    "EBV": "mag",
    "SHAPE_R": "arcsec",
    "SHAPE_R_IVAR": "1/arcsec^2",
    "PMRA": "mas/yr",
    "PMDEC": "mas/yr",
    "REF_EPOCH": "yr",
}


@dataclass(frozen=True)
class BrickCatalog:
    """The sources of one brick's own area.

    Parameters
    ----------
    sources : astropy.table.Table
        Rows of a sweep file; OBJID is the row number.
    redshifts : DataFrame
        What each source truly is, row by row; see `true_nature`.
    """

    sources: Table
    redshifts: pd.DataFrame


def measured_catalog(
    objects: pd.DataFrame,
    grid: CoaddGrid,
    brick: Brick,
    coadd: Coadd,
    conditions: Conditions,
    ebv: float,
    rng: np.random.Generator,
) -> BrickCatalog:
    """Detect, measure and identify the sources of a brick.

    Parameters
    ----------
    objects : DataFrame
        All objects on the grid: rows of the truth table.
    grid : CoaddGrid
        Pixels of the coadd.
    brick : Brick
        Which brick.
    coadd : Coadd
        Its images.
    conditions : Conditions
        PSF and depth, which the survey knows too.
    ebv : float
        Reddening of the brick in mag.
    rng : numpy.random.Generator
        Proper motions.

    Returns
    -------
    BrickCatalog

    Raises
    ------
    MissingExtraError
        When SEP or GalSim is not installed.
    """
    object_x, object_y = grid.pixel_positions(objects["ra"].to_numpy(), objects["dec"].to_numpy())
    found, point, fixed = _with_external_catalogs(
        detect(coadd, conditions), objects, object_x, object_y, coadd
    )
    measured = measure(coadd, conditions, found, point, fixed)
    ra, dec = grid.wcs.all_pix2world(measured.x, measured.y, 0)
    own = ((ra - brick.ra1) % 360 < brick.ra2 - brick.ra1) & (brick.dec1 <= dec)
    own &= (dec < brick.dec2) & grid.inside(measured.x, measured.y)
    # holes fitted with negative light gain, too
    light = (measured.flux / np.sqrt(measured.flux_variance)).sum(axis=1) > 0
    kept = np.flatnonzero(own & light & (measured.gain > GAIN))
    measured, ra, dec = measured.subset(kept), ra[kept], dec[kept]
    matches = match_truth(
        measured.x,
        measured.y,
        measured.flux.astype(np.float64),
        _aperture_light(coadd, measured),
        objects,
        object_x,
        object_y,
        observed_fluxes(objects, conditions.region),
        conditions,
    )
    redshifts = true_nature(matches, objects, brick, ra, dec)
    sources = _sweep_rows(measured, matches, objects, brick, coadd, conditions, ebv, rng)
    sources["RA"], sources["DEC"] = ra, dec
    return BrickCatalog(sources, redshifts)


def true_nature(
    matches: Matches, objects: pd.DataFrame, brick: Brick, ra: Floats, dec: Floats
) -> pd.DataFrame:
    """Say what each source of a brick is.

    Parameters
    ----------
    matches : Matches
        Of the N sources.
    objects : DataFrame
        Rows of the truth table.
    brick : Brick
        Whose sources they are.
    ra, dec : ndarray, shape (N,)
        Measured positions in degrees.

    Returns
    -------
    DataFrame
        source_id, ra, dec; z and z_true (the redshift of the object whose light it mostly is, 0 for
        stars, NaN for artefacts); z_quality (4 where there is one, else 0); kind (galaxy, star,
        quasar, artefact); shred (a piece of a galaxy, not its main source); is_lowz (a galaxy at
        z < 0.03 and not a shred); main (the object's main source); truth_id (source_id in the truth
        table, −1 for artefacts), mag_r_true and training; `MORPHOLOGY` of the truth table as
        morphology_bulge and so on for main sources of galaxies, else NaN.
    """
    known = matches.truth >= 0

    def of_truth(name: str, otherwise: Any) -> NDArray[Any]:
        values = objects[name].to_numpy()
        if not len(values):
            return np.full(len(known), otherwise)
        return np.asarray(np.where(known, values[matches.truth], otherwise))

    kind = of_truth("kind", "artefact").astype(object)
    galaxy = kind == "galaxy"
    shred = galaxy & ~matches.main
    z = of_truth("z", np.nan).astype(np.float64)
    return pd.DataFrame(
        {
            "source_id": _source_ids(brick, len(ra)),
            "ra": ra,
            "dec": dec,
            "z": z,
            "z_quality": np.where(known, 4, 0).astype(np.int16),
            "is_lowz": galaxy & ~shred & of_truth("is_lowz", False).astype(np.bool_),
            "shred": shred,
            "main": matches.main,
            "kind": kind,
            "truth_id": of_truth("source_id", -1).astype(np.int64),
            "mag_r_true": of_truth("mag_r", np.nan).astype(np.float64),
            "z_true": z,
            "training": of_truth("training", False).astype(np.bool_),
            **{
                f"morphology_{name}": np.where(
                    galaxy & matches.main, of_truth(name, np.nan), np.nan
                ).astype(np.float32)
                for name in MORPHOLOGY
            },
        }
    )


def _source_ids(brick: Brick, count: int) -> NDArray[np.int64]:
    """TARGETID: OBJID in bits 0-21, BRICKID in 22-41, RELEASE in 42-57 (desitarget.targets)."""
    return np.arange(count, dtype=np.int64) | (brick.brickid << 22) | (RELEASE << 42)


def _with_external_catalogs(
    found: Detections, objects: pd.DataFrame, object_x: Floats, object_y: Floats, coadd: Coadd
) -> tuple[Detections, Bools, Bools]:
    """Tell the detections what other catalogs know: those of Gaia and of large galaxies.

    Returns
    -------
    found : Detections
        Bright stars at their positions in Gaia.
    point : ndarray of bool, shape (N,)
        Which are fitted as points only: bright Gaia stars, and everything within the masks of
        bright stars and large galaxies but those galaxies themselves.
    fixed : ndarray of bool, shape (N,)
        Which keep their positions: those of Gaia.
    """
    row, column = _pixels_of(found.x, found.y, coadd)
    point = (coadd.maskbits[row, column] & (1 << BRIGHT | 1 << GALAXY)) != 0
    fixed = np.zeros(len(found), dtype=np.bool_)
    if len(found) == 0:
        return found, point, fixed
    tree = cKDTree(np.column_stack([found.x, found.y]))
    magnitude, kind = objects["mag_r"].to_numpy(), objects["kind"].to_numpy()

    large = (kind == "galaxy") & (magnitude < LARGE_GALAXY)
    distance, nearest = _nearest(tree, object_x[large], object_y[large])
    point[nearest[distance < 5 / PIXEL_SCALE]] = False

    stars = np.flatnonzero((kind == "star") & (magnitude < GAIA_POINTS))
    stars = stars[np.argsort(-magnitude[stars])]  # where two are one detection, the brighter wins
    distance, nearest = _nearest(tree, object_x[stars], object_y[stars])
    near = distance < 2 / PIXEL_SCALE
    nearest, stars = nearest[near], stars[near]
    x, y = found.x.copy(), found.y.copy()
    x[nearest], y[nearest] = object_x[stars], object_y[stars]
    point[nearest] = fixed[nearest] = True
    return replace(found, x=x, y=y), point, fixed


def _nearest(tree: cKDTree, x: Floats, y: Floats) -> tuple[Floats, NDArray[np.int64]]:
    distance, nearest = tree.query(np.column_stack([x, y]))
    return np.asarray(distance), np.asarray(nearest)


def _pixels_of(x: Floats, y: Floats, coadd: Coadd) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of positions in pixels, those outside moved to the edge."""
    last = coadd.maskbits.shape[0] - 1
    row, column = (np.rint(c).astype(np.int64).clip(0, last) for c in (y, x))
    return row, column


def _aperture_light(coadd: Coadd, measured: Measured) -> Floats:
    """Light in the images around the sources, shape (N, 3)."""
    sep = import_sep()
    radius = APERTURE / PIXEL_SCALE
    sums = [sep.sum_circle(plane, measured.x, measured.y, radius)[0] for plane in coadd.image]
    return np.stack(sums, axis=1)


def _sweep_rows(
    measured: Measured,
    matches: Matches,
    objects: pd.DataFrame,
    brick: Brick,
    coadd: Coadd,
    conditions: Conditions,
    ebv: float,
    rng: np.random.Generator,
) -> Table:
    """Give measured sources the columns of a sweep file; RA and DEC are still to come."""
    count = len(measured)
    kind = measured.kind
    point, round_ = kind == SourceType.PSF, kind <= SourceType.REX
    radius = np.where(point, 0, half_light_radius(measured.shape))
    ellipticity = np.hypot(measured.shape[:, E1], measured.shape[:, E2])
    circular = radius * np.sqrt((1 - ellipticity) / (1 + ellipticity))
    sersic = measured.shape[:, INDEX].astype(np.float64)
    for name, index in SERSIC_INDEX.items():
        sersic[kind == name] = index
    transmission = 10 ** (-0.4 * ebv * np.array(EXTINCTION))
    ivar = 1 / measured.flux_variance
    row, column = _pixels_of(measured.x, measured.y, coadd)
    exposures = np.where(ivar > 0, conditions.exposures, 0).astype(np.int16)
    catalog = _reference_catalog(matches, objects)
    in_gaia = catalog == "G2"
    motions = np.where(in_gaia, rng.normal(0, 8.0, (2, count)), 0)
    fiber = fiber_fractions(circular, sersic) * measured.flux[:, 1]
    single: dict[str, NDArray[np.generic]] = {
        "RELEASE": np.full(count, RELEASE, dtype=np.int16),
        "BRICKID": np.full(count, brick.brickid, dtype=np.int32),
        "BRICKNAME": np.full(count, brick.name, dtype="S8"),
        "OBJID": np.arange(count, dtype=np.int32),
        "TYPE": np.array([name.name for name in SourceType], dtype="S3")[kind],
        "RA": np.zeros(count),
        "DEC": np.zeros(count),
        "EBV": _narrow(np.full(count, ebv)),
        **_by_band("FLUX", _narrow(measured.flux)),
        **_by_band("FLUX_IVAR", _narrow(ivar)),
        **_by_band("MW_TRANSMISSION", _narrow(np.tile(transmission, (count, 1)))),
        **_by_band("FRACFLUX", _narrow(measured.fracflux)),
        **_by_band("RCHISQ", _narrow(measured.rchisq)),
        **_by_band("NOBS", exposures),
        "FIBERFLUX_R": _narrow(fiber),
        "SHAPE_R": _narrow(radius),
        "SHAPE_R_IVAR": _narrow(np.where(point, 0, 1 / measured.radius_variance)),
        # Tractor's angles run from north to east, those of the fits from west to north
        "SHAPE_E1": _narrow(np.where(round_, 0, -measured.shape[:, E1])),
        "SHAPE_E2": _narrow(np.where(round_, 0, -measured.shape[:, E2])),
        "SERSIC": _narrow(sersic),
        "MASKBITS": coadd.maskbits[row, column],
        "REF_CAT": catalog.astype("S2"),
        "PMRA": _narrow(motions[0]),
        "PMDEC": _narrow(motions[1]),
        "REF_EPOCH": _narrow(np.where(in_gaia, 2015.5, 0)),
        "PHOTSYS": np.full(count, conditions.region[0].upper(), dtype="S1"),
    }
    table = Table(single)
    for column_name, unit in UNITS.items():
        table[column_name].unit = unit
    return table


def _reference_catalog(matches: Matches, objects: pd.DataFrame) -> NDArray[np.str_]:
    """REF_CAT: L3 for large galaxies, G2 for Gaia's stars, else empty."""
    catalog = np.full(len(matches.truth), "", dtype="U2")
    rows = np.flatnonzero(matches.main)
    true = objects.iloc[matches.truth[rows]]
    magnitude, kind = true["mag_r"].to_numpy(), true["kind"].to_numpy()
    catalog[rows[(kind == "star") & (magnitude < GAIA_LIMIT)]] = "G2"
    catalog[rows[(kind == "galaxy") & (magnitude < LARGE_GALAXY)]] = "L3"
    return catalog


def _by_band(name: str, values: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    return {f"{name}_{band.upper()}": values[:, i] for i, band in enumerate(BANDS)}


def _narrow(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return values.astype(np.float32)
