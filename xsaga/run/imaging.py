"""From the configuration to a source of cutouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import platformdirs

from xsaga.config import ImagingConfig
from xsaga.errors import ConfigError
from xsaga.imaging.brick import BRICK_PIXELS
from xsaga.imaging.brick_cache import RemoteTree
from xsaga.imaging.brick_decode import processors
from xsaga.imaging.brick_index import coverage_test
from xsaga.imaging.brick_tree import BrickTree, LocalTree, read_brick_table
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSource, CutoutSpec
from xsaga.imaging.files import FileSource
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_limits import HttpOptions
from xsaga.imaging.service import MAX_SIZE, ServiceSource
from xsaga.imaging.set_aside import SetAside, WaitingSources
from xsaga.run.imaging_choice import is_open

BASE_BYTES, PROCESS_BYTES = 1_200_000_000, 150_000_000
"""Of a run without bricks (Python, torch, the model, batches), and of a process that decodes."""

BRICK_BYTES = 5 * 3 * BRICK_PIXELS**2
"""Of a brick decoded in three bands."""

ONE_OF_BOTH = "give one of them; xsaga run, tile and fetch choose where both are given"

LEAST_MEMORY = 2.0
"""GB that a run needs in any case."""


def check_imaging(config: ImagingConfig) -> None:
    """Make sure that one place of imaging is named, and that its numbers make sense.

    Bricks and service may be named both: then one is chosen when the sources are known.

    Raises
    ------
    ConfigError
        Naming the option to mend.
    """
    named = [name for name in ("bricks", "service", "files") if getattr(config, name)]
    if len(named) != 1 and named != ["bricks", "service"]:
        raise ConfigError(
            f"imaging: {' and '.join(named) if named else 'nothing'} is given; give one of "
            "--bricks PATH|URL, --service URL or --files PATH"
        )
    for name in named:
        _check_address(f"--{name}", getattr(config, name))
    wrong = {
        f"--size {config.size}: give 1 to {MAX_SIZE} pixels": not 1 <= config.size <= MAX_SIZE,
        f"--pixel-scale {config.pixel_scale}: give arcsec per pixel, above 0": not (
            0 < config.pixel_scale < math.inf
        ),
        f"--min-coverage {config.min_coverage}: give a share, 0 to 1": not (
            0 <= config.min_coverage <= 1
        ),
        f"--connections {config.connections}: give 1 or more": config.connections < 1,
        f"--rate {config.rate}: give requests per second, above 0": not config.rate > 0,
        f"--timeout {config.timeout}: give seconds, above 0": not 0 < config.timeout < math.inf,
        f"--retries {config.retries}: give 0 or more": config.retries < 0,
        f"--max-outage {config.max_outage}: give minutes, 0 or more": not (
            0 <= config.max_outage < math.inf
        ),
        f"--memory {config.memory}: give GB, {LEAST_MEMORY:g} or more": not (
            LEAST_MEMORY <= config.memory < math.inf
        ),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise ConfigError(message)


def _check_address(option: str, address: str) -> None:
    """Refuse an address that holds what is to stay secret: it goes into files and logs."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        raise ConfigError(f"{option}: not an address that can be read") from None
    if "@" in parts.netloc:
        raise ConfigError(
            f"{option}: the address holds a user name or password, which would end up in logs "
            "and files; put them into ~/.netrc"
        )
    if parts.netloc and (parts.query or parts.fragment):
        raise ConfigError(
            f"{option}: the address goes on after a '?' or '#', which would end up in logs and "
            "files; give it without"
        )


def open_imaging(
    config: ImagingConfig,
    waiting: WaitingSources | None = None,
    set_aside: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> CutoutSource:
    """Open the imaging that a configuration names.

    Parameters
    ----------
    config : ImagingConfig
        What is configured.
    waiting : WaitingSources, optional
        Sources that will be asked for later, whose cutouts may be made beforehand.
    set_aside : Path, optional
        Folder where these cutouts wait.
    tell : callable
        Takes one line on what the user should know of, like an outage of a server.

    Raises
    ------
    ConfigError
        None or several places are named.
    ImagingError
        The place cannot be used.
    """
    check_imaging(config)
    if is_open(config):
        raise ConfigError(f"--bricks and --service: {ONE_OF_BOTH}")
    spec = CutoutSpec(size=config.size, pixel_scale=config.pixel_scale)
    if config.files:
        return _files(Path(config.files), spec, config.release)
    if config.service:
        table = Path(config.bricks_table) if config.bricks_table else None
        covers = coverage_test(read_brick_table(table), config.size) if table else None
        return ServiceSource(
            spec, _http(config, tell), url=config.service, layer=config.layer, covers=covers
        )
    return BrickSource(
        open_tree(config, tell),
        spec,
        region=config.region,
        release=config.release,
        waiting=waiting,
        set_aside=SetAside(set_aside) if set_aside else None,
        **asdict(brick_share(config.memory)),
    )


@dataclass(frozen=True)
class BrickShare:
    """What bricks may take of a machine.

    Parameters
    ----------
    workers : int
        Processes that decode.
    max_bytes : int
        Memory for decoded bricks.
    """

    workers: int
    max_bytes: int


def brick_share(memory: float, processes: int | None = None) -> BrickShare:
    """Divide memory between what a run needs in any case, decoding processes and bricks.

    Parameters
    ----------
    memory : float
        What a run may take, in GB (10⁹ bytes).
    processes : int, optional
        Processes that decode, at most; by default as many as there are processors.
    """
    most = processors() if processes is None else processes
    left = memory * 1e9 - BASE_BYTES
    workers = int(np.clip((left - 3 * BRICK_BYTES) // PROCESS_BYTES, 1, most))
    if workers > 1:
        left -= workers * PROCESS_BYTES
    return BrickShare(workers, max(int(left - BRICK_BYTES), 0))  # one may be spare


def _files(path: Path, spec: CutoutSpec, release: str) -> FileSource:
    if path.is_dir():
        return FileSource(path, spec, release=release)
    return FileSource(path.parent, spec, table=path, release=release)


def open_tree(config: ImagingConfig, tell: Callable[[str], None]) -> BrickTree:
    """Open the brick tree that a configuration names."""
    if "://" in config.bricks:
        release = config.release.removeprefix("ls-") or None
        http = _http(config, tell)
        return RemoteTree(config.bricks, cache_folder(config), http, release=release)
    return LocalTree(Path(config.bricks))


def cache_folder(config: ImagingConfig) -> Path:
    """Folder of downloaded bricks: the configured one, else the user's cache folder."""
    return Path(config.cache) if config.cache else platformdirs.user_cache_path("xsaga") / "bricks"


def _http(config: ImagingConfig, tell: Callable[[str], None]) -> HttpClient:
    return HttpClient(
        HttpOptions(
            connections=config.connections,
            rate=config.rate,
            connect_timeout=min(10.0, config.timeout),
            read_timeout=config.timeout,
            deadline=2 * config.timeout,
            retries=config.retries,
            max_outage=60 * config.max_outage,
        ),
        tell=tell,
    )
