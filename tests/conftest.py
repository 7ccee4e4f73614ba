"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# Speed is measured in benchmarks; a busy machine must not fail a property.
settings.register_profile("xsaga", deadline=None)
settings.load_profile("xsaga")
