"""``xsaga export``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xsaga.cli.export_options import FormatOption, format_options, format_settings
from xsaga.errors import ExitCode, XsagaError

Command = TypeVar("Command", bound=Callable[..., Any])

_FOLDER = click.Path(file_okay=False, path_type=Path)

_EXAMPLE = """\b
Example:
  xsaga export RUN --format desi-targets --format desi-secondary
"""

_DESI: dict[str, dict[str, Any]] = {
    "--survey": {"metavar": "NAME", "help": "main, or main2 to main5.  [default: main]"},
    "--obsconditions": {
        "metavar": "NAMES",
        "help": "DARK, GRAY, BRIGHT or BACKUP; join several by '|'.  [default: DARK]",
    },
    "--numobs": {"type": int, "help": "Observations wanted of each target.  [default: 1]"},
    "--unknown-release": {
        "type": click.Choice(["refuse", "secondary"]),
        "help": "What becomes of a source whose RELEASE desitarget does not know: given the "
        "TARGETID of a secondary target, or refused.  [default: secondary]",
    },
    "--known-ids": {
        "metavar": "FILE",
        "type": click.Path(dir_okay=False, path_type=Path),
        "help": "Parquet table of TARGETIDs given before, such as target-ids.parquet of an "
        "earlier export: these sources keep theirs.",
    },
    "--secondary-name": {
        "metavar": "NAME",
        "help": "Program of desi-secondary and desi-tertiary.  [default: XSAGA_LOWZ]",
    },
    "--override/--no-override": {
        "default": None,
        "help": "Whether secondary targets get a fiber of their own where a primary target "
        "exists.  [default: no]",
    },
    "--missing-flux": {
        "type": float,
        "metavar": "NMGY",
        "help": "Written by desi-secondary where a source has no flux.  [default: refuse it]",
    },
    "--program": {"type": int, "help": "Number of the tertiary program; it needs one."},
    "--goaltime": {
        "type": float,
        "metavar": "SECONDS",
        "help": "Exposure time of a tertiary program.  [default: 1000 in DARK, 180 in BRIGHT]",
    },
    "--sbprof": {
        "type": click.Choice(["ELG", "BGS", "PSF", "FLT"]),
        "help": "Light profile that --goaltime is for.  [default: ELG in DARK, BGS in BRIGHT]",
    },
    "--checker": {
        "metavar": "NAME",
        "help": "Who looked at the targets, at most 7 letters; desi-tertiary and desi-too need it.",
    },
    "--mjd-begin": {"type": float, "help": "From when on desi-too may observe; it needs one."},
    "--mjd-end": {"type": float, "help": "Until when desi-too may observe; it needs one."},
    "--too-type": {"type": click.Choice(["FIBER", "TILE"]), "help": "[default: FIBER]"},
    "--too-prio": {
        "type": click.Choice(["LO", "HI"]),
        "help": "The main survey takes HI with TILE only.  [default: LO]",
    },
}

_SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "DESI": _DESI,
}
"""Options by the section of the help that they stand in; each is a field of ExportSettings."""


def _settings(command: Command) -> Command:
    for section, options in reversed(_SETTINGS.items()):
        for name, how in reversed(options.items()):
            command = click.option(name, cls=FormatOption, section=section, **how)(command)
    return command


def _known(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    # not a Choice from the start: the registry is imported only by those who need it
    from xsaga.targets.exports.registry import EXPORTS

    choice = click.Choice(list(EXPORTS))
    return tuple(str(choice.convert(name, param, ctx)) for name in dict.fromkeys(names))


class _ListsFormats(click.Command):
    """A command whose help lists the registered formats and the options of each survey."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write formats, then options by section (see `click.Command.format_options`)."""
        from xsaga.targets.exports.registry import EXPORTS

        with formatter.section("Formats"):
            formatter.write_dl([(each.name, each.summary) for each in EXPORTS.values()])
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                section = getattr(parameter, "section", None)
                title = f"Options of {section} formats" if section else "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


@click.command(
    cls=_ListsFormats,
    short_help="Write a target list in the formats of surveys and tools.",
    epilog=_EXAMPLE,
)
@click.argument("where", metavar="WHERE", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    default=("desi-targets",),
    metavar="FORMAT",
    callback=_known,
    help="One of the formats above; repeat it for more.  [default: desi-targets]",
)
@click.option(
    "--out",
    metavar="FOLDER",
    type=_FOLDER,
    help="Folder in which each format gets its folder.  [default: exports/ beside the list]",
)
@_settings
@format_options
def export(
    where: Path, formats: tuple[str, ...], out: Path | None, known_ids: Path | None, **options: Any
) -> int:
    """Write a target list in the formats that surveys and catalog tools read.

    WHERE is a run folder, the folder of a night's list (of nightly runs the latest is taken), or a
    targets.parquet. Each format is read back before it takes the place of an older export; what a
    format cannot hold is refused in one line, or left out and listed in left-out.csv.
    """
    from xsaga.targets.exports.export import export as write_export
    from xsaga.targets.exports.known_ids import (
        KNOWN_IDS_FILE,
        read_known_ids,
        secondary_ids,
    )
    from xsaga.targets.exports.left_out import LEFT_OUT_FILE, left_out_ids
    from xsaga.targets.exports.settings import ExportSettings
    from xsaga.targets.target_list import read_target_list

    given = format_settings(options)
    given |= {name: value for name, value in options.items() if value is not None}
    if known_ids is not None:
        given["known_ids"] = read_known_ids(known_ids)
    settings = ExportSettings(**given)
    listed = read_target_list(where)
    place = out if out is not None else listed.path.parent / "exports"
    failures: list[XsagaError] = []
    for name in formats:
        try:
            files = write_export(listed, name, place / name, settings)
        except XsagaError as error:  # one format that cannot hold the list stops no other
            failures.append(error)
            continue
        left = len(left_out_ids(place / name))
        click.echo(
            f"{name}: {len(listed.targets) - left} targets, {len(files)} files in {place / name}"
        )
        if secondary := secondary_ids(place / name):
            click.echo(
                f"{name}: {secondary} targets have TARGETIDs of secondary targets, see "
                f"{place / name / KNOWN_IDS_FILE}"
            )
        if left:
            words = "1 target" if left == 1 else f"{left} targets"
            click.echo(f"{name}: {words} left out, see {place / name / LEFT_OUT_FILE}")
    for failure in failures[:-1]:
        click.echo(f"xsaga: {failure}", err=True)
    if failures:
        raise failures[-1]
    return ExitCode.OK
