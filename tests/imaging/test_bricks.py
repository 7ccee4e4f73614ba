from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.brick_trees import SCALE, TreeWriter, brick_grid, collect
from xsaga.errors import ImagingError
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec, CutoutStatus
from xsaga.imaging.tangent import TangentGrid

SIZE = 32


def numbered(height: int, width: int) -> np.ndarray:
    """An image in which every pixel has another whole number, none 0."""
    return np.arange(1.0, height * width + 1).reshape(height, width)


def source(root: Path, size: int = SIZE, **options: object) -> BrickSource:
    options = {"workers": 1, **options}
    return BrickSource(LocalTree(root), CutoutSpec(size=size), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("dec", [-1.0, 82.0, -88.5])
@pytest.mark.parametrize("ra", [0.0, 150.0])
def test_cutout_is_the_exact_pixels_around_the_nearest_one(
    tmp_path: Path, size: int, ra: float, dec: float
) -> None:
    grid, image = brick_grid(ra, dec), numbered(300, 300)
    tree = TreeWriter(tmp_path)
    tree.add("south", "brick", grid, image)
    x, y = np.array([150, 71, 229]), np.array([150, 231, 80])
    shift = np.array([0.1, 0.4, -0.4])
    cutouts = collect(source(tree.finish(), size), *grid.to_sky(x + shift, y - shift))
    middle = (size - 1) / 2
    for row in range(3):
        x0, y0 = (round(at - middle) for at in (x[row] + shift[row], y[row] - shift[row]))
        assert abs(x0 + middle - (x[row] + shift[row])) <= 0.5
        expected = image[y0 : y0 + size, x0 : x0 + size]
        assert np.array_equal(cutouts.images[row], np.stack([expected, 2 * expected, 3 * expected]))
    assert (cutouts.coverage == 1).all()
    assert (cutouts.status == CutoutStatus.OK).all()
    assert cutouts.reason == [""] * 3
    assert cutouts.origin == ["south/brick"] * 3


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, TangentGrid, Path]:
    """A mosaic on both sides of RA = 0, and a tree with the two overlapping halves of it."""
    mosaic = numbered(300, 500)
    whole = TangentGrid(0.002, 70.0, 249.5, 149.5, (-SCALE, 0.0, 0.0, SCALE), 500, 300)
    tree = TreeWriter(tmp_path_factory.mktemp("split"))
    for brick, first in (("east", 0), ("west", 200)):
        part = TangentGrid(whole.ra, whole.dec, whole.x - first, whole.y, whole.cd, 300, 300)
        tree.add("north", brick, part, mosaic[:, first : first + 300])
    return mosaic, whole, tree.finish()


@settings(max_examples=12)
@given(
    pixels=st.lists(
        st.tuples(st.integers(0, 499), st.integers(0, 299)), min_size=1, max_size=8
    ).map(np.array),
    shift=st.floats(0.01, 0.49),
    size=st.integers(8, 300),
)
def test_bricks_of_one_mosaic_give_its_cutouts(
    split: tuple[np.ndarray, TangentGrid, Path], pixels: np.ndarray, shift: float, size: int
) -> None:
    mosaic, whole, root = split
    cutouts = collect(source(root, size), *whole.to_sky(*(pixels + shift).T))
    around = np.pad(mosaic, size)
    for row, (x, y) in enumerate(pixels + size - (size - 1) // 2):
        expected = around[y : y + size, x : x + size]
        assert np.array_equal(cutouts.images[row, 0], expected)
        assert cutouts.coverage[row, 0] == np.float32((expected > 0).mean())
        complete = (expected > 0).all()
        assert cutouts.status[row] == (CutoutStatus.OK if complete else CutoutStatus.PARTIAL)
        assert bool(cutouts.reason[row]) != complete


@pytest.mark.parametrize("dec", [0.5, 85.0, -89.5])
def test_pixels_come_from_rotated_neighbours_to_half_a_pixel(tmp_path: Path, dec: float) -> None:
    tree, size = TreeWriter(tmp_path), 120
    step = 240 * SCALE / np.cos(np.radians(dec))
    centre = TangentGrid(0.0, dec, 0.0, 0.0, (-SCALE, 0.0, 0.0, SCALE), 1, 1)

    def sky_pattern(grid: TangentGrid) -> np.ndarray:
        y, x = np.mgrid[: grid.height, : grid.width]
        u, v = centre.to_pixel(*grid.to_sky(x, y))
        return np.rint(100_000 + 100 * u + 37 * v)

    for brick, ra in (("0000", 0.0), ("0010", step), ("3590", 360 - step)):
        tree.add("south", brick, brick_grid(ra % 360, dec), sky_pattern(brick_grid(ra % 360, dec)))
    home = brick_grid(0.0, dec)
    x, y = 40.0, 150.0  # 20 columns of the cutout are beyond the eastern edge
    cutouts = collect(source(tree.finish(), size), *home.to_sky(x - 0.4, y - 0.4))
    assert cutouts.origin == ["south/0000+0010"]
    assert cutouts.status[0] == CutoutStatus.OK
    wide = TangentGrid(0.0, dec, 149.5 - (x - 60), 149.5 - (y - 60), home.cd, size, size)
    assert np.array_equal(cutouts.images[0, 0, :, 20:], sky_pattern(wide)[:, 20:])
    off = np.abs(cutouts.images[0, 0, :, :20] - sky_pattern(wide)[:, :20])
    assert 0 < off.max() <= np.ceil((100 + 37) / 2) + 2


def test_holes_are_filled_where_a_neighbour_has_data(tmp_path: Path) -> None:
    whole = TangentGrid(30.0, 0.0, 199.5, 149.5, (-SCALE, 0.0, 0.0, SCALE), 400, 300)
    mosaic, holes = numbered(300, 400), np.ones((300, 400))
    holes[140:150, 240:250] = 0  # no data in one brick, where both overlap
    tree = TreeWriter(tmp_path)
    for brick, first, invvar in (("a", 0, holes), ("b", 100, np.ones((300, 400)))):
        part = TangentGrid(whole.ra, whole.dec, whole.x - first, whole.y, whole.cd, 300, 300)
        here = slice(first, first + 300)
        tree.add("south", brick, part, mosaic[:, here] * invvar[:, here], invvar[:, here])
    x, y = np.array([195, 60]), np.array([145, 145])
    cutouts = collect(source(tree.finish(), 100), *whole.to_sky(x - 0.4, y - 0.4))
    assert cutouts.origin == ["south/a+b", "south/a"]
    assert (cutouts.coverage == 1).all()
    assert np.array_equal(cutouts.images[0, 0], mosaic[95:195, 145:245])


def test_pixels_without_data_are_zero_and_not_covered(tmp_path: Path) -> None:
    grid, image, invvar = brick_grid(10.0, 20.0), numbered(300, 300), np.ones((300, 300))
    invvar[:, :150] = 0
    image[160, 160] = np.nan
    tree = TreeWriter(tmp_path)
    tree.add("south", "brick", grid, image, invvar)
    cutouts = collect(source(tree.finish()), *grid.to_sky([149.6, 49.6], [149.6, 149.6]))
    assert (cutouts.images[0, :, :, :16] == 0).all()
    assert cutouts.images[0, 0, 26, 26] == 0
    assert np.count_nonzero(cutouts.images[0, 0]) == SIZE * 16 - 1
    assert cutouts.coverage[0] == pytest.approx([(SIZE * 16 - 1) / SIZE**2] * 3)
    assert cutouts.status.tolist() == [CutoutStatus.PARTIAL, CutoutStatus.OUTSIDE]
    assert cutouts.reason == [
        "part of the cutout has no data",
        "no data there in brick south/brick",
    ]


def test_without_invvar_zero_pixels_hold_no_data(tmp_path: Path) -> None:
    grid, image = brick_grid(10.0, 20.0), numbered(300, 300)
    image[:, :150] = 0
    tree = TreeWriter(tmp_path)
    tree.add("south", "brick", grid, image)
    tree.path("south", "brick", "invvar", "r").unlink()
    cutouts = collect(source(tree.finish()), *grid.to_sky(149.6, 149.6))
    assert cutouts.coverage[0].tolist() == [1.0, 0.5, 1.0]
    assert cutouts.origin == ["south/brick (no r invvar)"]


def test_missing_band_is_zero_and_said(tmp_path: Path) -> None:
    grid = brick_grid(10.0, 20.0)
    tree = TreeWriter(tmp_path)
    tree.add("south", "brick", grid, numbered(300, 300), bands=("g", "z"))
    cutouts = collect(source(tree.finish()), *grid.to_sky(150, 150))
    assert cutouts.coverage[0].tolist() == [1.0, 0.0, 1.0]
    assert (cutouts.images[0, 1] == 0).all()
    assert cutouts.status[0] == CutoutStatus.PARTIAL
    assert cutouts.reason == ["no r image of brick south/brick"]


def test_positions_beyond_all_bricks_are_outside(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path)
    tree.add("south", "brick", brick_grid(10.0, 20.0), numbered(300, 300))
    cutouts = collect(source(tree.finish()), [10.0, 190.0, 12.0], [-70.0, -20.0, 20.0])
    assert (cutouts.status == CutoutStatus.OUTSIDE).all()
    assert (cutouts.coverage == 0).all()
    assert all(cutouts.reason)


def test_release_follows_the_rule_of_dr9_where_both_have_the_brick(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path)
    places = {"n": (200.0, 40.0), "s": (200.0, 30.0), "b": (20.0, 40.0)}  # the last at b < 0
    for region, value in (("north", 1.0), ("south", 2.0)):
        for brick, (ra, dec) in places.items():
            tree.add(region, brick, brick_grid(ra, dec), np.full((300, 300), value))
    tree.add("south", "only", brick_grid(210.0, 40.0), np.full((300, 300), 2.0))
    root = tree.finish()
    ra, dec = np.array([*places.values(), (210.0, 40.0)]).T
    cutouts = collect(source(root), ra, dec)
    assert cutouts.origin == ["north/n", "south/s", "south/b", "south/only"]
    assert cutouts.images[:, 0, 0, 0].tolist() == [1, 2, 2, 2]
    south = collect(source(root, region="south"), ra, dec)
    assert south.origin == ["south/n", "south/s", "south/b", "south/only"]
    north = collect(source(root, region="north"), ra, dec)
    assert north.status.tolist() == [0, 0, 0, CutoutStatus.OUTSIDE]


def test_only_listed_bricks_exist_else_those_with_a_folder(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path)
    tree.add("south", "a", brick_grid(10.0, 0.0), numbered(300, 300))
    tree.add("south", "b", brick_grid(11.0, 0.0), numbered(300, 300))
    both = tree.listed["south"].copy()
    tree.listed["south"] = both[:1]
    assert collect(source(tree.finish()), [10, 11], [0, 0]).status.tolist() == [0, 2]
    region_table = tmp_path / "south" / "survey-bricks-test-south.fits.gz"
    tree.listed = {"": [*both, ("c", 12.0, 0.0)]}
    tree.finish()
    (tmp_path / "survey-bricks-test-.fits.gz").rename(tmp_path / "survey-bricks.fits.gz")
    region_table.unlink()
    assert collect(source(tmp_path), [10, 11, 12], [0, 0, 0]).status.tolist() == [0, 0, 2]


@pytest.mark.usefixtures("decoded_by_processes")
def test_many_sources_from_several_processes_are_the_same(tmp_path: Path) -> None:
    tree, rng = TreeWriter(tmp_path), np.random.default_rng(1)
    grids = [brick_grid(10.0, 0.0, 400), brick_grid(10.027, 0.0, 400)]
    for brick, grid in zip("ab", grids, strict=True):
        tree.add("south", brick, grid, rng.integers(1, 99, (400, 400)).astype(float))
    root = tree.finish()
    x, y = rng.uniform(-20, 420, (2, 600))
    ra, dec = np.concatenate([grid.to_sky(x[:300], y[:300]) for grid in grids], axis=1)
    alone, several = source(root), source(root, workers=2)
    expected, got = collect(alone, ra, dec), collect(several, ra, dec)
    several.close()
    assert np.array_equal(got.images, expected.images)
    assert np.array_equal(got.coverage, expected.coverage)
    assert got.reason == expected.reason
    assert got.origin == expected.origin
    assert {"south/a", "south/a+b", "south/b", "south/b+a"} <= set(got.origin)


def test_little_memory_and_an_abandoned_call_change_nothing(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path)
    grid = brick_grid(10.0, 0.0)
    tree.add("south", "a", grid, numbered(300, 300))
    tree.add("south", "b", brick_grid(10.02, 0.0), numbered(300, 300))
    root = tree.finish()
    x, y = np.array([10, 150, 280, 20]), np.array([20, 150, 280, 280])
    ra, dec = grid.to_sky(x, y)
    frugal = source(root, max_bytes=0)
    next(frugal.cutouts(ra, dec, np.arange(4)))
    assert np.array_equal(collect(frugal, ra, dec).images, collect(source(root), ra, dec).images)


def test_no_sources_give_no_batches(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path)
    tree.add("south", "a", brick_grid(10.0, 0.0), numbered(300, 300))
    none = np.array([])
    assert list(source(tree.finish()).cutouts(none, none, none.astype(np.int64))) == []


def test_other_pixel_scales_are_refused(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path)
    tree.add("south", "a", brick_grid(10.0, 0.0), numbered(300, 300))
    with pytest.raises(ImagingError, match=r"pixels of 0\.262 arcsec, not 0\.4"):
        BrickSource(LocalTree(tree.finish()), CutoutSpec(pixel_scale=0.4))
