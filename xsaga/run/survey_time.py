"""How long a survey takes at measured speeds, and what holds it up."""

from __future__ import annotations

from dataclasses import dataclass

from xsaga.imaging.brick_speed import BrickSpeed


@dataclass(frozen=True)
class Survey:
    """What is to be done.

    Parameters
    ----------
    sources : int
        Cutouts to fetch and to score.
    bricks : int
        Bricks that they lie in.
    """

    sources: int
    bricks: int

    @property
    def per_brick(self) -> float:
        """Sources in a brick, on average."""
        return self.sources / max(1, self.bricks)


@dataclass(frozen=True)
class Speeds:
    """What a machine and its servers were measured to do.

    Parameters
    ----------
    scored : float
        Cutouts scored from the store, per second.
    stored : float
        Cutouts put into the store, per second.
    bricks : BrickSpeed or None
        Of bricks on this machine.
    downloaded : float
        Seconds to download a brick; 0 where bricks are on this machine.
    served : float or None
        Cutouts of the service per second.
    on_gpu : bool
        Whether scoring leaves the processors to the bricks.
    """

    scored: float
    stored: float
    bricks: BrickSpeed | None = None
    downloaded: float = 0.0
    served: float | None = None
    on_gpu: bool = False


@dataclass(frozen=True)
class SurveyTime:
    """Seconds that the parts of a survey take, each by itself, and together.

    Parameters
    ----------
    parts : dict of str to float
        Seconds of each part, by its name.
    total : float
        Seconds of all, as far as they go on at the same time.
    """

    parts: dict[str, float]
    total: float

    @property
    def bottleneck(self) -> str:
        """The part that takes longest."""
        return max(self.parts, key=lambda name: self.parts[name])


def survey_time(survey: Survey, speeds: Speeds) -> SurveyTime:
    """Work out how long a survey takes.

    Fetching and scoring go on at the same time. Waiting for a server takes no processor; decoding,
    storing and scoring on the same processors take turns, so that their times add up.

    Parameters
    ----------
    survey : Survey
        What is to be done.
    speeds : Speeds
        How fast it goes.
    """
    computed: dict[str, float] = {"storing": survey.sources / speeds.stored}
    waited: dict[str, float] = {}
    scoring = {"scoring": survey.sources / speeds.scored}
    if speeds.served is not None:
        waited["waiting for the service"] = survey.sources / speeds.served
    elif speeds.bricks is not None:
        if speeds.downloaded:
            waited["downloading bricks"] = survey.bricks * speeds.downloaded
        seconds = speeds.bricks.brick_seconds(survey.per_brick)
        computed["decoding and cutting bricks"] = survey.bricks * seconds
    if speeds.on_gpu:
        total = max(sum(computed.values()), *waited.values(), *scoring.values())
    else:
        total = max(sum(computed.values()) + sum(scoring.values()), *waited.values(), 0.0)
    return SurveyTime({**waited, **computed, **scoring}, total)


def duration(seconds: float) -> str:
    """Seconds in words of two units at most."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86400:.0f} d {seconds % 86400 // 3600:.0f} h"
