"""Asking a server politely and not believing its answers: the request layer of remote imaging.

Why the retries are not left to `urllib3.Retry` inside the adapter: each try has to take its turn
under the request rate, has to end at a deadline, and counts as failed also when the body is short
or fails the caller's check, which shows only after the adapter has handed the answer over.
"""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from xsaga import __version__
from xsaga.errors import ImagingError
from xsaga.imaging.http_connections import Guard, GuardedAdapter, guarded
from xsaga.imaging.http_faults import HttpFailure, shown, transport_fault
from xsaga.imaging.http_limits import HttpOptions, RequestPace
from xsaga.paths import placed

USER_AGENT = f"xsaga/{__version__} (low-redshift target selection; requests/{requests.__version__})"
MEBIBYTE = 2**20

_CHUNK = 64 * 1024
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_OK, _PARTIAL_CONTENT = 200, 206
_TOO_MANY_REQUESTS, _REQUEST_TIMEOUT = 429, 408


@dataclass(frozen=True)
class HttpAnswer:
    """A complete answer with status 200.

    Parameters
    ----------
    body : bytes
        As sent, nothing decoded.
    headers : mapping
        Header fields; names in any case.
    """

    body: bytes
    headers: Mapping[str, str]


class HttpClient:
    """Connections to a server, with limits, retries and checks; safe to share by threads.

    Redirects are followed on the same host only, TLS certificates are always verified, bodies are
    taken as sent (no content encoding), and a proxy is taken from the environment.

    Parameters
    ----------
    options : HttpOptions
        Limits.
    clock, sleep, jitter : callable, optional
        Seconds on a monotonic clock; waiting so many seconds; a number in [0, 1) that spreads the
        waits of several clients.
    tell : callable
        Takes one line on what the user should know of, like an outage.
    """

    def __init__(
        self,
        options: HttpOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        jitter: Callable[[], float] = random.random,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.options = options or HttpOptions()
        self._closed = threading.Event()
        self.clock = clock
        self.sleep = sleep or self._closed.wait  # so that close() ends every wait
        self._jitter = jitter
        self.tell = tell
        self._pace = RequestPace(self.options.rate, clock=clock, sleep=self.sleep)
        self._slots = threading.BoundedSemaphore(self.options.connections)
        self._guards: set[Guard] = set()
        self._session = requests.Session()
        adapter = GuardedAdapter(
            pool_connections=2, pool_maxsize=self.options.connections, max_retries=0
        )
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether no more requests are made."""
        return self._closed.is_set()

    def close(self) -> None:
        """Stop what is in flight or waiting in other threads, and give back the connections."""
        self._closed.set()
        for guard in tuple(self._guards):
            guard.abort("stopped")
        self._session.close()

    def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        max_bytes: int = 64 * MEBIBYTE,
        first: int | None = None,
        final: Collection[int] = (),
        check: Callable[[bytes], str] = lambda _: "",
        go_on: Callable[[], bool] = lambda: True,
    ) -> HttpAnswer:
        """Get a short answer into memory.

        Parameters
        ----------
        url : str
            Address, http or https.
        params : mapping, optional
            Query.
        max_bytes : int
            A longer answer is a failure.
        first : int, optional
            Ask for the first bytes of a file only, and take no more (by up to one read) where
            the server sends all of it.
        final : collection of int
            Statuses that are not tried again although others of their kind are.
        check : callable
            Says what is wrong with a complete body, nothing if it is good; a bad one is asked for
            again.
        go_on : callable
            Asked before each further try; where it says no, the last failure is final.

        Raises
        ------
        HttpFailure
            When no complete answer with status 200 could be had.
        """
        body = io.BytesIO()

        def emptied() -> BinaryIO:
            body.seek(0)
            body.truncate()
            return body

        question = _Question(url, params, max_bytes, self.options.deadline, final, first)
        headers = self._ask(question, emptied, lambda: check(body.getvalue()), go_on)
        return HttpAnswer(body.getvalue(), headers)

    def download(
        self,
        url: str,
        path: Path,
        *,
        max_bytes: int = 4096 * MEBIBYTE,
        check: Callable[[Path], str] = lambda _: "",
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Get a file and put it at `path` once it is complete.

        Parameters
        ----------
        url : str
            Address, http or https.
        path : Path
            Where the file belongs.
        max_bytes : int
            A longer answer is a failure.
        check : callable
            Says what is wrong with a complete file, nothing if it is good; a bad one is asked for
            again.
        go_on : callable
            Asked before each further try; where it says no, the last failure is final.

        Raises
        ------
        HttpFailure
            When no complete and good file could be had; `path` is untouched then.
        ImagingError
            When it cannot be written.
        """
        question = _Question(url, None, max_bytes, self.options.download_deadline)
        opened: list[tuple[Path, BinaryIO]] = []
        try:
            with ExitStack() as stack:

                def emptied() -> BinaryIO:
                    if not opened:  # only now, so that nothing is made for what does not exist
                        temporary = stack.enter_context(placed(path))
                        opened.append((temporary, stack.enter_context(temporary.open("wb"))))
                    opened[0][1].seek(0)
                    opened[0][1].truncate()
                    return opened[0][1]

                def checked() -> str:
                    temporary, file = opened[0]
                    file.flush()
                    return check(temporary)

                self._ask(question, emptied, checked, go_on)
        except OSError as error:
            raise ImagingError(
                f"{path}: cannot keep a downloaded file ({error.strerror or error})"
            ) from error

    def _ask(
        self,
        question: _Question,
        emptied: Callable[[], BinaryIO],
        check: Callable[[], str],
        go_on: Callable[[], bool],
    ) -> Mapping[str, str]:
        """Fill the emptied sink with the answer, trying as often as allowed."""
        attempts = 0
        while True:
            attempts += 1
            try:
                with self._slots:
                    self._pace.wait()
                    headers = self._try(question, emptied)
                if problem := check():
                    raise _BadTry(problem, status=200, again=True)
                return headers
            except _BadTry as bad:
                failure = HttpFailure(
                    question.url,
                    bad.reason,
                    status=bad.status,
                    attempts=attempts,
                    refused=bad.refused,
                )
                if bad.retry_after is not None:
                    # the server speaks to all of us, not only to this thread
                    self._pace.hold(min(bad.retry_after, self.options.max_retry_after))
                last = attempts > self.options.retries or bad.status in question.final
                if last or not bad.again or self.closed:
                    raise failure from None
                if bad.retry_after is None:
                    longest = self.options.backoff * 2.0 ** (attempts - 1)
                    longest = min(longest, self.options.max_backoff)
                    self.sleep(longest * (1 + self._jitter()) / 2)
            if not go_on():
                raise failure

    def _try(self, question: _Question, emptied: Callable[[], BinaryIO]) -> Mapping[str, str]:
        """Ask once, and follow redirects on the same host."""
        url, params = question.url, question.params
        with self._guarded(question.deadline) as guard:
            for hop in range(_MAX_REDIRECTS + 1):
                if hop:
                    self._pace.wait()
                with self._sent(url, params, question.headers, guard) as response:
                    target = self._session.get_redirect_target(response)
                    if response.status_code in _REDIRECTS and target:
                        self._drain(response, guard)
                        url, params = _redirected(url, target), None
                        continue
                    if response.status_code not in question.good:
                        self._drain(response, guard)
                        raise _refusal(response)
                    self._receive(response, question, emptied, guard)
                    return response.headers
        raise _BadTry(f"more than {_MAX_REDIRECTS} redirects", status=302, refused=True)

    @contextmanager
    def _guarded(self, deadline: float) -> Iterator[Guard]:
        with guarded(deadline) as guard:
            self._guards.add(guard)
            try:
                if self._closed.is_set():
                    raise _BadTry("stopped")
                yield guard
            finally:
                self._guards.discard(guard)

    @contextmanager
    def _sent(
        self,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        guard: Guard,
    ) -> Iterator[requests.Response]:
        try:
            response = self._session.get(
                url,
                params=params,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(self.options.connect_timeout, self.options.read_timeout),
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._cut(error, guard) from error
        with response:
            yield response

    def _cut(self, error: Exception, guard: Guard) -> _BadTry:
        reason, again = transport_fault(error, self.options)
        again = again or bool(guard.cause)
        return _BadTry(guard.cause or reason, again=again, refused=not again)

    def _receive(
        self,
        response: requests.Response,
        question: _Question,
        emptied: Callable[[], BinaryIO],
        guard: Guard,
    ) -> None:
        max_bytes = question.max_bytes
        announced = response.headers.get("Content-Length", "")
        wanted = int(announced) if announced.isdecimal() else None
        if "Transfer-Encoding" in response.headers:
            wanted = None  # RFC 9112, section 6.3: the chunks tell, not Content-Length
        if wanted is not None and wanted > max_bytes and question.first is None:
            reason = f"an answer of {wanted} bytes, at most {max_bytes} are taken"
            raise _BadTry(reason, status=200, again=True)
        received = 0
        sink = emptied()
        for chunk in self._chunks(response, guard):
            received += len(chunk)
            if received > max_bytes:
                raise _BadTry(f"an answer of more than {max_bytes} bytes", status=200)
            sink.write(chunk)
            if question.first is not None and received >= question.first:
                return  # what follows is not wanted
        if guard.cause:
            raise _BadTry(guard.cause, again=True)
        if wanted is not None and received != wanted:
            raise _BadTry(f"the answer ended after {received} of {wanted} bytes", again=True)

    def _drain(self, response: requests.Response, guard: Guard) -> None:
        """Read what is left of a short answer, so that its connection can be used again."""
        left = _CHUNK
        with suppress(_BadTry):
            for chunk in self._chunks(response, guard):
                left -= len(chunk)
                if left < 0:
                    return

    def _chunks(self, response: requests.Response, guard: Guard) -> Iterator[bytes]:
        try:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                if guard.cause:
                    return
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._cut(error, guard) from error


@dataclass(frozen=True)
class _Question:
    url: str
    params: Mapping[str, str] | None
    max_bytes: int
    deadline: float
    final: Collection[int] = ()
    first: int | None = None

    @property
    def good(self) -> tuple[int, ...]:
        """Statuses of good answers."""
        return (_OK,) if self.first is None else (_OK, _PARTIAL_CONTENT)

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.first is None else {"Range": f"bytes=0-{self.first - 1}"}


class _BadTry(Exception):  # noqa: N818 - becomes an HttpFailure or another try
    """One try that failed."""

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        again: bool = False,
        retry_after: float | None = None,
        refused: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.again = again
        self.retry_after = retry_after
        self.refused = refused


def _refusal(response: requests.Response) -> _BadTry:
    status = response.status_code
    again = status >= 500 or status in (_TOO_MANY_REQUESTS, _REQUEST_TIMEOUT)
    retry_after: float | None = None
    with suppress(InvalidHeader):  # neither seconds nor a date: as if there were none
        if again and (value := response.headers.get("Retry-After")):
            retry_after = Retry().parse_retry_after(value)
    return _BadTry(
        f"HTTP status {status}",
        status=status,
        again=again,
        retry_after=retry_after,
        refused=not again,
    )


def _redirected(url: str, target: str) -> str:
    """Where a redirect leads, if that is on the same host (or the same host with TLS)."""
    there = urljoin(url, target)
    old, new = urlsplit(url), urlsplit(there)
    upgraded = (old.scheme, new.scheme) == ("http", "https") and old.hostname == new.hostname
    if (old.scheme, old.hostname, old.port) != (new.scheme, new.hostname, new.port) and not (
        upgraded and old.port is None and new.port is None
    ):
        # a gate before the server may do that for a while, so another try may help
        reason = f"redirected to another host ({shown(there)}), not followed"
        raise _BadTry(reason, status=302, again=True, refused=True)
    return there
