from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xsaga.run.imaging import BASE_BYTES, BRICK_BYTES, LEAST_MEMORY, PROCESS_BYTES, brick_share


@given(memory=st.floats(LEAST_MEMORY, 2000), processes=st.integers(1, 256))
def test_all_that_is_taken_stays_within_the_memory_given(memory: float, processes: int) -> None:
    share = brick_share(memory, processes)
    assert 1 <= share.workers <= processes
    decoding = share.workers * PROCESS_BYTES if share.workers > 1 else 0
    assert BASE_BYTES + decoding + share.max_bytes <= memory * 1e9
    assert share.max_bytes >= 2 * BRICK_BYTES  # a brick and a neighbour are held in any case


@given(memory=st.floats(LEAST_MEMORY, 100), processes=st.integers(1, 64))
def test_more_memory_never_means_fewer_processes(memory: float, processes: int) -> None:
    assert brick_share(memory * 2, processes).workers >= brick_share(memory, processes).workers


def test_a_large_machine_decodes_on_all_its_cores() -> None:
    assert brick_share(16.0, 32).workers == 32
