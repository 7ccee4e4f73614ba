"""A run at work: its folder, held and checked, and the parts that are opened when needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console

from xsaga import __version__
from xsaga.catalog.cuts import CUT_NAMES, Cuts, named_cuts
from xsaga.catalog.readers import Catalog
from xsaga.config import FootprintConfig, ImagingConfig, ModelConfig, RunConfig
from xsaga.config_file import write_config
from xsaga.errors import ConfigError, MissingExtraError, RunError, XsagaError
from xsaga.imaging.cutouts import CutoutSource
from xsaga.model.card import CARD_FILE
from xsaga.model.scoring import ScoreFlag, Scorer, scorers_for
from xsaga.model.weights import load_model, model_folder
from xsaga.paths import RunPaths
from xsaga.reading import escaped
from xsaga.run.base_rates import check_base_rate, refuse_estimate
from xsaga.run.folder import (
    RunRecord,
    begin_or_resume,
    discard,
    hash_inputs,
    locked,
    make_record,
    read_record,
)
from xsaga.run.imaging import check_imaging, open_imaging
from xsaga.run.imaging_choice import choose, is_open, only, read_choice, write_choice
from xsaga.run.imaging_costs import CostMeasures
from xsaga.run.log import RunLog
from xsaga.run.pipeline import TileWork
from xsaga.run.survey_of_run import some_positions, survey_of_run
from xsaga.run.waiting_sources import WaitingCandidates
from xsaga.sky.footprint import Footprint, make_footprint
from xsaga.sky.tiles import check_order
from xsaga.targets.provenance import InputFile, Provenance, WeightsRecord
from xsaga.targets.tiers import Tiers

MAX_EVEN_ORDER = 8
"""Finest HEALPix order that a density is kept in: 0.05 deg², one target of twenty per deg²."""


@dataclass(frozen=True)
class Parts:
    """What a run is made of, opened and checked before any folder is touched.

    Parameters
    ----------
    config : RunConfig
        Resolved configuration.
    catalog : Catalog
        The sources to read.
    footprint : Footprint
        Where on the sky.
    cuts : Cuts
        Photometric cuts.
    scorers : tuple of Scorer
        The model, once for each device.
    """

    config: RunConfig
    catalog: Catalog
    footprint: Footprint
    cuts: Cuts
    scorers: tuple[Scorer, ...]

    @property
    def scorer(self) -> Scorer:
        """The model on the first of the devices."""
        return self.scorers[0]

    @property
    def input_files(self) -> list[Path]:
        """Files that decide what a run computes: the catalog's, others, the model's card last."""
        config = self.config
        named = (
            *footprint_files(config.footprint),
            config.catalog.columns,
            config.imaging.bricks_table,
            config.imaging.files,
        )
        others = [path for path in map(Path, filter(None, named)) if path.is_file()]
        return [*self.catalog.files, *others, model_folder(config.model.weights) / CARD_FILE]

    def new_record(self, inputs: tuple[InputFile, ...], command: str) -> RunRecord:
        """Make the record of a run that begins with these parts and the hashes of their files."""
        card = self.scorer.card
        return make_record(
            self.config,
            inputs,
            WeightsRecord(card.name, card.sha256, card.simulated, card.z_limit),
            {
                "device": self.scorer.device.type,
                "precision": self.scorer.precision,
                "engine": self.scorer.engine,
                "footprint": self.footprint.describe(),
            },
            command,
        )


@dataclass(frozen=True)
class Session(Parts):
    """A run folder that this process holds, and what its run is made of.

    Parameters
    ----------
    paths : RunPaths
        Files of the run.
    record : RunRecord
        What the run was begun with.
    log : RunLog
        Where to say what happens.
    console : Console
        Where progress is shown.
    """

    paths: RunPaths
    record: RunRecord
    log: RunLog
    console: Console

    @cached_property
    def imaging(self) -> CutoutSource:
        """The source of cutouts, opened and checked against the model when first used."""
        waiting = WaitingCandidates(self.paths, self.config.footprint.order)
        source = open_imaging(self._imaging_config(), waiting, self.paths.set_aside, self._tell)
        try:
            self._check(source)
        except XsagaError:
            source.close()
            raise
        return source

    def _imaging_config(self) -> ImagingConfig:
        """Where the cutouts come from: what is configured, or chosen once of the two places."""
        config = self.config.imaging
        if not is_open(config):
            return config
        place = read_choice(self.paths.imaging_choice)
        if place is None:
            order = self.config.footprint.order
            survey, (ra, dec) = survey_of_run(self.paths, order), some_positions(self.paths, order)
            measures = CostMeasures(config, ra, dec, self._check, self._tell)
            place = choose(
                survey, {"bricks": measures.bricks, "service": measures.service}, self._tell
            )
            write_choice(self.paths.imaging_choice, place)
        return only(config, place)

    def _check(self, source: CutoutSource) -> None:
        """Make sure that the model can use the cutouts of a source."""
        release = source.release
        if self.config.model.any_release and release not in self.scorer.card.image_release:
            self.log.event(
                "warning",
                f"warning: model {self.scorer.card.name} was not made for images of "
                f"{release or 'an unnamed release'}; its scores there are not calibrated",
            )
            release = self.scorer.card.image_release[0]
        self.scorer.check(source.spec, release, resample=self.config.model.resample)

    def _tell(self, text: str) -> None:
        self.log.event("imaging", text)

    @property
    def tile_work(self) -> TileWork:
        """With what the tiles of the run are brought to their scores."""
        return TileWork(
            imaging=lambda: self.imaging,
            scorers=self.scorers,
            warn=lambda text: self.log.event("warning", text),
        )

    def close(self) -> None:
        """Close what was opened."""
        if "imaging" in self.__dict__:
            self.imaging.close()

    def provenance(self) -> Provenance:
        """Tell what targets of this run are made from."""
        return Provenance(
            version=__version__,
            created=self.record.created,
            command=self.record.command,
            config_toml=write_config(self.config),
            weights=self.record.weights,
            inputs=self.record.inputs,
            packages=tuple(self.record.versions.items()),
        )


def last_flags(config: RunConfig) -> int:
    """Tell which score flags rank a source after all others, whatever its score."""
    return int(ScoreFlag.UNFAMILIAR) if config.rank.unfamiliar_last else 0


def check_ranking(config: RunConfig) -> Tiers:
    """Read the tiers of a configuration, and check the keys beside them.

    Raises
    ------
    ConfigError
        A rule, a priority or another key of the ranking cannot be used.
    """
    check_base_rate(config.rank.base_rate)
    if not 0 <= config.rank.even_order <= MAX_EVEN_ORDER:
        raise ConfigError(
            f"rank.even_order {config.rank.even_order}: give an order from 0 to {MAX_EVEN_ORDER}"
        )
    for name, value in (
        ("rank.min_separation", config.rank.min_separation),
        ("exclude.match_radius", config.exclude.match_radius),
        ("exclude.shred_radii", config.exclude.shred_radii),
    ):
        if not 0 <= value < math.inf:
            raise ConfigError(f"{name} {value:g}: give 0 or more")
    if not all(0 <= bit < 32 for bit in config.exclude.maskbits):
        raise ConfigError(
            f"exclude.maskbits {list(config.exclude.maskbits)}: give bits from 0 to 31"
        )
    return Tiers.parse(config.rank.tiers, config.rank.priorities, CUT_NAMES)


def footprint_files(config: FootprintConfig) -> list[str]:
    """List what a footprint names that may be a file."""
    return [name for name in (*config.moc, config.desi_tiles, *config.healpix) if name]


def open_parts(config: RunConfig, before: RunRecord | None = None) -> Parts:
    """Check all that can be checked before the work, and open catalog and model.

    Parameters
    ----------
    config : RunConfig
        Resolved configuration.
    before : RunRecord, optional
        Of the run that goes on: engine and precision stay what they were, where the configuration
        leaves them open.

    Raises
    ------
    XsagaError
        Something of the configuration, the inputs or the weights cannot be used.
    """
    if not config.catalog.path:
        raise ConfigError("no catalog: give --catalog PATH or `path` in [catalog]")
    check_imaging(config.imaging)
    check_order(config.footprint.order)
    check_ranking(config)
    cuts = named_cuts(
        config.cuts.name, config.cuts.coefficients, config.cuts.r_min, config.cuts.r_max
    )
    footprint = configured_footprint(config.footprint)
    catalog = Catalog.of(config.catalog.path, config.catalog.columns, config.catalog.column).within(
        footprint
    )
    scorers = open_scorers(config.model, before)
    refuse_estimate(config.rank.base_rate, scorers[0].card, config.cuts)
    return Parts(config, catalog, footprint, cuts, scorers)


def open_scorers(config: ModelConfig, before: RunRecord | None = None) -> tuple[Scorer, ...]:
    """Make the model ready on all devices that are meant; what is left open stays as it was before.

    Parameters
    ----------
    config : ModelConfig
        Which model, and how it runs.
    before : RunRecord, optional
        Of the run that goes on.

    Raises
    ------
    XsagaError
        The model, a device or an engine cannot be used.
    """
    known = {} if before is None else before.settings
    engine, precision = config.engine, config.precision
    if engine == "auto":
        engine = known.get("engine", engine)
    if precision == "auto":
        precision = known.get("precision", precision)
    try:
        return scorers_for(
            load_model(config.weights),
            device=config.device,
            precision=precision,
            batch_size=config.batch_size or None,
            engine=engine,
        )
    except MissingExtraError as missing:
        if config.engine != "auto":
            raise
        raise RunError(
            f"what is there was scored with {engine}: {missing}, or choose another --engine and "
            "begin anew"
        ) from missing


def configured_footprint(config: FootprintConfig) -> Footprint:
    """Make the footprint that a configuration names.

    Raises
    ------
    FootprintError
        Some of it is malformed, unreadable or empty.
    """
    return make_footprint(
        circle=config.circle,
        box=config.box,
        polygon=config.polygon,
        moc=config.moc,
        desi_tiles=config.desi_tiles or None,
        tile_ids=config.tile_ids,
        tile_radius=config.tile_radius,
        healpix=config.healpix,
    )


@contextmanager
def open_session(
    config: RunConfig, folder: Path, *, command: str, console: Console, restart: bool = False
) -> Iterator[Session]:
    """Take hold of a run folder, after checking all that can be checked before the work.

    Parameters
    ----------
    config : RunConfig
        Resolved configuration.
    folder : Path
        The run folder; made if need be.
    command : str
        Command line, for the record.
    console : Console
        Terminal.
    restart : bool
        Discard what the folder's run did before.

    Yields
    ------
    Session

    Raises
    ------
    XsagaError
        Something of the configuration, the inputs, the weights or the folder cannot be used.
    """
    paths = RunPaths(folder)
    resumed = not restart and paths.record.is_file() and paths.partition.is_file()
    parts = open_parts(config, read_record(paths) if resumed else None)
    with locked(paths):
        if restart:
            discard(paths)
        record = parts.new_record(hash_inputs(parts.input_files, paths), command)
        with _at_work(parts, record, paths, console) as session:
            yield session


@contextmanager
def hold_session(
    parts: Parts, record: RunRecord, folder: Path, console: Console
) -> Iterator[Session]:
    """Take hold of a run folder with parts that are open and files that are hashed already.

    Parameters
    ----------
    parts : Parts
        Of `open_parts`.
    record : RunRecord
        Of `Parts.new_record`.
    folder : Path
        The run folder; made if need be.
    console : Console
        Terminal.

    Yields
    ------
    Session

    Raises
    ------
    RunError
        The folder cannot be used.
    """
    paths = RunPaths(folder)
    with locked(paths), _at_work(parts, record, paths, console) as session:
        yield session


@contextmanager
def _at_work(
    parts: Parts, record: RunRecord, paths: RunPaths, console: Console
) -> Iterator[Session]:
    """Begin or resume the run of a folder that is held, and log how it ends."""
    record = begin_or_resume(paths, parts.config, record)
    card = parts.scorer.card

    def say(text: str) -> None:
        console.print(escaped(text), highlight=False, markup=False, soft_wrap=True)

    log = RunLog(paths.log, say)
    log.event("begin", command=record.command, fingerprint=record.fingerprint)
    if card.simulated:
        log.event(
            "warning",
            f"note: the weights ({card.name}) were trained on simulated images; "
            "these scores are for trying the tool, not for observing",
        )
    if card.novelty is None:
        log.event(
            "warning",
            f"note: model {card.name} cannot tell cutouts unlike those it was trained on: no "
            "score is flagged UNFAMILIAR",
        )
    session = Session(**vars(parts), paths=paths, record=record, log=log, console=console)
    try:
        yield session
    except BaseException as error:
        log.event("stopped", error=type(error).__name__, why=str(error))
        raise
    finally:
        session.close()
    log.event("end")
