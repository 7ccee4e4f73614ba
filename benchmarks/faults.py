"""Cutouts from a service and bricks from a server of which every fifth answer is at fault.

Usage::

    python -m benchmarks.faults [--cutouts N] [--rate R]

A local server in another process plans its faults from a seed (`tests/fault_plans.py`), so that it
is known beforehand which cutouts cannot arrive; its pixels follow from the position by a formula.
Every cutout that arrives is compared with that formula, pixel for pixel. Then bricks are downloaded
and cut under the same share of faults, and compared with those of a local tree.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.fault_plans import FaultMix, Outage, position_key
from tests.formula_sky import FormulaSky, formula_pixels
from tests.small_survey import BRICKS, write_small_survey
from tests.survey_server import survey_server
from xsaga.imaging.brick_cache import RemoteTree
from xsaga.imaging.brick_tree import LocalTree
from xsaga.imaging.bricks import BrickSource
from xsaga.imaging.cutouts import CutoutSpec, CutoutStatus
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_limits import HttpOptions, RequestPace
from xsaga.imaging.service import ServiceSource

FAULTS, BROKEN, RETRY_AFTER, SEED = 0.2, 0.01, 0.01, 20
SPEC = CutoutSpec(size=32)
CACHES, CUTS = 20, 50
"""How often the bricks are downloaded, and cutouts of each of them."""


@dataclass(frozen=True)
class Leg:
    """What came of one part of the trial."""

    asked: int
    arrived: int
    wrong: int
    failures_expected: int
    failures_found: int
    failures_agree: bool
    outages_sat_out: int
    most_sent_in_a_second: int
    seconds: float


@dataclass(frozen=True)
class Traffic:
    """What the server saw."""

    requests: int
    most_in_a_second: int
    most_at_once: int
    drawn: Counter[str]


class NotedPace(RequestPace):
    """Notes when each request may go out; how long it is under way then is up to the machine."""

    def __init__(self, rate: float | None) -> None:
        super().__init__(rate)
        self.times: list[float] = []

    def wait(self) -> None:
        """Wait for the next slot, and note it."""
        super().wait()
        self.times.append(time.monotonic())


def client(options: HttpOptions, told: list[str]) -> tuple[HttpClient, NotedPace]:
    """Make a client whose requests are noted."""
    http, pace = HttpClient(options, tell=told.append), NotedPace(options.rate)
    http._pace = pace
    return http, pace


def most_in_a_second(times: NDArray[np.float64]) -> int:
    """Count the most that fall into any second."""
    times = np.sort(times)
    ends = np.searchsorted(times, times + 1.0, side="left")
    return int((ends - np.arange(len(times))).max())


def serve(root: Path, mix: FaultMix, pipe: Connection) -> None:
    """Serve until told to end; give the address first, and what was seen last."""
    with survey_server(root, faults=mix, sky=FormulaSky()) as server:
        pipe.send(server.url)
        pipe.recv()
        times = np.array([seen.time for seen in server.seen])
        pipe.send(Traffic(len(times), most_in_a_second(times), server.peak, mix.drawn))


class FaultyServer:
    """The server in its own process."""

    def __init__(self, root: Path, mix: FaultMix) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=serve, args=(root, mix, there))
        self._process.start()
        self.url: str = self._pipe.recv()

    def end(self) -> Traffic:
        """Stop it."""
        self._pipe.send("end")
        traffic: Traffic = self._pipe.recv()
        self._process.join()
        return traffic


def limits(rate: float, connections: int) -> HttpOptions:
    """Of a server on this machine: short waits, else as a run has them."""
    return HttpOptions(
        connections=connections, rate=rate, backoff=0.02, max_backoff=0.5, read_timeout=0.8,
        deadline=1.6, download_deadline=1.6, max_outage=600.0,
    )  # fmt: skip


def cutouts_of_the_service(
    count: int, outages: tuple[Outage, ...], options: HttpOptions, root: Path, seed: int = SEED
) -> tuple[Leg, Traffic]:
    """Ask for cutouts at random positions."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, count).round(6), rng.uniform(-80, 80, count).round(6)
    mix = FaultMix(FAULTS, seed, broken=BROKEN, retry_after=RETRY_AFTER, outages=outages)
    keys = [position_key(f"{a:.8f}", f"{d:.8f}") for a, d in zip(ra, dec, strict=True)]
    lost = np.array([mix.is_broken(key) for key in keys])
    tries = [mix.tries_needed(key) for key, is_lost in zip(keys, lost, strict=True) if not is_lost]
    assert max(tries) <= 2 * (1 + options.retries), "another seed is needed"
    server = FaultyServer(root, mix)
    told: list[str] = []
    http, pace = client(options, told)
    source = ServiceSource(SPEC, http, url=f"{server.url}/viewer/fits-cutout")
    found, wrong, begun = np.full(count, -1), 0, time.monotonic()
    for batch in source.cutouts(ra, dec, np.arange(count)):
        found[batch.index] = batch.status
        for number, image in zip(batch.index, batch.images, strict=True):
            wanted = formula_pixels(ra[number], dec[number], SPEC.size, "".join(SPEC.bands))
            wrong += found[number] == CutoutStatus.OK and not np.array_equal(image, wanted)
        for number, reason in zip(batch.index, batch.reason, strict=True):
            if reason and not lost[number]:
                print(f"should have arrived: {keys[number]}: {reason}")
    seconds = time.monotonic() - begun
    source.close()
    ok = found == CutoutStatus.OK
    leg = Leg(
        count, int(ok.sum()), int(wrong), int(lost.sum()), int((~ok).sum()),
        bool(np.array_equal(~ok, lost)), _ended(told), most_in_a_second(np.array(pace.times)),
        seconds,
    )  # fmt: skip
    return leg, server.end()


def cutouts_of_bricks(times: int, options: HttpOptions, folder: Path) -> tuple[Leg, Traffic]:
    """Download bricks into so many new caches, and cut them."""
    root = write_small_survey(folder / "web" / "dr9")
    ra, dec = _positions(CUTS)
    local = BrickSource(LocalTree(root), SPEC, workers=1)
    wanted, status = _all_cutouts(local, ra, dec)
    local.close()
    mix = FaultMix(FAULTS, SEED, cutouts=False, outages=(Outage(20 * times // 3, seconds=4.0),))
    server = FaultyServer(folder / "web", mix)
    told: list[str] = []
    arrived = wrong = 0
    sent: list[float] = []
    agree, begun = True, time.monotonic()
    for number in range(times):
        http, pace = client(options, told)
        tree = RemoteTree(f"{server.url}/dr9", folder / f"cache{number}", http)
        source = BrickSource(tree, SPEC, workers=1)
        images, there = _all_cutouts(source, ra, dec)
        source.close()
        sent += pace.times
        agree &= bool(np.array_equal(there, status))
        arrived += int((there <= CutoutStatus.PARTIAL).sum())
        differ = (images != wanted).any(axis=(1, 2, 3))
        wrong += int((differ & (there <= CutoutStatus.PARTIAL)).sum())
    seconds = time.monotonic() - begun
    lost = times * int((status > CutoutStatus.PARTIAL).sum())
    asked = times * len(ra)
    leg = Leg(
        asked, arrived, wrong, lost, asked - arrived, agree, _ended(told),
        most_in_a_second(np.array(sent)), seconds,
    )  # fmt: skip
    return leg, server.end()


def _positions(count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(SEED)
    around = [
        np.array([[ra], [dec]]) + rng.uniform(-0.008, 0.008, (2, count))
        for ra, dec in BRICKS.values()
    ]
    ra, dec = np.concatenate(around, axis=1)
    return np.stack([ra % 360, dec])


def _all_cutouts(
    source: BrickSource, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    images = np.zeros((len(ra), len(SPEC.bands), SPEC.size, SPEC.size), dtype=np.float32)
    status = np.zeros(len(ra), dtype=np.int8)
    for batch in source.cutouts(ra, dec, np.arange(len(ra))):
        images[batch.index], status[batch.index] = batch.images, batch.status
    return images, status


def _ended(told: list[str]) -> int:
    return sum("answers again" in line for line in told)


def table(legs: dict[str, tuple[Leg, Traffic]], options: HttpOptions) -> str:
    """Markdown table, a column for each leg."""
    rows: dict[str, list[object]] = {"": list(legs)}
    for leg, traffic in legs.values():
        shown = {
            "cutouts asked for": leg.asked,
            "arrived": leg.arrived,
            "arrived with a wrong pixel": leg.wrong,
            "failures expected / found": f"{leg.failures_expected} / {leg.failures_found}",
            "the same ones": "yes" if leg.failures_agree else "NO",
            "requests": traffic.requests,
            "of them with a fault, and in an outage": (
                f"{sum(traffic.drawn.values()) - traffic.drawn['none'] - traffic.drawn['outage']}"
                f", {traffic.drawn['outage']}"
            ),
            "kinds of faults": len(set(traffic.drawn) - {"none", "outage"}),
            f"most requests sent in any 1 s (cap {options.rate:g})": leg.most_sent_in_a_second,
            "most requests come in at the server in any 1 s": traffic.most_in_a_second,
            f"most requests at once (cap {options.connections})": traffic.most_at_once,
            "outages sat out": leg.outages_sat_out,
            "wall time, s": f"{leg.seconds:.0f}",
        }
        for name, value in shown.items():
            rows.setdefault(name, []).append(value)
    lines = [f"| {name} | {' | '.join(map(str, values))} |" for name, values in rows.items()]
    return "\n".join([lines[0], "|---" * (1 + len(legs)) + "|", *lines[1:]])


def main() -> None:
    """Run both parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cutouts", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=100.0, help="cap of requests per second")
    parser.add_argument("--connections", type=int, default=12)
    given = parser.parse_args()
    options = limits(given.rate, given.connections)
    outages = (
        Outage(given.cutouts * 3 // 10, seconds=20.0),
        Outage(given.cutouts * 8 // 10, seconds=8.0),
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "empty").mkdir()
        service = cutouts_of_the_service(given.cutouts, outages, options, root / "empty")
        bricks = cutouts_of_bricks(CACHES, options, root)
    print(table({"service": service, "bricks": bricks}, options))
    print("\nFaults that the service served:", dict(service[1].drawn.most_common()))


if __name__ == "__main__":
    main()
