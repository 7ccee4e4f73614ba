from __future__ import annotations

import pytest

from tests.small_runs import SmallSky, make_small_sky


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> SmallSky:
    return make_small_sky(tmp_path_factory.mktemp("small"))
