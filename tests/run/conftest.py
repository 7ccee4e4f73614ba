from __future__ import annotations

import pytest

from tests.small_nights import SmallArchive, make_small_archive
from tests.small_runs import SmallSky, make_small_sky


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> SmallSky:
    return make_small_sky(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def archive(sky: SmallSky, tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    return make_small_archive(sky, tmp_path_factory.mktemp("archive"))
