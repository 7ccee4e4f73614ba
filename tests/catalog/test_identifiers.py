from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsaga.catalog.identifiers import decode_targetid, encode_targetid, position_ids
from xsaga.errors import CatalogError


@given(
    st.lists(
        st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**20 - 1), st.integers(0, 2**22 - 1)),
        min_size=1,
    )
)
def test_round_trip(parts: list[tuple[int, int, int]]) -> None:
    release, brickid, objid = np.array(parts).T
    decoded = decode_targetid(encode_targetid(release, brickid, objid))
    np.testing.assert_array_equal(decoded, (release, brickid, objid))


def test_known_value() -> None:
    # DESI's own example (desitarget.targets.encode_targetid): bits from OBJID up.
    assert encode_targetid([9010], [330368], [42])[0] == (9010 << 42) + (330368 << 22) + 42


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (([1, 1], [1, 1], [1, 2**22]), "OBJID"),
        (([1, 1], [1, -1], [1, 1]), "BRICKID"),
        (([1, 2**16], [1, 1], [1, 1]), "RELEASE"),
    ],
)
def test_out_of_range_names_row_and_part(
    parts: tuple[list[int], list[int], list[int]], name: str
) -> None:
    with pytest.raises(CatalogError, match=f"row 1: {name}"):
        encode_targetid(*parts)


def test_small_release_values_fit_beside_numpy_types() -> None:
    small = np.array([9010], np.int16), np.array([1000], np.int32), np.array([7], np.int32)
    assert [int(p[0]) for p in decode_targetid(encode_targetid(*small))] == [9010, 1000, 7]


def test_position_ids_are_order_29_pixels() -> None:
    ra, dec = np.array([0.0, 359.9999999, 10.0]), np.array([90.0, -89.5, 0.0])
    expected = healpy.ang2pix(2**29, ra, dec, nest=True, lonlat=True)
    np.testing.assert_array_equal(position_ids(ra, dec), expected)
