"""How hard a server may be asked: limits of the request layer and the pace of requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from xsaga.errors import ImagingError


@dataclass(frozen=True)
class HttpOptions:
    """How a server is asked.

    Parameters
    ----------
    connections : int
        Requests in flight at any time.
    rate : float or None
        Requests per second, retries included; None for no cap.
    connect_timeout, read_timeout : float
        Seconds until a connection stands, and without a single byte from the server.
    deadline, download_deadline : float
        Seconds from sending a request to the last byte of its answer, of a short answer and of a
        file; this ends an answer that trickles.
    retries : int
        Tries after the first one.
    backoff, max_backoff : float
        Seconds before the second try; doubled for each further one up to the maximum.
    max_retry_after : float
        Seconds that a server's Retry-After is obeyed at most.
    max_outage : float
        Seconds that an outage of the server is waited for (`xsaga.imaging.http_outage`).
    """

    connections: int = 4
    rate: float | None = 8.0
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    deadline: float = 120.0
    download_deadline: float = 900.0
    retries: int = 4
    backoff: float = 0.5
    max_backoff: float = 30.0
    max_retry_after: float = 120.0
    max_outage: float = 0.0

    def __post_init__(self) -> None:
        if self.connections < 1:
            raise ImagingError(f"{self.connections} connections; at least 1 is needed")
        if self.rate is not None and not self.rate > 0:
            raise ImagingError(f"a rate of {self.rate} requests/s; it must be above 0")
        if self.retries < 0:
            raise ImagingError(f"{self.retries} retries; 0 or more are needed")


class RequestPace:
    """Slots for requests, shared by threads, so that their rate stays below a cap.

    Parameters
    ----------
    rate : float or None
        Requests per second.
    clock : callable
        Seconds on a clock that never goes back.
    sleep : callable
        Waits so many seconds; true where the wait was ended early, and with it all pacing.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._clock = clock
        self._sleep = sleep
        self._turn = threading.Lock()
        self._next_slot = clock()
        self._held_until = self._next_slot

    def wait(self) -> None:
        """Return when the next slot has come.

        A slot counts from the time it was really taken, so that sleeping too long never brings
        two requests nearer to each other than the rate allows.
        """
        with self._turn:
            while (now := self._clock()) < (slot := max(self._next_slot, self._held_until)):
                if self._sleep(slot - now):
                    return
            self._next_slot = now + self._interval

    def hold(self, seconds: float) -> None:
        """Give no slot to anyone for so many seconds, not even to who waits for one already."""
        self._held_until = max(self._held_until, self._clock() + seconds)
