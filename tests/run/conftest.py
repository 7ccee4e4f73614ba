from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.preloaded import Preloaded
from tests.small_nights import SmallArchive, make_small_archive
from tests.small_runs import SmallSky, reproducible


@pytest.fixture(scope="session")
def sky(small_sky: SmallSky) -> SmallSky:
    return small_sky


@pytest.fixture(scope="session")
def archive(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    return make_small_archive(sky, tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Begins commands in processes of their own."""
    preloaded = Preloaded(tmp_path_factory.mktemp("preloaded"), reproducible())
    yield preloaded
    preloaded.close()
