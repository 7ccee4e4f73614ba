from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.errors import ImagingError
from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec, CutoutStatus
from xsaga.imaging.store import CutoutWriter, RottenCutoutsError, StoreDtype, read_cutouts
from xsaga.paths import TilePaths

resource = pytest.importorskip("resource", reason="limits of file sizes are a POSIX thing")

SPEC = CutoutSpec(size=8)


def some_cutouts(status: list[int]) -> CutoutBatch:
    count = len(status)
    rng = np.random.default_rng(count)
    images = rng.normal(0, 1, (count, 3, 8, 8)).astype(np.float32)
    return CutoutBatch(
        index=np.arange(count),
        images=images,
        coverage=rng.uniform(0, 1, (count, 3)).astype(np.float32),
        status=np.array(status, np.int8),
        reason=[f"reason {number}" if value else "" for number, value in enumerate(status)],
        origin=[f"south/brick{number}" for number in range(count)],
    )


def rows_of(batch: CutoutBatch, rows: np.ndarray) -> CutoutBatch:
    return CutoutBatch(
        index=batch.index[rows],
        images=batch.images[rows],
        coverage=batch.coverage[rows],
        status=batch.status[rows],
        reason=[batch.reason[row] for row in rows],
        origin=[batch.origin[row] for row in rows],
    )


def write(
    folder: Path, batch: CutoutBatch, parts: list[np.ndarray], dtype: StoreDtype = "float16"
) -> TilePaths:
    paths = TilePaths(folder)
    with CutoutWriter(paths, 100 + batch.index, SPEC, dtype) as writer:
        for part in parts:
            writer.put(rows_of(batch, part))
    return paths


@given(
    status=st.lists(st.sampled_from(list(CutoutStatus)), max_size=150),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 99),
)
def test_what_was_put_is_read_and_the_order_of_arrival_leaves_no_trace(
    tmp_path_factory: pytest.TempPathFactory, status: list[int], dtype: StoreDtype, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    batch = some_cutouts(status)
    rng = np.random.default_rng(seed)
    shuffled = np.array_split(rng.permutation(len(status)), 3)
    paths = write(folder / "a", batch, shuffled, dtype)
    stored = read_cutouts(paths)
    kept = np.isin(batch.status, [CutoutStatus.OK, CutoutStatus.PARTIAL])
    assert stored.spec == SPEC
    assert stored.images.dtype == np.dtype(dtype)
    pixels = np.where(kept[:, None, None, None], batch.images.astype(dtype), 0)
    assert np.array_equal(stored.images, pixels)
    assert np.array_equal(stored.checked[0 : len(status)], pixels)
    index = stored.index
    assert index["source_id"].tolist() == (100 + batch.index).tolist()
    assert index["row"].tolist() == np.where(kept, np.arange(len(kept)), -1).tolist()
    assert index["status"].tolist() == batch.status.tolist()
    assert index["reason"].tolist() == batch.reason
    assert index["origin"].tolist() == batch.origin
    assert not index["clipped"].any()
    coverage = index[["coverage_g", "coverage_r", "coverage_z"]].to_numpy()
    assert np.array_equal(coverage, batch.coverage)
    at_once = write(folder / "b", batch, [np.arange(len(status))], dtype)
    for name in ("cutouts", "cutout_index"):
        assert getattr(paths, name).read_bytes() == getattr(at_once, name).read_bytes()
    assert sorted(p.name for p in paths.folder.iterdir()) == ["cutouts.npy", "cutouts.parquet"]


def test_pixels_are_mapped_not_read(tmp_path: Path) -> None:
    paths = write(tmp_path, some_cutouts([0, 2, 0]), [np.arange(3)])
    stored = read_cutouts(paths)
    assert isinstance(stored.images, np.memmap)
    assert paths.cutouts.stat().st_size == 128 + 3 * 3 * 8 * 8 * 2


def test_sources_without_pixels_take_no_room(tmp_path: Path) -> None:
    """Holes: blocks of a file system are 4 KiB or so, a cutout here 384 bytes."""
    paths = write(tmp_path, some_cutouts([0] + [2] * 999), [np.arange(1000)])
    if paths.cutouts.stat().st_blocks * 512 >= paths.cutouts.stat().st_size:
        pytest.skip("this file system keeps no holes")
    assert paths.cutouts.stat().st_blocks * 512 < 20_000


def test_values_beyond_half_precision_are_clipped_and_flagged(tmp_path: Path) -> None:
    batch = some_cutouts([0, 0, 0])
    batch.images[1, 0, 0, 0] = 1e6
    batch.images[2, 2, 7, 7] = -1e6
    stored = read_cutouts(write(tmp_path, batch, [np.arange(3)]))
    assert np.isfinite(stored.images).all()
    assert stored.images[1, 0, 0, 0] == 65504
    assert stored.images[2, 2, 7, 7] == -65504
    assert stored.index["clipped"].tolist() == [False, True, True]
    exact = read_cutouts(write(tmp_path, batch, [np.arange(3)], "float32"))
    assert exact.images[1, 0, 0, 0] == np.float32(1e6)
    assert not exact.index["clipped"].any()


def test_half_precision_is_within_its_rounding(tmp_path: Path) -> None:
    batch = some_cutouts([0] * 20)
    stored = read_cutouts(write(tmp_path, batch, [np.arange(20)]))
    off = np.abs(stored.images.astype(np.float32) - batch.images)
    assert (off <= np.abs(batch.images) * 2.0**-11 + 2.0**-25).all()
    assert off.any()


def test_every_source_must_be_answered_once(tmp_path: Path) -> None:
    batch = some_cutouts([0, 0, 2, 0])
    with pytest.raises(ImagingError, match=r"2 sources got no cutout and no reason.*is 101"):
        write(tmp_path, batch, [np.array([0, 2])])
    with pytest.raises(ImagingError, match="source 102 came twice"):
        write(tmp_path, batch, [np.array([0, 1, 2]), np.array([2, 3])])
    with pytest.raises(ImagingError, match="source 101 came twice"):
        write(tmp_path, batch, [np.array([0, 1, 1, 2, 3])])
    assert list(tmp_path.iterdir()) == []


def test_cutouts_of_another_size_are_refused(tmp_path: Path) -> None:
    writer = CutoutWriter(TilePaths(tmp_path), np.arange(1), CutoutSpec(size=9))
    with pytest.raises(ImagingError, match="shape"), writer as opened:
        opened.put(some_cutouts([0]))


def test_a_failure_leaves_nothing_and_what_stood_there_counts_no_more(tmp_path: Path) -> None:
    paths = write(tmp_path, some_cutouts([0, 0]), [np.arange(2)])

    def interrupted() -> None:
        with CutoutWriter(paths, np.arange(2), SPEC):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not paths.cutout_index.exists()
    with pytest.raises(ImagingError, match="no cutouts here"):
        read_cutouts(paths)
    assert not list(tmp_path.glob("*.tmp-*"))


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 20 kB, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_disk")
def test_full_disk_is_one_clear_error_and_leaves_no_half_file(tmp_path: Path) -> None:
    with pytest.raises(ImagingError, match=r"cannot write cutouts.*make room"):
        write(tmp_path, some_cutouts([0] * 100), [np.arange(100)])
    assert list(tmp_path.iterdir()) == []


def test_full_disk_at_the_index_takes_the_pixels_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(ImagingError, match="No space left on device"):
        write(tmp_path, some_cutouts([0, 0]), [np.arange(2)])
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "tile").write_text("a file in the way")
    with pytest.raises(ImagingError, match="cannot write cutouts"):
        write(tmp_path / "tile", some_cutouts([0]), [np.arange(1)])


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    paths = write(tmp_path / "a", some_cutouts([0, 0, 2]), [np.arange(3)])
    other = write(tmp_path / "b", some_cutouts([0, 0]), [np.arange(2)])
    content = paths.cutouts.read_bytes()
    paths.cutouts.write_bytes(other.cutouts.read_bytes())
    with pytest.raises(ImagingError, match=r"holds \(2, 3, 8, 8\), its index tells of \(3, 3"):
        read_cutouts(paths)
    paths.cutouts.write_bytes(content[:-10])
    with pytest.raises(ImagingError, match="not readable"):
        read_cutouts(paths)
    paths.cutouts.write_bytes(b"something else")
    with pytest.raises(ImagingError, match="not readable"):
        read_cutouts(paths)
    paths.cutouts.unlink()
    with pytest.raises(ImagingError, match="not readable"):
        read_cutouts(paths)


def test_index_that_is_none_is_refused(tmp_path: Path) -> None:
    paths = write(tmp_path, some_cutouts([0]), [np.arange(1)])
    pd.DataFrame({"row": [0]}).to_parquet(paths.cutout_index)
    with pytest.raises(ImagingError, match="not an index of cutouts"):
        read_cutouts(paths)
    paths.cutout_index.write_bytes(b"PAR1")
    with pytest.raises(ImagingError, match="not an index of cutouts"):
        read_cutouts(paths)


def test_pixels_that_rotted_are_found_when_they_are_read(tmp_path: Path) -> None:
    paths = write(tmp_path, some_cutouts([0, 2, 0, 0]), [np.arange(4)])
    content = bytearray(paths.cutouts.read_bytes())
    content[-1] ^= 1
    paths.cutouts.write_bytes(content)
    stored = read_cutouts(paths)
    assert stored.checked[0:3].shape == (3, 3, 8, 8)
    with pytest.raises(RottenCutoutsError, match=r"cutouts\.npy: the pixels of source 103 are not"):
        _ = stored.checked[2:4]


def test_cutouts_can_be_read_while_they_arrive(tmp_path: Path) -> None:
    batch = some_cutouts([0, 2, 1, 0, 0])
    expected = np.where((batch.status == 2)[:, None, None, None], 0, batch.images).astype("f2")
    with ThreadPoolExecutor(1) as other:
        with CutoutWriter(TilePaths(tmp_path), 100 + batch.index, SPEC) as writer:
            arriving = writer.arriving
            assert (arriving.shape, arriving.dtype) == ((5, 3, 8, 8), np.dtype("float16"))
            first = other.submit(arriving.__getitem__, slice(0, 2))
            writer.put(rows_of(batch, np.array([0, 4])))
            assert not first.done()  # source 1 is missing
            writer.put(rows_of(batch, np.array([1])))
            assert np.array_equal(first.result(), expected[:2])
            last = other.submit(arriving.__getitem__, slice(2, 9))
            writer.put(rows_of(batch, np.array([3, 2])))
            assert np.array_equal(last.result(), expected[2:])
        assert np.array_equal(arriving[1:4], expected[1:4])  # and once they are in place


def test_who_waits_for_cutouts_hears_that_fetching_stopped(tmp_path: Path) -> None:
    def fail(writer: CutoutWriter) -> None:
        with writer:
            writer.put(rows_of(some_cutouts([0, 0]), np.array([1])))
            raise KeyboardInterrupt

    writer = CutoutWriter(TilePaths(tmp_path), np.arange(2), SPEC)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(writer.arriving.__getitem__, slice(0, 2))
        with pytest.raises(KeyboardInterrupt):
            fail(writer)
        with pytest.raises(ImagingError, match="fetching was stopped"):
            waiting.result()
