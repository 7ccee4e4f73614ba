"""Options of ``xsaga export`` made from the settings of the formats."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xsaga.targets.exports.desi_settings import DesiSettings
from xsaga.targets.exports.survey_settings import GROUPS, OptionGroup, option_name

if TYPE_CHECKING:
    from xsaga.targets.exports.settings import ExportSettings

Command = TypeVar("Command", bound=Callable[..., Any])

_MARK = "__"


class FormatOption(click.Option):
    """An option of some formats, shown in a section of its own."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


_SECTIONS: dict[str, type[OptionGroup]] = {"": DesiSettings, **GROUPS}
"""Options in the order of the help, by the field of ExportSettings that holds them; DESI's are
fields of its own."""


def format_options(command: Command) -> Command:
    """Add the options of all formats to a command."""
    for group, settings in reversed(_SECTIONS.items()):
        kinds = typing.get_type_hints(settings)
        for each in reversed(fields(settings)):
            command = _option(group, settings, each, kinds[each.name])(command)
    return command


def export_settings(options: Mapping[str, Any], **more: Any) -> ExportSettings:
    """Make settings of the options that `format_options` gave a command.

    Parameters
    ----------
    options : mapping
        Parameters of the command; others than those of the formats are passed over.
    **more : Any
        Further fields of the settings.

    Raises
    ------
    ConfigError
        A value cannot be used.
    """
    from xsaga.targets.exports.settings import ExportSettings

    groups: dict[str, Any] = {
        name: settings(**_given(name, settings, options)) for name, settings in GROUPS.items()
    }
    return ExportSettings(**_given("", DesiSettings, options), **groups, **more)


def _given(group: str, settings: type[OptionGroup], options: Mapping[str, Any]) -> dict[str, Any]:
    values = {each.name: options[_parameter(group, each.name)] for each in fields(settings)}
    return {name: value for name, value in values.items() if value is not None}


def _parameter(group: str, name: str) -> str:
    return f"{group}{_MARK}{name}" if group else name


def _option(
    group: str, settings: type[OptionGroup], each: Field[Any], kind: Any
) -> Callable[[Command], Command]:
    parsed: Any = kind
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        parsed = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    if typing.get_origin(parsed) is typing.Literal:
        parsed = _choice([value for value in typing.get_args(parsed) if value != ""])
    words, name = each.metadata["help"], option_name(settings.prefix, each.name)
    if parsed is bool:  # declared as --this/--no-this, which click takes for a flag
        name, parsed = f"{name}/--no-{name.removeprefix('--')}", None
    elif each.default not in (None, ""):
        shown = f"{each.default:g}" if isinstance(each.default, float) else each.default
        words += f"  [default: {shown}]"
    return click.option(
        name,
        _parameter(group, each.name),
        cls=FormatOption,
        section=settings.title,
        type=parsed,
        default=None,
        metavar=each.metadata.get("metavar"),
        help=words,
    )


def _choice(values: list[Any]) -> Any:
    if all(isinstance(value, int) for value in values):
        return click.IntRange(min(values), max(values))
    return click.Choice(values)
