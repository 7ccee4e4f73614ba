from __future__ import annotations

import pytest

from xsaga.imaging import brick_decode


@pytest.fixture
def decoded_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes decode small bricks too, where there may be several."""
    monkeypatch.setattr(brick_decode, "SHARED_PIXELS", 0)
