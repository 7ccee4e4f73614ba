"""``xsaga config``."""

from __future__ import annotations

from pathlib import Path

import click

from xsaga.cli.run import base_config
from xsaga.config_file import commented_config, write_config
from xsaga.errors import ConfigError


@click.group()
def config() -> None:
    """Begin or look at a configuration file."""


@config.command()
@click.argument("path", metavar="FILE.toml", type=click.Path(dir_okay=False), default="lowz.toml")
def init(path: str) -> None:
    """Write a configuration with every key, its meaning and its default."""
    target = Path(path)
    try:
        with target.open("x", encoding="utf-8") as stream:
            stream.write(commented_config())
    except FileExistsError:
        raise ConfigError(f"{target} exists: choose another name or remove it") from None
    click.echo(f"wrote {target}; fill in the catalog, the footprint and the imaging, then:")
    click.echo(f"  xsaga run {target} --out RUN")


@config.command()
@click.argument("where", metavar="[CONFIG.toml|RUN]", required=False, type=click.Path())
def show(where: str | None) -> None:
    """Print the resolved configuration of a file or a run folder."""
    click.echo(write_config(base_config(where)), nl=False)
