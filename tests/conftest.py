"""Settings for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.small_runs import SmallSky

# Speed is measured in benchmarks; a busy machine must not fail a property.
settings.register_profile("xsaga", deadline=None)
settings.load_profile("xsaga")


@pytest.fixture(scope="session")
def small_sky(tmp_path_factory: pytest.TempPathFactory) -> SmallSky:
    """A small simulated sky, which no test changes."""
    from tests.small_runs import make_small_sky

    return make_small_sky(tmp_path_factory.mktemp("small"))
