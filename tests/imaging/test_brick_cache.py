from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.shared_data import shared
from tests.small_survey import BRICKS, write_small_survey
from tests.survey_server import HTML, Fault, Seen, SurveyServer, survey_server
from xsaga.errors import ImagingError
from xsaga.imaging.brick_cache import RemoteTree
from xsaga.imaging.brick_tree import ALL_SKY_TABLE, LocalTree, image_path
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_faults import HttpFailure, UnreachableError
from xsaga.imaging.http_limits import HttpOptions

QUICK = HttpOptions(rate=None, retries=1, backoff=0.001, read_timeout=10)
IMAGE = image_path("south", "1500p010", "image", "r")
WITNESS = image_path("south", "0001p007", "invvar", "z")
"""A file that is fetched first, so that the server is known to work."""


def no_sleep(_: float) -> None:
    """Waits take no time."""


def shown_in(folder: Path) -> list[Path]:
    """Files in a folder but for the hidden ones."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a web server that publishes releases."""
    root = tmp_path_factory.mktemp("published")
    write_small_survey(root / "data" / "dr9")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Callable[..., RemoteTree]]:
    made: list[RemoteTree] = []

    def make(server: SurveyServer, path: str = "/data/dr9/", **options: str) -> RemoteTree:
        one = RemoteTree(
            server.url + path, tmp_path / "cache", HttpClient(QUICK, sleep=no_sleep), **options
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def test_a_file_is_downloaded_once(published, tree) -> None:
    original = published / "data" / "dr9" / IMAGE
    with survey_server(published) as server:
        first = tree(server).fetch(IMAGE)
        assert first is not None
        assert first.read_bytes() == original.read_bytes()
        remote = tree(server)
        assert [remote.fetch(IMAGE), remote.fetch(IMAGE)] == [first, first]
        assert server.paths() == [f"/data/dr9/{IMAGE}"]
    assert tree(server).fetch(IMAGE) == first  # also when the server is gone


def test_the_cache_is_a_tree_of_its_own(published, tree) -> None:
    with survey_server(published) as server:
        remote = tree(server)
        remote.bricks("south")
        remote.fetch(IMAGE)
        missing = remote.fetch(image_path("south", "9999p000", "image", "r"))
    assert missing is None
    local = LocalTree(remote.root)
    assert local.fetch(IMAGE) == remote.fetch(IMAGE)
    assert len(local.bricks("south") or ()) == len(BRICKS)
    assert [path.name for path in (remote.root / "south" / "coadd").glob("*/*")] == ["1500p010"]


def test_releases_do_not_mix_in_one_cache(tree, tmp_path) -> None:
    write_small_survey(tmp_path / "web" / "data" / "dr9")
    write_small_survey(tmp_path / "web" / "data" / "dr10", release="dr10")
    with survey_server(tmp_path / "web") as server:
        paths = {tree(server, f"/data/{release}").fetch(IMAGE) for release in ("dr9", "dr10")}
    assert len(paths) == 2


def test_a_missing_file_is_asked_for_once_a_session(published, tree) -> None:
    path = image_path("south", "1500p010", "image", "i")
    with survey_server(published) as server:
        remote = tree(server)
        assert [remote.fetch(path), remote.fetch(path)] == [None, None]
        assert len(server.seen) == 1
        assert tree(server).fetch(path) is None
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(cut_after=5000),
        Fault(cut_after=5000, reset=True),
        Fault(keep=4 * 2880),
        Fault(keep=5000),
        Fault(keep=2880),
        Fault(keep=0),
        HTML,
    ],
    ids=["500", "cut", "reset", "truncated", "odd length", "first header only", "empty", "html"],
)
@pytest.mark.parametrize("path", [IMAGE, ALL_SKY_TABLE])
def test_bad_answers_never_reach_the_cache(published, tree, fault, path) -> None:
    if path == ALL_SKY_TABLE and fault.keep:
        fault = Fault(keep=200)  # it is compressed, and short
    if path == ALL_SKY_TABLE and fault.cut_after:
        fault = Fault(cut_after=200, reset=fault.reset)
    bad = 5
    seen: list[Seen] = []

    def planned(asked: Seen) -> Fault | None:
        if not asked.path.endswith(path):
            return None
        seen.append(asked)
        return fault if len(seen) <= bad else None

    with survey_server(published, faults=planned) as server:
        remote = tree(server)
        remote.fetch(WITNESS)
        with pytest.raises(HttpFailure):
            remote.fetch(path)
        assert len(seen) == 4  # with all retries, twice
        assert not (remote.root / path).exists()
        assert not list(remote.root.rglob("*.tmp-*"))
        assert remote.fetch(path) is not None  # bad a fifth time, then good
        assert len(seen) == 6


def test_two_processes_may_share_a_cache(published, tree) -> None:
    both = threading.Barrier(2)  # both ask before either is answered

    def together(_: Seen) -> None:
        both.wait(timeout=10)

    with survey_server(published, faults=together) as server:
        trees = [tree(server), tree(server)]  # nothing shared but the folder
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda remote: remote.fetch(IMAGE), trees)
    assert first == second
    assert first.read_bytes() == (published / "data" / "dr9" / IMAGE).read_bytes()
    assert shown_in(first.parent) == [first]


def test_threads_of_one_tree_download_a_file_once(published, tree) -> None:
    with survey_server(published) as server:
        remote = tree(server)
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(remote.fetch, [IMAGE] * 8))
        assert len(found) == 1
        assert server.paths() == [f"/data/dr9/{IMAGE}"]


@pytest.mark.parametrize(
    "path",
    ["../secret.fits", "south/../../x", "/etc/passwd", "south//x", "", "south/.", "a\\b", "a%2e"],
)
def test_paths_that_lead_elsewhere_are_refused(published, tree, path) -> None:
    with survey_server(published) as server:
        with pytest.raises(ImagingError, match="no part of a path in a brick tree"):
            tree(server).fetch(path)
        assert server.seen == []
    with pytest.raises(ImagingError, match="no part of a path in a brick tree"):
        LocalTree(published / "data" / "dr9").fetch(path)


@pytest.mark.parametrize(
    "url", ["ftp://host/dr9", "dr9", "http://host/../dr9", "https:///dr9", "http://host/dr9?x=1"]
)
def test_other_addresses_are_refused(url, tmp_path) -> None:
    with HttpClient(QUICK) as http, pytest.raises(ImagingError):
        RemoteTree(url, tmp_path, http)


def test_bricks_come_from_the_table_of_the_region(published, tree) -> None:
    with survey_server(published) as server:
        remote = tree(server)
        table = remote.bricks("south")
        assert table is not None
        assert dict(zip(table.name, zip(table.ra, table.dec, strict=True), strict=True)) == BRICKS
        assert remote.bricks("north") is None
        assert remote.bricks("") is None
        assert f"/data/dr9/{ALL_SKY_TABLE}" not in server.paths()


def test_a_region_can_be_the_root(published, tree) -> None:
    with survey_server(published) as server:
        remote = tree(server, "/data/dr9/south")
        assert len(remote.bricks("") or ()) == len(BRICKS)
        assert remote.bricks("south") is None
        assert remote.bricks("north") is None
        assert server.paths() == ["/data/dr9/south/survey-bricks-dr9-south.fits.gz"]
        assert remote.fetch(image_path("", "1500p010", "image", "r")) is not None


def test_an_old_release_keeps_its_table_at_the_root(tree, tmp_path) -> None:
    root = write_small_survey(tmp_path / "web" / "dr6")
    (root / "south" / "survey-bricks-dr9-south.fits.gz").rename(root / "survey-bricks-dr6.fits.gz")
    with survey_server(tmp_path / "web") as server:
        remote = tree(server, "/dr6")
        assert len(remote.bricks("") or ()) == len(BRICKS)
        assert remote.bricks("south") is None


def test_without_tables_of_regions_the_whole_sky_serves(tree, tmp_path) -> None:
    root = write_small_survey(tmp_path / "web")
    (root / "south" / "survey-bricks-dr9-south.fits.gz").unlink()
    with survey_server(root) as server:
        table = tree(server, "").bricks("south")
        assert table is not None
        assert len(table) == len(BRICKS) + 1
        (root / ALL_SKY_TABLE).unlink()
    with survey_server(root) as server, pytest.raises(ImagingError, match="no bricks table there"):
        tree(server, "").bricks("south")


def test_a_fault_is_not_taken_for_a_missing_region(published, tree) -> None:
    with (
        survey_server(published, faults=lambda _: Fault(status=503)) as server,
        pytest.raises(UnreachableError, match="503"),
    ):
        tree(server).bricks("south")


@pytest.mark.parametrize("status", [404, 503])
def test_an_outage_is_told_from_a_missing_file(published, tree, status) -> None:
    down = threading.Event()

    def fault(_: Seen) -> Fault | None:
        return Fault(status=status) if down.is_set() else None

    with survey_server(published, faults=fault) as server:
        remote = tree(server)
        assert remote.fetch(IMAGE) is not None
        assert remote.fetch(image_path("south", "1500p010", "image", "i")) is None
        down.set()
        with pytest.raises(UnreachableError, match=f"no usable answer.*{status}"):
            remote.fetch(WITNESS)
        down.clear()
        assert remote.fetch(IMAGE) is not None  # it is here


def test_the_real_tree_comes_through_unchanged(tree) -> None:
    root = shared("realsky", "south").parent
    path = image_path("south", "0001p007", "image", "g")
    with survey_server(root) as server:
        remote = tree(server, "/", release="realsky")
        table = remote.bricks("south")
        assert table is not None
        assert np.isin(["3598p007", "0001p007"], table.name).all()
        local = remote.fetch(path)
        assert local is not None
        assert local.read_bytes() == (root / path).read_bytes()


def test_cutouts_do_not_depend_on_where_the_tree_is(tree) -> None:
    root = shared("realsky", "south").parent
    ra, dec = np.array([0.0, 359.995, 40.0]), np.array([0.7, 0.7017, 70.0])
    batches = []
    with survey_server(root) as server:
        for one in (LocalTree(root), tree(server, "/", release="realsky")):
            source = BrickSource(one, CutoutSpec(size=48), workers=1)
            batches.append(list(source.cutouts(ra, dec, np.arange(3))))
            source.close()
    local, remote = batches
    assert sum(len(batch) for batch in remote) == 3
    for here, there in zip(local, remote, strict=True):
        np.testing.assert_array_equal(here.index, there.index)
        np.testing.assert_array_equal(here.images, there.images)
        np.testing.assert_array_equal(here.status, there.status)
        assert here.origin == there.origin
