from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsaga.json_values import JsonValueError, from_json


@dataclass(frozen=True)
class Inner:
    names: tuple[str, ...]
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    inner: Inner
    counts: Mapping[str, int]
    anything: Any
    maybe: int | None = None
    younger: int = field(default=0, metadata={"may_be_missing": True})


GOOD = {"inner": {"names": ["a"], "share": 1}, "counts": {"x": 3}, "anything": [None]}


def test_values_become_what_they_are_annotated_as() -> None:
    made = from_json(Outer, GOOD)
    assert made == Outer(Inner(("a",), 1.0), {"x": 3}, [None])
    assert isinstance(made.inner.share, float)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": {"x": True}}, r"counts\.x must be of type int, not bool"),
        ({"counts": {"x": 1.5}}, "of type int"),
        ({"counts": {"x": 2**63}}, "64 bits"),
        ({"counts": []}, "of type object"),
        ({"inner": {"names": "a"}}, r"inner\.names must be of type list"),
        ({"inner": {"names": [1]}}, r"inner\.names\[0\]"),
        ({"inner": {}}, r"inner\.names is missing"),
        ({"inner": {"names": [], "share": float("nan")}}, "finite"),
        ({"inner": {"names": [], "share": 10**400}}, "finite"),
        ({"inner": 3}, "of type object"),
        ({"maybe": "x"}, "maybe must be of type int"),
        ({"\x1b[31mx": 1}, r"unknown key \\x1b\[31mx"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(JsonValueError, match=words):
        from_json(Outer, {**GOOD, **change})


def test_defaults_may_be_missing_only_where_allowed() -> None:
    with pytest.raises(JsonValueError, match="missing"):
        from_json(Outer, GOOD, defaults=False)
    whole = {**GOOD, "maybe": None, "inner": {"names": [], "share": 0.1}}
    assert from_json(Outer, whole, defaults=False).younger == 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inner", "counts", "anything", "names", "x"]), inner)
    ),
    max_leaves=12,
)


@given(VALUES)
@settings(derandomize=True)
def test_any_json_is_made_or_refused(value: object) -> None:
    try:
        made = from_json(Outer, json.loads(json.dumps(value)))
    except JsonValueError as error:
        refused: JsonValueError | None = error
    else:
        refused = None
        assert isinstance(made.inner, Inner)
    assert refused is None or str(refused).isprintable()
