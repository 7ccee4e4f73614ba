from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.formula_sky import FormulaSky
from tests.small_survey import BRICKS, write_small_survey
from tests.survey_server import Fault, FaultPlan, Seen, SurveyServer, survey_server
from xsaga.errors import ImagingError
from xsaga.imaging.brick import BrickName
from xsaga.imaging.brick_cache import RemoteTree
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_limits import HttpOptions
from xsaga.imaging.rates import brick_download_seconds, positions_needed, service_rate
from xsaga.imaging.service import ServiceSource

LIMITS = HttpOptions(connections=3, rate=None, retries=0)
BRICK = BrickName("south", "1500p010", *BRICKS["1500p010"])
RA, DEC = np.linspace(10, 20, 50), np.zeros(50)


@dataclass
class Ticks:
    """A clock that goes on by a second with each look."""

    now: float = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@contextmanager
def service(
    folder: Path, limits: HttpOptions = LIMITS, faults: FaultPlan = ()
) -> Iterator[tuple[ServiceSource, SurveyServer]]:
    with survey_server(folder, faults=faults, sky=FormulaSky()) as server:
        source = ServiceSource(CutoutSpec(size=16), HttpClient(limits), url=server.cutout_url)
        try:
            yield source, server
        finally:
            source.close()


def test_a_service_is_timed_over_all_its_connections(tmp_path: Path) -> None:
    with service(tmp_path) as (source, server):
        assert service_rate(source, RA, DEC, clock=Ticks()) == 9  # in one second
        assert len(server.seen) == positions_needed(source) == 12


def test_only_cutouts_that_come_are_counted(tmp_path: Path) -> None:
    def faults(seen: Seen) -> Fault | None:
        return Fault(status=400) if float(seen.query["ra"]) > RA[7] + 1e-6 else None

    with service(tmp_path, faults=faults) as (source, _):
        assert service_rate(source, RA, DEC, clock=Ticks()) == 5


def test_a_service_is_never_faster_than_its_cap(tmp_path: Path) -> None:
    with service(tmp_path, replace(LIMITS, rate=200.0)) as (source, _):
        assert service_rate(source, RA, DEC, clock=lambda: 0.0) == 200


def test_a_service_that_gives_nothing_is_not_timed(tmp_path: Path) -> None:
    with service(tmp_path, faults=lambda _: Fault(status=400)) as (source, server):
        with pytest.raises(ImagingError, match="none of 9 cutouts"):
            service_rate(source, RA, DEC)
        asked = len(server.seen)
        with pytest.raises(ImagingError, match="3 positions are too few"):
            service_rate(source, RA[:3], DEC[:3])
        assert len(server.seen) == asked


def test_a_brick_is_timed_by_the_files_that_are_not_here(tmp_path: Path) -> None:
    write_small_survey(tmp_path / "web" / "dr9")
    with survey_server(tmp_path / "web") as server:
        tree = RemoteTree(f"{server.url}/dr9", tmp_path / "cache", HttpClient(LIMITS))
        assert brick_download_seconds(tree, BRICK, clock=Ticks()) == 6  # all alike, a second each
        assert len(server.seen) == 6
        for path in sorted(tree.root.rglob("*.fz"))[:2]:
            path.unlink()
        assert brick_download_seconds(tree, BRICK, clock=Ticks()) == pytest.approx(6)
        assert len(server.seen) == 8
        assert brick_download_seconds(tree, BRICK) == 0
        assert brick_download_seconds(tree, replace(BRICK, name="0000p000")) == 0
        tree.close()
