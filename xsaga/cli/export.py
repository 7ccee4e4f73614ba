"""``xsaga export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsaga.cli.edge import echo
from xsaga.cli.export_options import FormatOption, export_settings, format_options
from xsaga.errors import ExitCode, XsagaError
from xsaga.targets.exports.desi_settings import DesiSettings

_FOLDER = click.Path(file_okay=False, path_type=Path)

_EXAMPLE = """\b
Example:
  xsaga export RUN --format desi-targets --format desi-secondary
"""


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
@click.option(
    "--known-ids",
    cls=FormatOption,
    section=DesiSettings.title,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet table of TARGETIDs given before, such as target-ids.parquet of an earlier "
    "export: these sources keep theirs.",
)
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
    from xsaga.targets.target_list import read_target_list

    known = None if known_ids is None else read_known_ids(known_ids)
    settings = export_settings(options, known_ids=known)
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
        echo(f"xsaga: {failure}", err=True)
    if failures:
        raise failures[-1]
    return ExitCode.OK
