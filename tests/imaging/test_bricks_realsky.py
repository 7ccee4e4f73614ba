"""Bricks of the real sky in ../shared."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import map_coordinates

from tests.brick_trees import collect
from tests.shared_data import needs_shared, shared
from xsaga.imaging.brick import BrickName
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec, CutoutStatus
from xsaga.imaging.tangent import TangentGrid

pytestmark = needs_shared


@pytest.fixture(scope="module")
def field_a() -> tuple[np.ndarray, WCS, np.ndarray, np.ndarray]:
    """Pixels and projection of field-a as the viewer served it, and the sources in it."""
    with fits.open(shared("realsky", "cutouts", "field-a.fits")) as hdus:
        image, wcs = hdus[0].data, WCS(hdus[0].header, naxis=2)
    sources = Table.read(shared("realsky", "sweep", "sweep-realsky.fits"))
    ra, dec = np.asarray(sources["RA"], float), np.asarray(sources["DEC"], float)
    near = (np.abs((ra - wcs.wcs.crval[0] + 180) % 360 - 180) < 0.03) & (np.abs(dec - 0.70) < 0.03)
    return image, wcs, ra[near], dec[near]


def test_sources_that_straddle_ra_zero_are_complete_where_data_exist(
    field_a: tuple[np.ndarray, WCS, np.ndarray, np.ndarray],
) -> None:
    image, wcs, ra, dec = field_a
    size = 144
    source = BrickSource(LocalTree(shared("realsky")), CutoutSpec(size=size), workers=1)
    cutouts = collect(source, ra, dec)
    assert {o.split("+")[0] for o in cutouts.origin} == {"south/0001p007", "south/3598p007"}
    x, y = wcs.world_to_pixel_values(ra, dec)
    inside = np.minimum.reduce([x, y, 508 - x, 508 - y]) > size / 2 + 3
    assert inside.sum() >= 20
    assert (ra[inside] > 180).any()
    assert (ra[inside] < 180).any()
    assert (cutouts.status[inside] == CutoutStatus.OK).all()
    assert (cutouts.status[~inside] == CutoutStatus.PARTIAL).sum() > 20
    middle = (size - 1) / 2
    for row in np.flatnonzero(inside):
        grid = home_grid(cutouts.origin[row])
        px, py = (np.rint(p - middle) + np.arange(size) for p in grid.to_pixel(ra[row], dec[row]))
        there = wcs.world_to_pixel_values(*grid.to_sky(*np.meshgrid(px, py)))
        for band in range(3):
            expected = map_coordinates(image[band], there[::-1], order=3)
            off = cutouts.images[row, band] - expected
            assert np.abs(off).max() < 0.02 * image[band].max()
            assert off.std() < 0.05 * expected.std()


def home_grid(origin: str) -> TangentGrid:
    table = LocalTree(shared("realsky")).bricks("south")
    assert table is not None
    name = origin.split("/")[1].split("+")[0]
    number = int(np.flatnonzero(table.name == name)[0])
    return BrickName(
        "south", name, float(table.ra[number]), float(table.dec[number])
    ).nominal_grid()


def test_two_bricks_agree_on_the_sky_they_share(
    field_a: tuple[np.ndarray, WCS, np.ndarray, np.ndarray],
) -> None:
    _, _, ra, dec = field_a
    size = 24
    grids = {name: home_grid(f"south/{name}") for name in ("0001p007", "3598p007")}
    x, _ = grids["0001p007"].to_pixel(ra, dec)
    shared_sky = np.minimum(3599 - x, grids["3598p007"].to_pixel(ra, dec)[0]) > size
    assert shared_sky.sum() >= 3
    source = BrickSource(LocalTree(shared("realsky")), CutoutSpec(size=size), workers=1)
    ours = collect(source, ra[shared_sky], dec[shared_sky]).images[:, 1].sum(axis=(1, 2))
    for name, grid in grids.items():
        path = shared("realsky", "south", "coadd", name[:3], name)
        plane = fits.getdata(path / f"legacysurvey-{name}-image-r.fits.fz", 1)
        px, py = (
            np.rint(p - (size - 1) / 2).astype(int)
            for p in grid.to_pixel(ra[shared_sky], dec[shared_sky])
        )
        boxes = sliding_window_view(plane, (size, size))[py, px]
        sums = boxes.sum(axis=(1, 2))
        assert sums == pytest.approx(ours, rel=0.1)


def test_northern_brick_near_the_pole_without_r() -> None:
    tree = LocalTree(shared("realsky", "dr6-north"))
    source = BrickSource(tree, CutoutSpec(size=64), workers=1)
    assert source.release == "ls-dr6"
    grid = BrickName("", "0959p805", 95.9504132231405, 80.5).nominal_grid()
    x, y = np.array([500, 3000]), np.array([900, 3000])
    cutouts = collect(source, *grid.to_sky(x + 0.1, y + 0.1))
    assert cutouts.status.tolist() == [CutoutStatus.PARTIAL, CutoutStatus.OUTSIDE]
    assert cutouts.reason == ["no r image of brick 0959p805"] * 2
    folder = shared("realsky", "dr6-north", "coadd", "095", "0959p805")
    box = (slice(900 - 31, 900 + 33), slice(500 - 31, 500 + 33))
    image = fits.getdata(folder / "legacysurvey-0959p805-image-g.fits.fz", 1)[box]
    has_data = fits.getdata(folder / "legacysurvey-0959p805-invvar-g.fits.fz", 1)[box] > 0
    assert np.array_equal(cutouts.images[0, 0], np.where(has_data, image, 0))
    assert cutouts.coverage[0].tolist() == [np.float32(has_data.mean()), 0, 0]
    assert has_data.mean() > 0.5
