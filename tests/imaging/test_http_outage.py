from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from tests.fault_plans import FaultMix, Outage, position_key
from tests.formula_sky import FormulaSky, formula_pixels
from tests.small_survey import BRICKS, write_small_survey
from tests.survey_server import HTML, Fault, Seen, SurveyServer, survey_server
from xsaga.imaging.brick_cache import RemoteTree
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec, CutoutStatus
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_faults import UnreachableError
from xsaga.imaging.http_limits import HttpOptions
from xsaga.imaging.service import ServiceSource

SPEC = CutoutSpec(size=16)
LIMITS = HttpOptions(
    connections=4,
    rate=None,
    retries=2,
    backoff=0.001,
    read_timeout=0.3,
    deadline=0.6,
    download_deadline=0.6,
    max_outage=3600,
)
RESET = Fault(cut_after=100, reset=True)
BUSY = Fault(status=429, headers={"Retry-After": "0"})


@dataclass
class Clock:
    """Time that passes only by sleeping."""

    now: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@dataclass
class Told:
    """What the user was told."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class Switch:
    """A server that can go down; answers of single positions can be set apart."""

    fault: Fault
    until: Callable[[], bool] = lambda: False
    is_down: bool = False
    asked_when_down: list[Seen] = field(default_factory=list)
    apart: dict[str, Fault] = field(default_factory=dict)

    def __call__(self, seen: Seen) -> Fault | None:
        if self.is_down:
            self.asked_when_down.append(seen)
            if not self.until():
                return self.fault
            self.is_down = False
        return self.apart.get(seen.query.get("ra", ""))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


@contextmanager
def service(
    tmp_path: Path, faults: object, http: HttpClient, **options: object
) -> Iterator[tuple[ServiceSource, SurveyServer]]:
    with survey_server(tmp_path, faults=faults, sky=FormulaSky()) as server:  # type: ignore[arg-type]
        source = ServiceSource(SPEC, http, url=server.cutout_url, **options)  # type: ignore[arg-type]
        try:
            yield source, server
        finally:
            source.close()


def statuses(source: ServiceSource, *ra: float) -> list[int]:
    """Outcome of each position, after its pixels were checked."""
    found = np.full(len(ra), -1)
    for batch in source.cutouts(np.array(ra), np.zeros(len(ra)), np.arange(len(ra))):
        found[batch.index] = batch.status
        for number, image in zip(batch.index, batch.images, strict=True):
            if found[number] == CutoutStatus.OK:
                np.testing.assert_array_equal(image, formula_pixels(ra[number], 0, 16, "grz"))
    return list(found)


def test_all_arrive_that_can_and_none_is_wrong(tmp_path, told) -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 300).round(6), rng.uniform(-80, 80, 300).round(6)
    mix = FaultMix(0.2, seed=5, broken=0.02, outages=(Outage(100, 40), Outage(350, 25)))
    keys = [position_key(f"{a:.8f}", f"{d:.8f}") for a, d in zip(ra, dec, strict=True)]
    broken = [mix.is_broken(key) for key in keys]
    assert all(mix.tries_needed(key) <= 5 for key in keys if not mix.is_broken(key))
    assert 3 <= sum(broken) <= 10
    ok = np.zeros(300, dtype=bool)
    http = HttpClient(replace(LIMITS, retries=4), sleep=lambda _: None, tell=told)
    with service(tmp_path, mix, http) as (source, server):
        for batch in source.cutouts(ra, dec, np.arange(300)):
            for number, image, status, reason in zip(
                batch.index, batch.images, batch.status, batch.reason, strict=True
            ):
                ok[number] = status == CutoutStatus.OK
                if ok[number]:
                    wanted = formula_pixels(ra[number], dec[number], 16, "grz")
                    np.testing.assert_array_equal(image, wanted)
                else:
                    assert reason
        assert len(mix.drawn) > 20
        assert len(server.seen) < 300 * 2
    assert ok.tolist() == [not bad for bad in broken]
    assert 2 <= len(told.lines) <= 8
    assert "all requests pause" in told.lines[0]


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(status=500), BUSY, HTML, RESET, Fault(status=404)],
    ids=["503", "500", "429", "html", "reset", "404"],
)
def test_an_outage_is_sat_out_and_loses_nothing(tmp_path, clock, told, fault) -> None:
    plan = Switch(fault, until=lambda: clock.now > 600)
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    with service(tmp_path, plan, http) as (source, _):
        assert statuses(source, 1.0) == [CutoutStatus.OK]
        plan.is_down = True
        assert statuses(source, *range(2, 52)) == [CutoutStatus.OK] * 50
    begin, end = told.lines
    assert begin.startswith("the cutout service does not answer as it should (")
    assert begin.endswith("all requests pause until it does, for 60 min at most")
    assert end == "the cutout service answers again after 10 min: going on"
    # eight requests with their tries, one more to be sure, and probes: 1, 2, 4 … s apart
    assert len(plan.asked_when_down) <= 8 * 3 + 3 + 7 + 10
    pauses = [pause for pause in clock.sleeps if pause >= 1]
    assert pauses[:6] == [1, 2, 4, 8, 16, 32]
    assert set(pauses[6:]) == {60}


def test_probes_are_requests_of_the_work(tmp_path, clock) -> None:
    plan = Switch(Fault(status=503), until=lambda: clock.now > 100)
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep)
    with service(tmp_path, plan, http) as (source, server):
        statuses(source, 1.0)
        plan.is_down = True
        statuses(source, 2.0, 3.0)
    assert {seen.query["ra"] for seen in server.seen} == {f"{ra:.8f}" for ra in (1, 2, 3)}


def test_an_outage_that_lasts_too_long_stops_with_one_line(tmp_path, clock, told) -> None:
    plan = Switch(Fault(status=503))
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    with service(tmp_path, plan, http) as (source, _):
        statuses(source, 1.0)
        plan.is_down = True
        with pytest.raises(UnreachableError) as caught:
            statuses(source, *range(2, 52))
    message = str(caught.value)
    assert message.startswith("the cutout service gave no usable answer for 60 min, the last: ")
    assert message.endswith("what is finished is kept, start again later to go on")
    assert "\n" not in message
    assert 3600 <= clock.now < 3700
    assert len(told.lines) == 1


def test_a_server_that_is_down_at_first_is_waited_for(tmp_path, clock, told) -> None:
    plan = Switch(HTML, until=lambda: clock.now > 300, is_down=True)
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    with service(tmp_path, plan, http) as (source, _):
        assert statuses(source, 1.0, 2.0, 3.0) == [CutoutStatus.OK] * 3
    assert len(told.lines) == 2


def test_a_wrong_address_is_no_outage(tmp_path, clock, told) -> None:
    away = Fault(status=301, headers={"Location": "http://www.legacysurvey.test/"})
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    with (
        service(tmp_path, lambda _: away, http) as (source, _),
        pytest.raises(UnreachableError, match=r"cannot be used: .* redirected to another host"),
    ):
        statuses(source, 1.0)
    assert clock.now < 10
    assert told.lines == []


@pytest.mark.parametrize("fault", [Fault(status=503), HTML, RESET])
def test_one_broken_position_fails_soon_and_is_no_outage(tmp_path, clock, told, fault) -> None:
    plan = Switch(fault, apart={"2.00000000": fault})
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    with service(tmp_path, plan, http) as (source, server):
        assert statuses(source, 1.0) == [CutoutStatus.OK]
        assert statuses(source, 2.0)[0] in (CutoutStatus.FAILED, CutoutStatus.CORRUPT)
        assert statuses(source, 3.0) == [CutoutStatus.OK]
        asked = [seen.query["ra"] for seen in server.seen]
    assert asked.count("2.00000000") == 2 * 3
    assert asked.count("1.00000000") <= 3  # what was good before vouches for the server
    assert told.lines == []
    assert clock.now < 1


def test_status_500_without_a_table_is_the_answer_only_where_others_succeed(
    tmp_path, clock, told
) -> None:
    outside = Fault(status=500)
    plan = Switch(outside, until=lambda: clock.now > 300, apart={"2.00000000": outside})
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    with service(tmp_path, plan, http) as (source, server):
        assert statuses(source, 2.0) == [CutoutStatus.FAILED]  # nothing can tell yet
        statuses(source, 1.0)
        assert statuses(source, 2.0) == [CutoutStatus.FAILED]
        assert len(server.seen) == 3 + 1 + 3 + 1
        assert told.lines == []
        plan.is_down = True
        assert statuses(source, 3.0) == [CutoutStatus.OK]
    assert len(told.lines) == 2


def test_status_500_beyond_the_table_is_no_outage(tmp_path, clock, told) -> None:
    plan = Switch(Fault(status=500), is_down=True)
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    with service(tmp_path, plan, http, covers=lambda *_: False) as (source, server):
        assert statuses(source, *range(40)) == [CutoutStatus.OUTSIDE] * 40
        assert len(server.seen) == 40
    assert told.lines == []


def test_close_ends_an_outage(tmp_path) -> None:
    begun = threading.Event()
    plan = Switch(Fault(status=503), is_down=True)
    http = HttpClient(LIMITS, tell=lambda _: begun.set())
    with service(tmp_path, plan, http) as (source, _), ThreadPoolExecutor(1) as pool:
        found = pool.submit(statuses, source, *range(200))
        assert begun.wait(20)
        source.close()
        with pytest.raises(UnreachableError, match="stopped"):
            found.result(timeout=20)


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=404), HTML, RESET])
def test_bricks_survive_an_outage(tmp_path, clock, told, fault) -> None:
    root = write_small_survey(tmp_path / "web" / "dr9")
    plan = Switch(fault, until=lambda: clock.now > 600)
    http = HttpClient(LIMITS, clock=clock, sleep=clock.sleep, tell=told)
    ra, dec = np.array(list(BRICKS.values())).T
    with survey_server(tmp_path / "web", faults=plan) as server:
        tree = RemoteTree(f"{server.url}/dr9", tmp_path / "cache", http)
        remote = BrickSource(tree, SPEC, workers=1)
        plan.is_down = True
        images = list(remote.cutouts(ra, dec, np.arange(len(ra))))
        remote.close()
    local = BrickSource(LocalTree(root), SPEC, workers=1)
    for here, there in zip(local.cutouts(ra, dec, np.arange(len(ra))), images, strict=True):
        assert there.status.tolist() == [CutoutStatus.OK]
        np.testing.assert_array_equal(here.images, there.images)
    local.close()
    assert len(told.lines) == 2


def test_all_bricks_arrive_under_faults(tmp_path, told) -> None:
    root = write_small_survey(tmp_path / "web" / "dr9")
    mix = FaultMix(0.3, seed=4, cutouts=False, outages=(Outage(8, 30),))
    http = HttpClient(LIMITS, sleep=lambda _: None, tell=told)
    with survey_server(tmp_path / "web", faults=mix) as server:
        tree = RemoteTree(f"{server.url}/dr9", tmp_path / "cache", http)
        table = tree.bricks("south")
        assert table is not None
        for path in sorted(root.rglob("*.fits.fz")):
            name = path.relative_to(root).as_posix()
            local = tree.fetch(name)
            assert local is not None
            assert local.read_bytes() == path.read_bytes()
        tree.close()
    assert sum(mix.drawn.values()) > mix.drawn["none"] > 10
    assert told.lines
