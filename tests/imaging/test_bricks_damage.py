"""What a damaged, incomplete or unreadable brick tree does: it costs its own sources only."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tests.brick_trees import TreeWriter, brick_grid, collect, grid_header
from xsaga.errors import ImagingError
from xsaga.imaging.brick_cells import DecodeRates
from xsaga.imaging.brick_decode import BrickDecoder, BrickPlanes
from xsaga.imaging.brick_tree import BrickTable, LocalTree, read_brick_table
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec, CutoutStatus

SPEC = CutoutSpec(size=32)
HURT, SOUND = (10.0, 5.0), (50.0, -5.0)


@pytest.fixture
def tree(tmp_path: Path) -> TreeWriter:
    image = np.random.default_rng(1).integers(1, 1000, (300, 300)).astype(float)
    writer = TreeWriter(tmp_path)
    writer.add("south", "hurt", brick_grid(*HURT), image)
    writer.add("south", "sound", brick_grid(*SOUND), image)
    return writer


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_web_page(path: Path) -> None:
    path.write_bytes(b"<html><body>404 not found</body></html>" * 200)


def scrambled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-60_000:] = b"\xff" * 60_000  # its header and size stay right
    path.write_bytes(content)


def without_image(path: Path) -> None:
    fits.PrimaryHDU().writeto(path, overwrite=True)


def of_other_shape(path: Path) -> None:
    hdu = fits.CompImageHDU(np.ones((300, 200), np.float32), grid_header(brick_grid(*HURT)))
    hdu.writeto(path, overwrite=True)


def without_projection(path: Path) -> None:
    fits.CompImageHDU(np.ones((300, 300), np.float32)).writeto(path, overwrite=True)


@pytest.mark.parametrize("product", ["image", "invvar"])
@pytest.mark.parametrize("harm", [truncated, empty, a_web_page, scrambled, without_image])
def test_damaged_file_spoils_its_brick_only(
    tree: TreeWriter, harm: Callable[[Path], None], product: str
) -> None:
    path = tree.path("south", "hurt", product, "g")
    harm(path)
    check_only_hurt(tree, CutoutStatus.CORRUPT, path)


@pytest.mark.parametrize("harm", [of_other_shape, without_projection])
def test_brick_of_wrong_shape_or_place_is_corrupt(
    tree: TreeWriter, harm: Callable[[Path], None]
) -> None:
    path = tree.path("south", "hurt", "image", "g")
    harm(path)
    check_only_hurt(tree, CutoutStatus.CORRUPT, path)


def test_planes_of_different_shapes_are_corrupt(tree: TreeWriter) -> None:
    path = tree.path("south", "hurt", "image", "z")
    of_other_shape(path)
    reason = check_only_hurt(tree, CutoutStatus.CORRUPT, path)
    assert "200 x 300 pixels, other files of the brick have 300 x 300" in reason


def test_unreadable_file_fails_its_brick_only(tree: TreeWriter) -> None:
    path = tree.path("south", "hurt", "image", "r")
    path.unlink()
    path.mkdir()  # unreadable for root as well
    check_only_hurt(tree, CutoutStatus.FAILED, path)


def check_only_hurt(tree: TreeWriter, status: CutoutStatus, path: Path) -> str:
    source = BrickSource(LocalTree(tree.finish()), SPEC, workers=1)
    ra, dec = np.transpose([HURT, SOUND, HURT])
    cutouts = collect(source, ra, dec)
    assert cutouts.status.tolist() == [status, CutoutStatus.OK, status]
    assert str(path) in cutouts.reason[0]
    assert "\n" not in cutouts.reason[0]
    assert cutouts.coverage.sum(axis=1).tolist() == [0, 3, 0]
    assert not cutouts.images[[0, 2]].any()
    return cutouts.reason[0]


@pytest.mark.usefixtures("decoded_by_processes")
def test_damage_is_found_by_decoding_processes_too(tree: TreeWriter) -> None:
    path = tree.path("south", "hurt", "invvar", "z")
    scrambled(path)
    source = BrickSource(LocalTree(tree.finish()), SPEC, workers=2)
    rng = np.random.default_rng(2)
    ra, dec = np.transpose([HURT, SOUND] * 40) + rng.uniform(-0.008, 0.008, (2, 80))
    cutouts = collect(source, ra, dec)
    source.close()
    assert cutouts.status.tolist() == [CutoutStatus.CORRUPT, CutoutStatus.OK] * 40
    assert str(path) in cutouts.reason[0]


def last_tile_scrambled(path: Path) -> None:
    with fits.open(path, disable_image_compression=True) as hdus:
        header, start = hdus[1].header, hdus[1].fileinfo()["datLoc"]
    content = bytearray(path.read_bytes())
    heap = start + header["NAXIS1"] * header["NAXIS2"]
    length, offset = struct.unpack(">2i", content[heap - header["NAXIS1"] : heap])
    content[heap + offset : heap + offset + length] = b"\xff" * length
    path.write_bytes(content)


@pytest.mark.parametrize("whole", [True, False])
def test_damage_that_no_cutout_needs_costs_nothing(
    tree: TreeWriter, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """However fast either way of decoding is."""
    last_tile_scrambled(tree.path("south", "hurt", "image", "g"))
    monkeypatch.setattr(DecodeRates, "prefer_whole", lambda *_: whole)
    source = BrickSource(LocalTree(tree.finish()), SPEC, workers=1)
    grid = brick_grid(*HURT)
    cutouts = collect(source, *grid.to_sky([50.0, 150, 250, 150], [50.0, 50, 50, 150]))
    assert cutouts.status.tolist() == [CutoutStatus.OK] * 4
    (there,) = collect(source, *grid.to_sky([250.0], [250.0])).status.tolist()
    assert there == CutoutStatus.CORRUPT


def test_damaged_neighbour_leaves_a_gap_and_is_named(tmp_path: Path) -> None:
    writer, grid = TreeWriter(tmp_path), brick_grid(10.0, 0.0)
    for brick, ra in (("home", 10.0), ("next", 10.021)):
        writer.add("south", brick, brick_grid(ra, 0.0), np.ones((300, 300)))
    truncated(writer.path("south", "next", "image", "g"))
    source = BrickSource(LocalTree(writer.finish()), SPEC, workers=1)
    cutouts = collect(source, *grid.to_sky([8, 150], [150, 150]))
    assert cutouts.status.tolist() == [CutoutStatus.PARTIAL, CutoutStatus.OK]
    assert cutouts.coverage[0, 0] == 0.75
    assert "neighbour south/next is unusable" in cutouts.reason[0]
    assert cutouts.reason[1] == ""


@dataclass(frozen=True)
class RefusingTree(LocalTree):
    """A tree whose files of one brick cannot be had."""

    error: Exception = field(default_factory=ImagingError)

    def fetch(self, path: str) -> Path | None:
        if "hurt" in path:
            raise self.error
        return super().fetch(path)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ImagingError("https://example.org/hurt: answered 500"), "answered 500"),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "hurt.fz"),
            "hurt.fz: Permission",
        ),
        (ConnectionError("cut"), "cut"),
    ],
)
def test_brick_that_cannot_be_had_has_failed(tree: TreeWriter, error: Exception, told: str) -> None:
    source = BrickSource(RefusingTree(tree.finish(), error), SPEC, workers=1)
    cutouts = collect(source, *np.transpose([HURT, SOUND]))
    assert cutouts.status.tolist() == [CutoutStatus.FAILED, CutoutStatus.OK]
    assert told in cutouts.reason[0]


def test_listed_brick_without_files_is_outside(tree: TreeWriter) -> None:
    for path in tree.path("south", "hurt", "image", "g").parent.iterdir():
        path.unlink()
    cutouts = collect(BrickSource(LocalTree(tree.finish()), SPEC, workers=1), *HURT)
    assert cutouts.status.tolist() == [CutoutStatus.OUTSIDE]
    assert cutouts.reason == ["no g, r, z image of brick south/hurt"]


@pytest.mark.parametrize(("beside", "taken"), [(False, 0), (True, 1)])
def test_bricks_without_files_take_no_memory(
    tree: TreeWriter, monkeypatch: pytest.MonkeyPatch, beside: bool, taken: int
) -> None:
    """Neither the brick of a position nor a neighbour that might fill gaps."""
    for path in tree.path("south", "hurt", "image", "g").parent.iterdir():
        path.unlink()
    position = (HURT[0] - 0.02 * beside, HURT[1])
    if beside:
        gap = np.ones((300, 300))
        gap[:, 150:] = 0
        tree.add("south", "beside", brick_grid(*position), gap)
    rooms: list[object] = []
    room = BrickDecoder.room

    def noted(self: BrickDecoder, *arguments: Any, **options: Any) -> BrickPlanes:
        rooms.append(arguments)
        return room(self, *arguments, **options)

    monkeypatch.setattr(BrickDecoder, "room", noted)
    source = BrickSource(LocalTree(tree.finish()), SPEC, workers=1)
    status = collect(source, *position).status.tolist()
    assert status == [CutoutStatus.OK if beside else CutoutStatus.OUTSIDE]  # half of it is OK
    assert len(rooms) == taken  # one for the brick that has files


def test_tree_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ImagingError, match="no such folder"):
        LocalTree(tmp_path / "nowhere")
    with pytest.raises(ImagingError, match="no north/coadd, south/coadd or coadd"):
        LocalTree(tmp_path)


def test_tree_must_have_a_bricks_table(tree: TreeWriter) -> None:
    with pytest.raises(ImagingError, match=r"no bricks table.*survey-bricks"):
        BrickSource(LocalTree(tree.root), SPEC)


def test_tree_must_have_the_region(tree: TreeWriter) -> None:
    with pytest.raises(ImagingError, match="no bricks of region north"):
        BrickSource(LocalTree(tree.finish()), SPEC, region="north")


def test_empty_bricks_table_is_refused(tree: TreeWriter) -> None:
    tree.finish()
    none = Table({"BRICKNAME": np.array([], "U8"), "RA": np.array([]), "DEC": np.array([])})
    none.write(tree.root / "south" / "survey-bricks-test-south.fits.gz", overwrite=True)
    with pytest.raises(ImagingError, match="bricks table is empty"):
        BrickSource(LocalTree(tree.root), SPEC)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "not a readable"), (b"<html></html>" * 300, "not a readable"), (None, "no column dec")],
)
def test_unusable_bricks_table_is_named(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "survey-bricks-dr9-south.fits"
    if content is None:
        Table({"BRICKNAME": ["0001p007"], "RA": [0.125]}).write(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ImagingError, match=told) as refusal:
        read_brick_table(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("upper", [True, False])
def test_bricks_table_has_columns_in_either_case(tmp_path: Path, upper: bool) -> None:
    path = tmp_path / "survey-bricks-dr10-south.fits.gz"
    columns = {"brickname": ["0001p007"], "ra": [0.125], "dec": [0.75]}
    Table({key.upper() if upper else key: value for key, value in columns.items()}).write(path)
    table = read_brick_table(path)
    assert isinstance(table, BrickTable)
    assert (table.name[0], table.ra[0], table.dec[0]) == ("0001p007", 0.125, 0.75)
    assert table.release == "dr10"


@pytest.mark.parametrize(
    ("keyword", "value", "release"),
    [("LSDR", "DR9", "ls-dr9"), ("DRVERSIO", 6000, "ls-dr6"), ("DRVERSIO", "?", ""), ("A", 1, "")],
)
def test_release_is_read_from_the_image(
    tree: TreeWriter, keyword: str, value: object, release: str
) -> None:
    path = tree.path("south", "hurt", "image", "g")
    header = grid_header(brick_grid(*HURT))
    header[keyword] = value
    fits.CompImageHDU(np.ones((300, 300), np.float32), header).writeto(path, overwrite=True)
    tree_ = LocalTree(tree.finish())
    assert BrickSource(tree_, SPEC).release == release
    assert BrickSource(tree_, SPEC, release="ls-dr8").release == "ls-dr8"
