"""Sitting out the outages of a server: what failed because of one is asked for again.

One request that fails with all its retries says little: its answer may be broken for ever, or the
server may be gone. What tells them apart is a request that was answered well before (the witness):
asked again, it is answered well by a server that is there. So a failure is believed only when the
server answered something else well at the same time, and that twice, with all retries each time.
Otherwise it is an outage: all requests pause, one at a time goes out as a probe, at growing
intervals, and the first good answer lets all go on. Probes are requests of the work itself.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from xsaga.imaging.http import HttpAnswer, HttpClient
from xsaga.imaging.http_faults import HttpFailure, UnreachableError

Answer = TypeVar("Answer")
GoOn = Callable[[], bool]

SUSPICIOUS = 4
"""So many complete failures before the first good answer mean that the server is not there."""

BELIEVED = 2
"""So many complete failures of one request, while others succeed, are its own."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the first probe of an outage, and before later ones at most."""

SAMPLE_BYTES = 2880
"""Of a file that the server is known to have: one block of FITS."""

_GONE = (404, 410)


@dataclass(frozen=True)
class _Request(Generic[Answer]):
    """What is asked, until it is answered."""

    ask: Callable[[GoOn], Answer]
    sample: Callable[[GoOn], object]
    """Asks for the same, or for a part of it, once it was answered well."""
    final: Collection[int] = ()
    unclear: Collection[int] = ()


class PatientClient:
    """A server that is asked patiently; safe to share by threads.

    Parameters
    ----------
    http : HttpClient
        Request layer; its option `max_outage` says how long an outage is waited for.
    what : str
        What the server is, for messages, e.g. ``the cutout service``.
    """

    def __init__(self, http: HttpClient, what: str) -> None:
        self._http = http
        self._what = what
        self._mutex = threading.Lock()
        self._asking_witness = threading.Lock()
        self._probing = threading.Lock()
        self._witness: Callable[[GoOn], object] | None = None
        self._good_at = -math.inf
        self._failures = 0
        self._down_since: float | None = None
        self._given_up = ""

    def get(
        self,
        url: str,
        params: Mapping[str, str],
        *,
        max_bytes: int,
        check: Callable[[bytes], str],
        final: Collection[int] = (),
        unclear: Collection[int] = (),
    ) -> HttpAnswer:
        """Get a short answer into memory.

        Parameters
        ----------
        url, params, max_bytes, check
            As for `HttpClient.get`.
        final : collection of int
            Statuses that answer the request, and are not tried again.
        unclear : collection of int
            Statuses that answer it where the server answers other requests well.

        Raises
        ------
        HttpFailure
            When the request fails although the server is there.
        UnreachableError
            When the server is not there for longer than is waited for, or after `close`.
        """

        def ask(go_on: GoOn) -> HttpAnswer:
            return self._http.get(
                url, params, max_bytes=max_bytes, final=final, check=check, go_on=go_on
            )

        return self._patiently(_Request(ask, ask, final, unclear))

    def download(
        self, url: str, path: Path, *, check: Callable[[Path], str], sign: Callable[[bytes], str]
    ) -> None:
        """Get a file and put it at `path` once it is complete.

        Parameters
        ----------
        url, path, check
            As for `HttpClient.download`.
        sign : callable
            Says what is wrong with the first `SAMPLE_BYTES` bytes of such a file, nothing if they
            are good.

        Raises
        ------
        HttpFailure, UnreachableError
            As for `get`; a file that is not there is one where the server gives others.
        ImagingError
            When the file cannot be written.
        """

        def ask(go_on: GoOn) -> None:
            self._http.download(url, path, check=check, go_on=go_on)

        self._patiently(_Request(ask, self._sample(url, sign), unclear=_GONE))

    def vouch(self, url: str, sign: Callable[[bytes], str]) -> None:
        """Name a file that the server is known to have: the witness as long as there is none."""
        if self._witness is None:
            self._witness = self._sample(url, sign)

    def close(self) -> None:
        """Give back connections; requests that are under way or wait are cut."""
        self._http.close()

    def _check_open(self) -> None:
        """Refuse to take what was cut by `close` for the answer of the server."""
        if self._http.closed:
            raise UnreachableError(f"{self._what}: asking it was stopped")

    def _sample(self, url: str, sign: Callable[[bytes], str]) -> Callable[[GoOn], object]:
        return lambda go_on: self._http.get(url, first=SAMPLE_BYTES, check=sign, go_on=go_on)

    def _patiently(self, request: _Request[Answer]) -> Answer:
        """Ask until there is an answer, or a failure that is the request's own."""
        strikes, last_try = 0, 0.0

        def go_on() -> bool:
            nonlocal last_try
            last_try = self._http.clock()
            return self._down_since is None

        while True:
            if self._down_since is not None:
                strikes = 0
                if (probed := self._sit_out(request)) is not None:
                    return probed[0]
            last_try = self._http.clock()
            try:
                answer = request.ask(go_on)
            except HttpFailure as failure:
                self._check_open()
                if failure.status in request.final:
                    raise
                unclear = failure.status in request.unclear
                there = self._is_there(failure, last_try, unclear=unclear)
                strikes += bool(there)
                own = strikes == BELIEVED or unclear
                if (there and own) or (there is None and unclear):
                    raise
                if there is None:  # others, that are under way, may soon tell more
                    self._http.sleep(FIRST_PAUSE)
                continue
            self._note_good(request.sample)
            return answer

    def _is_there(self, failure: HttpFailure, since: float, *, unclear: bool) -> bool | None:
        """Tell whether the server answers others well, None where nothing can tell yet."""
        with self._asking_witness:  # the answer that one thread gets serves all that wait for it
            if self._down_since is not None:
                return False
            if self._good_at > since:
                return True
            if self._witness is not None:
                try:
                    self._witness(lambda: True)
                except HttpFailure:
                    self._check_open()
                    self._begin_outage(failure)
                    return False
                self._note_good()
                return True
            if unclear:
                return None
            self._failures += 1
            if self._failures < SUSPICIOUS:
                return None
            if failure.refused:  # an address or a right that is wrong from the start, no outage
                raise UnreachableError(
                    f"{self._what} cannot be used: {self._failures} requests in a row failed, "
                    f"the last: {failure}"
                )
            self._begin_outage(failure)
            return False

    def _begin_outage(self, failure: HttpFailure) -> None:
        longest = self._http.options.max_outage
        with self._mutex:
            self._down_since = self._http.clock()
        if longest > 0:
            self._http.tell(
                f"{self._what} does not answer as it should ({failure.reason}): all requests "
                f"pause until it does, for {_duration(longest)} at most"
            )
        else:
            self._give_up(failure)

    def _sit_out(self, request: _Request[Answer]) -> tuple[Answer] | None:
        """Wait for the end of the outage, probing; give the answer if a probe of it was good."""
        pause, own = FIRST_PAUSE, True
        with self._probing:
            while (since := self._down_since) is not None:
                if self._given_up:
                    raise UnreachableError(self._given_up)
                longest = self._http.options.max_outage
                self._http.sleep(max(0.0, min(pause, since + longest - self._http.clock())))
                pause = min(2 * pause, LONGEST_PAUSE)
                try:
                    if own or self._witness is None:
                        answer = request.ask(_no_more)
                        self._note_good(request.sample)
                        return (answer,)
                    self._witness(_no_more)
                    self._note_good()
                except HttpFailure as failure:
                    self._check_open()
                    if own and self._answers_without_witness(request, failure):
                        self._note_good()
                        raise
                    if self._http.clock() - since >= longest:
                        self._give_up(failure)
                own = not own
        return None

    def _answers_without_witness(self, request: _Request[Answer], failure: HttpFailure) -> bool:
        unclear = self._witness is None and failure.status in request.unclear
        return unclear or failure.status in request.final

    def _give_up(self, failure: HttpFailure) -> None:
        longest = self._http.options.max_outage
        lasting = f" for {_duration(longest)}" if longest > 0 else ""
        self._given_up = (
            f"{self._what} gave no usable answer{lasting}, the last: {failure}; "
            "what is finished is kept, start again later to go on"
        )

    def _note_good(self, witness: Callable[[GoOn], object] | None = None) -> None:
        with self._mutex:
            now = self._http.clock()
            since, self._down_since = self._down_since, None
            self._good_at = now
            self._failures = 0
            self._given_up = ""
            self._witness = witness or self._witness
        if since is not None:
            self._http.tell(f"{self._what} answers again after {_duration(now - since)}: going on")


def _no_more() -> bool:
    return False


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
