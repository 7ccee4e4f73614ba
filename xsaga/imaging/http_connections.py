"""Connections whose blocked reads can be ended from another thread.

Timeouts of sockets bound the wait for the next byte, not for the last one: an answer that trickles
never runs into them. A blocked read ends, whatever the server does, when another thread shuts the
socket down. For that the socket in use has to be known before the headers have come, which neither
requests nor urllib3 tells: hence connections that name themselves to the guard of their thread.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Guard:
    """Ends one request from outside: at its deadline, or when its client is closed."""

    def __init__(self) -> None:
        self.cause = ""
        """Why the request was ended; empty while it was not."""
        self.connection: GuardedHTTPConnection | None = None

    def abort(self, cause: str) -> None:
        """End the request in whatever thread it runs."""
        self.cause = cause
        connection = self.connection
        if connection is not None and connection.wire is not None:
            with suppress(OSError):  # closed already
                connection.wire.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise where the request was ended before its socket was known."""
        if self.cause:
            raise ConnectionAbortedError(self.cause)


class _InFlight(threading.local):
    guard: Guard | None = None


_in_flight = _InFlight()


@contextmanager
def guarded(deadline: float) -> Iterator[Guard]:
    """Watch over the request that this thread makes in the block.

    Parameters
    ----------
    deadline : float
        Seconds after which it is ended.

    Yields
    ------
    Guard
    """
    guard = Guard()
    timer = threading.Timer(
        deadline, guard.abort, args=[f"no complete answer within {deadline:g} s"]
    )
    timer.daemon = True
    _in_flight.guard = guard
    timer.start()
    try:
        yield guard
    finally:
        timer.cancel()
        _in_flight.guard = None


class GuardedHTTPConnection(HTTPConnection):
    """A connection that the guard of its thread knows."""

    wire: socket.socket | None = None

    def connect(self) -> None:
        """Connect, and keep the socket, which http.client forgets before the last answer ends."""
        super().connect()
        self.wire = self.sock
        if _in_flight.guard is not None:
            _in_flight.guard.check()

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request."""
        guard = _in_flight.guard
        if guard is not None:
            guard.connection = self
            guard.check()
        super().request(*args, **kwargs)


class _GuardedHTTPSConnection(GuardedHTTPConnection, HTTPSConnection):
    pass


class _GuardedHTTPPool(HTTPConnectionPool):
    ConnectionCls = GuardedHTTPConnection


class _GuardedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPSConnection


class GuardedAdapter(HTTPAdapter):
    """Transport of requests over guarded connections (through a proxy, they are plain ones)."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _GuardedHTTPPool,
            "https": _GuardedHTTPSPool,
        }
