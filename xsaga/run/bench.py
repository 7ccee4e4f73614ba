"""What this machine does per second, and so how long a survey will take on it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xsaga.config import ImagingConfig, RunConfig
from xsaga.errors import ConfigError
from xsaga.imaging.brick_speed import BrickSpeed, measure_bricks, write_noise_bricks
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.imaging.rates import service_rate
from xsaga.imaging.service import ServiceSource
from xsaga.model.device import processor_name
from xsaga.model.weights import load_model
from xsaga.run.imaging import BrickShare, brick_share, open_imaging, open_tree
from xsaga.run.imaging_choice import is_open
from xsaga.run.imaging_costs import download_seconds
from xsaga.run.scoring_speed import ScoringSpeed, measure_scoring
from xsaga.run.session import open_scorers
from xsaga.run.survey_time import Speeds, Survey, SurveyTime, duration, survey_time
from xsaga.sky.brick_grid import BRICK_SIZE

LEAST_IMAGES, BATCHES, ROUNDS = 32, 4, 2
"""Cutouts that are stored and scored: batches, which hold some at least; and how often."""

Positions = tuple[NDArray[np.float64], NDArray[np.float64]]

BRICK_AREA = BRICK_SIZE**2
"""deg² of a brick's own sky."""


@dataclass(frozen=True)
class BenchReport:
    """What was measured, and what it means for a survey.

    Parameters
    ----------
    machine : str
        Processor, cores, versions.
    model : str
        Which network, on what, in which precision.
    imaging : str
        Where the measured bricks are, or the service.
    share : BrickShare
        Processes and memory for bricks.
    speeds : Speeds
        What was measured.
    scoring : ScoringSpeed
        What bounds the speed of scoring.
    plain : float
        Images per second of the networks as they were trained, see `ScoringSpeeds`.
    survey : Survey
        What is to be done.
    time : SurveyTime
        How long it takes.
    note : str
        What to know of the figures.
    """

    machine: str
    model: str
    imaging: str
    share: BrickShare
    speeds: Speeds
    scoring: ScoringSpeed
    plain: float
    survey: Survey
    time: SurveyTime
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self) | {"bottleneck": self.time.bottleneck}

    def format(self) -> str:
        """Give all of it as text of some lines."""
        speeds, survey = self.speeds, self.survey
        engine, plain = self.scoring.bare, self.plain
        lines = [
            f"machine    {self.machine}",
            *([f"           {self.note}"] if self.note else []),
            f"scoring    {speeds.scored:,.0f} cutouts/s from the store: {self.model}",
            f"           {engine:,.0f} by the engine alone, {plain:,.0f} by plain torch",
            f"storing    {speeds.stored:,.0f} cutouts/s",
        ]
        if speeds.served is not None:
            lines.append(f"service    {speeds.served:,.1f} cutouts/s: {self.imaging}")
        if speeds.bricks is not None:
            lines.append(
                f"bricks     {self.imaging}; {self.share.workers} processes, "
                f"{self.share.max_bytes / 1e9:.1f} GB for pixels"
            )
            lines += [
                f"           {count:>5,} sources in a brick: {seconds:.2f} s a brick, "
                f"{count / seconds:,.0f} cutouts/s"
                for count, seconds in zip(
                    speeds.bricks.per_brick, speeds.bricks.seconds, strict=True
                )
            ]
            if speeds.downloaded:
                lines.append(f"           {speeds.downloaded:.1f} s to download a brick")
        lines += ["", f"{survey.sources:,} cutouts in {survey.bricks:,} bricks would take"]
        lines += [f"  {duration(seconds):>14}  {name}" for name, seconds in self.time.parts.items()]
        lines += [
            f"  {duration(self.time.total):>14}  in all, as far as these go on at the same time",
            f"What takes longest is {self.time.bottleneck}: {_advice(self)}",
        ]
        return "\n".join(lines)


def _advice(report: BenchReport) -> str:
    on_cpu = "a GPU, more cores or a smaller ensemble would help"
    return {
        "scoring": "a larger GPU would help" if report.speeds.on_gpu else on_cpu,
        "storing": "a faster disk would help",
        "decoding and cutting bricks": "more cores (and --memory for them) would help",
        "downloading bricks": "a copy of the bricks on a disk nearby would help",
        "waiting for the service": "bricks on a disk nearby would help, or a higher --rate where "
        "the service's owners agree",
    }[report.time.bottleneck]


def run_bench(
    config: RunConfig,
    survey: Survey,
    positions: Positions | None = None,
    *,
    folder: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> BenchReport:
    """Measure and work out.

    Parameters
    ----------
    config : RunConfig
        Model, imaging, memory.
    survey : Survey
        What is to be done.
    positions : (RA, Dec), optional
        Some of the sources, in degrees, at which a server is tried.
    folder : Path, optional
        Where the store is measured; by default the system's temporary folder.
    clock : callable
        Gives the time in seconds.

    Raises
    ------
    XsagaError
        Something of the configuration cannot be used.
    """
    scorer = open_scorers(config.model)[0]
    share = brick_share(config.imaging.memory)
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    with tempfile.TemporaryDirectory(dir=folder, prefix=".bench-") as scratch:
        scoring = measure_scoring(
            load_model(config.model.weights),
            {"": scorer},
            images=max(
                -(-LEAST_IMAGES // scorer.batch_size) * scorer.batch_size * BATCHES,
                scorer.in_flight,
            ),
            rounds=ROUNDS,
            dtype=config.store.dtype,
            folder=Path(scratch),
            clock=clock,
        )
        imaging = _measure_imaging(config.imaging, positions, share, Path(scratch), clock)
    speeds = Speeds(
        scored=scoring.scorers[""].store,
        stored=scoring.stored,
        bricks=imaging.bricks,
        downloaded=imaging.downloaded,
        served=imaging.served,
        on_gpu=scorer.device.type == "cuda",
    )
    return BenchReport(
        machine=f"{_processors()}, {os.cpu_count()} cores, torch {torch.__version__} "
        f"with {torch.get_num_threads()} threads",
        model=f"{scorer.card.name}, {scorer.card.members} networks on {scorer.device}, "
        f"{scorer.engine} in {scorer.precision}",
        imaging=imaging.where,
        share=share,
        speeds=speeds,
        scoring=scoring.scorers[""],
        plain=scoring.plain,
        survey=survey,
        time=survey_time(survey, speeds),
        note=f"other work was going on (load {busy:.1f}): it is faster alone" if busy > 1 else "",
    )


@dataclass(frozen=True)
class _Imaging:
    """How fast cutouts are had, and from where."""

    where: str
    bricks: BrickSpeed | None = None
    downloaded: float = 0.0
    served: float | None = None


def _measure_imaging(
    config: ImagingConfig,
    positions: Positions | None,
    share: BrickShare,
    folder: Path,
    clock: Callable[[], float],
) -> _Imaging:
    """Measure what the configuration names, else bricks of noise."""
    if config.files or is_open(config):
        raise ConfigError("xsaga bench measures bricks or a service: give one of them, or neither")
    config = replace(config, max_outage=0.0)
    if config.service:
        return _measure_service(config, positions, clock)
    if config.bricks:
        where = f"those of {config.bricks}"
        tree = open_tree(config, lambda _: None)
    else:
        where = "full of noise, SIMULATED for this measurement"
        write_noise_bricks(folder / "bricks")
        tree = LocalTree(folder / "bricks")
    try:
        known = positions or (np.zeros(0), np.zeros(0))
        downloaded = download_seconds(tree, config.region, *known)
        speed = measure_bricks(
            tree,
            CutoutSpec(config.size),
            workers=share.workers,
            max_bytes=share.max_bytes,
            clock=clock,
        )
    finally:
        tree.close()
    return _Imaging(where, speed, downloaded)


def _measure_service(
    config: ImagingConfig, positions: Positions | None, clock: Callable[[], float]
) -> _Imaging:
    if positions is None:
        raise ConfigError(
            f"{config.service}: xsaga bench asks a service for cutouts of a run: give a RUN that "
            "is tiled"
        )
    source = open_imaging(config, tell=lambda _: None)
    try:
        if not isinstance(source, ServiceSource):
            raise ConfigError(f"{config.service}: no cutout service")
        rate = service_rate(source, *positions, clock=clock)
    finally:
        source.close()
    return _Imaging(f"{config.service}, at most {config.rate:g} requests/s", served=rate)


def _processors() -> str:
    name = processor_name()
    return f"{name} and {torch.cuda.get_device_name()}" if torch.cuda.is_available() else name
