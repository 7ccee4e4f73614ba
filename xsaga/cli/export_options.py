"""Options of ``xsaga export`` made from the settings of the formats."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, TypeVar

import click

from xsaga.targets.exports.survey_settings import GROUPS, option_name

Command = TypeVar("Command", bound=Callable[..., Any])

_MARK = "__"


class FormatOption(click.Option):
    """An option of some formats, shown in a section of its own."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def format_options(command: Command) -> Command:
    """Add the options of all `GROUPS` to a command."""
    for group, settings in reversed(GROUPS.items()):
        kinds = typing.get_type_hints(settings)
        for each in reversed(fields(settings)):
            command = _option(group, each, kinds[each.name])(command)
    return command


def format_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of `format_options` out of a command's, as settings by group.

    Parameters
    ----------
    options : dict
        Parameters of the command; those of the formats are removed.

    Raises
    ------
    ConfigError
        A value cannot be used.
    """
    return {
        group: settings(
            **{
                each.name: value
                for each in fields(settings)
                if (value := options.pop(f"{group}{_MARK}{each.name}")) is not None
            }
        )
        for group, settings in GROUPS.items()
    }


def _option(group: str, each: Field[Any], kind: Any) -> Callable[[Command], Command]:
    parsed: Any = kind
    if isinstance(kind, types.UnionType):
        parsed = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    choices = [value for value in typing.get_args(kind) if value != ""]
    if typing.get_origin(kind) is typing.Literal:
        parsed = _choice(choices)
    words = each.metadata["help"]
    if each.default not in (None, ""):
        shown = f"{each.default:g}" if isinstance(each.default, float) else each.default
        words += f"  [default: {shown}]"
    return click.option(
        option_name(GROUPS[group].prefix, each.name),
        f"{group}{_MARK}{each.name}",
        cls=FormatOption,
        section=GROUPS[group].title,
        type=parsed,
        default=None,
        metavar=each.metadata.get("metavar"),
        help=words,
    )


def _choice(values: list[Any]) -> Any:
    if all(isinstance(value, int) for value in values):
        return click.IntRange(min(values), max(values))
    return click.Choice(values)
