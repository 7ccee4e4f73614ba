"""The configuration as TOML: reading with every key checked, writing, and a file to begin from."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import tomli_w

from xsaga.config import SECTIONS, RunConfig, config_keys, config_values
from xsaga.errors import ConfigError, nearest_name
from xsaga.reading import read_toml, reason_of


def with_values(config: RunConfig, values: Mapping[str, Any], where: str) -> RunConfig:
    """Replace some keys.

    Parameters
    ----------
    config : RunConfig
        What to start from.
    values : mapping
        ``section.name`` to a new value.
    where : str
        Where the values come from, for the message.

    Raises
    ------
    ConfigError
        An unknown key (with the nearest known one) or a value of the wrong type.
    """
    known = {str(key): key for key in config_keys()}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}: unknown key {name!r}: {nearest_name(name, known)}")
        key = known[name]
        section = getattr(config, key.section)
        checked = _checked(value, key.kind, f"{where}: {name}")
        config = replace(config, **{key.section: replace(section, **{key.name: checked})})
    return config


def _checked(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`; lists become tuples, whole numbers floats."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # only `X | None` is used
        return None if value is None else _checked(value, arguments[0], where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        if arguments[0] is str and all(isinstance(item, int | float) for item in items):
            items = [items] if items else []  # circle = [0.0, 0.7, 0.5]
        return tuple(_checked(item, arguments[0], where) for item in items)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: needs a table of NAME = VALUE, got {value!r}")
        return {str(k): _checked(v, arguments[1], f"{where}.{k}") for k, v in value.items()}
    if kind is Any:
        return value
    if kind is str and isinstance(value, list | tuple):  # circle = [[0.0, 0.7, 0.5]]
        return ",".join(str(item) for item in value)
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # base_rate = 0.01
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: needs {_kind_name(kind)}, got {value!r}")
    return value


def _kind_name(kind: Any) -> str:
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[kind]


def read_config(path: Path) -> RunConfig:
    """Read a TOML configuration.

    Paths in it are taken relative to the file's folder.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, or holds an unknown key or wrong value.
    """
    try:
        document = read_toml(path)
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {reason_of(error)}") from None
    values: dict[str, Any] = {}
    for section, content in document.items():
        if section not in SECTIONS:
            offer = nearest_name(section, SECTIONS)
            raise ConfigError(f"{path}: unknown section [{section}]: {offer}")
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: {section!r} must be a section: write [{section}]")
        names = [item.name for item in fields(SECTIONS[section])]
        for name, value in content.items():
            if name not in names:
                raise ConfigError(
                    f"{path}: unknown key {name!r} in [{section}]: {nearest_name(name, names)}"
                )
            values[f"{section}.{name}"] = value
    return with_paths_from(with_values(RunConfig(), values, str(path)), path.parent)


def with_paths_from(config: RunConfig, folder: Path) -> RunConfig:
    """Make the paths of a configuration absolute, taken from `folder`.

    URLs stay as they are, and so do names (of a model, a column map) that are no path there.
    """
    changes: dict[str, Any] = {}
    values = config_values(config)
    for key in config_keys():
        if key.info.path == "no":
            continue
        value = values[str(key)]
        if isinstance(value, tuple):
            changes[str(key)] = tuple(_absolute(item, folder) for item in value)
        elif value and (key.info.path == "path" or (folder / value).exists()):
            changes[str(key)] = _absolute(value, folder)
    return with_values(config, changes, "paths")


def _absolute(value: str, folder: Path) -> str:
    return value if "://" in value else str((folder / Path(value).expanduser()).absolute())


def write_config(config: RunConfig) -> str:
    """TOML text of a whole configuration; `read_config` gives the same back."""
    document: dict[str, dict[str, Any]] = {}
    values = config_values(config)
    for key in config_keys():
        value = values[str(key)]
        if value is not None:
            document.setdefault(key.section, {})[key.name] = (
                list(value) if isinstance(value, tuple) else value
            )
    return tomli_w.dumps(document)


def commented_config() -> str:
    """TOML text to begin from: every key with its meaning, defaults commented out."""
    lines = ["# xsaga configuration. A key that is commented out has the value shown."]
    section = ""
    for key in config_keys():
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]", f"# {SECTIONS[section].__doc__}"]
        lines.append(f"# {key.info.help}")
        value = list(key.default) if isinstance(key.default, tuple) else key.default
        if value is None:
            lines.append(f"# {key.name} =")
        elif isinstance(value, dict):
            lines.append(f"# {key.name} = {{}}")
        else:
            lines += [f"# {line}" for line in tomli_w.dumps({key.name: value}).strip().split("\n")]
    return "\n".join(lines) + "\n"
