"""What can go wrong with a request, in words that may be shown.

Messages of requests and urllib3 hold whole addresses, and so what a user keeps secret in them;
here only host and path are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import IncompleteRead, NameResolutionError, ReadTimeoutError

from xsaga.errors import ImagingError
from xsaga.imaging.http_limits import HttpOptions


class HttpFailure(ImagingError):  # noqa: N818 - an outcome of one request
    """A request that was not answered as it should be, after all tries.

    Parameters
    ----------
    url : str
        What was asked; the message shows it without credentials and query.
    reason : str
        What went wrong at the last try.
    status : int or None
        HTTP status of the last answer (200 where it is complete but unusable), None where no
        complete answer came.
    attempts : int
        Tries that were made.
    refused : bool
        Whether the answer was a clear no, which no further try would change.
    """

    def __init__(
        self, url: str, reason: str, *, status: int | None, attempts: int, refused: bool = False
    ) -> None:
        tries = "" if attempts == 1 else f" ({attempts} tries)"
        super().__init__(f"{shown(url)}: {reason}{tries}")
        self.reason = reason + tries
        self.status = status
        self.attempts = attempts
        self.refused = refused

    @property
    def gone(self) -> bool:
        """Whether the server says that there is no such thing."""
        return self.status in (404, 410)


class UnreachableError(ImagingError):
    """Imaging on the network that is not to be had at present: a matter of the whole run."""


def shown(url: str) -> str:
    """Address as it may be shown: without user name, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def transport_fault(error: BaseException, options: HttpOptions) -> tuple[str, bool]:
    """Say what ended a request before its answer was complete.

    Parameters
    ----------
    error : BaseException
        What requests or urllib3 raised.
    options : HttpOptions
        Limits of the request.

    Returns
    -------
    reason : str
        One phrase.
    again : bool
        Whether another try may help.
    """
    if isinstance(error, requests.RequestException) and isinstance(error, ValueError):
        return "not a usable http or https address", False
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the TLS certificate of the server is not valid", False
    if "TLS CA certificate bundle" in str(error):
        variables = "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
        return f"the file of TLS certificates that {variables} names is not there", False
    silent = f"no byte from the server within {options.read_timeout:g} s"
    known: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
        ((requests.exceptions.ProxyError,), "the proxy could not be reached"),
        ((NameResolutionError,), "the name of the host could not be resolved"),
        ((requests.ConnectTimeout,), f"no connection within {options.connect_timeout:g} s"),
        ((requests.ReadTimeout, ReadTimeoutError, TimeoutError), silent),
        ((ConnectionRefusedError,), "connection refused"),
        ((IncompleteRead,), "the answer ended early"),
        ((ConnectionError,), "the connection was cut"),
    )
    causes = tuple(_causes(error))
    for kinds, reason in known:
        if any(isinstance(cause, kinds) for cause in causes):
            return reason, True
    return "the connection failed", True


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error and all that led to it."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        # urllib3 keeps some causes as arguments only
        linked = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting.extend(link for link in linked if isinstance(link, BaseException))
