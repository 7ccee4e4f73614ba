"""Catalogs that were damaged in any way give rows, or one line that names the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.damaged_files import read_damaged
from xsaga.catalog.readers import Catalog
from xsaga.catalog.sources import complete_sources

FORMATS = ("fits", "fits.gz", "parquet", "csv", "ecsv", "xml")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    noise = np.random.default_rng(3).random(8)
    table = Table(
        {
            "RA": noise * 360,
            "DEC": noise * 60,
            "FLUX_R": noise.astype(np.float32),
            "TYPE": ["REX", "PSF"] * 4,
            "OBJID": np.arange(8, dtype=np.int32),
        }
    )
    table.write(folder / "a.fits")
    (folder / "a.fits.gz").write_bytes(gzip.compress((folder / "a.fits").read_bytes()))
    table.to_pandas().to_parquet(folder / "a.parquet")
    table.write(folder / "a.csv", format="ascii.csv")
    table.write(folder / "a.ecsv", format="ascii.ecsv")
    table.write(folder / "a.xml", format="votable")
    return folder


def read(path: Path) -> None:
    for batch in Catalog.of([path]).batches():
        complete_sources(batch.sources)


@pytest.mark.parametrize("suffix", FORMATS)
def test_whole_catalogs_are_read(whole: Path, suffix: str) -> None:
    read(whole / f"a.{suffix}")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("suffix", FORMATS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, derandomize=True)
def test_damaged_catalogs(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, suffix: str, seed: int
) -> None:
    read_damaged(whole / f"a.{suffix}", seed, tmp_path_factory.getbasetemp(), read)


def test_a_hats_collection_never_leads_out_of_its_folder(whole: Path, tmp_path: Path) -> None:
    from xsaga.errors import CatalogError

    collection = tmp_path / "collection"
    collection.mkdir()
    for name in ("..", "../whole", str(whole), "/", ".", "a/../.."):
        (collection / "collection.properties").write_text(f"hats_primary_table_url={name}\n")
        with pytest.raises(CatalogError, match="names no primary table"):
            Catalog.of([collection])
