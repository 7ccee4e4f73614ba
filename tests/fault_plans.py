"""What goes wrong with which request, drawn from a seed and known beforehand.

The fault of a request follows from what is asked, how often it was asked before, and the seed
alone, whatever the timing. So it is known before a run which cutouts cannot arrive.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.survey_server import HTML, Fault, Seen

LATE, SILENT = 0.1, 30.0
"""Seconds before an answer that comes in time, and before one that comes too late."""

GZIP_START = bytes.fromhex("1f8b0800000000000003ed") + bytes(range(200))

ELSEWHERE = Fault(status=302, headers={"Location": "http://127.0.0.2:1/viewer/fits-cutout"})

COMMON: dict[str, Fault] = {
    "429": Fault(status=429),
    "429 with Retry-After: 0": Fault(status=429, headers={"Retry-After": "0"}),
    "500": Fault(status=500),
    "503": Fault(status=503),
    "slow first byte": Fault(delay=LATE),
    "no first byte": Fault(delay=SILENT),
    "trickle": Fault(trickle=0.02),
    "reset at once": Fault(cut_after=0, reset=True),
    "reset in the body": Fault(cut_after=4000, reset=True),
    "closed in the body": Fault(cut_after=4000),
    "Content-Length too long": Fault(headers={"Content-Length": "99999999"}, cut_after=9000),
    "Content-Length too short": Fault(headers={"Content-Length": "2880"}),
    "truncated": Fault(keep=5760),
    "empty": Fault(body=b""),
    "wrong content type": Fault(headers={"Content-Type": "text/html"}),
    "HTML with 200": HTML,
    "text with 200": Fault(headers={"Content-Type": "text/plain"}, body=b"internal error"),
    "truncated gzip": Fault(headers={"Content-Type": "application/gzip"}, body=GZIP_START),
    "redirect to another host": ELSEWHERE,
}
"""Faults of any request."""

OF_CUTOUTS: dict[str, Fault] = {
    "wrong size": Fault(size=20),
    "bands missing": Fault(bands="gz"),
    "bands swapped": Fault(bands="zrg"),
    "another position": Fault(shift=0.01),
    "another scale": Fault(scale=0.5),
}
"""Faults of the cutout service only."""

HARMLESS = ("slow first byte", "wrong content type", "bands swapped")
"""After these the right pixels can be had from the answer: the header names the bands."""


@dataclass(frozen=True)
class Outage:
    """A stretch in which nothing is answered well.

    Parameters
    ----------
    after : int
        Requests before it begins.
    requests : int
        Requests that meet it; 0 to count by time.
    seconds : float
        How long it lasts from its first request on.
    """

    after: int
    requests: int = 0
    seconds: float = 0.0


@dataclass
class FaultMix:
    """A plan for a server: a share of all requests goes wrong, some whatever is done.

    Parameters
    ----------
    rate : float
        Share of requests with a fault.
    broken : float
        Share of what is asked for that fails however often it is asked for.
    seed : int
        Of all draws.
    cutouts : bool
        Whether faults of the cutout service are among them.
    retry_after : float
        Share of the faults that are 429 with ``Retry-After: 1``, which holds back all requests.
    outages : tuple of Outage
        In order.
    """

    rate: float
    seed: int
    broken: float = 0.0
    cutouts: bool = True
    retry_after: float = 0.0
    outages: tuple[Outage, ...] = ()
    drawn: Counter[str] = field(default_factory=Counter)
    """How often each fault was served."""
    _attempts: Counter[str] = field(default_factory=Counter)
    _requests: int = 0
    _ended: int = 0
    _down_since: tuple[int, float] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    clock: Callable[[], float] = time.monotonic

    @property
    def kinds(self) -> dict[str, Fault]:
        """Faults that are drawn from."""
        return COMMON | (OF_CUTOUTS if self.cutouts else {})

    def is_broken(self, asked: str) -> bool:
        """Whether something fails however often it is asked for."""
        return random.Random(f"{self.seed} {asked}").random() < self.broken

    def kind(self, asked: str, attempt: int) -> str:
        """Name of the fault of an attempt (counted from 0), empty for none."""
        draw = random.Random(f"{self.seed} {asked} {attempt}")
        if self.is_broken(asked):
            return draw.choice([kind for kind in self.kinds if kind not in HARMLESS])
        if draw.random() >= self.rate:
            return ""
        if draw.random() < self.retry_after:
            return "429 with Retry-After: 1"
        return draw.choice(list(self.kinds))

    def tries_needed(self, asked: str, most: int = 40) -> int:
        """Tries up to the first that gives the right answer, `most` where none of so many does."""
        for attempt in range(most):
            if self.kind(asked, attempt) in ("", *HARMLESS):
                return attempt + 1
        return most

    def __call__(self, seen: Seen) -> Fault | None:
        """Fault of a request."""
        asked = what_is_asked(seen)
        with self._lock:
            self._requests += 1
            if self._is_down():
                self.drawn["outage"] += 1
                return Fault(status=503) if self._requests % 3 else HTML
            kind = self.kind(asked, self._attempts[asked])
            self._attempts[asked] += 1
            self.drawn[kind or "none"] += 1
        if kind == "429 with Retry-After: 1":
            return Fault(status=429, headers={"Retry-After": "1"})
        return self.kinds[kind] if kind else None

    def _is_down(self) -> bool:
        if self._ended >= len(self.outages):
            return False
        outage = self.outages[self._ended]
        if self._requests <= outage.after:
            return False
        if self._down_since is None:
            self._down_since = self._requests, self.clock()
        first, since = self._down_since
        over = (
            self._requests >= first + outage.requests
            if outage.requests
            else self.clock() >= since + outage.seconds
        )
        if over:
            self._ended += 1
            self._down_since = None
        return not over


def what_is_asked(seen: Seen) -> str:
    """Name of what a request asks for, whatever its other parameters."""
    return position_key(seen.query["ra"], seen.query["dec"]) if "ra" in seen.query else seen.path


def position_key(ra: str, dec: str) -> str:
    """Name of a position, from the text of its coordinates."""
    return f"{ra} {dec}"
