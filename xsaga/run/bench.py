"""What this machine does per second, and so how long a survey will take on it."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xsaga.config import RunConfig
from xsaga.errors import ConfigError
from xsaga.imaging.brick_speed import BrickSpeed, measure_bricks, write_noise_bricks
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.cutouts import CutoutBatch, CutoutSpec, CutoutStatus
from xsaga.imaging.store import CutoutWriter, read_cutouts
from xsaga.model.scoring import Scorer
from xsaga.model.weights import load_model
from xsaga.paths import TilePaths
from xsaga.run.imaging import BrickShare, brick_share
from xsaga.run.survey_time import Speeds, Survey, SurveyTime, duration, survey_time

LEAST_IMAGES, LEAST_SECONDS = 256, 2.0
"""Cutouts that are stored and scored, and how long scoring is measured at least."""

BRICK_AREA = 0.0625
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
    survey: Survey
    time: SurveyTime
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self) | {"bottleneck": self.time.bottleneck}

    def format(self) -> str:
        """Give all of it as text of some lines."""
        speeds, survey = self.speeds, self.survey
        lines = [
            f"machine    {self.machine}",
            *([f"           {self.note}"] if self.note else []),
            f"scoring    {speeds.scored:,.0f} cutouts/s: {self.model}",
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
    folder : Path, optional
        Where the store is measured; by default the system's temporary folder.
    clock : callable
        Gives the time in seconds.

    Raises
    ------
    XsagaError
        Something of the configuration cannot be used.
    """
    scorer = Scorer(
        load_model(config.model.weights),
        device=config.model.device,
        precision=config.model.precision,
        batch_size=config.model.batch_size or None,
        engine=config.model.engine,
    )
    spec = CutoutSpec(scorer.card.size, scorer.card.pixel_scale, scorer.card.bands)
    share = brick_share(config.imaging.memory)
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    with tempfile.TemporaryDirectory(dir=folder, prefix=".bench-") as scratch:
        stored, scored = _measure_model(config, scorer, spec, Path(scratch), clock)
        bricks, where = _measure_imaging(config, share, Path(scratch), clock)
    speeds = Speeds(
        scored=scored, stored=stored, bricks=bricks, on_gpu=scorer.device.type == "cuda"
    )
    return BenchReport(
        machine=f"{processor_name()}, {os.cpu_count()} cores, torch {torch.__version__} "
        f"with {torch.get_num_threads()} threads",
        model=f"{scorer.card.name}, {scorer.card.members} networks on {scorer.device}, "
        f"{scorer.engine} in {scorer.precision}",
        imaging=where,
        share=share,
        speeds=speeds,
        survey=survey,
        time=survey_time(survey, speeds),
        note=f"other work was going on (load {busy:.1f}): it is faster alone" if busy > 1 else "",
    )


def _measure_model(
    config: RunConfig,
    scorer: Scorer,
    spec: CutoutSpec,
    folder: Path,
    clock: Callable[[], float],
) -> tuple[float, float]:
    """Cutouts stored and scored per second."""
    count = -(-LEAST_IMAGES // scorer.batch_size) * scorer.batch_size
    paths = TilePaths(folder / "tile")
    images = np.random.default_rng(0).normal(
        0, 0.01, (count, len(spec.bands), spec.size, spec.size)
    )
    batch = CutoutBatch(
        index=np.arange(count),
        images=images.astype(np.float32),
        coverage=np.ones((count, len(spec.bands)), np.float32),
        status=np.full(count, CutoutStatus.OK, np.int8),
        reason=[""] * count,
        origin=["noise"] * count,
    )
    begun = clock()
    with CutoutWriter(paths, np.arange(count), spec, config.store.dtype) as writer:
        writer.put(batch)
    stored = count / (clock() - begun)
    cutouts = read_cutouts(paths).checked
    scorer.score(cutouts)  # warms up
    begun, scored = clock(), 0
    while (passed := clock() - begun) < LEAST_SECONDS:
        scorer.score(cutouts)
        scored += count
    return stored, scored / (passed or 1.0)


def _measure_imaging(
    config: RunConfig, share: BrickShare, folder: Path, clock: Callable[[], float]
) -> tuple[BrickSpeed, str]:
    """How fast bricks are decoded, and which."""
    if config.imaging.service or config.imaging.files:
        raise ConfigError("xsaga bench measures bricks: give --bricks PATH, or no imaging at all")
    spec = CutoutSpec(config.imaging.size)
    if config.imaging.bricks and "://" not in config.imaging.bricks:
        where = f"those of {config.imaging.bricks}"
        tree = LocalTree(Path(config.imaging.bricks))
    else:
        where = "full of noise, SIMULATED for this measurement"
        write_noise_bricks(folder / "bricks")
        tree = LocalTree(folder / "bricks")
    speed = measure_bricks(
        tree, spec, workers=share.workers, max_bytes=share.max_bytes, clock=clock
    )
    return speed, where


def processor_name() -> str:
    """Name the processor, as far as the system tells, and the GPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} and {torch.cuda.get_device_name()}" if torch.cuda.is_available() else name
