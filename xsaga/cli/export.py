"""``xsaga export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsaga.errors import ExitCode, XsagaError

_FOLDER = click.Path(file_okay=False, path_type=Path)

_EXAMPLE = """\b
Example:
  xsaga export RUN --format desi-targets --format regions
"""


def _known(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    # not a Choice from the start: the registry is imported only by those who need it
    from xsaga.targets.exports.registry import EXPORTS

    choice = click.Choice(list(EXPORTS))
    return tuple(str(choice.convert(name, param, ctx)) for name in dict.fromkeys(names))


class _ListsFormats(click.Command):
    """A command whose help ends with the registered formats."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the formats, then the example (see `click.Command.format_epilog`)."""
        from xsaga.targets.exports.registry import EXPORTS

        if EXPORTS:
            with formatter.section("Formats"):
                formatter.write_dl([(each.name, each.summary) for each in EXPORTS.values()])
        super().format_epilog(ctx, formatter)


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
    required=True,
    metavar="FORMAT",
    callback=_known,
    help="One of the formats below; repeat it for more.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    type=_FOLDER,
    help="Folder in which each format gets its folder.  [default: exports/ beside the list]",
)
@click.option(
    "--known-ids",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet table of source_id and targetid given before: these sources keep theirs.",
)
def export(
    where: Path, formats: tuple[str, ...], out: Path | None, known_ids: Path | None, **options: Any
) -> int:
    """Write a target list in the formats that surveys and catalog tools read.

    WHERE is a run folder, the folder of a night's list (of nightly runs the latest is taken), or a
    targets.parquet. Each format is read back before it takes the place of an older export; what a
    format cannot hold is refused in one line.
    """
    from xsaga.targets.exports.export import export as write_export
    from xsaga.targets.exports.known_ids import read_known_ids
    from xsaga.targets.exports.settings import ExportSettings
    from xsaga.targets.target_list import read_target_list

    given = {name: value for name, value in options.items() if value is not None}
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
        click.echo(f"{name}: {len(listed.targets)} targets, {len(files)} files in {place / name}")
    for failure in failures[:-1]:
        click.echo(f"xsaga: {failure}", err=True)
    if failures:
        raise failures[-1]
    return ExitCode.OK
