"""Options made from the configuration keys: one declaration, one meaning."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from xsaga.config import Key, RunConfig, config_keys, config_values
from xsaga.config_file import with_paths_from, with_values
from xsaga.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])


def _parameter(key: Key) -> str:
    return f"{key.section}__{key.name}"


class SectionedCommand(click.Command):
    """A command whose help lists the options of each configuration section by itself."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options (see `click.Command.format_options`)."""
        groups: dict[str, list[tuple[str, str]]] = {"options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                section, mark, _ = str(parameter.name).partition("__")
                groups.setdefault(section if mark else "options", []).append(record)
        for section, records in groups.items():
            with formatter.section(section.capitalize()):
                formatter.write_dl(records)


def config_options(*names: str) -> Callable[[Command], Command]:
    """Add the options of configuration keys to a command.

    Parameters
    ----------
    *names : str
        Sections, or single keys as ``section.name``.
    """
    keys = [key for key in config_keys() if key.section in names or str(key) in names]

    def decorate(command: Command) -> Command:
        for key in reversed(keys):
            if key.info.option:
                command = _option(key)(command)
        return command

    return decorate


def _option(key: Key) -> Callable[[Command], Command]:
    origin, arguments = typing.get_origin(key.kind), typing.get_args(key.kind)
    multiple = origin in (tuple, dict)
    element = arguments[0] if origin is tuple else key.kind
    kind: Any = str
    if typing.get_origin(element) is Literal:
        kind = click.Choice(typing.get_args(element))
    elif element in (int, float):
        kind = element
    elif element == float | None:
        kind = float
    words = key.info.help + _default_text(key)
    if element is bool:  # declared as --this/--not-this, which click takes for a flag
        return click.option(key.info.option, _parameter(key), default=None, help=words)
    return click.option(
        key.info.option,
        _parameter(key),
        type=kind,
        default=None,
        multiple=multiple,
        metavar=key.info.metavar,
        help=words,
    )


def _default_text(key: Key) -> str:
    if key.default in (None, "", (), {}) or isinstance(key.default, dict):
        return ""
    if isinstance(key.default, bool):
        return ""
    shown = ", ".join(map(str, key.default)) if isinstance(key.default, tuple) else key.default
    return f"  [default: {shown}]"


def with_options(config: RunConfig, parameters: dict[str, Any]) -> RunConfig:
    """Replace the keys of a configuration whose options were given.

    Parameters
    ----------
    config : RunConfig
        What to start from.
    parameters : dict
        Parameters of a command made by `config_options`; paths are relative to the working
        directory. An empty text, given alone, empties a list.

    Raises
    ------
    ConfigError
        An option's value cannot be used.
    """
    values: dict[str, Any] = {}
    for key in config_keys():
        given = parameters.get(_parameter(key))
        if given is None or given == ():
            continue
        if given == ("",):  # the only way to take back what the run folder has
            given = ()
        if typing.get_origin(key.kind) is dict:
            given = dict(_assignment(key, item) for item in given)
        values[str(key)] = given
    from_here = with_paths_from(with_values(RunConfig(), values, "options"), Path.cwd())
    absolute = config_values(from_here)
    return with_values(config, {name: absolute[name] for name in values}, "options")


def _assignment(key: Key, text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (sign and name and value):
        raise ConfigError(f"{key.info.option} {text!r}: write {key.info.metavar}")
    if typing.get_args(key.kind)[1] is str:
        return name, value
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        raise ConfigError(
            f"{key.info.option} {text!r}: {value!r} is no TOML value such as 0.9, true or [1, 5]"
        ) from None
