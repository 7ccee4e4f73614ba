"""JSON values as the annotated types of dataclasses: nothing is taken for what it is not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from xsaga.reading import printable, shortened

T = TypeVar("T")

_INT64: Final = 2**63
_NAMES = {tuple: "list", dict: "object", Mapping: "object", list: "list"}


class JsonValueError(ValueError):
    """A JSON value that is missing, unknown or of a wrong type; the message names its key."""


def from_json(wanted: type[T], value: object, *, defaults: bool = True) -> T:
    """Make a dataclass from a JSON value, checking every value in it.

    Parameters
    ----------
    wanted : type
        A dataclass whose fields are dataclasses, str, int, float, bool, Any, ``X | None``, and
        tuples and mappings of these.
    value : object
        As `json.loads` gives it.
    defaults : bool
        Whether keys of fields that have a default may be missing; if not, only those whose
        metadata say ``may_be_missing``.

    Raises
    ------
    JsonValueError
        It does not fit.
    """
    made = _parse(wanted, value, "", defaults)
    assert isinstance(made, wanted)  # noqa: S101 (narrows the type for the reader)
    return made


def _parse(wanted: Any, value: object, key: str, defaults: bool) -> object:
    """Turn a JSON value into an annotated type; `key` is its path, for messages."""
    if wanted is Any:
        return value
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _parse_dataclass(wanted, value, key, defaults)
    origin = get_origin(wanted)
    if origin is tuple and isinstance(value, list):
        item = get_args(wanted)[0]
        return tuple(
            _parse(item, entry, f"{key}[{row}]", defaults) for row, entry in enumerate(value)
        )
    if origin in (dict, Mapping) and isinstance(value, dict):
        item = get_args(wanted)[1]
        return {
            name: _parse(item, entry, f"{key}.{_shown(name)}", defaults)
            for name, entry in value.items()
        }
    if origin is UnionType:  # X | None
        return None if value is None else _parse(get_args(wanted)[0], value, key, defaults)
    if wanted is float and type(value) in (int, float):
        if not math.isfinite(number := _float(value)):
            raise JsonValueError(f"{key} is not a finite number")
        return number
    if origin is None and type(value) is wanted:  # not isinstance: JSON's true is no int
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise JsonValueError(f"{key} does not fit 64 bits")
        return value
    name = wanted.__name__ if origin is None else _NAMES[origin]
    raise JsonValueError(f"{key} must be of type {name}, not {type(value).__name__}")


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:  # JSON integers have no limit
        return math.inf


def _parse_dataclass(wanted: type, value: object, key: str, defaults: bool) -> object:
    if not isinstance(value, Mapping):
        raise JsonValueError(f"{key or 'it'} must be of type object, not {type(value).__name__}")
    prefix = f"{key}." if key else ""
    hints = get_type_hints(wanted)
    fields = {each.name: each for each in dataclasses.fields(wanted)}
    # Keys that are younger than the first files have their default where a file lacks them.
    needed = {
        name
        for name, each in fields.items()
        if not each.metadata.get("may_be_missing") and not (defaults and _has_default(each))
    }
    unknown, missing = sorted(set(value) - set(fields)), sorted(needed - set(value))
    if unknown:
        raise JsonValueError(
            f"unknown key {prefix}{_shown(unknown[0])}: made by a newer xsaga, or misspelt"
        )
    if missing:
        raise JsonValueError(f"key {prefix}{missing[0]} is missing")
    parsed = {
        name: _parse(hints[name], value[name], prefix + name, defaults)
        for name in fields
        if name in value
    }
    return wanted(**parsed)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    nothing = dataclasses.MISSING
    return field.default is not nothing or field.default_factory is not nothing


def _shown(name: str) -> str:
    return shortened(printable(name), 60)
